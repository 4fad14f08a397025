//! A store in memory, and a judge that knows a few plugins by their schemas.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::super::judge::{Facts, Judge, Later, PluginFacts, Question};
use crate::{
    config::{
        check::{PluginChecker, SchemaType, Verdict},
        schema::{CheckOptions, Schema},
    },
    store::{Answer, Entry, Expect, Listing, Op, Store, StoreError, Write, Written},
};

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    ttls: BTreeMap<String, Duration>,
    revision: u64,
    writes: Vec<Write>,
}

/// What somebody else does.
type Rival = Box<dyn FnOnce(&Memory) + Send>;

/// A store that keeps nothing.
#[derive(Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    /// Answers nothing any more.
    pub(super) down: AtomicBool,
    /// What happens before the next write, as if somebody else were faster.
    pub(super) rival: Mutex<Option<Rival>>,
}

impl Memory {
    pub(super) fn set(&self, key: &str, value: &str) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        put(&mut state.entries, revision, key, value);
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.state.lock().unwrap().entries.get(key).map(|entry| entry.value.to_string())
    }

    pub(super) fn ttl(&self, key: &str) -> Option<Duration> {
        self.state.lock().unwrap().ttls.get(key).copied()
    }

    pub(super) fn clear(&self) {
        self.state.lock().unwrap().entries.clear();
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().entries.keys().cloned().collect()
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.state.lock().unwrap().writes.clone()
    }

    fn up(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("the store is away".into()));
        }
        Ok(())
    }

    fn commit(&self, write: Write) -> Result<Written, StoreError> {
        self.up()?;
        let rival = self.rival.lock().unwrap().take();
        if let Some(rival) = rival {
            rival(self);
        }
        let mut state = self.state.lock().unwrap();
        for (key, expect) in &write.when {
            let entry = state.entries.get(key);
            let holds = match expect {
                Expect::Absent => entry.is_none(),
                Expect::Present => entry.is_some(),
                Expect::Modified(revision) => entry.is_some_and(|e| e.modified == *revision),
            };
            if !holds {
                return Err(StoreError::Conflict(key.clone()));
            }
        }
        state.revision += 1;
        let revision = state.revision;
        let mut before = Vec::new();
        for op in &write.ops {
            before.push(match op {
                Op::Put { key, value, ttl } => {
                    if let Some(ttl) = ttl {
                        state.ttls.insert(key.clone(), *ttl);
                    }
                    put(&mut state.entries, revision, key, value)
                }
                Op::Delete(key) => usize::from(state.entries.remove(key).is_some()),
                Op::DeletePrefix(prefix) => {
                    let count = state.entries.len();
                    state.entries.retain(|key, _| !key.starts_with(&**prefix));
                    count - state.entries.len()
                }
            });
        }
        state.writes.push(write);
        Ok(Written { revision, before })
    }
}

fn put(entries: &mut BTreeMap<String, Entry>, revision: u64, key: &str, value: &str) -> usize {
    let created = entries.get(key).map(|entry| entry.created);
    let entry = Entry {
        key: key.into(),
        value: value.into(),
        created: created.unwrap_or(revision),
        modified: revision,
    };
    entries.insert(key.to_owned(), entry);
    usize::from(created.is_some())
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            self.up()?;
            Ok(self.state.lock().unwrap().entries.get(key).cloned())
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(async move {
            self.up()?;
            let state = self.state.lock().unwrap();
            let below = |(key, _): &(&String, &Entry)| key.starts_with(prefix);
            let entries = state.entries.iter().filter(below).map(|(_, e)| e.clone()).collect();
            Ok(Listing { entries, revision: state.revision })
        })
    }

    fn write(&self, write: Write) -> Answer<'_, Written> {
        Box::pin(async move { self.commit(write) })
    }

    fn new_id(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            self.up()?;
            let mut state = self.state.lock().unwrap();
            state.revision += 1;
            Ok(state.revision)
        })
    }
}

/// Plugins with the parts of their schemas that cases need.
pub(super) struct FakeJudge {
    facts: Arc<Facts>,
}

fn text() -> Value {
    json!({"type": "string"})
}

fn object(required: &[&str], properties: Value, encrypted: &[&str]) -> Value {
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !encrypted.is_empty() {
        schema["encrypt_fields"] = json!(encrypted);
    }
    schema
}

