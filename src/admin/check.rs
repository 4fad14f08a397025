//! Checks an object before it is written: the steps that its row in the table names.
//!
//! Schemas are checked here, ids that must exist are looked up in the store, and what only the code
//! of plugins knows is asked of the [`Judge`](super::judge::Judge).

use std::{collections::HashMap, sync::OnceLock};

use serde_json::{Map, Value};

use super::{
    Admin,
    judge::{Facts, Question},
    keys::Network,
    mask, pem,
    table::{Part, Reference, Resource, Step},
    wire::Reply,
};
use crate::{
    config::{
        check::{SchemaType, Verdict},
        resource_schema,
        schema::{CheckOptions, Schema},
        upstream,
    },
    store::{Store, StoreError},
};

/// Why an object is not written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    /// Something is wrong with it.
    Bad(String),
    /// Somebody who is needed does not answer.
    Unavailable(String),
    /// Anything else.
    Reply(Box<Reply>),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Reply> for Fault {
    fn from(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

impl Fault {
    pub(super) fn into_reply(self) -> Reply {
        match self {
            Self::Bad(text) => Reply::error(400, text),
            Self::Unavailable(text) => Reply::error(503, text),
            Self::Reply(reply) => *reply,
        }
    }
}

type Checked = Result<(), Fault>;

fn bad<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Bad(text.into()))
}

/// Checks `value` against a schema of a kind of object.
///
/// # Errors
///
/// What is wrong, without words before it.
pub(super) fn schema(name: &str, value: &mut Value) -> Result<(), String> {
    type Compiled = HashMap<&'static str, Result<Schema, String>>;
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    const SECRETS: [&str; 4] = ["secret", "secret/vault", "secret/aws", "secret/gcp"];
    let compiled = COMPILED.get_or_init(|| {
        let names = super::table::RESOURCES.iter().filter_map(|resource| resource.schema);
        let compile = |name: &'static str| {
            let schema = Schema::compile(resource_schema::schema(name)?);
            Some((name, schema.map_err(|error| error.to_string())))
        };
        names.chain(SECRETS).filter_map(compile).collect()
    });
    match compiled.get(name) {
        None => Err(format!("there is no schema {name}")),
        Some(Err(error)) => Err(error.clone()),
        Some(Ok(schema)) => schema.check(value, &CheckOptions::default()),
    }
}

/// Checks `value` against a schema that a plugin brings.
fn plugin_schema(schema: &Value, value: &mut Value) -> Result<(), String> {
    let schema = Schema::compile(schema).map_err(|error| error.to_string())?;
    schema.check(value, &CheckOptions::default())
}

/// The text of an id, which may be a number.
pub(super) fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// One check of one object.
pub(super) struct Review<'a> {
    pub(super) admin: &'a Admin,
    /// Where ids are looked up.
    pub(super) store: &'a dyn Store,
    pub(super) facts: &'a Facts,
    pub(super) resource: &'static Resource,
    pub(super) id: Option<&'a str>,
    /// The object that its collection is part of.
    pub(super) parent: Option<&'a str>,
    pub(super) manager: Option<&'a str>,
    /// Whether ids must exist, now and in this store.
    pub(super) follow: bool,
    /// Whether keys of consumers must be nobody else's.
    pub(super) unique: bool,
    /// Keys that were found and must still be there when the object is written.
    pub(super) needs: Vec<String>,
}

