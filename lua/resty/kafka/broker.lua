--- `resty.kafka.broker`: one connection to a broker: request, answer, login.
-- @module resty.kafka.broker
local codec = require("resty.kafka.codec")
local scram = require("resty.kafka.scram")

local setmetatable = setmetatable
local tcp = ngx.socket.tcp
local tostring = tostring

-- A fetch is bounded by the request; nothing else of a broker comes near this.
local ANSWER_BYTES_MAX = 128 * 1024 * 1024
local CLIENT_ID = "moongate"

local _M = {}
local mt = { __index = _M }


--- A broker; nothing is connected yet.
-- @tparam table config of `resty.kafka.client`
-- @tparam[opt] table sasl `mechanism`, `user`, `password`
function _M.new(_, name, port, config, sasl)
    return setmetatable({ host = name, port = port, config = config, sasl = sasl }, mt)
end


local function exchange(sock, key, version, body)
    local ok, err = sock:send(codec.request(key, version, 1, CLIENT_ID, body))
    if not ok then
        return nil, err, true
    end
    local head
    head, err = sock:receive(4)
    if not head then
        return nil, err, err == "timeout"
    end
    local size = codec.reader(head):int32()
    if size < 4 or size > ANSWER_BYTES_MAX then
        return nil, "the answer has " .. size .. " bytes"
    end
    local answer
    answer, err = sock:receive(size)
    if not answer then
        return nil, err, true
    end
    local reader = codec.reader(answer)
    reader:int32()
    return reader
end


local function login(self, sock)
    local sasl = self.sasl
    local reader, err = exchange(sock, codec.SASL_HANDSHAKE, 1, codec.string(sasl.mechanism))
    if not reader then
        return nil, err
    end
    if reader:int16() ~= 0 then
        return nil, "the broker does not support " .. tostring(sasl.mechanism)
    end
    local function step(text)
        local answer, problem = exchange(sock, codec.SASL_AUTHENTICATE, 0, codec.bytes(text))
        if not answer then
            return nil, problem
        end
        local code, why = answer:int16(), answer:string()
        if code ~= 0 then
            return nil, why or ("error " .. code)
        end
        return answer:bytes() or ""
    end
    if sasl.mechanism == "PLAIN" then
        return step("\0" .. sasl.user .. "\0" .. sasl.password)
    end
    return scram.login(sasl, step)
end


local function connect(self)
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    local config = self.config
    sock:settimeout(config.socket_timeout)
    local pool = self.host .. ":" .. self.port .. (config.ssl and ":ssl" or "")
                 .. (self.sasl and ":" .. tostring(self.sasl.user) or "")
    local name = config.resolver and config.resolver(self.host) or self.host
    local ok
    ok, err = sock:connect(name, self.port, { pool = pool })
    if not ok then
        return nil, err
    end
    if sock:getreusedtimes() == 0 then
        if config.ssl then
            ok, err = sock:sslhandshake(false, self.host, config.ssl_verify)
            if not ok then
                return nil, "failed to do SSL handshake with " .. self.host .. ":" .. self.port
                            .. ": " .. tostring(err)
            end
        end
        if self.sasl then
            ok, err = login(self, sock)
            if not ok then
                return nil, "failed to do " .. tostring(self.sasl.mechanism) .. " auth with "
                            .. self.host .. ":" .. self.port .. ": " .. tostring(err)
            end
        end
    end
    return sock
end


--- Asks.
-- @treturn table|nil a reader of the answer
-- @treturn nil|string error
-- @treturn nil|boolean whether the request may have come through
function _M:call(key, version, body)
    local sock, err = connect(self)
    if not sock then
        return nil, err, false
    end
    local reader, maybe
    reader, err, maybe = exchange(sock, key, version, body)
    if not reader then
        sock:close()
        return nil, err, maybe
    end
    sock:setkeepalive(self.config.keepalive_timeout, self.config.keepalive_size)
    return reader
end


--- Sends what nobody answers.
function _M:send(key, version, body)
    local sock, err = connect(self)
    if not sock then
        return nil, err
    end
    local ok
    ok, err = sock:send(codec.request(key, version, 1, CLIENT_ID, body))
    if not ok then
        return nil, err
    end
    sock:setkeepalive(self.config.keepalive_timeout, self.config.keepalive_size)
    return true
end


return _M
