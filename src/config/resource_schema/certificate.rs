//! Certificates and their keys.

use serde_json::{Value, json};

use super::fragments::{self, HOST_PATTERN, merged, required};

/// PEM text.
pub(super) fn certificate() -> Value {
    json!({"type": "string", "minLength": 128, "maxLength": 64 * 1024})
}

/// PEM text.
pub(super) fn private_key() -> Value {
    json!({"type": "string", "minLength": 64, "maxLength": 64 * 1024})
}

/// How certificates of clients are checked.
fn client() -> Value {
    json!({
        "type": "object",
        "properties": {
            "ca": certificate(),
            "depth": {"type": "integer", "minimum": 0, "default": 1},
            "skip_mtls_uri_regex": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": true,
                "items": {"type": "string"},
            },
        },
        "required": ["ca"],
    })
}

fn properties() -> Value {
    let metadata = json!({
        "id": fragments::id(),
        "desc": fragments::desc(),
        "labels": fragments::labels(),
        "create_time": fragments::timestamp(),
        "update_time": fragments::timestamp(),
    });
    let server_name = json!({"type": "string", "pattern": HOST_PATTERN});
    let own = json!({
        "type": {"type": "string", "default": "server", "enum": ["server", "client"]},
        "cert": certificate(),
        "key": private_key(),
        "sni": server_name,
        "snis": {"type": "array", "items": server_name, "minItems": 1},
        "certs": {"type": "array", "items": certificate()},
        "keys": {"type": "array", "items": private_key()},
        "client": client(),
        "status": {"type": "integer", "enum": [1, 0], "default": 1},
        "ssl_protocols": {
            "type": "array",
            "maxItems": 3,
            "uniqueItems": true,
            "items": {"enum": ["TLSv1.1", "TLSv1.2", "TLSv1.3"]},
        },
    });
    merged(metadata, own)
}

/// A server's certificate needs names, a client's does not.
pub(super) fn ssl() -> Value {
    json!({
        "type": "object",
        "properties": properties(),
        "if": {"properties": {"type": {"enum": ["server"]}}},
        "then": {
            "oneOf": [required(&["sni", "key", "cert"]), required(&["snis", "key", "cert"])],
        },
        "else": required(&["key", "cert"]),
        "additionalProperties": false,
    })
}
