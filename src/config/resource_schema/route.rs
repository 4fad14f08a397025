//! Routes, and the objects that carry plugins for them.

use serde_json::{Value, json};

use super::{
    fragments::{
        self, address, host, hosts, id, merged, method, port, required, script, timeout,
        with_metadata,
    },
    upstream::upstream,
};

/// What a request is matched by.
fn matching() -> Value {
    json!({
        "uri": {"type": "string", "minLength": 1, "maxLength": 4096},
        "uris": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "uniqueItems": true,
        },
        "priority": {"type": "integer", "default": 0},
        "methods": {"type": "array", "items": method(), "uniqueItems": true},
        "host": host(),
        "hosts": hosts(),
        "remote_addr": address(),
        "remote_addrs": {
            "type": "array",
            "items": address(),
            "minItems": 1,
            "uniqueItems": true,
        },
        "timeout": timeout(),
        "vars": {"type": "array"},
        "filter_func": {"type": "string", "minLength": 10, "pattern": "^function"},
    })
}

/// What is done with a request.
fn handling() -> Value {
    json!({
        "script": script(),
        "script_id": id(),
        "plugins": fragments::plugins(),
        "plugin_config_id": id(),
        "upstream": upstream(),
        "service_id": id(),
        "upstream_id": id(),
        "enable_websocket": {"type": "boolean"},
        "proxy_request_buffering": {"enum": ["on", "off", true, false]},
        "status": {"type": "integer", "enum": [1, 0], "default": 1},
    })
}

/// At most one of two names.
fn not_both(one: &str, many: &str) -> Value {
    json!({
        "oneOf": [
            {"not": {"anyOf": [required(&[one]), required(&[many])]}},
            required(&[one]),
            required(&[many]),
        ],
    })
}

/// The pairs of which a route needs one: something to do, and a path.
fn needed() -> Value {
    let with = |path: &'static str| {
        ["plugins", "upstream", "upstream_id", "service_id"].map(|what| required(&[what, path]))
    };
    let scripts = ["uri", "uris"].map(|path| required(&["script", path]));
    with("uri").into_iter().chain(with("uris")).chain(scripts).collect()
}

pub(super) fn route() -> Value {
    json!({
        "type": "object",
        "properties": with_metadata(merged(matching(), handling())),
        "allOf": [
            {"oneOf": [required(&["uri"]), required(&["uris"])]},
            not_both("host", "hosts"),
            not_both("remote_addr", "remote_addrs"),
        ],
        "anyOf": needed(),
        "not": {
            "anyOf": [
                required(&["script", "plugins"]),
                required(&["script", "plugin_config_id"]),
            ],
        },
        "additionalProperties": false,
    })
}

pub(super) fn service() -> Value {
    let own = json!({
        "plugins": fragments::plugins(),
        "upstream": upstream(),
        "upstream_id": id(),
        "script": script(),
        "enable_websocket": {"type": "boolean"},
        "hosts": hosts(),
    });
    json!({"type": "object", "properties": with_metadata(own), "additionalProperties": false})
}

/// The protocol a stream route speaks if it is more than bytes.
fn protocol() -> Value {
    let logger = json!({
        "properties": {
            "name": {"type": "string"},
            "filter": {"type": "array"},
            "conf": {"type": "object"},
        },
        "dependencies": {"name": ["conf"]},
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "superior_id": id(),
            "conf": {"type": "object"},
            "logger": {"type": "array", "items": logger},
        },
        "required": ["name"],
    })
}

pub(super) fn stream_route() -> Value {
    let own = json!({
        "remote_addr": address(),
        "server_addr": address(),
        "server_port": port(),
        "sni": host(),
        "upstream": upstream(),
        "upstream_id": id(),
        "service_id": id(),
        "plugins": fragments::plugins(),
        "protocol": protocol(),
    });
    json!({"type": "object", "properties": with_metadata(own), "additionalProperties": false})
}

pub(super) fn global_rule() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(),
            "create_time": fragments::timestamp(),
            "update_time": fragments::timestamp(),
            "plugins": fragments::plugins(),
        },
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}

pub(super) fn plugin_config() -> Value {
    let own = json!({"name": {"type": "string"}, "plugins": fragments::plugins()});
    json!({
        "type": "object",
        "properties": with_metadata(own),
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}

pub(super) fn proto() -> Value {
    let content = json!({"type": "string", "minLength": 1, "maxLength": 1024 * 1024});
    json!({
        "type": "object",
        "properties": with_metadata(json!({"content": content})),
        "required": ["content"],
        "additionalProperties": false,
    })
}

/// The list of plugins to load.
pub(super) fn plugins() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "stream": {"type": "boolean"},
                // A property of this name, as in APISIX: nothing may be called so.
                "additionalProperties": false,
            },
            "required": ["name"],
        },
    })
}

/// The wrapper around a plugin's metadata; the id is the plugin's name, and the plugin's own
/// schema says what else there is.
pub(super) fn plugin_metadata() -> Value {
    json!({"type": "object", "properties": {"id": {"type": "string", "minLength": 1}}})
}

/// What a position in a GraphQL schema costs.
pub(super) fn graphql_cost_decoration() -> Value {
    let factor = json!({"type": "number", "minimum": 0, "default": 1});
    let arguments = json!({"type": "array", "items": {"type": "string", "minLength": 1}});
    let own = json!({
        "service_id": id(),
        "field_path": {
            "type": "string",
            "pattern": r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
        },
        "add_value": factor,
        "add_arguments": arguments,
        "mul_value": factor,
        "mul_arguments": arguments,
    });
    json!({
        "type": "object",
        "properties": with_metadata(own),
        "required": ["field_path"],
        "additionalProperties": false,
    })
}
