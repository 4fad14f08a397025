--- limit-req: a leaky bucket for each value of a key.
--
-- Runs in `access`. Requests above `rate` wait (unless `nodelay`); those above `rate` and
-- `burst` together get `rejected_code` (503) with `{"error_msg": rejected_msg}` if that is
-- set. A state that cannot be read gives 500, or lets the request pass with
-- `allow_degradation`. With `policy` redis, redis-cluster or redis-sentinel (which APISIX does
-- not have here) all gateways fill one bucket.
local core = require("apisix.core")
local keys = require("moongate.limit_key")
local limit_req = require("resty.limit.req")
local redis_limiter = require("apisix.plugins.limit-req.redis")
local redis_schema = require("apisix.utils.redis-schema")

local pairs = pairs
local setmetatable = setmetatable

local DICT = "plugin-limit-req"

-- A shorter wait is not worth a timer.
local DELAY_MIN = 0.001

local schema = {
    type = "object",
    properties = {
        rate = { type = "number", exclusiveMinimum = 0 },
        burst = { type = "number", minimum = 0 },
        key = { type = "string" },
        key_type = { type = "string", enum = { "var", "var_combination" }, default = "var" },
        policy = {
            type = "string",
            enum = { "redis", "redis-cluster", "redis-sentinel", "local" },
            default = "local",
        },
        rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 503 },
        rejected_msg = { type = "string", minLength = 1 },
        nodelay = { type = "boolean", default = false },
        allow_degradation = { type = "boolean", default = false },
    },
    required = { "rate", "burst", "key" },
    encrypt_fields = { "redis_password", "sentinel_password" },
}

for word, part in pairs(redis_schema.by_policy({
    redis = redis_schema.schema.redis,
    ["redis-cluster"] = redis_schema.schema["redis-cluster"],
    ["redis-sentinel"] = redis_schema.sentinel,
})) do
    schema[word] = part
end

local _M = {
    version = 0.1,
    priority = 1001,
    name = "limit-req",
    schema = schema,
}


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    if conf.policy == "redis-sentinel" and conf.redis_role == "slave" then
        return false, "redis_role slave is not supported: a bucket must be written"
    end
    return true
end


local limiters = setmetatable({}, { __mode = "k" })


local function limiter_of(conf)
    local limiter = limiters[conf]
    if limiter then
        return limiter
    end
    local err
    if conf.policy == "local" then
        limiter, err = limit_req.new(DICT, conf.rate, conf.burst)
    else
        limiter, err = redis_limiter.new(conf)
    end
    limiters[conf] = limiter
    return limiter, err
end


local function failed(conf, ...)
    core.log.error(...)
    if not conf.allow_degradation then
        return 500
    end
end


function _M.access(conf, ctx)
    local limiter, err = limiter_of(conf)
    if not limiter then
        return failed(conf, "failed to instantiate a resty.limit.req object: ", err)
    end

    local key = keys.full(conf, ctx, keys.value(conf.key, conf.key_type, ctx.var))
    local delay, reason = limiter:incoming(key, true)
    if not delay then
        if reason ~= "rejected" then
            return failed(conf, "failed to limit req: ", reason)
        end
        if conf.rejected_msg then
            return conf.rejected_code, { error_msg = conf.rejected_msg }
        end
        return conf.rejected_code
    end

    if delay >= DELAY_MIN and not conf.nodelay then
        core.sleep(delay)
    end
end


return _M
