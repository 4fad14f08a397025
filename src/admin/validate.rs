//! `configs/validate`: a whole configuration, checked and not kept.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    Admin, Call,
    check::{Fault, Review, id_text},
    table::{self, Naming, Resource},
    wire::{self, Reply},
};
use crate::config::yaml::{self, DocumentLimits};

/// The collections of a whole configuration, in the order they are checked.
pub(super) const COLLECTIONS: [&str; 13] = [
    "plugins",
    "plugin_metadata",
    "upstreams",
    "services",
    "ssls",
    "protos",
    "plugin_configs",
    "routes",
    "stream_routes",
    "consumer_groups",
    "consumers",
    "global_rules",
    "secrets",
];

/// Problems that are told; a configuration may have millions.
const PROBLEMS_MAX: usize = 1000;

/// The key that says which version of a collection this is.
pub(super) fn version_key(collection: &str) -> String {
    format!("{collection}_conf_version")
}

/// Reads a body as its content type says: YAML, or JSON.
pub(super) fn read(call: &Call<'_>, bytes: &Bytes) -> Result<Map<String, Value>, Fault> {
    let bad = |why: String| Err(Fault::Bad(format!("invalid request body: {why}")));
    if bytes.is_empty() {
        return bad("empty request body".to_owned());
    }
    let kind = call.fields.get("content-type").and_then(|value| value.to_str().ok());
    let is_yaml = kind.unwrap_or_default().starts_with("application/yaml");
    let value = if is_yaml {
        let limits = DocumentLimits::default();
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        let mut documents = yaml::parse_all(text, &limits).unwrap_or_default();
        if documents.is_empty() { Value::Null } else { documents.swap_remove(0) }
    } else {
        match wire::json(bytes) {
            Ok(value) => value,
            Err(error) => return bad(error.to_string()),
        }
    };
    match value {
        Value::Object(map) => Ok(map),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ if is_yaml => bad("invalid yaml request body".to_owned()),
        _ => bad("it is no object".to_owned()),
    }
}

impl Admin {
    /// Answers with everything that is wrong with a configuration.
    pub(super) async fn validate(&self, call: &Call<'_>, bytes: &Bytes) -> Result<Reply, Fault> {
        let config = read(call, bytes)?;
        let problems = self.problems(call, &config, PROBLEMS_MAX).await?;
        if problems.is_empty() {
            return Ok(Reply::json(200, json!({})));
        }
        let text = "Configuration validation failed";
        Ok(Reply::json(400, json!({"error_msg": text, "errors": problems})))
    }

    /// The first `max` things that are wrong with a configuration.
    pub(super) async fn problems(
        &self,
        call: &Call<'_>,
        config: &Map<String, Value>,
        max: usize,
    ) -> Result<Vec<Value>, Fault> {
        let mut problems = Vec::new();
        for name in COLLECTIONS {
            if let Some(error) = version_problem(name, config) {
                problems.push(json!({"resource_type": name, "error": error}));
            }
            let Some(Value::Array(items)) = config.get(name) else { continue };
            let mut ids = HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let mut errors = Vec::new();
                match self.check_item(call, name, item).await {
                    Ok(()) => {}
                    Err(Fault::Bad(error)) => errors.push(error),
                    Err(other) => return Err(other),
                }
                errors.extend(duplicate(name, item, &mut ids));
                let shown = item.get("id").or_else(|| item.get("username"));
                let shown = shown.cloned().unwrap_or_else(|| "".into());
                problems.extend(errors.into_iter().map(|error| {
                    json!({
                        "resource_type": name, "resource_id": shown, "index": index,
                        "error": error,
                    })
                }));
                if problems.len() >= max {
                    problems.truncate(max);
                    return Ok(problems);
                }
            }
        }
        Ok(problems)
    }

    async fn check_item(&self, call: &Call<'_>, name: &str, item: &Value) -> Result<(), Fault> {
        let bad = |text: String| Err(Fault::Bad(text));
        let id = item.get("id").and_then(id_text);
        let credential = id.as_deref().filter(|_| name == "consumers");
        let credential = credential.and_then(|id| id.split_once("/credentials/"));
        let name = if credential.is_some() { "credentials" } else { name };
        let Some(resource) = table::resource(name) else { return Ok(()) };
        let mut conf = item.clone();
        let mut own = id.clone();
        let (mut parent, mut manager) = (None, None);
        if let Value::Object(map) = &mut conf {
            // Objects of files say their version, which no schema knows.
            if map.get("modifiedIndex").is_some_and(Value::is_u64) {
                map.shift_remove("modifiedIndex");
            }
            if let Some((consumer, credential)) = credential {
                own = Some(credential.to_owned());
                parent = Some(consumer);
                map.insert("id".to_owned(), credential.into());
            }
        }
        if resource.naming == Naming::Manager {
            let Some((first, _)) = id.as_deref().and_then(|id| id.split_once('/')) else {
                return bad(format!("invalid secret id: {}", id.as_deref().unwrap_or("nil")));
            };
            manager = Some(first);
        }
        let id = own.as_deref().filter(|_| resource.naming != Naming::Username);
        let mut review = review(self, call, resource);
        (review.id, review.parent, review.manager) = (id, parent, manager);
        review.check(&mut conf).await
    }
}

fn review<'r>(admin: &'r Admin, call: &'r Call<'_>, resource: &'static Resource) -> Review<'r> {
    Review {
        admin,
        store: admin.store.as_ref(),
        facts: call.facts,
        resource,
        id: None,
        parent: None,
        manager: None,
        follow: false,
        unique: true,
        needs: Vec::new(),
    }
}

fn version_problem(name: &str, config: &Map<String, Value>) -> Option<String> {
    let key = version_key(name);
    let kind = match config.get(&key)? {
        Value::Number(_) => return None,
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    };
    Some(format!("{key} must be a number, got {kind}"))
}

fn duplicate(name: &str, item: &Value, ids: &mut HashSet<String>) -> Option<String> {
    let id = item.get("id").and_then(id_text);
    let (word, id) = match (name, id) {
        ("consumers", Some(id)) => ("credential id", id),
        ("consumers", None) => ("username", item.get("username").and_then(id_text)?),
        (_, id) => ("id", id?),
    };
    if ids.insert(id.clone()) {
        return None;
    }
    Some(format!("found duplicate {word} {id} in {name}"))
}
