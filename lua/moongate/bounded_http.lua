--- HTTP calls whose answers are read up to a bound, so that no server fills a worker's memory.
-- @module moongate.bounded_http
local http = require("resty.http")
local uris = require("resty.http.uri")

local concat = table.concat
local setmetatable = setmetatable

local TIMEOUT_MS = 5000
-- The largest secret that a manager keeps is 1 MiB (Vault), in base64 or JSON somewhat more.
local BODY_BYTES_MAX = 2 * 1024 * 1024
local CHUNK_BYTES = 65536

local _M = {}


local function read_bounded(response, bytes_max)
    local chunks, length = {}, 0
    while true do
        local chunk, err = response.body_reader(CHUNK_BYTES)
        if err then
            return nil, err
        elseif not chunk then
            return concat(chunks)
        end
        length = length + #chunk
        if length > bytes_max then
            return nil, "the answer has more than " .. bytes_max .. " bytes"
        end
        chunks[#chunks + 1] = chunk
    end
end


--- Asks and reads the whole answer.
-- @tparam string uri absolute
-- @tparam table params as for `resty.http`'s `request_uri`; `timeout` in milliseconds (5,000),
--   `body_bytes_max` (2 MiB)
-- @treturn table|nil `status`, `headers`, `body`
-- @treturn nil|string error
-- @treturn nil|string what failed: "connect", "send" or "read"
function _M.ask(uri, params)
    local parts = uris.parse(uri, false)
    if not parts then
        -- The text names the address, which may hold a password.
        return nil, "bad uri", "connect"
    end
    local request = setmetatable({}, { __index = params })
    request.path = params.path or parts[4]
    request.query = params.query or (parts[5] ~= "" and parts[5] or nil)

    local client, err = http.new()
    if not client then
        return nil, err, "connect"
    end
    client:set_timeout(params.timeout or TIMEOUT_MS)
    local ok
    ok, err = client:connect(uris.connection_options(parts, params))
    if not ok then
        return nil, err, "connect"
    end

    local response
    response, err = client:request(request)
    if not response then
        client:close()
        return nil, err, "send"
    end
    local body
    body, err = read_bounded(response, params.body_bytes_max or BODY_BYTES_MAX)
    if not body then
        client:close()
        return nil, err, "read"
    end
    if params.keepalive == false then
        client:close()
    else
        client:set_keepalive(params.keepalive_timeout, params.keepalive_pool)
    end
    return { status = response.status, reason = response.reason, headers = response.headers,
             body = body }
end


return _M
