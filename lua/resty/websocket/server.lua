--- `resty.websocket.server`: answers a client's upgrade and talks frames with it.
--
--     local ws, err = require("resty.websocket.server"):new({ timeout = 5000 })
--     if not ws then
--         return ngx.exit(444)
--     end
--     local data, kind = ws:recv_frame()
--     ws:send_text(data)
-- @module resty.websocket.server
local methods = require("moongate.ws_methods")

local encode_base64 = ngx.encode_base64
local find = string.find
local lower = string.lower
local setmetatable = setmetatable
local sha1_bin = ngx.sha1_bin
local tostring = tostring
local type = type

local PAYLOAD_BYTES_MAX = 65535

-- RFC 6455, section 1.3.
local MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

local _M = { _VERSION = "0.10" }
local mt = { __index = _M }


-- A header of the request; of several the first.
local function header(headers, name)
    local value = headers[name]
    return type(value) == "table" and value[1] or value
end


-- What is wrong with the request, nil if it is an upgrade.
local function refused(headers)
    local upgrade = header(headers, "upgrade")
    if not upgrade or lower(upgrade) ~= "websocket" then
        return 'bad "upgrade" request header: ' .. tostring(upgrade)
    elseif not find(lower(header(headers, "connection") or ""), "upgrade", 1, true) then
        return 'bad "connection" request header'
    elseif not header(headers, "sec-websocket-key") then
        return 'bad "sec-websocket-key" request header'
    elseif header(headers, "sec-websocket-version") ~= "13" then
        return 'bad "sec-websocket-version" request header'
    end
end


local function answer(headers)
    ngx.header["Sec-WebSocket-Protocol"] = header(headers, "sec-websocket-protocol")
    ngx.header["Upgrade"] = "websocket"
    ngx.header["Sec-WebSocket-Accept"] =
        encode_base64(sha1_bin(header(headers, "sec-websocket-key") .. MAGIC))
    ngx.header["Content-Type"] = nil
    ngx.status = 101
    local ok, err = ngx.send_headers()
    if not ok then
        return nil, "failed to send response header: " .. (err or "unknown")
    end
    ok, err = ngx.flush(true)
    if not ok then
        return nil, "failed to flush response header: " .. (err or "unknown")
    end
    return true
end


--- Upgrades the connection of the request that runs now.
-- @tparam[opt] table opts `timeout` milliseconds, `max_payload_len`, `max_recv_len`,
--   `max_send_len`, `send_masked`
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(opts)
    opts = opts or {}
    if ngx.headers_sent then
        return nil, "response header already sent"
    end
    ngx.req.read_body()
    if ngx.req.http_version() ~= 1.1 then
        return nil, "bad http version"
    end
    local headers = ngx.req.get_headers()
    local err = refused(headers)
    if err then
        return nil, err
    end
    local ok, sock
    ok, err = answer(headers)
    if not ok then
        return nil, err
    end
    sock, err = ngx.req.socket(true)
    if not sock then
        return nil, err
    end
    if opts.timeout then
        sock:settimeout(opts.timeout)
    end
    return setmetatable({
        sock = sock, max_payload_len = opts.max_payload_len or PAYLOAD_BYTES_MAX,
        max_recv_len = opts.max_recv_len, max_send_len = opts.max_send_len,
        send_masked = opts.send_masked,
    }, mt)
end


methods.extend(_M, false)


return _M
