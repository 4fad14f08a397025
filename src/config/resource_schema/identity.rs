//! Consumers and what they prove themselves with.

use serde_json::{Value, json};

use super::fragments::{self, id, plugins, with_metadata};

pub(super) fn consumer() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": id(),
            "username": {
                "type": "string",
                "minLength": 1,
                "maxLength": 256,
                "pattern": r"^[a-zA-Z0-9_\-]+$",
            },
            "desc": fragments::desc(),
            "labels": fragments::labels(),
            "create_time": fragments::timestamp(),
            "update_time": fragments::timestamp(),
            "group_id": id(),
            "plugins": plugins(),
        },
        "required": ["username"],
        "additionalProperties": false,
    })
}

/// One way for a consumer to authenticate; the id may carry the consumer's name.
pub(super) fn credential() -> Value {
    let full_id = json!({
        "type": "string",
        "minLength": 15,
        "maxLength": 128,
        "pattern": "^[a-zA-Z0-9-_]+/credentials/[a-zA-Z0-9-_.]+$",
    });
    let own = json!({
        "id": {"oneOf": [id(), full_id]},
        "plugins": {"type": "object", "maxProperties": 1},
    });
    json!({
        "type": "object",
        "properties": with_metadata(own),
        "additionalProperties": false,
    })
}

pub(super) fn consumer_group() -> Value {
    json!({
        "type": "object",
        "properties": with_metadata(json!({"plugins": plugins()})),
        "required": ["id", "plugins"],
        "additionalProperties": false,
    })
}
