--- Cosocket objects: `ngx.socket.tcp` and `ngx.socket.udp`.
--
-- An object is a handle of the host's and what gives the handle back once the object is
-- collected. Whatever waits is awaited by the host.
-- @module moongate.socket
local flatten = require("moongate.api.resp").flatten
local host = require("moongate.host")
local unsupported = require("moongate.unsupported")

local error = error
local pcall = pcall
local select = select
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local socket_new = host.socket_new
local tcp_close = host.tcp_close
local tcp_connect = host.tcp_connect
local tcp_downstream = host.tcp_downstream
local tcp_fd = host.tcp_fd
local tcp_get_option = host.tcp_get_option
local tcp_handshake = host.tcp_handshake
local tcp_receive = host.tcp_receive
local tcp_receive_any = host.tcp_receive_any
local tcp_receive_until = host.tcp_receive_until
local tcp_reused_times = host.tcp_reused_times
local tcp_send = host.tcp_send
local tcp_set_identity = host.tcp_set_identity
local tcp_set_keepalive = host.tcp_set_keepalive
local tcp_set_option = host.tcp_set_option
local tcp_set_timeouts = host.tcp_set_timeouts
local udp_close = host.udp_close
local udp_connect = host.udp_connect
local udp_receive = host.udp_receive
local udp_send = host.udp_send
local udp_set_timeout = host.udp_set_timeout

-- What OpenResty raises where a connection carries many requests at once.
local NO_STREAMS = "http v2 not supported yet"

local _M = {}

local tcp = {}
local tcp_mt = { __index = tcp }

local udp = {}
local udp_mt = { __index = udp }


local function new(is_tcp, mt)
    local ok, handle, tether = pcall(socket_new, is_tcp)
    if not ok then
        return nil, tostring(handle)
    end
    return setmetatable({ handle, tether }, mt)
end


--- A TCP socket that is not connected yet.
function _M.tcp()
    return new(true, tcp_mt)
end


--- A UDP socket without a peer yet.
function _M.udp()
    return new(false, udp_mt)
end


local function text_of(data)
    local kind = type(data)
    if kind == "string" then
        return data
    end
    if kind == "table" then
        local text, wrong = flatten(data)
        if not text then
            error("bad argument #2 to 'send' (" .. wrong .. ")", 3)
        end
        return text
    end
    if kind == "number" or kind == "boolean" or kind == "nil" then
        return tostring(data)
    end
    error("bad argument #2 to 'send' (string, number, boolean, nil, or array table expected, got "
          .. kind .. ")", 3)
end


local function counted(wanted, ...)
    local count = select("#", ...)
    if count ~= wanted then
        error("ngx.socket settimeout: expecting " .. wanted
              .. " arguments (including the object) but seen " .. count, 3)
    end
    return ...
end


local function checked_option(options, name, least)
    local value = options[name]
    if value == nil then
        return nil
    end
    if type(value) ~= "number" then
        error("bad argument #4 to 'connect' (bad \"" .. name .. "\" option type: "
              .. type(value) .. ")", 3)
    end
    if value < least then
        error("bad argument #4 to 'connect' (bad \"" .. name .. "\" option value: " .. value
              .. ")", 3)
    end
    return value
end


--- Connects to host and port, or to "unix:/path".
-- @tparam table options `pool`, `pool_size`, `backlog`
-- @treturn number|nil 1
-- @treturn nil|string error
function tcp.connect(...)
    local count = select("#", ...)
    if count < 2 or count > 4 then
        error("ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen "
              .. count, 2)
    end
    local self, name, port, options = ...
    if type(port) == "table" and options == nil then
        port, options = nil, port
    end
    if options == nil then
        return tcp_connect(self[1], name, port)
    end
    if type(options) ~= "table" then
        error("bad argument #3 to 'connect' (table expected, got " .. type(options) .. ")", 2)
    end
    local pool = options.pool
    if pool ~= nil and type(pool) ~= "string" and type(pool) ~= "number" then
        error("bad argument #4 to 'connect' (bad \"pool\" option type: " .. type(pool) .. ")", 2)
    end
    return tcp_connect(self[1], name, port, pool, checked_option(options, "pool_size", 1),
                       checked_option(options, "backlog", 0))
end


--- Shakes hands over TLS; a connection from the pool has done so before.
-- @treturn boolean|nil true stands for the session: resuming is the host's affair
-- @treturn nil|string error
function tcp:sslhandshake(_, server_name, verify, _)
    return tcp_handshake(self[1], server_name or nil, verify)
end


--- `sslhandshake` with a table, as apisix-nginx-module has it.
function tcp:tlshandshake(options)
    options = options or {}
    if options.client_cert ~= nil then
        local ok, err = tcp_set_identity(self[1], options.client_cert, options.client_priv_key)
        if not ok then
            return nil, err
        end
    end
    return tcp_handshake(self[1], options.server_name or nil, options.verify)
end


--- Certificate chain and key of ours for the next handshake, as `ngx.ssl.parse_pem_*`
-- gives them.
function tcp:setclientcert(cert, key)
    return tcp_set_identity(self[1], cert, key)
end


--- Sends a string, a number, or a nested array of them.
-- @treturn number|nil bytes
-- @treturn nil|string error
function tcp.send(...)
    if select("#", ...) ~= 2 then
        error("expecting 2 arguments (including the object), but got " .. select("#", ...), 2)
    end
    local self, data = ...
    return tcp_send(self[1], text_of(data))
end


