--- The pieces that the schemas of `apisix.schema_def` are made of.
-- @module apisix.schema_parts
local concat = table.concat
local pairs = pairs

local KIB = 1024


local function text(min, max, pattern)
    return { type = "string", minLength = min, maxLength = max, pattern = pattern }
end


local function integer(min, max, default)
    return { type = "integer", minimum = min, maximum = max, default = default }
end


local function choice(values, default)
    return { type = "string", enum = values, default = default }
end


local function unique_list(items, min)
    return { type = "array", items = items, minItems = min, uniqueItems = true }
end


local function need(...)
    return { required = { ... } }
end


-- Exactly one of `name` and its plural, or neither.
local function singular_or_plural(name, plural)
    return {
        oneOf = {
            { ["not"] = { anyOf = { need(name), need(plural) } } },
            need(name),
            need(plural),
        },
    }
end


local HOST_PATTERN = "^\\*$|^\\*?[0-9a-zA-Z-._\\[\\]:]+$"
local OCTET = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
local IPV4 = concat({ OCTET, OCTET, OCTET, OCTET }, "\\.")
local IPV6 = "([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?"

local id_schema = {
    anyOf = {
        text(1, 64, "^[a-zA-Z0-9-_.]+$"),
        { type = "integer", minimum = 1 },
    },
}
local host_def = { type = "string", pattern = HOST_PATTERN }
local ip_def = {
    { title = "IPv4", type = "string", format = "ipv4" },
    { title = "IPv4/CIDR", type = "string", pattern = "^" .. IPV4 .. "/([12]?[0-9]|3[0-2])$" },
    { title = "IPv6", type = "string", format = "ipv6" },
    { title = "IPv6/CIDR", type = "string", pattern = "^" .. IPV6 .. "/[0-9]{1,3}$" },
}
local label_value_def = text(1, 256, "^\\S+$")
local labels_def = { type = "object", patternProperties = { [".*"] = label_value_def } }
local name_def = text(1, 256)
local desc_def = { type = "string", maxLength = 256 }
local remote_addr_def = { type = "string", anyOf = ip_def }
local plugins_schema = { type = "object" }
local status_def = { type = "integer", enum = { 1, 0 }, default = 1 }
local certificate = text(128, 64 * KIB)
local private_key = text(64, 64 * KIB)
local script_def = text(10, 102400)
local websocket_def = { type = "boolean" }
local method_schema = choice({
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE",
})


local function seconds_def()
    return { type = "number", exclusiveMinimum = 0 }
end


local timeout_def = {
    type = "object",
    properties = { connect = seconds_def(), send = seconds_def(), read = seconds_def() },
    required = { "connect", "send", "read" },
}


-- An object schema with the fields every stored object has.
local function object(properties, extra)
    local all = {
        id = id_schema,
        name = name_def,
        desc = desc_def,
        labels = labels_def,
        create_time = { type = "integer" },
        update_time = { type = "integer" },
    }
    for name, schema in pairs(properties) do
        all[name] = schema or nil
    end

    local schema = { type = "object", properties = all, additionalProperties = false }
    for key, value in pairs(extra or {}) do
        schema[key] = value
    end
    return schema
end


local function statuses(default)
    local list = unique_list(integer(200, 599), 1)
    list.default = default
    return list
end


local function group(properties)
    return { type = "object", properties = properties }
end


local function check_type()
    return choice({ "http", "https", "tcp" }, "http")
end


