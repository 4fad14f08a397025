//! Upstreams: where requests go.

use serde_json::{Value, json};

use super::{
    certificate,
    fragments::{host, id, merged, port, required, timeout, with_metadata},
    health,
};

fn weight() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// `{"host:port": weight}`, or a list of nodes.
fn nodes() -> Value {
    json!({
        "anyOf": [
            {"type": "object", "patternProperties": {".*": weight()}},
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "host": host(),
                        "port": port(),
                        "weight": weight(),
                        "priority": {"type": "integer", "default": 0},
                        "metadata": {"type": "object"},
                    },
                    "required": ["host", "weight"],
                },
            },
        ],
    })
}

/// The list of nodes a discovery returns; DNS does not tell ports.
pub(super) fn discovery_nodes() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "host": {},
                "port": port(),
                "weight": weight(),
                "priority": {"type": "integer"},
                "metadata": {"type": "object"},
            },
            "required": ["host", "weight"],
        },
    })
}

/// The gateway's own certificate, given or by id.
fn tls() -> Value {
    json!({
        "type": "object",
        "properties": {
            "client_cert_id": id(),
            "client_cert": certificate::certificate(),
            "client_key": certificate::private_key(),
            "verify": {"type": "boolean", "default": false},
        },
        "dependencies": {
            "client_cert": required(&["client_key"]),
            "client_key": required(&["client_cert"]),
            "client_cert_id": {"not": required(&["client_cert", "client_key"])},
        },
    })
}

fn keepalive_pool() -> Value {
    json!({
        "type": "object",
        "properties": {
            "size": {"type": "integer", "default": 320, "minimum": 1},
            "idle_timeout": {"type": "number", "default": 60, "minimum": 0},
            "requests": {"type": "integer", "default": 1000, "minimum": 1},
        },
    })
}

fn balancing() -> Value {
    json!({
        "type": {"type": "string", "default": "roundrobin"},
        "checks": health::checker(),
        "hash_on": {
            "type": "string",
            "default": "vars",
            "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"],
        },
        "key": {"type": "string"},
        "scheme": {
            "default": "http",
            "enum": ["grpc", "grpcs", "http", "https", "tcp", "tls", "udp", "kafka"],
        },
    })
}

fn discovery() -> Value {
    json!({
        "discovery_type": {"type": "string"},
        "discovery_args": {
            "type": "object",
            "properties": {
                "namespace_id": {"type": "string"},
                "group_name": {"type": "string"},
            },
        },
        "pass_host": {"type": "string", "enum": ["pass", "node", "rewrite"], "default": "pass"},
        "upstream_host": host(),
        "service_name": {"type": "string", "maxLength": 256, "minLength": 1},
    })
}

pub(super) fn upstream() -> Value {
    let connection = json!({
        "nodes": nodes(),
        "retries": {"type": "integer", "minimum": 0},
        "retry_timeout": {"type": "number", "minimum": 0},
        "timeout": timeout(),
        "tls": tls(),
        "keepalive_pool": keepalive_pool(),
    });
    let own = merged(merged(connection, balancing()), discovery());
    json!({
        "type": "object",
        "properties": with_metadata(own),
        "oneOf": [required(&["nodes"]), required(&["service_name", "discovery_type"])],
        "additionalProperties": false,
    })
}

/// `key` of an upstream with `hash_on: vars`.
pub(super) fn hash_on_vars() -> Value {
    let names = [
        "uri",
        "server_name",
        "server_addr",
        "request_uri",
        "remote_port",
        "remote_addr",
        "query_string",
        "host",
        "hostname",
        "mqtt_client_id",
    ];
    // `A-z` is APISIX's: it lets some punctuation through, and the text shows in errors.
    let pattern = format!("^(({})|arg_[0-9a-zA-z_-]+)$", names.join("|"));
    json!({"type": "string", "pattern": pattern})
}

/// `key` of an upstream with `hash_on: header` or `cookie`.
pub(super) fn hash_on_header() -> Value {
    json!({"type": "string", "pattern": "^[a-zA-Z0-9-_]+$"})
}

/// `key` of an upstream with `hash_on: vars_combinations`.
pub(super) fn hash_on_vars_combinations() -> Value {
    json!({"type": "string"})
}