--- Receives a line ("*l"), everything ("*a") or a number of bytes.
-- @treturn string|nil
-- @treturn nil|string error
-- @treturn nil|string what came until then
function tcp.receive(...)
    if select("#", ...) > 2 then
        error("expecting 1 or 2 arguments (including the object), but got " .. select("#", ...), 2)
    end
    local self, pattern = ...
    return tcp_receive(self[1], pattern)
end


--- Receives what there is.
function tcp.receiveany(...)
    if select("#", ...) ~= 2 then
        error("expecting 2 arguments (including the object), but got " .. select("#", ...), 2)
    end
    local self, max = ...
    return tcp_receive_any(self[1], max)
end


--- A function that receives up to a pattern, or at most a number of bytes of that.
-- @tparam string pattern
-- @tparam[opt] table options `inclusive`
function tcp.receiveuntil(...)
    local count = select("#", ...)
    if count ~= 2 and count ~= 3 then
        error("expecting 2 or 3 arguments (including the object), but got " .. count, 2)
    end
    local self, pattern, options = ...
    if type(pattern) ~= "string" and type(pattern) ~= "number" then
        error("bad argument #2 to 'receiveuntil' (string expected, got " .. type(pattern) .. ")",
              2)
    end
    if pattern == "" then
        return nil, "pattern is empty"
    end
    if options ~= nil and type(options) ~= "table" then
        error("bad argument #3 to 'receiveuntil' (table expected, got " .. type(options) .. ")", 2)
    end
    local inclusive = options and options.inclusive
    if inclusive ~= nil and type(inclusive) ~= "boolean" then
        error("bad \"inclusive\" option value type: " .. type(inclusive), 2)
    end

    local handle, over = self, false
    return function(size)
        if over then
            over = false
            return nil, nil, nil
        end
        local data, err, partial, matched = tcp_receive_until(handle[1], pattern, inclusive, size)
        if data then
            over = matched and size ~= nil and size ~= 0 or false
            return data
        end
        if partial == nil then
            return nil, err
        end
        return nil, err, partial
    end
end


--- Milliseconds for each operation; 0, nil or what is no number for the default.
function tcp.settimeout(...)
    local self, timeout = counted(2, ...)
    timeout = tonumber(timeout) or 0
    tcp_set_timeouts(self[1], timeout, timeout, timeout)
end


function tcp.settimeouts(...)
    local self, connect, send, read = counted(4, ...)
    tcp_set_timeouts(self[1], tonumber(connect) or 0, tonumber(send) or 0, tonumber(read) or 0)
end


--- Gives the connection to its pool.
-- @tparam[opt] number timeout milliseconds; 0 is for ever
-- @tparam[opt] number size of the pool, if this makes it
function tcp:setkeepalive(timeout, size)
    if timeout ~= nil and not tonumber(timeout) then
        error("bad argument #2 to 'setkeepalive' (number expected, got " .. type(timeout) .. ")", 2)
    end
    return tcp_set_keepalive(self[1], timeout, size)
end


function tcp:getreusedtimes()
    return tcp_reused_times(self[1])
end


function tcp:setoption(name, value)
    return tcp_set_option(self[1], name, value)
end


function tcp:getoption(name)
    return tcp_get_option(self[1], name)
end


--- Where later connections start from.
function tcp:bind(address)
    return host.tcp_bind(self[1], address)
end


function tcp:close()
    return tcp_close(self[1])
end


--- The number of the connection's file descriptor.
function tcp:getfd()
    return tcp_fd(self[1])
end


unsupported.fill(tcp, "tcpsock:", { "getsslctx", "getsslpointer", "getsslsession" },
                 "not supported: TLS is not OpenSSL's here, so there is no structure to point to")
unsupported.fill(tcp, "tcpsock:", { "settrustedstore" },
                 "not supported: peers are verified with apisix.ssl.ssl_trusted_certificate")


-- What may be done with the client's own connection: it is closed with its request.
local downstream_mt = { __index = {
    receive = tcp.receive,
    receiveany = tcp.receiveany,
    receiveuntil = tcp.receiveuntil,
    send = tcp.send,
    settimeout = tcp.settimeout,
    settimeouts = tcp.settimeouts,
    getfd = tcp.getfd,
} }


--- The connection to the client, for a plugin that answers by itself.
function _M.downstream()
    local sock, err = new(true, downstream_mt)
    if not sock then
        return nil, err
    end
    local ok
    ok, err = tcp_downstream(sock[1])
    if err == NO_STREAMS then
        error(err, 3)
    elseif not ok then
        return nil, err
    end
    return sock
end


--- Says where datagrams go to and come from: host and port, or "unix:/path".
function udp.setpeername(...)
    local count = select("#", ...)
    if count < 2 or count > 3 then
        error("ngx.socket.udp setpeername: expecting 2 or 3 arguments (including the object), "
              .. "but seen " .. count, 2)
    end
    local self, name, port = ...
    if port ~= nil and not tonumber(port) then
        error("bad argument #3 to 'setpeername' (number expected, got " .. type(port) .. ")", 2)
    end
    return udp_connect(self[1], name, port)
end


function udp.send(...)
    if select("#", ...) ~= 2 then
        error("expecting 2 arguments (including the object), but got " .. select("#", ...), 2)
    end
    local self, data = ...
    return udp_send(self[1], text_of(data))
end


function udp:receive(size)
    if size ~= nil and not tonumber(size) then
        error("bad argument #2 to 'receive' (number expected, got " .. type(size) .. ")", 2)
    end
    return udp_receive(self[1], size)
end


function udp:settimeout(timeout)
    udp_set_timeout(self[1], tonumber(timeout) or 0)
end


function udp:bind(address)
    return host.udp_bind(self[1], address)
end


function udp:close()
    return udp_close(self[1])
end


return _M
