//! Consumers, and their credentials, which travel in the same collection.

use std::sync::Arc;

use serde_json::Value;

use super::plugin::PluginConf;

/// A consumer, or one credential of a consumer.
#[derive(Debug)]
pub struct Consumer {
    /// The consumer's name; for a credential, that of the consumer it belongs to.
    pub username: Arc<str>,
    /// Id of the credential if this is one.
    pub credential_id: Option<Arc<str>>,
    /// Consumer group.
    pub group_id: Option<Arc<str>>,
    /// One per name, in the order of the file.
    pub plugins: Vec<Arc<PluginConf>>,
}

impl Consumer {
    pub(super) fn read(id: &str, value: &Value, plugins: Vec<Arc<PluginConf>>) -> Self {
        let credential = credential(id);
        let username = match credential {
            Some((consumer, _)) => consumer,
            None => value.get("username").and_then(Value::as_str).unwrap_or(id),
        };
        Self {
            username: Arc::from(username),
            credential_id: credential.map(|(_, id)| Arc::from(id)),
            group_id: value.get("group_id").and_then(super::route::id_text),
            plugins,
        }
    }
}

/// The consumer and the credential of an id such as `jack/credentials/one`.
pub(super) fn credential(id: &str) -> Option<(&str, &str)> {
    id.split_once("/credentials/").filter(|(consumer, id)| !consumer.is_empty() && !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn consumers_and_credentials_are_told_apart() {
        let value = json!({"username": "jack", "group_id": 7});
        let consumer = Consumer::read("jack", &value, Vec::new());
        assert_eq!((&*consumer.username, consumer.group_id.as_deref()), ("jack", Some("7")));
        assert_eq!(consumer.credential_id, None);
        let credential = Consumer::read("jack/credentials/one", &json!({}), Vec::new());
        assert_eq!(&*credential.username, "jack");
        assert_eq!(credential.credential_id.as_deref(), Some("one"));
    }
}
