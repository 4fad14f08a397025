--- The schemas of limit-count.
-- @module apisix.plugins.limit-count.schema
local deepcopy = require("apisix.core").table.deepcopy
local redis_schema = require("apisix.utils.redis-schema")

-- A number, or a text with variables that must give one.
local function amount()
    return { oneOf = { { type = "integer", exclusiveMinimum = 0 }, { type = "string" } } }
end


local sentinel_address = {
    type = "object",
    properties = {
        host = { type = "string", minLength = 2 },
        port = { type = "integer", minimum = 1, maximum = 65535 },
    },
    required = { "host", "port" },
    additionalProperties = false,
}

--- Policy -> the fields that only it has.
local policies = deepcopy(redis_schema.schema)

policies["redis-sentinel"] = {
    properties = {
        redis_sentinels = { type = "array", minItems = 1, items = sentinel_address },
        redis_master_name = { type = "string", minLength = 1 },
        redis_role = { type = "string", enum = { "master", "slave" }, default = "master" },
        redis_connect_timeout = { type = "integer", minimum = 1, default = 1000 },
        redis_read_timeout = { type = "integer", minimum = 1, default = 1000 },
        redis_keepalive_timeout = { type = "integer", minimum = 1, default = 60000 },
        redis_database = { type = "integer", minimum = 0, default = 0 },
        redis_username = { type = "string", minLength = 1 },
        redis_password = { type = "string", minLength = 0 },
        sentinel_username = { type = "string", minLength = 1 },
        sentinel_password = { type = "string", minLength = 0 },
    },
    required = { "redis_sentinels", "redis_master_name" },
}


-- `if policy is the first name then its fields, else the same for the rest`.
local function by_policy(names, at)
    local name = names[at]
    if not name then
        return nil
    end
    local branch = {
        ["if"] = { properties = { policy = { enum = { name } } } },
        ["then"] = policies[name],
    }
    branch["else"] = by_policy(names, at + 1)
    return branch
end


local schema = by_policy({ "redis", "redis-cluster", "redis-sentinel" }, 1)

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
