--- `ngx.balancer`: a say in the next try, for the `balancer` function of a plugin.
--
-- A node was picked already, by the upstream's own rules; what is set here replaces it for this
-- one try. A plugin that wants another upstream altogether gives it to `apisix.upstream.set`.
-- @module ngx.balancer
local host = require("moongate.host")
local unsupported = require("moongate.unsupported")

local error = error
local phase = host.phase
local tonumber = tonumber
local type = type

local _M = { version = "0.1.28" }


-- Why there is no try to have a say in; nil if there is one.
local function not_now()
    local now = phase()
    if now == "balancer" then
        return nil
    elseif now == "access" then
        return "no upstream found"
    elseif not host.has_request() then
        error("no request found", 3)
    end
    return "API disabled in the current context"
end


--- Sends this try to an address.
-- @tparam string address an IP address
-- @tparam[opt=0] number port
-- @tparam[opt] string name for `Host` and TLS, instead of the picked node's
-- @treturn boolean|nil true
-- @treturn nil|string error
function _M.set_current_peer(address, port, name)
    local why = not_now()
    if why then
        return nil, why
    end
    if type(address) ~= "string" then
        error("bad argument #1 to 'set_current_peer' (string expected, got " .. type(address)
              .. ")", 2)
    end
    if address:sub(1, 5) == "unix:" then
        return nil, "unix sockets are not supported by ngx.balancer of moongate: nodes are "
                    .. "reached by TCP"
    end
    if name ~= nil and type(name) ~= "string" then
        error("bad argument #3 to 'set_current_peer' (string expected, got " .. type(name) .. ")",
              2)
    end
    return host.balancer_set_peer(address, tonumber(port) or 0, name)
end


--- Allows tries beyond the upstream's own.
function _M.set_more_tries(count)
    local why = not_now()
    if why then
        return nil, why
    end
    count = tonumber(count)
    if not count then
        error("bad argument #1 to 'set_more_tries' (number expected)", 2)
    end
    if host.balancer_more_tries(count) < count then
        return true, "reduced tries due to limit"
    end
    return true
end


--- How the try before ended.
-- @treturn string|nil "failed"; nil if this is the first try
-- @treturn number|nil status
function _M.get_last_failure()
    local why = not_now()
    if why then
        return nil, nil, why
    end
    local status = host.balancer_last_failure()
    if not status then
        return nil
    end
    return "failed", status
end


local function checked(name, timeout)
    if timeout == nil then
        return nil
    end
    local seconds = tonumber(timeout)
    if not seconds or seconds <= 0 then
        error("bad " .. name .. " timeout", 3)
    end
    return seconds
end


--- Seconds for connecting, sending and reading in this try; nil leaves one as it is.
function _M.set_timeouts(connect, send, read)
    local why = not_now()
    if why then
        return false, why
    end
    connect, send = checked("connect", connect), checked("send", send)
    read = checked("read", read)
    return host.balancer_set_timeouts(connect, send, read)
end


--- The request is written anew for every try, with whatever has changed in it.
function _M.recreate_request()
    local why = not_now()
    if why then
        return nil, why
    end
    return true
end


unsupported.fill(_M, "ngx.balancer.", { "enable_keepalive" },
                 "not supported by moongate: connections are kept as the upstream's "
                 .. "keepalive_pool says")
unsupported.fill(_M, "ngx.balancer.", { "set_upstream_tls" },
                 "not supported by moongate: the upstream's scheme says whether there is TLS")

return _M
