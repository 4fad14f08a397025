//! What may be asked about plugins and schemas.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Admin, Call, check,
    check::Fault,
    judge::{Facts, PluginFacts},
    table,
    wire::{Body, Reply},
};
use crate::{
    config::resource_schema,
    store::{Expect, Op, StoreError, Write},
};

/// The key of the list of plugins, for gateways that have no list of their own.
const KEY: &str = "plugins";

impl Admin {
    /// Stores the list of plugins, as APISIX does after they were loaded anew: gateways without an
    /// Admin API read it there.
    pub(super) async fn publish_plugins(&self, who: &str) -> Result<(), Fault> {
        let list = listed(&self.judge.facts()).to_string();
        let ops = vec![Op::Put { key: KEY.to_owned(), value: list, ttl: None }];
        self.store.write(Write { when: Vec::new(), ops, who: who.to_owned() }).await?;
        Ok(())
    }

    /// Brings the stored list of plugins up to date, if there is one; to be called at a start.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub async fn refresh_plugins(&self) -> Result<(), StoreError> {
        let Some(entry) = self.store.get(KEY).await? else { return Ok(()) };
        let names = |list: &Value| -> BTreeSet<String> {
            list.as_array().into_iter().flatten().map(Value::to_string).collect()
        };
        let list = listed(&self.judge.facts());
        let stored = serde_json::from_str(&entry.value).unwrap_or_default();
        if names(&list) == names(&stored) {
            return Ok(());
        }
        let when = vec![(KEY.to_owned(), Expect::Modified(entry.modified))];
        let ops = vec![Op::Put { key: KEY.to_owned(), value: list.to_string(), ttl: None }];
        match self.store.write(Write { when, ops, who: "moongate".to_owned() }).await {
            // Whoever was faster has a list of its own.
            Ok(_) | Err(StoreError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn listed(facts: &Facts) -> Value {
    let http = facts.http.iter().map(|plugin| json!({"name": plugin.name}));
    let stream = facts.stream.iter().map(|plugin| json!({"name": plugin.name, "stream": true}));
    http.chain(stream).collect()
}

/// `plugins/list`: the names of a subsystem's plugins, the highest priority first.
pub(super) fn list(call: &Call<'_>) -> Reply {
    let plugins = match call.query.get("subsystem").unwrap_or("http") {
        "http" => &call.facts.http,
        "stream" => &call.facts.stream,
        _ => return Reply::text(400, "invalid subsystem passed"),
    };
    Reply::json(200, plugins.iter().map(|plugin| plugin.name.as_str()).collect())
}

/// `plugins/…`, `schema/…` and `schema/plugins/…`.
pub(super) fn get(call: &Call<'_>, path: &[&str]) -> Reply {
    match path {
        ["plugins", rest @ ..] | ["schema", "plugins", rest @ ..] => {
            plugin(call, rest.first().copied())
        }
        ["schema", name, ..] => schema(name),
        _ => schema(""),
    }
}

/// The schema of a kind of object, or a part that plugins make theirs of.
fn schema(name: &str) -> Reply {
    let known = resource_schema::schema(name).or_else(|| resource_schema::fragment(name));
    match known.filter(|_| !name.contains('/')) {
        Some(schema) => Reply::json(200, schema.clone()),
        None => Reply::error(400, format!("not found schema: {name}")),
    }
}

fn plugin(call: &Call<'_>, name: Option<&str>) -> Reply {
    let subsystem = call.query.get("subsystem").unwrap_or("http");
    let plugins: &[PluginFacts] = match subsystem {
        "http" => &call.facts.http,
        "stream" => &call.facts.stream,
        other => return Reply::error(400, format!("unsupported subsystem: {other}")),
    };
    if call.query.get("all") == Some("true") {
        let entry = |plugin: &PluginFacts| (plugin.name.clone(), plugin.entry());
        let all: Map<String, Value> = plugins.iter().map(entry).collect();
        return Reply::json(200, Value::Object(all));
    }
    let Some(plugin) = plugins.iter().find(|plugin| Some(&*plugin.name) == name) else {
        return Reply::error(404, format!("plugin not found in subsystem {subsystem}"));
    };
    let schema = match call.query.get("schema_type") {
        Some("consumer") => plugin.consumer_schema.as_ref(),
        _ => Some(&plugin.schema),
    };
    match schema.filter(|schema| !schema.is_null()) {
        Some(schema) => Reply::json(200, schema.clone()),
        None => Reply::error(400, "not found schema"),
    }
}

/// `schema/validate/{resource}`: only what the schema says, no plugins and no references.
pub(super) fn validate(name: &str, body: Option<Value>) -> Result<Reply, Fault> {
    let resource = table::resource(name)
        .ok_or_else(|| Reply::error(404, format!("Unsupported resource type: {name}")))?;
    let name = match resource.naming {
        table::Naming::Manager => "secret",
        _ => resource.schema.unwrap_or_default(),
    };
    let mut value = body.unwrap_or_default();
    match check::schema(name, &mut value) {
        Ok(()) => Ok(Reply::new(200, Body::None)),
        Err(error) => Err(Fault::Bad(error)),
    }
}
