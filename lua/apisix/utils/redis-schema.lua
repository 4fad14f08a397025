--- `apisix.utils.redis-schema`: the fields of a plugin that may keep its state in Redis.
-- @module apisix.utils.redis-schema
local deepcopy = require("apisix.core.table").deepcopy
local pairs = pairs

local common = {
    redis_password = { type = "string", minLength = 0 },
    redis_timeout = { type = "integer", minimum = 1, default = 1000 },
    redis_keepalive_timeout = { type = "integer", minimum = 1000, default = 10000 },
    redis_keepalive_pool = { type = "integer", minimum = 1, default = 100 },
}


local function policy(required, properties)
    for name, schema in pairs(common) do
        properties[name] = deepcopy(schema)
    end
    return { properties = properties, required = required }
end


local schema = {
    redis = policy({ "redis_host" }, {
        redis_host = { type = "string", minLength = 2 },
        redis_port = { type = "integer", minimum = 1, default = 6379 },
        redis_username = { type = "string", minLength = 1 },
        redis_database = { type = "integer", minimum = 0, default = 0 },
        redis_ssl = { type = "boolean", default = false },
        redis_ssl_verify = { type = "boolean", default = false },
    }),
    ["redis-cluster"] = policy({ "redis_cluster_nodes", "redis_cluster_name" }, {
        redis_cluster_nodes = {
            type = "array",
            minItems = 1,
            items = { type = "string", minLength = 2, maxLength = 100 },
        },
        redis_cluster_name = { type = "string" },
        redis_cluster_ssl = { type = "boolean", default = false },
        redis_cluster_ssl_verify = { type = "boolean", default = false },
    }),
}


local function with_key_ttl(base)
    local copy = deepcopy(base)
    copy.properties.key_ttl = { type = "integer", default = 3600 }
    return copy
end


local sentinel = {
    properties = {
        redis_sentinels = {
            type = "array",
            minItems = 1,
            items = {
                type = "object",
                properties = {
                    host = { type = "string", minLength = 2 },
                    port = { type = "integer", minimum = 1, maximum = 65535 },
                },
                required = { "host", "port" },
                additionalProperties = false,
            },
        },
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

local POLICIES = { "redis", "redis-cluster", "redis-sentinel" }


-- `if policy is this one then its fields, else the same for the rest`.
local function by_policy(policies, at)
    local name = POLICIES[at]
    if not name then
        return nil
    end
    local branch = {
        ["if"] = { properties = { policy = { enum = { name } } } },
        ["then"] = policies[name],
    }
    branch["else"] = by_policy(policies, at + 1)
    return branch
end


return {
    --- Policy name -> schema fragment.
    schema = schema,
    limit_conn_redis_schema = with_key_ttl(schema.redis),
    limit_conn_redis_cluster_schema = with_key_ttl(schema["redis-cluster"]),
    --- The fragment of the policy redis-sentinel.
    sentinel = sentinel,
    limit_conn_sentinel = with_key_ttl(sentinel),
    --- `if`, `then` and `else` of a schema whose fields depend on its `policy`.
    -- @tparam table policies policy name -> fragment
    -- @treturn table
    by_policy = function(policies)
        return by_policy(policies, 1)
    end,
}
