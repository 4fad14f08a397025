--- A leaky bucket in Redis, which all gateways share.
--
-- The state of a key is a hash of APISIX's fields: `excess`, in thousandths of a request, and
-- `last`, the time of the last request in milliseconds by the server's clock.
-- @module apisix.plugins.limit-req.redis
local core = require("apisix.core")

local ceil = math.ceil
local min = math.min
local new_client = core.redis.new
local setmetatable = setmetatable
local tonumber = tonumber
local type = type

-- Seconds: what every version of Redis takes.
local LIFE_MAX = 2 ^ 31 - 1

-- Answers whether the request may go on, and the excess as text: a number would lose its
-- fraction.
local POUR = [[
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call("TIME")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local bucket = redis.call("HMGET", KEYS[1], "excess", "last")
local excess = 0
if bucket[1] and bucket[2] then
    local leaked = rate * math.abs(now - tonumber(bucket[2])) / 1000
    excess = math.max(0, tonumber(bucket[1]) - leaked + 1000)
end
if excess > burst then
    return { 0, tostring(excess) }
end
redis.call("HMSET", KEYS[1], "excess", tostring(excess), "last", string.format("%.0f", now))
redis.call("EXPIRE", KEYS[1], ARGV[3])
return { 1, tostring(excess) }
]]

local _M = {}
local mt = { __index = _M }


--- A limiter with the methods of `resty.limit.req`.
-- @tparam table conf of limit-req, with the fields of its policy
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(conf)
    local client, err = new_client(conf)
    if not client then
        return nil, err
    end
    return setmetatable({
        client = client,
        rate = conf.rate * 1000,
        burst = conf.burst * 1000,
        -- Until then a bucket is not as good as a new one.
        life = min(ceil((conf.burst + 1) / conf.rate) + 1, LIFE_MAX),
    }, mt)
end


--- Counts a request in.
-- @tparam string key
-- @treturn number|nil seconds to wait before going on
-- @treturn number|string the excess, or "rejected", or another error
function _M:incoming(key)
    local answer, err = self.client:eval(POUR, { "limit_req:" .. key },
                                         { self.rate, self.burst, self.life })
    if not answer then
        return nil, err
    end
    local excess = type(answer) == "table" and tonumber(answer[2])
    if not excess then
        return nil, "Redis gave an answer that is none of a bucket"
    end
    if answer[1] == 0 then
        return nil, "rejected"
    end
    return excess / self.rate, excess / 1000
end


return _M
