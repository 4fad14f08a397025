--- Counters in a dictionary that all workers share.
-- @module apisix.plugins.limit-count.window
local ceil = math.ceil
local count_in = require("moongate.host").dict.count
local floor = math.floor
local now = ngx.now

local _M = {}


local function up_to_cents(seconds)
    return ceil(seconds * 100) / 100
end


-- The counter begins with a key's first request and goes when its window is over.
local function fixed(dict, key, cost, limit, window)
    local used, reset = count_in(dict, key, cost, 0, window)
    if not used then
        return nil, reset
    end
    if used > limit then
        return nil, "rejected", reset
    end
    return 0, limit - used, reset
end


-- Two counters, of this window of the clock and of the one before; the older one counts
-- for the part of it that still lies within `window` seconds.
local function sliding(dict, key, cost, limit, window)
    local time = now()
    local number = floor(time / window)
    local left = window - time % window
    local before = dict:get(key .. "." .. (number - 1)) or 0
    if before > limit then
        before = limit
    end

    -- Counted first and taken back if it was too much: two workers that look first would
    -- both find the last free place.
    local current = key .. "." .. number
    local count, err = dict:incr(current, cost, 0, 2 * window)
    if not count then
        return nil, err
    end
    local rate = before / window
    local earlier = count - cost
    if earlier < limit and earlier + rate * left < limit then
        return 0, floor(limit - count - rate * left), up_to_cents(left)
    end

    dict:incr(current, -cost)
    if earlier >= limit or rate == 0 then
        return nil, "rejected", up_to_cents(left)
    end
    local wait = left - (limit - earlier) / rate
    return nil, "rejected", up_to_cents(wait > 0 and wait or 0)
end


--- `window_type` -> function(dict, key, cost, limit, window).
--
-- It returns 0, how many requests are left and the seconds until the counter starts anew;
-- or nil, "rejected" and those seconds; or nil and an error.
_M.fixed = fixed
_M.sliding = sliding


return _M