local health_checker_active = group({
    type = check_type(),
    timeout = { type = "number", default = 1 },
    concurrency = { type = "integer", default = 10 },
    host = host_def,
    port = integer(1, 65535),
    http_method = choice(method_schema.enum, "GET"),
    http_path = { type = "string", default = "/" },
    http_req_body = { type = "string", default = "" },
    https_verify_certificate = { type = "boolean", default = true },
    healthy = group({
        interval = integer(1, nil, 1),
        http_statuses = statuses({ 200, 302 }),
        successes = integer(1, 254, 2),
    }),
    unhealthy = group({
        interval = integer(1, nil, 1),
        http_statuses = statuses({ 429, 404, 500, 501, 502, 503, 504, 505 }),
        http_failures = integer(1, 254, 5),
        tcp_failures = integer(1, 254, 2),
        timeouts = integer(1, 254, 3),
    }),
    req_headers = {
        type = "array",
        minItems = 1,
        items = { type = "string", uniqueItems = true },
    },
})

local health_checker_passive = group({
    type = check_type(),
    healthy = group({
        http_statuses = statuses({
            200, 201, 202, 203, 204, 205, 206, 207, 208, 226,
            300, 301, 302, 303, 304, 305, 306, 307, 308,
        }),
        successes = integer(0, 254, 5),
    }),
    unhealthy = group({
        http_statuses = statuses({ 429, 500, 503 }),
        http_failures = integer(0, 254, 5),
        tcp_failures = integer(0, 254, 2),
        timeouts = integer(0, 254, 7),
    }),
})

local health_checker = group({
    active = health_checker_active,
    passive = health_checker_passive,
})
health_checker.anyOf = { need("active"), need("active", "passive") }


local function nodes_list(host, priority_default)
    return {
        type = "array",
        items = {
            type = "object",
            properties = {
                host = host,
                port = integer(1, 65535),
                weight = integer(0),
                priority = integer(nil, nil, priority_default),
                metadata = { type = "object" },
            },
            required = { "host", "weight" },
        },
    }
end


local upstream_schema = object({
    nodes = {
        anyOf = {
            { type = "object", patternProperties = { [".*"] = integer(0) } },
            nodes_list(host_def, 0),
        },
    },
    retries = integer(0),
    retry_timeout = { type = "number", minimum = 0 },
    timeout = timeout_def,
    tls = {
        type = "object",
        properties = {
            client_cert_id = id_schema,
            client_cert = certificate,
            client_key = private_key,
            verify = { type = "boolean", default = false },
        },
        dependencies = {
            client_cert = need("client_key"),
            client_key = need("client_cert"),
            client_cert_id = { ["not"] = need("client_cert", "client_key") },
        },
    },
    keepalive_pool = group({
        size = integer(1, nil, 320),
        idle_timeout = { type = "number", minimum = 0, default = 60 },
        requests = integer(1, nil, 1000),
    }),
    type = { type = "string", default = "roundrobin" },
    checks = health_checker,
    hash_on = choice({ "vars", "header", "cookie", "consumer", "vars_combinations" }, "vars"),
    key = { type = "string" },
    scheme = {
        enum = { "grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka" },
        default = "http",
    },
    discovery_type = { type = "string" },
    discovery_args = group({
        namespace_id = { type = "string" },
        group_name = { type = "string" },
    }),
    pass_host = choice({ "pass", "node", "rewrite" }, "pass"),
    upstream_host = host_def,
    service_name = text(1, 256),
}, { oneOf = { need("nodes"), need("service_name", "discovery_type") } })


return {
    text = text,
    integer = integer,
    choice = choice,
    unique_list = unique_list,
    need = need,
    singular_or_plural = singular_or_plural,
    object = object,
    nodes_list = nodes_list,
    id_schema = id_schema,
    host_def = host_def,
    ip_def = ip_def,
    label_value_def = label_value_def,
    labels_def = labels_def,
    name_def = name_def,
    remote_addr_def = remote_addr_def,
    plugins_schema = plugins_schema,
    status_def = status_def,
    certificate = certificate,
    private_key = private_key,
    script_def = script_def,
    websocket_def = websocket_def,
    method_schema = method_schema,
    timeout_def = timeout_def,
    health_checker_active = health_checker_active,
    health_checker_passive = health_checker_passive,
    health_checker = health_checker,
    upstream_schema = upstream_schema,
}
