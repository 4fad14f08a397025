--- One call of a secret manager's HTTP API, and errors that tell no secret.
--
-- An answer is read up to a bound, so that no server fills a worker's memory. What goes into an
-- error is picked from the answer by name, never the answer itself: that may be the secret.
-- @module moongate.secret_call
local env = require("apisix.core.env")
local http = require("resty.http")
local json = require("apisix.core.json")
local uris = require("resty.http.uri")

local concat = table.concat
local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local null = json.null
local select = select
local setmetatable = setmetatable
local sub = string.sub
local type = type

local TIMEOUT_MS = 5000
-- The largest secret that a manager keeps is 1 MiB (vault), in base64 or JSON somewhat more.
local BODY_BYTES_MAX = 2 * 1024 * 1024
local CHUNK_BYTES = 65536
local TOLD_MAX = 300
local MASK = "***"

local _M = {}


--- A field of a manager's own conf, which may be a reference to the environment.
-- @tparam string|nil text
-- @treturn string|nil the variable's value, or the text itself where it is no such reference
function _M.own_field(text)
    if type(text) ~= "string" or not env.is_ref(text) then
        return text
    end
    local value = env.look_up(text)
    return type(value) == "string" and value or text
end


--- `text` without the given secrets, of a length that fits a line of a log.
-- @tparam string text
-- @param ... secrets, nil among them
function _M.redacted(text, ...)
    for at = 1, select("#", ...) do
        local secret = select(at, ...)
        if type(secret) == "string" and secret ~= "" then
            local from, to = find(text, secret, 1, true)
            while from do
                text = sub(text, 1, from - 1) .. MASK .. sub(text, to + 1)
                from, to = find(text, secret, from + #MASK, true)
            end
        end
    end
    if #text > TOLD_MAX then
        text = sub(text, 1, TOLD_MAX) .. "..."
    end
    return (gsub(text, "%c", " "))
end


local function read_bounded(response)
    local chunks, length = {}, 0
    while true do
        local chunk, err = response.body_reader(CHUNK_BYTES)
        if err then
            return nil, err
        elseif not chunk then
            return concat(chunks)
        end
        length = length + #chunk
        if length > BODY_BYTES_MAX then
            return nil, "the answer has more than " .. BODY_BYTES_MAX .. " bytes"
        end
        chunks[#chunks + 1] = chunk
    end
end


--- Asks and reads the whole answer.
-- @tparam string uri absolute
-- @tparam table params as for `resty.http`'s `request_uri`; `timeout` in milliseconds
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
    body, err = read_bounded(response)
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


--- The JSON object in a text.
-- @treturn table|nil
-- @treturn nil|string an error that does not quote the text
function _M.object(text)
    local value = json.decode(text)
    if type(value) ~= "table" then
        return nil, "not a JSON object"
    end
    return value
end


--- A field of a decoded object; JSON's null is nothing.
function _M.field(object, name)
    local value = object[name]
    if value == null then
        return nil
    end
    return value
end


--- The texts at some places of an answer that tell what went wrong, as one text.
-- @tparam table|nil object decoded answer
-- @tparam {string,...} names
function _M.told(object, names)
    local found = {}
    for _, name in ipairs(names) do
        local value = type(object) == "table" and object[name]
        if type(value) == "string" then
            found[#found + 1] = value
        end
    end
    return #found > 0 and concat(found, ": ") or nil
end


return _M
