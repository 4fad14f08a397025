--- `resty.redis`: a client of Redis over a socket of its own.
--
--     local red = require("resty.redis"):new()
--     red:set_timeouts(1000, 1000, 1000)
--     local ok, err = red:connect("127.0.0.1", 6379)
--     local value, err = red:get("key")
--     red:set_keepalive(10000, 100)
--
-- Every method that is not one of those below is a command of Redis of the same name, with
-- `_` for a blank between its words only where a prefix was registered. A plugin that needs no
-- transactions or subscriptions is better served by `core.redis`, which all workers share.
-- @module resty.redis
local byte = string.byte
local concat = table.concat
local null = ngx.null
local pairs = pairs
local rawget = rawget
local select = select
local setmetatable = setmetatable
local sub = string.sub
local tcp = ngx.socket.tcp
local tonumber = tonumber
local tostring = tostring
local type = type
local upper = string.upper

local CRLF = "\r\n"

-- An array in an array in an array: more than Redis nests, less than the C stack holds.
local DEPTH_MAX = 64

local ENTERS = { subscribe = true, psubscribe = true }
local LEAVES = { unsubscribe = true, punsubscribe = true }

local _M = { _VERSION = "0.33" }
local mt = { __index = _M }

-- Commands of modules: "bf_add" is `BF.ADD` once "bf" is registered.
local prefixes = {}


--- A client that is not connected yet.
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(_)
    local sock, err = tcp()
    if not sock then
        return nil, err
    end
    return setmetatable({ _sock = sock, _subscribed = false, _n_channel = {} }, mt)
end


local function need(self)
    local sock = rawget(self, "_sock")
    if not sock then
        return nil, "not initialized"
    end
    return sock
end


--- Milliseconds for connecting, sending and receiving alike.
function _M:set_timeout(timeout)
    return assert(need(self)):settimeout(timeout)
end


--- Milliseconds for connecting, sending and receiving.
function _M:set_timeouts(connect, send, receive)
    return assert(need(self)):settimeouts(connect, send, receive)
end


--- Connects, or takes a connection from the pool.
-- @tparam string name host name or address, or "unix:/path"
-- @tparam[opt] number port absent for a unix socket
-- @tparam[opt] table opts `pool`, `pool_size`, `backlog`, `ssl`, `ssl_verify`, `server_name`
-- @treturn number|nil 1
-- @treturn nil|string error
function _M:connect(name, port, opts)
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    if type(name) ~= "string" then
        error("bad argument #1 host: string expected, got " .. type(name), 2)
    end
    local unix = sub(name, 1, 5) == "unix:"
    if unix then
        if type(port) == "table" then
            opts = port
        end
    elseif type(port) ~= "number" and not tonumber(port) then
        error("bad argument #2 port: number expected, got " .. type(port), 2)
    end
    if opts ~= nil and type(opts) ~= "table" then
        error("bad argument #3 opts: nil or table expected, got " .. type(opts), 2)
    end
    opts = opts or {}

    self._subscribed = false
    local ok
    if unix then
        ok, err = sock:connect(name, opts)
    else
        ok, err = sock:connect(name, tonumber(port), opts)
    end
    if not ok then
        return ok, err
    end
    if opts.ssl then
        local done
        done, err = sock:sslhandshake(false, opts.server_name, opts.ssl_verify)
        if not done then
            return done, "failed to do ssl handshake: " .. tostring(err)
        end
    end
    return ok
end


--- Gives the connection to the pool.
-- @tparam[opt] number idle milliseconds
-- @tparam[opt] number size of the pool
function _M:set_keepalive(...)
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    if rawget(self, "_subscribed") then
        return nil, "subscribed state"
    end
    return sock:setkeepalive(...)
end


--- How often the connection came from the pool.
function _M:get_reused_times()
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    return sock:getreusedtimes()
end


function _M:close()
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    return sock:close()
end


-- Reads one reply: the value, or false and an error of Redis, or nil and one of the socket.
local function read(sock, depth)
    local line, err = sock:receive("*l")
    if not line then
        if err == "timeout" then
            sock:close()
        end
        return nil, err
    end
    local kind, rest = byte(line), sub(line, 2)
    if kind == 36 then -- $
        local size = tonumber(rest)
        if not size or size < 0 then
            return null
        end
        local data
        data, err = sock:receive(size)
        if not data then
            if err == "timeout" then
                sock:close()
            end
            return nil, err
        end
        local blank
        blank, err = sock:receive(2)
        if not blank then
            return nil, err
        end
        return data
    elseif kind == 43 then -- +
        return rest
    elseif kind == 58 then -- :
        return tonumber(rest)
    elseif kind == 45 then -- -
        return false, rest
    elseif kind ~= 42 then -- *
        return nil, "unknown prefix: \"" .. tostring(kind and sub(line, 1, 1)) .. "\""
    end

    local count = tonumber(rest)
    if not count or count < 0 then
        return null
    end
    if depth >= DEPTH_MAX then
        return nil, "reply is nested too deeply"
    end
    local values = {}
    for i = 1, count do
        local value
        value, err = read(sock, depth + 1)
        if value == nil then
            return nil, err
        end
        -- An error among the values is a pair; those after it still come.
        values[i] = value == false and { false, err } or value
    end
    return values
