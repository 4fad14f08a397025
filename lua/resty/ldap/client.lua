--- `resty.ldap.client`: bind and search over one connection.
-- @module resty.ldap.client
local filter_module = require("resty.ldap.filter")
local protocol = require("resty.ldap.protocol")

local byte = string.byte
local concat = table.concat
local format = string.format
local setmetatable = setmetatable
local tcp = ngx.socket.tcp
local tostring = tostring

-- One message; an entry larger than this is no answer to a login.
local MESSAGE_BYTES_MAX = 16 * 1024 * 1024
local ENTRIES_MAX = 100000

local APP = protocol.APP_NO

local _M = {}
local mt = { __index = _M }


--- A client; it connects when it is first used.
-- @tparam string name
-- @tparam number port
-- @tparam[opt] table config `socket_timeout`, `keepalive_timeout`, `start_tls`, `ldaps`,
--   `ssl_verify`, `keepalive_pool_name`, `keepalive_pool_size`
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(name, port, config)
    if not name or not port then
        return nil, "host and port cannot be nil"
    end
    config = config or {}
    return setmetatable({
        host = name, port = port,
        timeout = config.socket_timeout or 10000,
        idle = config.keepalive_timeout or 60000,
        pool_size = config.keepalive_pool_size or 2,
        pool_name = config.keepalive_pool_name,
        start_tls = config.start_tls == true, ldaps = config.ldaps == true,
        verify = config.ssl_verify ~= false,
    }, mt)
end


local function read_length(sock)
    local head, err = sock:receive(2)
    if not head then
        return nil, nil, "receive response failed: " .. tostring(err)
    end
    local length = byte(head, 2)
    if length == 0x80 or length > 0x84 then
        return nil, nil, "invalid BER length: indefinite or reserved form"
    elseif length < 0x80 then
        return head, length
    end
    local digits
    digits, err = sock:receive(length - 0x80)
    if not digits then
        return nil, nil, format("receive length header failed: %s", err)
    end
    length = 0
    for i = 1, #digits do
        length = length * 256 + byte(digits, i)
    end
    if length > MESSAGE_BYTES_MAX then
        return nil, nil, format("ldap message too large: %d bytes", length)
    end
    return head .. digits, length
end


local function receive(sock)
    local head, length, err = read_length(sock)
    if not head then
        return nil, err
    end
    local body
    body, err = sock:receive(length)
    if not body then
        return nil, format("receive response failed: %s", err)
    end
    local message
    message, err = protocol.decode_message(head .. body)
    if not message then
        return nil, format("failed to decode ldap message: %s (%d bytes)", err, #head + #body)
    end
    return message
end


local function told(message)
    local code = message.result_code
    return format("error: %s, details: %s",
                  protocol.ERROR_MSG[code] or "Unknown error occurred (code: " .. code .. ")",
                  message.diagnostic_msg or "")
end


local function begin_tls(sock)
    local ok, err = sock:send(protocol.start_tls_request())
    if not ok then
        return format("send request failed: %s", err)
    end
    local message
    message, err = receive(sock)
    if not message then
        return err
    elseif message.protocol_op ~= APP.ExtendedResponse then
        return format("received incorrect op in packet: %d, expected %d", message.protocol_op,
                      APP.ExtendedResponse)
    elseif message.result_code ~= 0 then
        return told(message)
    end
end


local function connect(self)
    if self.sock then
        return self.sock
    end
    local sock = tcp()
    sock:settimeout(self.timeout)
    local mode = self.ldaps and "ldaps" or self.start_tls and "starttls" or "plain"
    local pool = self.pool_name
                 or concat({ self.host, self.port, mode, tostring(self.verify) }, ":")
    local where = self.host .. ":" .. tostring(self.port)
    local ok, err = sock:connect(self.host, self.port, { pool = pool, pool_size = self.pool_size })
    if not ok then
        return nil, format("connect to %s failed: %s", where, err)
    end
    if mode ~= "plain" and sock:getreusedtimes() == 0 then
        err = self.start_tls and not self.ldaps and begin_tls(sock)
        if err then
            sock:close()
            return nil, format("launch STARTTLS connection on %s failed: %s", where, err)
        end
        ok, err = sock:sslhandshake(true, self.host, self.verify)
        if not ok then
            sock:close()
            return nil, format("do TLS handshake on %s failed: %s", where, err)
        end
    end
    self.sock = sock
    return sock
end


local function ask(self, request)
    local sock, err = connect(self)
    if not sock then
        return nil, format("initialize socket failed: %s", err)
    end
    local ok
    ok, err = sock:send(request)
    if not ok then
        self:close()
        return nil, format("send request failed: %s", err)
    end
    return sock
end


--- Logs in.
-- @treturn boolean|nil true; false if the directory refuses, nil if it cannot be asked
-- @treturn nil|string error
function _M:simple_bind(dn, password)
    local sock, err = ask(self, protocol.simple_bind_request(dn, password))
    if not sock then
        return nil, err
    end
    local message
    message, err = receive(sock)
    if not message then
        self:close()
        return nil, err
    elseif message.protocol_op ~= APP.BindResponse then
        self:close()
        return false, format("Received incorrect Op in packet: %d, expected %d",
                             message.protocol_op, APP.BindResponse)
    elseif message.result_code ~= 0 then
        return false, "simple bind failed, " .. told(message)
    end
    return true
end


--- Asks for entries.
-- @treturn table|boolean entries with `entry_dn` and `attributes`; false if it fails
-- @treturn nil|string error
function _M:search(base, scope, deref, size_limit, time_limit, types_only, filter, attributes)
    if not base then
        return false, "base_dn cannot be nil"
    end
    local compiled, err = filter_module.compile(filter or "(objectClass=*)")
    if not compiled then
        return false, err
    end
    local sock
    sock, err = ask(self, protocol.search_request(
        base, scope or protocol.SEARCH_SCOPE_WHOLE_SUBTREE,
        deref or protocol.SEARCH_DEREF_ALIASES_ALWAYS, size_limit or 0, time_limit or 0,
        types_only, compiled, attributes or { "objectClass" }))
    if not sock then
        return false, err
    end
    local entries = {}
    while true do
        local message
        message, err = receive(sock)
        if not message or #entries >= ENTRIES_MAX then
            self:close()
            return false, err or "too many entries"
        elseif message.entry then
            entries[#entries + 1] = message.entry
        elseif message.protocol_op == APP.SearchResultDone then
            if message.result_code ~= 0 then
                return false, "search failed, " .. told(message)
            end
            return entries
        end
    end
end


--- Gives the connection to the pool.
function _M:set_keepalive()
    local sock = self.sock
    self.sock = nil
    if not sock then
        return true
    end
    return sock:setkeepalive(self.idle)
end


function _M:close()
    local sock = self.sock
    self.sock = nil
    if not sock then
        return true
    end
    return sock:close()
end


return _M
