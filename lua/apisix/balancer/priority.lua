--- `apisix.balancer.priority`: pickers by priority, the highest first.
-- @module apisix.balancer.priority
local core = require("apisix.core")

local ipairs = ipairs
local sort = table.sort

local _M = {}


--- A picker that goes on to the next priority when one has no server left.
-- @tparam table nodes priority -> nodes, and `_priority_index`, the list of priorities
-- @tparam table upstream
-- @tparam table module makes the picker of one priority
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(nodes, upstream, module)
    local priorities = nodes._priority_index
    sort(priorities, function(a, b)
        return a > b
    end)
    local pickers = {}
    for i, priority in ipairs(priorities) do
        local picker, err = module.new(nodes[priority], upstream, priority)
        if not picker then
            return nil, "failed to create picker with priority " .. priority .. ": " .. err
        elseif not picker.before_retry_next_priority then
            return nil, "picker should define 'before_retry_next_priority' to reset ctx"
        end
        pickers[i] = picker
    end

    local _P = { upstream = upstream }


    function _P.get(ctx)
        for i = ctx.priority_balancer_picker_idx or 1, #pickers do
            local server, err = pickers[i].get(ctx)
            if server then
                ctx.priority_balancer_picker_idx = i
                return server
            end
            core.log.notice("failed to get server from current priority ", priorities[i],
                            ", try next one, err: ", err)
            pickers[i].before_retry_next_priority(ctx)
        end
        return nil, "all servers tried"
    end


    function _P.after_balance(ctx, before_retry)
        local picker = pickers[ctx.priority_balancer_picker_idx]
        if picker and picker.after_balance then
            picker.after_balance(ctx, before_retry)
        end
    end


    return _P
end


return _M
