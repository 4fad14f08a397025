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


return {
    --- Policy name -> schema fragment.
    schema = schema,
    limit_conn_redis_schema = with_key_ttl(schema.redis),
    limit_conn_redis_cluster_schema = with_key_ttl(schema["redis-cluster"]),
}
