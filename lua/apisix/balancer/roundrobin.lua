--- `apisix.balancer.roundrobin`: a picker over weights, for plugins that pick by themselves.
--
-- Upstreams of routes are balanced in Rust and never come here.
-- @module apisix.balancer.roundrobin
local core = require("apisix.core")
local roundrobin = require("resty.roundrobin")

local pairs = pairs
local tablepool = core.tablepool

local POOL = "balancer_tried_servers"

local _M = {}


local function forget(ctx)
    local tried = ctx.balancer_tried_servers
    if tried then
        tablepool.release(POOL, tried)
        ctx.balancer_tried_servers = nil
    end
end


--- A picker.
-- @tparam table nodes server -> weight
-- @tparam table upstream kept in the field of that name
-- @treturn table functions `get(ctx)`, `after_balance(ctx, before_retry)` and
--   `before_retry_next_priority(ctx)`
function _M.new(nodes, upstream)
    local count, rounds = 0, 0
    for _, weight in pairs(nodes) do
        count = count + 1
        rounds = rounds + weight + 1
    end
    local wheel = roundrobin:new(nodes)
    local picker = { upstream = upstream, before_retry_next_priority = function(ctx)
        forget(ctx)
        ctx.balancer_tried_servers_count = 0
    end }


    function picker.get(ctx)
        local tried = ctx.balancer_tried_servers
        if tried and ctx.balancer_tried_servers_count == count then
            return nil, "all upstream servers tried"
        end
        local server, err
        for _ = 1, rounds do
            server, err = wheel:find()
            if not server then
                return nil, err
            end
            if not (tried and tried[server]) then
                break
            end
        end
        return server
    end


    function picker.after_balance(ctx, before_retry)
        local server = ctx.balancer_server
        ctx.balancer_server = nil
        if not before_retry then
            forget(ctx)
            return
        end
        if server then
            ctx.balancer_tried_servers = ctx.balancer_tried_servers or tablepool.fetch(POOL, 0, 2)
            ctx.balancer_tried_servers[server] = true
            ctx.balancer_tried_servers_count = (ctx.balancer_tried_servers_count or 0) + 1
        end
    end


    return picker
end


return _M
