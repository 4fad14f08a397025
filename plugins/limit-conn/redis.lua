--- Requests at the same time, counted in Redis for all gateways.
--
-- A key is a sorted set of the requests that run, by when they are forgotten: `key_ttl`
-- seconds after their start, should their gateway die before it takes them back.
-- @module apisix.plugins.limit-conn.redis
local core = require("apisix.core")

local find = string.find
local floor = math.floor
local new_client = core.redis.new
local setmetatable = setmetatable
local type = type
local unique = core.id.gen_uuid_v4

local DEFAULT_TTL = 3600

-- Answers whether there was room, and how many run.
local ENTER = [[
local clock = redis.call("TIME")
local now = tonumber(clock[1])
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
local running = redis.call("ZCARD", KEYS[1])
if running < tonumber(ARGV[1]) then
    redis.call("ZADD", KEYS[1], now + tonumber(ARGV[2]), ARGV[3])
    redis.call("EXPIRE", KEYS[1], ARGV[2])
    return { 1, running + 1 }
end
return { 0, running }
]]

local _M = {}
local mt = { __index = _M }


--- A limiter like `resty.limit.conn`, whose `incoming` returns a ticket to leave with.
-- @tparam table conf of limit-conn, with the fields of its policy
-- @tparam number max
-- @tparam number burst
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(conf, max, burst)
    local client, err = new_client(conf)
    if not client then
        return nil, err
    end
    return setmetatable({
        client = client,
        max = max,
        burst = burst,
        unit_delay = conf.default_conn_delay,
        life = conf.key_ttl or DEFAULT_TTL,
    }, mt)
end


--- Counts a request in.
-- @tparam string key
-- @treturn number|nil seconds to wait before going on
-- @treturn number|string how many there are now, or "rejected", or another error
-- @treturn nil|string the ticket
function _M:incoming(key)
    local max, ticket = self.max, unique()
    local answer, err = self.client:eval(ENTER, { "limit_conn:" .. key },
                                         { max + self.burst, self.life, ticket })
    if not answer then
        -- It may have been counted, and the request will not leave.
        if find(err, "^timeout") or find(err, "^connection lost") then
            self.client:post("ZREM", "limit_conn:" .. key, ticket)
        end
        return nil, err
    end
    local running = type(answer) == "table" and answer[2]
    if type(running) ~= "number" then
        return nil, "Redis gave an answer that is none of a counter"
    end
    if answer[1] == 0 then
        return nil, "rejected"
    end
    local delay = running > max and self.unit_delay * floor((running - 1) / max) or 0
    return delay, running, ticket
end


--- Counts a request out, without waiting for Redis: a failure is logged, and the request then
-- counts until `key_ttl` is over.
-- @tparam string key
-- @tparam[opt] number req_latency seconds it took, to learn the usual time
-- @tparam string ticket from `incoming`
-- @treturn boolean
function _M:leaving(key, req_latency, ticket)
    self.client:post("ZREM", "limit_conn:" .. key, ticket)
    if req_latency then
        self.unit_delay = (req_latency + self.unit_delay) / 2
    end
    return true
end


function _M:set_conn(max)
    self.max = max
end


function _M:set_burst(burst)
    self.burst = burst
end


return _M
