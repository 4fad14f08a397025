//! The shapes of answers about objects: version 3, and version 2, which APISIX calls `default`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Admin, wire::Reply};
use crate::store::Entry;

/// An object of an answer.
pub(super) struct Item {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) created: u64,
    pub(super) modified: u64,
}

impl Item {
    pub(super) fn new(admin: &Admin, entry: &Entry, value: Value) -> Self {
        let key = admin.full(&entry.key);
        Self { key, value, created: entry.created, modified: entry.modified }
    }

    fn into_value(self) -> Value {
        json!({
            "key": self.key,
            "value": self.value,
            "createdIndex": self.created,
            "modifiedIndex": self.modified,
        })
    }
}

impl Admin {
    /// A key as answers name it.
    pub(super) fn full(&self, key: &str) -> String {
        format!("{}/{key}", self.settings.prefix)
    }

    /// One object that was asked for.
    pub(super) fn one(&self, item: Item) -> Reply {
        if self.settings.v3 {
            return Reply::json(200, item.into_value());
        }
        let node = json!({"key": item.key, "value": item.value});
        Reply::json(200, json!({"action": "get", "node": node}))
    }

    /// A list of objects; `total` counts those of other pages as well. Objects become text one by
    /// one, since as values they are many times larger.
    pub(super) fn many(
        &self,
        collection: &str,
        items: impl Iterator<Item = Item>,
        total: usize,
    ) -> Reply {
        let collection = Value::from(self.full(collection));
        let (before, after) = if self.settings.v3 {
            ("{\"list\":[".to_owned(), format!("],\"total\":{total}}}\n"))
        } else {
            let node = format!("{{\"key\":{collection},\"dir\":true,\"nodes\":[");
            (format!("{{\"action\":\"get\",\"node\":{node}"), "]}}\n".to_owned())
        };
        let mut text = before;
        for (at, item) in items.enumerate() {
            if at > 0 {
                text.push(',');
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", item.into_value());
        }
        text.push_str(&after);
        Reply::text(200, text)
    }

    /// An object that was written.
    pub(super) fn written(&self, status: u16, action: &str, key: &str, value: Value) -> Reply {
        let node = json!({"key": self.full(key), "value": value});
        if self.settings.v3 {
            return Reply::json(status, node);
        }
        Reply::json(status, json!({"action": action, "node": node}))
    }

    /// An object that was deleted.
    pub(super) fn deleted(&self, key: &str) -> Reply {
        let mut body = Map::new();
        body.insert("key".into(), self.full(key).into());
        body.insert("deleted".into(), "1".into());
        if !self.settings.v3 {
            body.insert("action".into(), "delete".into());
            body.insert("node".into(), json!({}));
        }
        Reply::json(200, Value::Object(body))
    }
}
