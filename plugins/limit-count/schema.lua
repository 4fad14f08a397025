--- The schemas of limit-count.
-- @module apisix.plugins.limit-count.schema
local deepcopy = require("apisix.core").table.deepcopy
local redis_schema = require("apisix.utils.redis-schema")

-- A number, or a text with variables that must give one.
local function amount()
    return { oneOf = { { type = "integer", exclusiveMinimum = 0 }, { type = "string" } } }
end


--- Policy -> the fields that only it has.
local policies = deepcopy(redis_schema.schema)
policies["redis-sentinel"] = redis_schema.sentinel


local schema = redis_schema.by_policy(policies)

schema.type = "object"
schema.encrypt_fields = { "redis_password", "sentinel_password" }
schema.oneOf = { { required = { "count", "time_window" } }, { required = { "rules" } } }
schema.properties = {
    count = amount(),
    time_window = amount(),
    window_type = { type = "string", enum = { "fixed", "sliding" }, default = "fixed" },
    rules = {
        type = "array",
        items = {
            type = "object",
            properties = {
                count = amount(),
                time_window = amount(),
                key = { type = "string" },
                header_prefix = {
                    type = "string",
                    description = "stands before RateLimit in the names of the rule's headers",
                },
            },
            required = { "count", "time_window", "key" },
        },
    },
    group = { type = "string" },
    key = { type = "string", default = "remote_addr" },
    key_type = {
        type = "string",
        enum = { "var", "var_combination", "constant" },
        default = "var",
    },
    rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 503 },
    rejected_msg = { type = "string", minLength = 1 },
    policy = {
        type = "string",
        enum = { "local", "redis", "redis-cluster", "redis-sentinel" },
        default = "local",
    },
    allow_degradation = { type = "boolean", default = false },
    show_limit_quota_header = { type = "boolean", default = true },
    -- Seconds between two exchanges with Redis; -1 asks it for every request.
    sync_interval = { type = "number", default = -1 },
}


local function header(name)
    return { type = "string", default = name }
end


return {
    schema = schema,
    metadata_schema = {
        type = "object",
        properties = {
            limit_header = header("X-RateLimit-Limit"),
            remaining_header = header("X-RateLimit-Remaining"),
            reset_header = header("X-RateLimit-Reset"),
        },
    },
    policies = policies,
}
