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


local function bad_option(name, expected)
    error("bad option '" .. name .. "' to 'set_current_peer' (" .. expected .. ")", 4)
end


-- The `pool_size` of options, after a look at all of them.
local function size_of(options)
    local pool, size = options.pool, options.pool_size
    if pool ~= nil and type(pool) ~= "string" then
        bad_option("pool", "string expected, got " .. type(pool))
    elseif pool == "" then
        bad_option("pool", "non-empty string expected")
    elseif size ~= nil and type(size) ~= "number" then
        bad_option("pool_size", "number expected, got " .. type(size))
    elseif size and size < 1 then
        bad_option("pool_size", "expected > 0")
    end
    return size
end


--- Sends this try to an address.
-- @tparam string address an IP address
-- @tparam[opt=0] number port
-- @tparam[opt] string|table options the name for `Host` and TLS, instead of the picked node's; or
--   a table, as APISIX's runtime takes it, of which `pool_size` says how many idle connections to
--   the address are kept. `pool` is of no account: connections are kept apart by their address
--   and how TLS was made
-- @treturn boolean|nil true
-- @treturn nil|string error
function _M.set_current_peer(address, port, options)
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
    local name, size = options, nil
    if type(options) == "table" then
        name, size = nil, size_of(options)
    elseif options ~= nil and type(options) ~= "string" then
        error("bad argument #3 to 'set_current_peer' (string or table expected, got "
              .. type(options) .. ")", 2)
    end
    local ok, err = host.balancer_set_peer(address, tonumber(port) or 0, name)
    if not ok then
        return nil, err
    elseif size then
        host.balancer_pool_size(size)
    end
    return true
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


local function number_or(default, value, at)
    if value == nil or value == false then
        return default
    elseif type(value) ~= "number" then
        error("bad argument #" .. at .. " to 'enable_keepalive' (number expected, got "
              .. type(value) .. ")", 3)
    elseif value < 0 then
        error("bad argument #" .. at .. " to 'enable_keepalive' (expected >= 0)", 3)
    end
    return value
end


--- Says how the connection of this try is kept, instead of the upstream's `keepalive_pool`.
-- @tparam[opt=60] number idle seconds that it may be idle, 0 for as long as the node likes
-- @tparam[opt=100] number requests that it may carry, 0 for any number
-- @treturn boolean|nil true
-- @treturn nil|string error
function _M.enable_keepalive(idle, requests)
    local why = not_now()
    if why then
        return nil, why
    end
    idle, requests = number_or(60, idle, 1), number_or(100, requests, 2)
    return host.balancer_keep(idle, requests)
end


unsupported.fill(_M, "ngx.balancer.", { "set_upstream_tls" },
                 "not supported by moongate: the upstream's scheme says whether there is TLS")

return _M
