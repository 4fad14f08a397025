//! Small schemas that others are made of.

use serde_json::{Map, Value, json};

/// Hosts, with `*` alone or in front.
pub(super) const HOST_PATTERN: &str = r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$";

/// HTTP methods a route can name.
pub(super) const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE"];

/// An object with the given members first and then those of `rest`.
pub(super) fn merged(first: Value, rest: Value) -> Value {
    let members = |value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let mut map = members(first);
    map.extend(members(rest));
    Value::Object(map)
}

/// What most objects have: id, name, description, labels and times, followed by `own`.
pub(super) fn with_metadata(own: Value) -> Value {
    let metadata = json!({
        "id": id(),
        "name": name(),
        "desc": desc(),
        "labels": labels(),
        "create_time": timestamp(),
        "update_time": timestamp(),
    });
    merged(metadata, own)
}

/// `{"required": names}`.
pub(super) fn required(names: &[&str]) -> Value {
    json!({"required": names})
}

pub(super) fn id() -> Value {
    json!({
        "anyOf": [
            {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "pattern": "^[a-zA-Z0-9-_.]+$",
            },
            {"type": "integer", "minimum": 1},
        ],
    })
}

pub(super) fn name() -> Value {
    json!({"type": "string", "maxLength": 256, "minLength": 1})
}

pub(super) fn desc() -> Value {
    json!({"type": "string", "maxLength": 256})
}

pub(super) fn label_value() -> Value {
    json!({"type": "string", "pattern": r"^\S+$", "maxLength": 256, "minLength": 1})
}

pub(super) fn labels() -> Value {
    json!({"type": "object", "patternProperties": {".*": label_value()}})
}

/// Seconds since 1970.
pub(super) fn timestamp() -> Value {
    json!({"type": "integer"})
}

/// Plugins by name; each is checked by its own schema.
pub(super) fn plugins() -> Value {
    json!({"type": "object"})
}

pub(super) fn host() -> Value {
    json!({"type": "string", "pattern": HOST_PATTERN})
}

pub(super) fn hosts() -> Value {
    json!({"type": "array", "items": host(), "minItems": 1, "uniqueItems": true})
}

pub(super) fn port() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 65535})
}

pub(super) fn method() -> Value {
    json!({"type": "string", "enum": METHODS})
}

pub(super) fn uri() -> Value {
    json!({
        "type": "string",
        "pattern": r"^[^\/]+:\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?",
    })
}

/// The forms of an address: IPv4 and IPv6, each alone or as a network.
pub(super) fn ip_forms() -> Value {
    let byte = "([0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])";
    let ipv4 = [byte; 4].join(r"\.");
    // Lets some through that are no addresses, such as `:/8`.
    let ipv6 = "([a-fA-F0-9]{0,4}:){1,8}(:[a-fA-F0-9]{0,4}){0,8}([a-fA-F0-9]{0,4})?";
    json!([
        {"type": "string", "format": "ipv4"},
        {"type": "string", "pattern": format!("^{ipv4}/([12]?[0-9]|3[0-2])$")},
        {"type": "string", "format": "ipv6"},
        {"type": "string", "pattern": format!("^{ipv6}/[0-9]{{1,3}}$")},
    ])
}

pub(super) fn address() -> Value {
    json!({"type": "string", "anyOf": ip_forms()})
}

/// Seconds to wait for each part of an exchange with an upstream.
pub(super) fn timeout() -> Value {
    let seconds = json!({"type": "number", "exclusiveMinimum": 0});
    json!({
        "type": "object",
        "properties": {"connect": seconds, "send": seconds, "read": seconds},
        "required": ["connect", "send", "read"],
    })
}

pub(super) fn script() -> Value {
    json!({"type": "string", "minLength": 10, "maxLength": 102_400})
}

pub(super) fn anonymous_consumer() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// Printable ASCII without the quote and the backslash.
pub(super) fn realm(default: &str) -> Value {
    json!({
        "type": "string",
        "pattern": r"^[ -!#-[\]-~]+$",
        "default": default,
        "minLength": 1,
        "maxLength": 128,
    })
}

/// What every plugin's schema gets on top of its own properties. The texts are part of what the
/// admin and control interfaces answer, and clients compare them.
pub(super) fn plugin_injected() -> Value {
    let filter = "filter determines whether the plugin needs to be executed at runtime";
    let priority = "priority of plugins by customized order";
    let pre_function = "function to be executed in each phase before execution of plugins. \
        The pre_function will have access to two arguments: `conf` and `ctx`.";
    json!({
        "$comment": "this is a mark for our injected plugin schema",
        "_meta": {
            "type": "object",
            "properties": {
                "disable": {"type": "boolean"},
                "error_response": {"oneOf": [{"type": "string"}, {"type": "object"}]},
                "priority": {"type": "integer", "description": priority},
                "filter": {"type": "array", "description": filter},
                "pre_function": {"type": "string", "description": pre_function},
            },
            "additionalProperties": false,
        },
    })
}
