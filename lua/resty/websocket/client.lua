--- `resty.websocket.client`.
-- @module resty.websocket.client
local host = require("moongate.host")
local methods = require("moongate.ws_methods")

local concat = table.concat
local encode_base64 = ngx.encode_base64
local find = string.find
local ipairs = ipairs
local match = string.match
local random_bytes = host.crypto.random_bytes
local setmetatable = setmetatable
local tcp = ngx.socket.tcp
local tonumber = tonumber
local type = type

local PAYLOAD_BYTES_MAX = 65535

local _M = { _VERSION = "0.10" }
local mt = { __index = _M }


--- A client that is not connected.
-- @tparam[opt] table opts `timeout`, `max_payload_len`, `max_send_len`, `max_recv_len`,
--   `send_unmasked`
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(opts)
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    opts = opts or {}
    if opts.timeout then
        sock:settimeout(opts.timeout)
    end
    return setmetatable({
        sock = sock, max_payload_len = opts.max_payload_len or PAYLOAD_BYTES_MAX,
        max_send_len = opts.max_send_len, max_recv_len = opts.max_recv_len,
        send_unmasked = opts.send_unmasked,
    }, mt)
end


local function request(path, address, opts)
    local lines = {
        "GET " .. path .. " HTTP/1.1", "Upgrade: websocket", "Host: " .. (opts.host or address),
        "Sec-WebSocket-Key: " .. (opts.key or encode_base64(random_bytes(16))),
    }
    local protocols = opts.protocols
    if protocols then
        lines[#lines + 1] = "Sec-WebSocket-Protocol: "
                            .. (type(protocols) == "table" and concat(protocols, ",") or protocols)
    end
    lines[#lines + 1] = "Sec-WebSocket-Version: 13"
    if opts.origin then
        lines[#lines + 1] = "Origin: " .. opts.origin
    end
    lines[#lines + 1] = "Connection: Upgrade"
    for _, header in ipairs(opts.headers or {}) do
        lines[#lines + 1] = header
    end
    return concat(lines, "\r\n") .. "\r\n\r\n"
end


local function upgrade(sock, text)
    local bytes, err = sock:send(text)
    if not bytes then
        return nil, "failed to send the handshake request: " .. err
    end
    local header
    header, err = sock:receiveuntil("\r\n\r\n")()
    if not header then
        return nil, "failed to receive response header: " .. err
    end
    if not find(header, "^%s*HTTP/1%.1%s+101") then
        return nil, "unexpected HTTP response code: " .. (match(header, "^%S+%s+(%d+)") or header)
    end
    return 1, nil, header
end


--- Connects.
-- @tparam string uri "ws://host:port/path" or "wss://…"
-- @tparam[opt] table opts `protocols`, `origin`, `headers`, `pool`, `ssl_verify`, `server_name`,
--   `host`, `client_cert`, `client_priv_key`
-- @treturn number|nil 1
-- @treturn nil|string error
-- @treturn nil|string the server's header
function _M:connect(uri, opts)
    local sock = self.sock
    if not sock then
        return nil, "not initialized"
    end
    local scheme, name, port, path = match(uri, "^(wss?)://([^:/]+):?(%d*)(.*)$")
    if not scheme then
        return nil, "bad websocket uri"
    end
    opts = opts or {}
    port = tonumber(port) or (scheme == "wss" and 443 or 80)
    local ok, err
    if opts.pool then
        ok, err = sock:connect(name, port, { pool = opts.pool })
    else
        ok, err = sock:connect(name, port)
    end
    if not ok then
        return nil, "failed to connect: " .. err
    end
    if scheme == "wss" and (sock:getreusedtimes() or 0) == 0 then
        if opts.client_cert then
            sock:setclientcert(opts.client_cert, opts.client_priv_key)
        end
        ok, err = sock:sslhandshake(false, opts.server_name or name, opts.ssl_verify)
        if not ok then
            return nil, "ssl handshake failed: " .. err
        end
    end
    if (sock:getreusedtimes() or 0) > 0 then
        return 1
    end
    local address = name .. (port ~= (scheme == "wss" and 443 or 80) and ":" .. port or "")
    return upgrade(sock, request(path ~= "" and path or "/", address, opts))
end


methods.extend(_M, true)


--- Gives the connection to the pool.
function _M:set_keepalive(...)
    if not self.sock then
        return nil, "not initialized"
    end
    return self.sock:setkeepalive(...)
end


--- Says goodbye and closes.
function _M:close()
    if self.fatal then
        return nil, "fatal error already happened"
    elseif not self.sock then
        return nil, "not initialized"
    end
    if not self.closed then
        local bytes, err = self:send_close()
        if not bytes then
            return nil, "failed to send close frame: " .. err
        end
    end
    return self.sock:close()
end


return _M
