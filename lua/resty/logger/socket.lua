--- `resty.logger.socket`: sends messages to a log server, in batches, outside of the request.
--
-- `new` makes a logger with settings of its own; the module itself is one too, after `init`.
-- @module resty.logger.socket
local concat = table.concat
local setmetatable = setmetatable
local sleep = ngx.sleep
local tcp = ngx.socket.tcp
local timer_at = ngx.timer.at
local tostring = tostring
local type = type
local udp = ngx.socket.udp

local DEFAULTS = {
    flush_limit = 4096, drop_limit = 1048576, timeout = 1000, max_retry_times = 3,
    retry_interval = 100, pool_size = 10, max_buffer_reuse = 10000, sock_type = "tcp",
    ssl = false, ssl_verify = true,
}

-- What each setting must be; those without a default may be missing.
local KINDS = {
    flush_limit = "size", drop_limit = "size", timeout = "size", max_retry_times = "size",
    retry_interval = "size", pool_size = "size", max_buffer_reuse = "size",
    periodic_flush = "time", host = "string", path = "string", sni_host = "string",
    ssl = "boolean", ssl_verify = "boolean", sock_type = "kind", port = "port",
}

local _M = { _VERSION = "2.0.3" }
local mt = { __index = _M }


local function fits(kind, value)
    if kind == "size" then
        return type(value) == "number" and value >= 0
    elseif kind == "time" then
        return type(value) == "number" and value > 0
    elseif kind == "port" then
        return type(value) == "number" and value >= 0 and value <= 65535
    elseif kind == "kind" then
        return value == "tcp" or value == "udp"
    end
    return type(value) == kind
end


-- What is wrong with a setting.
local function complaint(name, kind, value)
    if kind == "port" and type(value) == "number" then
        return '"port" out of range 0~65535'
    elseif kind == "size" or kind == "time" then
        return 'invalid "' .. name .. '"'
    elseif kind == "kind" and type(value) == "string" then
        return '"sock_type" must be "tcp" or "udp"'
    end
    local wanted = { kind = "string", port = "number", boolean = "boolean value" }
    return '"' .. name .. '" must be a ' .. (wanted[kind] or kind)
end


local function read_settings(config)
    local settings = {}
    for name, value in pairs(DEFAULTS) do
        settings[name] = value
    end
    for name, value in pairs(config) do
        local kind = KINDS[name]
        if kind and not fits(kind, value) then
            return nil, complaint(name, kind, value)
        end
        settings[name] = value
    end
    if not (settings.host and settings.port) and not settings.path then
        return nil, "no logging server configured. \"host\"/\"port\" or \"path\" is required."
    elseif settings.flush_limit >= settings.drop_limit then
        return nil, "\"flush_limit\" should be < \"drop_limit\""
    end
    return settings
end


local function start(self, settings)
    self.settings = settings
    self.buffer, self.size, self.flushing = {}, 0, false
    self.last_error, self.is_ready = nil, true
    return self
end


--- A logger.
-- @tparam table config `host` and `port`, or `path`; `flush_limit`, `drop_limit`, …
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(config)
    if type(config) ~= "table" then
        return nil, "user_config must be a table"
    end
    local settings, err = read_settings(config)
    if not settings then
        return nil, err
    end
    return start(setmetatable({}, mt), settings)
end


local function connect(settings)
    local sock, err
    if settings.sock_type == "udp" then
        sock, err = udp()
        if not sock then
            return nil, err
        end
        sock:settimeout(settings.timeout)
        local ok
        ok, err = sock:setpeername(settings.path and "unix:" .. settings.path or settings.host,
                                   settings.port)
        return ok and sock, err
    end
    sock, err = tcp()
    if not sock then
        return nil, err
    end
    sock:settimeout(settings.timeout)
    local ok
    if settings.path then
        ok, err = sock:connect("unix:" .. settings.path)
    else
        ok, err = sock:connect(settings.host, settings.port)
    end
    if ok and settings.ssl and sock:getreusedtimes() == 0 then
        ok, err = sock:sslhandshake(false, settings.sni_host, settings.ssl_verify)
    end
    return ok and sock, err
end


local function send(settings, text)
    local sock, err = connect(settings)
    if not sock then
        return nil, "try to connect to the log server failed: " .. tostring(err)
    end
    local bytes
    bytes, err = sock:send(text)
    if not bytes then
        return nil, "try to send log messages to the log server failed: " .. tostring(err)
    end
    if settings.sock_type == "tcp" then
        sock:setkeepalive(0, settings.pool_size)
    end
    return #text
end


local function flush_now(self)
    local settings = self.settings
    local text, bytes, err = concat(self.buffer), nil, nil
    self.buffer = {}
    for attempt = 0, settings.max_retry_times do
        bytes, err = send(settings, text)
        if bytes then
            break
        end
        if attempt < settings.max_retry_times then
            sleep(settings.retry_interval / 1000)
        end
    end
    self.size = self.size - #text
    if not bytes then
        self.last_error = err
        ngx.log(ngx.ERR, err)
    end
end


-- One flush at a time; what comes meanwhile is sent after it.
local function run(_, self)
    while self.size > 0 and #self.buffer > 0 do
        flush_now(self)
        if self.size < self.settings.flush_limit then
            break
        end
    end
    self.flushing = false
end


local function begin(self)
    if self.flushing or self.size == 0 then
        return
    end
    local ok, err = timer_at(0, run, self)
    if not ok then
        self.last_error = "failed to create the flush timer: " .. tostring(err)
        return
    end
    self.flushing = true
end


local function periodic(premature, self)
    begin(self)
    if not premature then
        timer_at(self.settings.periodic_flush, periodic, self)
    end
end


--- Takes a message.
-- @tparam string message
-- @treturn number|nil bytes; 0 if it was dropped
-- @treturn nil|string an error of before, or why it was dropped
function _M:log(message)
    if not self.is_ready then
        return nil, "not initialized"
    end
    local text = type(message) == "string" and message or tostring(message)
    local err = self.last_error
    self.last_error = nil
    local settings = self.settings
    if self.size + #text > settings.drop_limit then
        begin(self)
        return 0, "logger buffer is full, this log message will be dropped"
    end
    self.buffer[#self.buffer + 1] = text
    self.size = self.size + #text
    if self.size >= settings.flush_limit then
        begin(self)
    elseif settings.periodic_flush and not self.has_timer then
        self.has_timer = true
        timer_at(settings.periodic_flush, periodic, self)
    end
    return #text, err
end


--- Sends what is there.
-- @treturn number bytes that wait to be sent
function _M:flush()
    if not self.is_ready then
        return nil, "not initialized"
    end
    local size = self.size
    begin(self)
    return size
end


function _M:initted()
    return self.is_ready == true
end


--- Makes this very object a logger.
function _M:init(config)
    if type(config) ~= "table" then
        return nil, "user_config must be a table"
    end
    local settings, err = read_settings(config)
    if not settings then
        return nil, err
    end
    start(self, settings)
    return self.is_ready
end


return _M