impl Review<'_> {
    /// Checks `conf`, whose defaults are filled in on the way; nobody should store that copy.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with no secret of `conf` in its words.
    pub(super) async fn check(&mut self, conf: &mut Value) -> Checked {
        let secrets = mask::secrets(conf, self.resource, self.facts);
        for step in self.resource.steps {
            match self.step(step, conf).await {
                Err(Fault::Bad(text)) => return bad(mask::redact(text, &secrets)),
                Err(other) => return Err(other),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &'static Step, conf: &mut Value) -> Checked {
        match step {
            Step::OneOf(one, other) => one_of(conf, one, other),
            Step::Schema => {
                let name = self.resource.schema.unwrap_or_default();
                schema(name, conf).or_else(|error| bad(format!("invalid configuration: {error}")))
            }
            Step::Upstream(Part::Whole) => self.upstream(conf).await,
            Step::Upstream(Part::Inline) => match conf.get_mut("upstream") {
                Some(upstream) if !upstream.is_null() => self.upstream(upstream).await,
                _ => Ok(()),
            },
            Step::Exists(reference) => self.exists(conf, reference).await,
            Step::Username => {
                let name = conf.get("username").and_then(Value::as_str);
                if self.id.is_some() && self.id != name { bad("wrong username") } else { Ok(()) }
            }
            Step::Plugins(schema, prefix) => self.plugins(conf, *schema, prefix).await,
            Step::OnlyAuth => self.only_auth(conf),
            Step::UniqueKeys => self.unique_keys(conf).await,
            Step::Vars => match conf.get("vars") {
                Some(vars) if !vars.is_null() => {
                    let words = "failed to validate the 'vars' expression: ";
                    self.ask(Question::Expression(vars.clone()), words).await
                }
                _ => Ok(()),
            },
            Step::FilterFunc => self.filter_func(conf).await,
            Step::Script if conf.get("script").is_some_and(|script| !script.is_null()) => {
                bad("script is not supported by moongate")
            }
            Step::Script => Ok(()),
            Step::NoOverlap => self.no_overlap(conf).await,
            Step::Metadata => self.metadata(conf).await,
            Step::Certificates => self.certificates(conf),
            Step::Content => self.content(conf).await,
            Step::Superior => self.superior(conf).await,
            Step::Stream => self.stream(conf),
            Step::Manager => self.manager(conf),
        }
    }

    /// Asks one question; `words` come before what is wrong.
    async fn ask(&self, question: Question, words: &str) -> Checked {
        let verdicts = self.admin.ask(vec![question]).await?;
        match verdicts.into_iter().next() {
            Some(Verdict::Refused(error)) => bad(format!("{words}{error}")),
            _ => Ok(()),
        }
    }

    async fn upstream(&mut self, conf: &mut Value) -> Checked {
        schema("upstream", conf).or_else(|error| bad(format!("invalid configuration: {error}")))?;
        if let Some(Value::Object(nodes)) = conf.get("nodes") {
            let ports = nodes.keys().filter_map(|address| upstream::split_address(address).1);
            if let Some(port) = ports.into_iter().find(|port| !(1..=65535).contains(port)) {
                return bad(format!("invalid port {port}"));
            }
        }
        let tls = conf.get("tls");
        let of = |name: &str| tls.and_then(|tls| tls.get(name));
        if self.follow
            && let Some(id) = of("client_cert_id").and_then(id_text)
        {
            let reference = Reference { field: "client_cert_id", collection: "ssls", word: "ssl" };
            let found = self.fetch(&reference, &id).await?;
            if found.get("type").and_then(Value::as_str) != Some("client") {
                return bad(format!("failed to fetch ssl info by ssl id [{id}], wrong ssl type"));
            }
        }
        upstream::check(conf).or_else(bad)?;
        match of("client_cert").and_then(Value::as_str) {
            Some(cert) if !pem::is_reference(cert) => {
                let key = of("client_key").and_then(Value::as_str);
                let key = key.filter(|key| !pem::is_reference(key));
                pem::check(cert, key, &self.admin.settings.keyring).or_else(bad)
            }
            _ => Ok(()),
        }
    }

    async fn exists(&mut self, conf: &Value, reference: &Reference) -> Checked {
        let id = conf.get(reference.field).and_then(id_text);
        match id {
            Some(id) if self.follow => self.fetch(reference, &id).await.map(drop),
            _ => Ok(()),
        }
    }

    /// The object that an id names.
    async fn fetch(&mut self, reference: &Reference, id: &str) -> Result<Value, Fault> {
        let word = reference.word;
        let words = format!("failed to fetch {word} info by {word} id [{id}]");
        let key = format!("{}/{id}", reference.collection);
        match self.store.get(&key).await {
            Ok(Some(entry)) => {
                self.needs.push(key);
                Ok(serde_json::from_str(&entry.value).unwrap_or_default())
            }
            Ok(None) => bad(format!("{words}, response code: 404")),
            Err(error) => Err(Fault::Unavailable(format!("{words}: {error}"))),
        }
    }

    async fn plugins(&self, conf: &mut Value, schema: SchemaType, prefix: &str) -> Checked {
        let Some(Value::Object(confs)) = conf.get_mut("plugins") else { return Ok(()) };
        let mut questions = Vec::new();
        let mut asked = Vec::new();
        for (name, conf) in confs.iter_mut() {
            // An empty Lua table is both.
            if conf.as_array().is_some_and(Vec::is_empty) {
                *conf = Value::Object(Map::new());
            }
            if !conf.is_object() {
                let shown = mask::without_texts(conf);
                return bad(format!("{prefix}invalid plugin conf {shown} for plugin [{name}]"));
            }
            let meta = |field: &str| conf.get("_meta").and_then(|meta| meta.get(field));
            let disabled = meta("disable") == Some(&Value::Bool(true));
            asked.push((name.as_str(), Asked::Conf { disabled }));
            let plugin = Question::Plugin { name: name.clone(), schema, conf: conf.clone() };
            questions.push(plugin);
            if let Some(filter) = meta("filter").filter(|filter| !filter.is_null()) {
                asked.push((name, Asked::Filter));
                questions.push(Question::Expression(filter.clone()));
            }
            if let Some(source) = meta("pre_function").and_then(Value::as_str) {
                asked.push((name, Asked::PreFunction));
                questions.push(Question::Function(source.to_owned()));
            }
        }
        if questions.is_empty() {
            return Ok(());
        }
        let verdicts = self.admin.ask(questions).await?;
        for ((name, asked), verdict) in asked.iter().zip(verdicts) {
            asked.result(name, verdict).or_else(|text| bad(format!("{prefix}{text}")))?;
        }
        Ok(())
    }

    fn only_auth(&self, conf: &Value) -> Checked {
        let names = conf.get("plugins").and_then(Value::as_object);
        let is_auth = |name: &String| {
            self.facts.plugin(name).is_some_and(|plugin| plugin.kind.as_deref() == Some("auth"))
        };
        if names.is_none_or(|names| names.keys().all(is_auth)) {
            return Ok(());
        }
        bad("only supports auth type plugins in consumer credential")
    }

    async fn filter_func(&self, conf: &Value) -> Checked {
        let Some(source) = conf.get("filter_func").and_then(Value::as_str) else { return Ok(()) };
        let question = Question::Function(format!("return {source}"));
        match self.ask(question, "failed to load 'filter_func' string: ").await {
            Err(Fault::Bad(text)) if text.contains("does not evaluate to a function") => {
                bad("'filter_func' should be a function")
            }
            other => other,
        }
    }

    async fn no_overlap(&self, conf: &Value) -> Checked {
        let Some(plugins) = conf.get("plugins").and_then(Value::as_object) else { return Ok(()) };
        if !self.follow {
            return Ok(());
        }
        for entry in self.store.list("global_rules/").await?.entries {
            let other: Value = serde_json::from_str(&entry.value).unwrap_or_default();
            let id = entry.key.strip_prefix("global_rules/").unwrap_or_default();
            if Some(id) == self.id {
                continue;
            }
            let has = |name: &&String| other.get("plugins").and_then(|of| of.get(*name)).is_some();
            if let Some(name) = plugins.keys().find(has) {
                return bad(format!(
                    "plugin '{name}' already exists in global rule with id '{id}'"
                ));
            }
        }
        Ok(())
    }

    async fn metadata(&self, conf: &mut Value) -> Checked {
        let Some(name) = self.id else { return bad("missing plugin name") };
        if !conf.is_object() {
            let error = schema("plugin_metadata", conf).err();
            let error = error.unwrap_or_else(|| "it is no object".to_owned());
            return bad(format!("invalid configuration: {error}"));
        }
        let words = "invalid configuration: ";
        let stream = self.facts.stream_plugin(name).filter(|_| self.facts.plugin(name).is_none());
        if let Some(stream) = stream {
            let result = stream.metadata_schema.as_ref().map(|schema| plugin_schema(schema, conf));
            return result.unwrap_or(Ok(())).or_else(|error| bad(format!("{words}{error}")));
        }
        let schema = SchemaType::Metadata;
        let question = Question::Plugin { name: name.to_owned(), schema, conf: conf.clone() };
        match self.admin.ask(vec![question]).await?.into_iter().next() {
            Some(Verdict::Unknown) => bad("invalid plugin name"),
            Some(Verdict::Refused(error)) => bad(format!("{words}{error}")),
            _ => Ok(()),
        }
    }

    fn certificates(&self, conf: &Value) -> Checked {
        let ring = &self.admin.settings.keyring;
        let text = |name: &str| conf.get(name).and_then(Value::as_str);
        let check = |cert: &Value, key: &Value| match (cert.as_str(), key.as_str()) {
            (Some(cert), Some(key)) if !pem::is_reference(cert) && !pem::is_reference(key) => {
                pem::check(cert, Some(key), ring)
            }
            _ => Ok(()),
        };
        let none = Value::Null;
        let of = |name: &str| conf.get(name).unwrap_or(&none);
        check(of("cert"), of("key")).or_else(bad)?;
        if text("type") == Some("client") {
            return Ok(());
        }
        let list = |name: &str| of(name).as_array().map(Vec::as_slice).unwrap_or_default();
        let (certs, keys) = (list("certs"), list("keys"));
        if certs.len() != keys.len() {
            return bad("mismatched number of certs and keys");
        }
        for (at, (cert, key)) in certs.iter().zip(keys).enumerate() {
            let words = format!("failed to handle cert-key pair[{}]: ", at + 1);
            check(cert, key).or_else(|error| bad(format!("{words}{error}")))?;
        }
        match conf.pointer("/client/ca").and_then(Value::as_str) {
            Some(ca) if !pem::is_reference(ca) => pem::check(ca, None, ring)
                .or_else(|error| bad(format!("failed to validate client_cert: {error}"))),
            _ => Ok(()),
        }
    }

    async fn content(&self, conf: &Value) -> Checked {
        let text = |name: &str| conf.get(name).and_then(Value::as_str);
        let name = text("name").or(self.id).unwrap_or("1").to_owned();
        let text = text("content").unwrap_or_default().to_owned();
        self.ask(Question::Interface { name, text }, "invalid content: ").await
    }

    async fn superior(&mut self, conf: &Value) -> Checked {
        let superior = conf.pointer("/protocol/superior_id").and_then(id_text);
        let Some(superior) = superior.filter(|_| self.follow) else { return Ok(()) };
        if self.id == Some(&superior) {
            return bad("stream route can not set itself as superior_id");
        }
        let words = format!("failed to fetch stream routes[{superior}]");
        let key = format!("stream_routes/{superior}");
        let found = self.store.get(&key).await;
        let entry = found.map_err(|error| Fault::Unavailable(format!("{words}: {error}")))?;
        let Some(entry) = entry else { return bad(format!("{words}, response code: 404")) };
        self.needs.push(key);
        let other: Value = serde_json::from_str(&entry.value).unwrap_or_default();
        let name = |conf: &Value| {
            conf.pointer("/protocol/name").and_then(Value::as_str).unwrap_or("nil").to_owned()
        };
        let (ours, theirs) = (name(conf), name(&other));
        if other.get("protocol").is_none() || ours == theirs {
            return Ok(());
        }
        bad(format!(
            "protocol mismatch: subordinate protocol [{ours}] does not match superior protocol \
             [{theirs}]"
        ))
    }

    fn stream(&self, conf: &mut Value) -> Checked {
        for (name, conf) in
            conf.get_mut("plugins").and_then(Value::as_object_mut).into_iter().flatten()
        {
            let Some(plugin) = self.facts.stream_plugin(name) else {
                return bad(format!("unknown plugin [{name}]"));
            };
            let disabled = conf.pointer("/_meta/disable") == Some(&Value::Bool(true));
            match plugin_schema(&plugin.schema, conf) {
                Err(error) if !disabled => {
                    return bad(format!(
                        "failed to check the configuration of stream plugin [{name}]: {error}"
                    ));
                }
                _ => {}
            }
        }
        for name in ["remote_addr", "server_addr"] {
            if let Some(text) = conf.get(name).and_then(Value::as_str)
                && Network::read(text).is_none()
            {
                return bad(format!("invalid {name}: {text}"));
            }
        }
        let Some(protocol) = conf.get_mut("protocol") else { return Ok(()) };
        let name = protocol.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(schema) = self.facts.protocols.get(&name) else {
            return bad(format!("unknown protocol [{name}]"));
        };
        let conf = protocol.get_mut("conf");
        conf.map_or(Ok(()), |conf| plugin_schema(schema, conf)).or_else(bad)
    }

    fn manager(&self, conf: &mut Value) -> Checked {
        let Some(manager) = self.manager else { return bad("missing secret type") };
        let name = format!("secret/{manager}");
        if resource_schema::schema(&name).is_none() {
            return bad(format!("invalid secret manager: {manager}"));
        }
        schema(&name, conf).or_else(|error| bad(format!("invalid configuration: {error}")))
    }
}

fn one_of(conf: &Value, one: &str, other: &str) -> Checked {
    let has = |name: &str| conf.get(name).is_some_and(|value| !value.is_null());
    if has(one) && has(other) {
        return bad(format!("only one of {one} or {other} is allowed"));
    }
    Ok(())
}

/// What a question about a plugin was about.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Conf { disabled: bool },
    Filter,
    PreFunction,
}

impl Asked {
    fn result(self, name: &str, verdict: Verdict) -> Result<(), String> {
        match (self, verdict) {
            (_, Verdict::Ok) => Ok(()),
            (Self::Conf { .. }, Verdict::Unknown | Verdict::Ignored) => {
                Err(format!("unknown plugin [{name}]"))
            }
            // It never runs, so what it says must not keep the object away.
            (Self::Conf { disabled: true }, _) => Ok(()),
            (Self::Conf { .. }, Verdict::Refused(error)) => {
                Err(format!("failed to check the configuration of plugin {name} err: {error}"))
            }
            (Self::Filter, Verdict::Refused(error)) => {
                Err(format!("failed to validate the 'vars' expression: {error}"))
            }
            (Self::PreFunction, Verdict::Refused(error)) => {
                Err(format!("failed to load _meta.pre_function in plugin {name}: {error}"))
            }
            _ => Ok(()),
        }
    }
}
