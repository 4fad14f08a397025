--- The JSON schemas of the objects, and the fragments that plugins use.
--
-- Rust checks stored objects with its own copy of these rules; plugins read fragments
-- from here (`core.schema.host_def` ...), and some add fields to them in `init`.
-- @module apisix.schema_def
local parts = require("apisix.schema_parts")

local concat = table.concat
local ipairs = ipairs
local text = parts.text
local integer = parts.integer
local choice = parts.choice
local unique_list = parts.unique_list
local need = parts.need
local singular_or_plural = parts.singular_or_plural
local object = parts.object
local nodes_list = parts.nodes_list
local id_schema = parts.id_schema
local host_def = parts.host_def
local ip_def = parts.ip_def
local label_value_def = parts.label_value_def
local remote_addr_def = parts.remote_addr_def
local plugins_schema = parts.plugins_schema
local status_def = parts.status_def
local certificate = parts.certificate
local private_key = parts.private_key
local script_def = parts.script_def
local websocket_def = parts.websocket_def
local method_schema = parts.method_schema
local timeout_def = parts.timeout_def
local health_checker_active = parts.health_checker_active
local health_checker_passive = parts.health_checker_passive
local health_checker = parts.health_checker
local upstream_schema = parts.upstream_schema

local MIB = 1024 * 1024

local _M = { version = 0.5 }


