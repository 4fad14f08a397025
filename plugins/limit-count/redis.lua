--- Counters in Redis, which all gateways share.
--
-- One script per window type, each with one key, so that a cluster may be asked as well. The
-- clock is the server's: gateways whose clocks differ still agree on the window.
-- @module apisix.plugins.limit-count.redis
local ceil = math.ceil
local floor = math.floor
local type = type

-- Answers: 1, how many were used, 0, milliseconds to the end of the window, "".
local FIXED = [[
local used = redis.call("INCRBY", KEYS[1], ARGV[1])
local left = redis.call("PTTL", KEYS[1])
if left < 0 then
    left = tonumber(ARGV[3])
    redis.call("PEXPIRE", KEYS[1], ARGV[3])
end
return { 1, used, 0, left, "" }
]]

-- A hash with the counters of this window of the clock and the one before. Answers whether
-- it was counted, both counters, the older one cut at the limit, milliseconds to the end of
-- the window, and the window's number. With a fourth argument, such a number, it counts in
-- any case, and in that window if it is not older than the one before.
local SLIDING = [[
local cost, limit, length = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call("TIME")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local number = math.floor(now / length)
local left = length - now % length
local this, last = string.format("%.0f", number), string.format("%.0f", number - 1)
local found = redis.call("HMGET", KEYS[1], this, last)
local used = tonumber(found[1] or 0)
local before = math.min(tonumber(found[2] or 0), limit)
if not ARGV[4] and (used >= limit or used + before * left / length >= limit) then
    return { 0, used, before, left, this }
end
if ARGV[4] == last then
    used = redis.call("HINCRBY", KEYS[1], last, ARGV[1])
    redis.call("PEXPIRE", KEYS[1], 2 * length)
    return { 1, used, 0, 0, last }
elseif ARGV[4] and ARGV[4] ~= this then
    return { 0, 0, 0, 0, ARGV[4] }
end
if not found[1] then
    redis.call("DEL", KEYS[1])
    if found[2] then
        redis.call("HSET", KEYS[1], last, found[2])
    end
end
used = redis.call("HINCRBY", KEYS[1], this, ARGV[1])
redis.call("PEXPIRE", KEYS[1], 2 * length)
return { 1, used, before, left, this }
]]

local _M = {}


local function up_to_cents(seconds)
    return ceil(seconds * 100) / 100
end


--- Counts.
-- @tparam table client from `core.redis`
-- @tparam string window_type "fixed" or "sliding"
-- @tparam string key
-- @tparam number cost how many
-- @tparam number limit
-- @tparam number window seconds
-- @tparam string|nil number count also what is too much, in the window of this number
-- @treturn table|nil 1 if it was counted, used in this window, used in the one before,
--   milliseconds that the window still has, its number
-- @treturn nil|string error
function _M.count(client, window_type, key, cost, limit, window, number)
    local length = floor(window * 1000)
    local answer, err
    if window_type == "sliding" then
        answer, err = client:eval(SLIDING, { key .. ":sliding" },
                                  { cost, limit, length, number })
    else
        answer, err = client:eval(FIXED, { key }, { cost, limit, length })
    end
    if not answer then
        return nil, err
    end
    if type(answer) ~= "table" or type(answer[4]) ~= "number" then
        return nil, "Redis gave an answer that is none of a counter"
    end
    return answer
end


-- As plugins/limit-count/window.lua has it: also what is too much is counted.
local function fixed(client, key, cost, limit, window)
    local answer, err = _M.count(client, "fixed", key, cost, limit, window)
    if not answer then
        return nil, err
    end
    local used, reset = answer[2], answer[4] / 1000
    if used > limit then
        return nil, "rejected", reset
    end
    return 0, limit - used, reset
end


local function sliding(client, key, cost, limit, window)
    local answer, err = _M.count(client, "sliding", key, cost, limit, window)
    if not answer then
        return nil, err
    end
    local used, left = answer[2], answer[4] / 1000
    local rate = answer[3] / window
    if answer[1] == 1 then
        return 0, floor(limit - used - rate * left), up_to_cents(left)
    end
    if used >= limit or rate == 0 then
        return nil, "rejected", up_to_cents(left)
    end
    local wait = left - (limit - used) / rate
    return nil, "rejected", up_to_cents(wait > 0 and wait or 0)
end


--- `window_type` -> function(client, key, cost, limit, window), with the results of
-- `apisix.plugins.limit-count.window`.
_M.windows = { fixed = fixed, sliding = sliding }


return _M