impl FakeJudge {
    pub(super) fn new() -> Self {
        let plugin = |name: &str, priority: i64, schema: Value| PluginFacts {
            name: name.into(),
            priority: priority.into(),
            version: json!(0.1),
            schema,
            ..PluginFacts::default()
        };
        let auth = |name: &str, priority, field: &str, encrypted: &str| {
            let mut facts = plugin(name, priority, object(&[], json!({"header": text()}), &[]));
            facts.kind = Some("auth".into());
            let schema = json!({field: text(), encrypted: text()});
            let required: &[&str] = if field == encrypted { &[field] } else { &[field, encrypted] };
            facts.consumer_schema = Some(object(required, schema, &[encrypted]));
            facts
        };
        let positive = json!({"type": "integer", "exclusiveMinimum": 0});
        let count = json!({"count": positive, "time_window": positive, "redis_password": text(),
            "policy": {"type": "string", "enum": ["local", "redis"], "default": "local"}});
        let mut logger = plugin("http-logger", 410, object(&["uri"], json!({"uri": text()}), &[]));
        let format = json!({"log_format": {"type": "object"}, "token": text()});
        logger.metadata_schema = Some(object(&[], format, &["token"]));
        let split = json!({"rules": {"type": "array"}});
        let id = json!({"proto_id": {"anyOf": [{"type": "string"}, {"type": "integer"}]}});
        let mut key_auth = auth("key-auth", 2500, "key", "key");
        key_auth.schema =
            object(&[], json!({"header": text(), "hide_credentials": {"type": "boolean"}}), &[]);
        let facts = Facts {
            http: vec![
                auth("basic-auth", 2520, "username", "password"),
                auth("jwt-auth", 2510, "key", "secret"),
                key_auth,
                plugin(
                    "proxy-rewrite",
                    1008,
                    object(&[], json!({"uri": text(), "host": text()}), &[]),
                ),
                plugin(
                    "limit-count",
                    1002,
                    object(&["count", "time_window"], count, &["redis_password"]),
                ),
                plugin("traffic-split", 966, object(&[], split, &[])),
                plugin("grpc-transcode", 506, object(&["proto_id"], id, &[])),
                logger,
            ],
            stream: vec![plugin(
                "mqtt-proxy",
                1000,
                object(&["protocol_name"], json!({"protocol_name": text()}), &[]),
            )],
            protocols: BTreeMap::from([("pingpong".to_owned(), json!({"type": "object"}))]),
        };
        Self { facts: Arc::new(facts) }
    }
}

struct Checker<'f>(&'f Facts);

impl PluginChecker for Checker<'_> {
    fn check(&mut self, name: &str, schema_type: SchemaType, conf: &mut Value) -> Verdict {
        let Some(plugin) = self.0.plugin(name) else {
            return if name == "off" { Verdict::Ignored } else { Verdict::Unknown };
        };
        let Some(schema) = plugin.secrets(schema_type) else { return Verdict::Ok };
        let schema = Schema::compile(schema).unwrap();
        schema.check(conf, &CheckOptions::default()).map_or_else(Verdict::Refused, |()| Verdict::Ok)
    }

    fn check_expr(&mut self, rule: &Value) -> Result<(), String> {
        let fits = |rule: &Value| rule.as_array().is_some_and(|rule| rule.len() >= 2);
        let list = rule.as_array().ok_or("rule should be an array")?;
        if list.iter().all(fits) { Ok(()) } else { Err("invalid operator".into()) }
    }

    fn check_interface(&mut self, _: &str, text: &str) -> Result<(), String> {
        if text.contains("message") { Ok(()) } else { Err("1:1: expected a definition".into()) }
    }

    fn check_function(&mut self, source: &str) -> Result<(), String> {
        if source.contains("syntax") {
            return Err("unexpected symbol".into());
        }
        let source = source.trim_start_matches("return ");
        let fits = source.starts_with("function");
        if fits { Ok(()) } else { Err("it does not evaluate to a function".into()) }
    }
}

impl Judge for FakeJudge {
    fn check(&self, questions: Vec<Question>) -> Later<'_, Result<Vec<Verdict>, String>> {
        let mut checker = Checker(&self.facts);
        let verdicts = questions.into_iter().map(|question| question.answer(&mut checker));
        let verdicts: Vec<Verdict> = verdicts.collect();
        Box::pin(async move { Ok(verdicts) })
    }

    fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts)
    }

    fn reload_plugins(&self) -> Later<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}