end


local function argument(value)
    local text = type(value) == "string" and value or tostring(value)
    return "$" .. #text .. CRLF .. text .. CRLF
end


local function encode(command, ...)
    local count = select("#", ...)
    local parts = { "*" .. count + 1 .. CRLF, argument(command) }
    for i = 1, count do
        parts[i + 2] = argument((select(i, ...)))
    end
    return concat(parts)
end


-- What a client is subscribed to; it is free for other commands when nothing is left.
local function note_channels(self, command, reply)
    if ENTERS[command] then
        self._subscribed = true
    elseif LEAVES[command] and type(reply) == "table" and reply[3] == 0 then
        self._subscribed = false
    end
end


local function run(self, command, ...)
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    local module, rest = command:match("^(.-)_(.*)$")
    local name = prefixes[module] and upper(module .. "." .. rest) or command
    local request = encode(name, ...)

    local queue = rawget(self, "_reqs")
    if queue then
        queue[#queue + 1] = request
        return
    end
    local ok
    ok, err = sock:send(request)
    if not ok then
        return nil, err
    end
    local reply
    reply, err = read(sock, 0)
    if not reply then
        return reply, err
    end
    note_channels(self, command, reply)
    return reply
end


--- The next message of what was subscribed to.
function _M:read_reply()
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    if not rawget(self, "_subscribed") then
        return nil, "not subscribed"
    end
    local reply
    reply, err = read(sock, 0)
    if not reply then
        return reply, err
    end
    note_channels(self, reply[1], reply)
    return reply
end


--- From here on commands are kept until `commit_pipeline`.
function _M:init_pipeline()
    self._reqs = {}
end


function _M:cancel_pipeline()
    self._reqs = nil
end


--- Sends what was kept.
-- @treturn table|nil replies; an error of Redis is `{ false, message }`
-- @treturn nil|string error
function _M:commit_pipeline()
    local queue = rawget(self, "_reqs")
    if not queue then
        return nil, "no pipeline"
    end
    self._reqs = nil
    local sock, err = need(self)
    if not sock then
        return nil, err
    end
    local ok
    ok, err = sock:send(queue)
    if not ok then
        return nil, err
    end
    local replies = {}
    for i = 1, #queue do
        local reply
        reply, err = read(sock, 0)
        if reply == nil then
            if err == "timeout" then
                sock:close()
            end
            return nil, err
        end
        replies[i] = reply == false and { false, err } or reply
    end
    return replies
end


--- `HMSET key field value ...`, or with a table of fields.
function _M:hmset(key, ...)
    if select("#", ...) == 1 and type((...)) == "table" then
        local list = {}
        for field, value in pairs((...)) do
            list[#list + 1] = field
            list[#list + 1] = value
        end
        return run(self, "hmset", key, unpack(list))
    end
    return run(self, "hmset", key, ...)
end


--- `{ "a", 1, "b", 2 }` becomes `{ a = 1, b = 2 }`.
function _M:array_to_hash(list)
    local fields = {}
    for i = 1, #list, 2 do
        fields[list[i]] = list[i + 1]
    end
    return fields
end


--- Commands of a module of Redis: after `register_module_prefix("bf")`, `red:bf():add(...)`.
function _M.register_module_prefix(prefix)
    prefixes[prefix] = true
    _M[prefix] = function(self)
        return setmetatable({}, {
            __index = function(_, name)
                return function(_, ...)
                    return run(self, prefix .. "_" .. name, ...)
                end
            end,
        })
    end
end


local function command_method(name)
    local function method(self, ...)
        return run(self, name, ...)
    end
    _M[name] = method
    return method
end


--- Makes methods of commands; any other name makes its own when it is first used.
function _M.add_commands(...)
    for i = 1, select("#", ...) do
        command_method((select(i, ...)))
    end
end


setmetatable(_M, {
    __index = function(_, name)
        return command_method(name)
    end,
})


return _M