-- One of what can answer, together with where it is reached.
local function route_targets()
    local any = {}
    for _, uri in ipairs({ "uri", "uris" }) do
        for _, target in ipairs({ "plugins", "upstream", "upstream_id", "service_id", "script" }) do
            any[#any + 1] = need(target, uri)
        end
    end
    return any
end


_M.host_def = host_def
_M.ip_def = ip_def
_M.id_schema = id_schema
_M.label_value_def = label_value_def
_M.method_schema = method_schema
_M.health_checker = health_checker
_M.health_checker_active = health_checker_active
_M.health_checker_passive = health_checker_passive
_M.upstream = upstream_schema
_M.discovery_nodes = nodes_list({}, nil)
_M.anonymous_consumer_schema = text(1)
_M.uri_def = {
    type = "string",
    pattern = [=[^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?]=],
}
_M.upstream_hash_vars_schema = {
    type = "string",
    pattern = "^((" .. concat({
        "uri", "server_name", "server_addr", "request_uri", "remote_port", "remote_addr",
        "query_string", "host", "hostname", "mqtt_client_id",
    }, "|") .. ")|arg_[0-9a-zA-z_-]+)$",
}
_M.upstream_hash_header_schema = { type = "string", pattern = "^[a-zA-Z0-9-_]+$" }
_M.upstream_hash_vars_combinations_schema = { type = "string" }


--- Schema of the `realm` of an auth plugin.
function _M.get_realm_schema(default)
    local schema = text(1, 128, "^[\x20-\x21\x23-\x5B\\]-\x7E]+$")
    schema.default = default
    return schema
end


_M.route = object({
    uri = text(1, 4096),
    uris = unique_list({ type = "string" }, 1),
    priority = integer(nil, nil, 0),
    methods = unique_list(method_schema),
    host = host_def,
    hosts = unique_list(host_def, 1),
    remote_addr = remote_addr_def,
    remote_addrs = unique_list(remote_addr_def, 1),
    timeout = timeout_def,
    vars = { type = "array" },
    filter_func = text(10, nil, "^function"),
    script = script_def,
    script_id = id_schema,
    plugins = plugins_schema,
    plugin_config_id = id_schema,
    upstream = upstream_schema,
    service_id = id_schema,
    upstream_id = id_schema,
    enable_websocket = websocket_def,
    proxy_request_buffering = { enum = { "on", "off", true, false } },
    status = status_def,
}, {
    allOf = {
        { oneOf = { need("uri"), need("uris") } },
        singular_or_plural("host", "hosts"),
        singular_or_plural("remote_addr", "remote_addrs"),
    },
    anyOf = route_targets(),
    ["not"] = { anyOf = { need("script", "plugins"), need("script", "plugin_config_id") } },
})

_M.service = object({
    plugins = plugins_schema,
    upstream = upstream_schema,
    upstream_id = id_schema,
    script = script_def,
    enable_websocket = websocket_def,
    hosts = unique_list(host_def, 1),
})

_M.consumer = object({
    name = false,
    username = text(1, 256, "^[a-zA-Z0-9_\\-]+$"),
    group_id = id_schema,
    plugins = plugins_schema,
}, need("username"))

_M.credential = object({
    id = {
        oneOf = {
            id_schema,
            text(15, 128, "^[a-zA-Z0-9-_]+/credentials/[a-zA-Z0-9-_.]+$"),
        },
    },
    plugins = { type = "object", maxProperties = 1 },
})

_M.graphql_cost_decoration = object({
    service_id = id_schema,
    field_path = {
        type = "string",
        pattern = "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$",
    },
    add_value = { type = "number", minimum = 0, default = 1 },
    add_arguments = { type = "array", items = text(1) },
    mul_value = { type = "number", minimum = 0, default = 1 },
    mul_arguments = { type = "array", items = text(1) },
}, need("field_path"))

_M.ssl = object({
    name = false,
    type = choice({ "server", "client" }, "server"),
    cert = certificate,
    key = private_key,
    sni = host_def,
    snis = { type = "array", items = host_def, minItems = 1 },
    certs = { type = "array", items = certificate },
    keys = { type = "array", items = private_key },
    client = {
        type = "object",
        properties = {
            ca = certificate,
            depth = integer(0, nil, 1),
            skip_mtls_uri_regex = unique_list({ type = "string" }, 1),
        },
        required = { "ca" },
    },
    status = status_def,
    ssl_protocols = {
        type = "array",
        maxItems = 3,
        uniqueItems = true,
        items = { enum = { "TLSv1.1", "TLSv1.2", "TLSv1.3" } },
    },
}, {
    ["if"] = { properties = { type = { enum = { "server" } } } },
    ["then"] = { oneOf = { need("sni", "key", "cert"), need("snis", "key", "cert") } },
    ["else"] = need("key", "cert"),
})

_M.proto = object({ content = text(1, MIB) }, need("content"))
_M.global_rule = object({ name = false, desc = false, labels = false, plugins = plugins_schema },
                        need("id", "plugins"))
_M.plugin_config = object({ name = { type = "string" }, plugins = plugins_schema },
                          need("id", "plugins"))
_M.consumer_group = object({ plugins = plugins_schema }, need("id", "plugins"))

_M.plugins = {
    type = "array",
    items = {
        type = "object",
        properties = { name = text(1), stream = { type = "boolean" } },
        required = { "name" },
    },
}

_M.stream_route = object({
    remote_addr = remote_addr_def,
    server_addr = remote_addr_def,
    server_port = integer(1, 65535),
    sni = host_def,
    upstream = upstream_schema,
    upstream_id = id_schema,
    service_id = id_schema,
    plugins = plugins_schema,
    protocol = {
        type = "object",
        properties = {
            name = { type = "string" },
            superior_id = id_schema,
            conf = { type = "object" },
            logger = {
                type = "array",
                items = {
                    properties = {
                        name = { type = "string" },
                        filter = { type = "array" },
                        conf = { type = "object" },
                    },
                    dependencies = { name = { "conf" } },
                    additionalProperties = false,
                },
            },
        },
        required = { "name" },
    },
})

_M.plugin_injected_schema = {
    ["$comment"] = "this is a mark for our injected plugin schema",
    _meta = {
        type = "object",
        properties = {
            disable = { type = "boolean" },
            error_response = { oneOf = { { type = "string" }, { type = "object" } } },
            priority = { type = "integer" },
            filter = { type = "array" },
            pre_function = { type = "string" },
        },
        additionalProperties = false,
    },
}


return _M
