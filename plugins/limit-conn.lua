--- limit-conn: so many requests at the same time, for each value of a key.
--
-- Counts in `access` and takes back in `log`. Requests above `conn` wait, those above `conn`
-- and `burst` together get `rejected_code` (503) with `{"error_msg": rejected_msg}` if that
-- is set. A counter that cannot be read gives 500, or lets the request pass with
-- `allow_degradation`. With `policy` redis, redis-cluster or redis-sentinel (which APISIX does
-- not have here) the requests of all gateways count.
local core = require("apisix.core")
local counter = require("apisix.plugins.limit-conn.init")
local redis_schema = require("apisix.utils.redis-schema")

local pairs = pairs


local function amount(bound)
    local number = { type = "integer" }
    number[bound] = 0
    return { oneOf = { number, { type = "string" } } }
end


local schema = {
    type = "object",
    properties = {
        conn = amount("exclusiveMinimum"),
        burst = amount("minimum"),
        default_conn_delay = { type = "number", exclusiveMinimum = 0 },
        only_use_default_delay = { type = "boolean", default = false },
        key = { type = "string" },
        key_type = { type = "string", enum = { "var", "var_combination" }, default = "var" },
        policy = {
            type = "string",
            enum = { "redis", "redis-cluster", "redis-sentinel", "local" },
            default = "local",
        },
        rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 503 },
        rejected_msg = { type = "string", minLength = 1 },
        allow_degradation = { type = "boolean", default = false },
        rules = {
            type = "array",
            items = {
                type = "object",
                properties = {
                    conn = amount("exclusiveMinimum"),
                    burst = amount("minimum"),
                    key = { type = "string" },
                },
                required = { "conn", "burst", "key" },
            },
        },
    },
    oneOf = {
        { required = { "conn", "burst", "default_conn_delay", "key" } },
        { required = { "default_conn_delay", "rules" } },
    },
    encrypt_fields = { "redis_password", "sentinel_password" },
}

for word, part in pairs(redis_schema.by_policy({
    redis = redis_schema.limit_conn_redis_schema,
    ["redis-cluster"] = redis_schema.limit_conn_redis_cluster_schema,
    ["redis-sentinel"] = redis_schema.limit_conn_sentinel,
})) do
    schema[word] = part
end

local _M = {
    version = 0.1,
    priority = 1003,
    name = "limit-conn",
    schema = schema,
}


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    if conf.policy == "redis-sentinel" and conf.redis_role == "slave" then
        return false, "redis_role slave is not supported: requests must be written"
    end
    return true
end


function _M.access(conf, ctx)
    return counter.increase(conf, ctx)
end


function _M.log(conf, ctx)
    return counter.decrease(conf, ctx)
end


return _M
