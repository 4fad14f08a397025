//! Health checks of upstream nodes.

use serde_json::{Value, json};

use super::fragments::{METHODS, host, port, required};

/// HTTP statuses that mean something, by default these.
fn statuses(default: &[u16]) -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "items": {"type": "integer", "minimum": 200, "maximum": 599},
        "uniqueItems": true,
        "default": default,
    })
}

/// How many results in a row change the verdict.
fn threshold(min: u8, default: u8) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": 254, "default": default})
}

/// Seconds between probes.
fn interval() -> Value {
    json!({"type": "integer", "minimum": 1, "default": 1})
}

fn probe_type() -> Value {
    json!({"type": "string", "enum": ["http", "https", "tcp"], "default": "http"})
}

pub(super) fn active() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": probe_type(),
            "timeout": {"type": "number", "default": 1},
            "concurrency": {"type": "integer", "default": 10},
            "host": host(),
            "port": port(),
            "http_method": {"type": "string", "enum": METHODS, "default": "GET"},
            "http_path": {"type": "string", "default": "/"},
            "http_req_body": {"type": "string", "default": ""},
            "https_verify_certificate": {"type": "boolean", "default": true},
            "healthy": {
                "type": "object",
                "properties": {
                    "interval": interval(),
                    "http_statuses": statuses(&[200, 302]),
                    "successes": threshold(1, 2),
                },
            },
            "unhealthy": {
                "type": "object",
                "properties": {
                    "interval": interval(),
                    "http_statuses": statuses(&[429, 404, 500, 501, 502, 503, 504, 505]),
                    "http_failures": threshold(1, 5),
                    "tcp_failures": threshold(1, 2),
                    "timeouts": threshold(1, 3),
                },
            },
            "req_headers": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "uniqueItems": true},
            },
        },
    })
}

pub(super) fn passive() -> Value {
    let good: Vec<u16> = (200..=208).chain([226]).chain(300..=308).collect();
    json!({
        "type": "object",
        "properties": {
            "type": probe_type(),
            "healthy": {
                "type": "object",
                "properties": {"http_statuses": statuses(&good), "successes": threshold(0, 5)},
            },
            "unhealthy": {
                "type": "object",
                "properties": {
                    "http_statuses": statuses(&[429, 500, 503]),
                    "tcp_failures": threshold(0, 2),
                    "timeouts": threshold(0, 7),
                    "http_failures": threshold(0, 5),
                },
            },
        },
    })
}

/// Both; the passive one only together with the active one.
pub(super) fn checker() -> Value {
    json!({
        "type": "object",
        "properties": {"active": active(), "passive": passive()},
        "anyOf": [required(&["active"]), required(&["active", "passive"])],
    })
}
