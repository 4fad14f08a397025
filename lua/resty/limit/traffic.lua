--- `resty.limit.traffic`: several limiters as one.
-- @module resty.limit.traffic
local max = math.max

local _M = { _VERSION = "0.09" }


local function undo(limiters, keys, last)
    for i = 1, last do
        if limiters[i].uncommit then
            limiters[i]:uncommit(keys[i])
        end
    end
end


--- Asks all limiters; a request that one refuses is counted by none.
-- @tparam table limiters
-- @tparam table keys one per limiter
-- @tparam[opt] table states filled with each limiter's second result
-- @treturn number|nil the longest delay
-- @treturn nil|string error of the limiter that refused
function _M.combine(limiters, keys, states)
    local longest = 0
    local count = #limiters
    for i = 1, count do
        -- The first ones are asked for good at the end, when nobody refuses any more.
        local delay, err = limiters[i]:incoming(keys[i], i == count)
        if not delay then
            return nil, err
        end
        if states then
            states[i] = err
        end
        longest = max(longest, delay)
    end

    for i = 1, count - 1 do
        local delay, err = limiters[i]:incoming(keys[i], true)
        if not delay then
            undo(limiters, keys, i - 1)
            limiters[count]:uncommit(keys[count])
            return nil, err
        end
        longest = max(longest, delay)
    end
    return longest
end


return _M
