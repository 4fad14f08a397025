--- `socket`: the names of LuaSocket, over sockets that do not hold up the worker.
--
-- TCP, UDP, names and time. Servers (`bind`) and `select` raise: a plugin does not listen.
-- @module socket
local resolver = require("apisix.core.resolver")
local unsupported = require("moongate.unsupported")

local gethostname = require("apisix.core.utils").gethostname
local now = ngx.now
local setmetatable = setmetatable
local sleep = ngx.sleep
local tcp_socket = ngx.socket.tcp
local tonumber = tonumber
local udp_socket = ngx.socket.udp
local update_time = ngx.update_time

local _M = { _VERSION = "LuaSocket 3.1.0" }

local Tcp = {}
local tcp_mt = { __index = Tcp }


--- A TCP socket.
function _M.tcp()
    local sock, err = tcp_socket()
    if not sock then
        return nil, err
    end
    return setmetatable({ sock = sock }, tcp_mt)
end


_M.tcp4, _M.tcp6 = _M.tcp, _M.tcp


function Tcp:connect(name, port)
    local ok, err = self.sock:connect(name, tonumber(port))
    if not ok then
        return nil, err
    end
    self.peer = { name, port }
    return 1
end


--- Seconds; nil waits as long as it takes the gateway's bounds.
function Tcp:settimeout(seconds)
    self.sock:settimeout(seconds and seconds * 1000 or 60000)
    return 1
end


--- Sends a text, or a part of it.
-- @treturn number|nil the last byte that was sent
function Tcp:send(text, from, to)
    text = (from or to) and text:sub(from or 1, to or -1) or text
    local bytes, err = self.sock:send(text)
    if not bytes then
        return nil, err, 0
    end
    return bytes + (from or 1) - 1
end


--- Receives a line, a number of bytes, or everything ("*a"), after `prefix`.
function Tcp:receive(pattern, prefix)
    local text, err, partial = self.sock:receive(pattern or "*l")
    prefix = prefix or ""
    if not text then
        return nil, err, prefix .. (partial or "")
    end
    return prefix .. text
end


function Tcp:close()
    self.sock:close()
    return 1
end


function Tcp:getpeername()
    return self.peer and self.peer[1], self.peer and self.peer[2]
end


function Tcp:setoption()
    return 1
end


local Udp = {}
local udp_mt = { __index = Udp }


--- A UDP socket.
function _M.udp()
    local sock, err = udp_socket()
    if not sock then
        return nil, err
    end
    return setmetatable({ sock = sock }, udp_mt)
end


function Udp:setpeername(name, port)
    local ok, err = self.sock:setpeername(name, tonumber(port))
    return ok and 1, err
end


function Udp:settimeout(seconds)
    self.sock:settimeout(seconds and seconds * 1000 or 60000)
    return 1
end


function Udp:send(text)
    local ok, err = self.sock:send(text)
    return ok and 1, err
end


function Udp:receive(size)
    return self.sock:receive(size)
end


function Udp:close()
    self.sock:close()
    return 1
end


--- A connected TCP socket.
function _M.connect(name, port)
    local sock, err = _M.tcp()
    if not sock then
        return nil, err
    end
    local ok
    ok, err = sock:connect(name, port)
    if not ok then
        return nil, err
    end
    return sock
end


--- Seconds since 1970, with fractions.
function _M.gettime()
    update_time()
    return now()
end


--- Waits.
function _M.sleep(seconds)
    sleep(seconds)
end


_M.dns = unsupported.absent({
    gethostname = gethostname,

    --- The address of a name.
    -- @treturn string|nil
    -- @treturn table|string what is known of it, or the error
    toip = function(name)
        local address, err = resolver.parse_domain(name)
        if not address then
            return nil, err
        end
        return address, { name = name, alias = {}, ip = { address } }
    end,
}, "socket.dns.", { "tohostname", "getaddrinfo", "getnameinfo" },
    "names are resolved to one address, by toip")


--- All values but the first `n`.
function _M.skip(n, ...)
    return select(n + 1, ...)
end


--- A function that raises what its second value is if the first is nil.
function _M.newtry(finalizer)
    return function(...)
        if (...) == nil then
            if finalizer then
                finalizer()
            end
            error({ (select(2, ...)) }, 0)
        end
        return ...
    end
end


_M.try = _M.newtry()


--- Turns what `try` raises back into nil and the error.
function _M.protect(func)
    return function(...)
        local found = { pcall(func, ...) }
        if found[1] then
            return unpack(found, 2, table.maxn(found))
        end
        if type(found[2]) == "table" then
            return nil, found[2][1]
        end
        error(found[2], 0)
    end
end


return unsupported.absent(_M, "socket.", { "bind", "select", "udp4", "udp6" },
    "waiting would hold the worker up; see ngx.socket")
