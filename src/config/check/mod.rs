//! Raw objects to a [`Snapshot`]: schema, plugins, and what no schema can say.
//!
//! An object that is wrong is refused by id with its reason, and its last valid version
//! stays in use if there is one: dropping it could let its requests fall to a route that
//! protects less. An object whose text did not change keeps its `Arc`, so everything keyed
//! by it survives.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

mod object;
mod some;

use object::Object;
pub use some::{ObjectChange, apply_changes, first};

use super::{
    consumer,
    item::{Collection, Fingerprint, Item, fingerprint},
    packed::Packed,
    plugin::{Kept, Owner, PluginConf},
    raw::{Kind, RawDocument, RawItem},
    resource_schema,
    schema::{CheckOptions, Schema},
    snapshot::{Notice, Refusal, Snapshot},
    upstream,
};

/// Which of a plugin's schemas a configuration must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaType {
    /// `schema`: routes, services, rules.
    Plugin,
    /// `consumer_schema`: consumers and credentials.
    Consumer,
    /// `metadata_schema`: plugin_metadata.
    Metadata,
}

impl SchemaType {
    /// What the plugins that `owner` is configured with must fit. It holds wherever they are
    /// checked: a consumer's part of an authentication plugin fits no schema of a route.
    pub(crate) fn of(owner: &Owner) -> Self {
        if owner.key.starts_with("/apisix/consumers/") { Self::Consumer } else { Self::Plugin }
    }
}

/// What became of a plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is valid, and its defaults are filled in.
    Ok,
    /// The plugin says what is wrong with it.
    Refused(String),
    /// No such plugin is loaded though one should be.
    Unknown,
    /// The plugin is not enabled; the configuration has no effect.
    Ignored,
}

/// Checks what belongs to plugins. Implemented by the Lua host.
pub trait PluginChecker {
    /// Checks one configuration and fills in its defaults.
    fn check(&mut self, plugin: &str, schema_type: SchemaType, conf: &mut Value) -> Verdict;

    /// Takes the metadata that the document brings, before anything else is checked.
    fn metadata(&mut self, _: &Collection<Kept>) {}

    /// Takes the interface descriptions that the document brings, likewise.
    fn protos(&mut self, _: &Collection<Kept>) {}

    /// Checks a `vars` expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn check_expr(&mut self, rule: &Value) -> Result<(), String> {
        let _ = rule;
        Ok(())
    }

    /// Checks a file of an interface description by the language its name ends with.
    ///
    /// # Errors
    ///
    /// What is wrong with it, with line and column.
    fn check_interface(&mut self, name: &str, text: &str) -> Result<(), String> {
        let _ = (name, text);
        Ok(())
    }

    /// Checks that services are looked up in the registry of this name.
    ///
    /// # Errors
    ///
    /// Why they are not.
    fn check_registry(&mut self, name: &str) -> Result<(), String> {
        let _ = name;
        Ok(())
    }

    /// Checks that a Lua source evaluates to a function.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn check_function(&mut self, source: &str) -> Result<(), String> {
        let _ = source;
        Ok(())
    }
}

/// Equal configurations that are remembered during one check.
const MEMO_MAX: usize = 4096;

/// Whether objects that did not change are checked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recheck {
    /// No: their text was checked before.
    Changed,
    /// Yes: the plugins changed. An object with the same result still keeps its `Arc`.
    All,
}

/// A new snapshot and what there is to tell about it.
#[derive(Debug)]
pub struct Applied {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// About objects that were checked this time.
    pub notices: Vec<Notice>,
    /// About the document.
    pub warnings: Vec<String>,
    /// The objects that were looked at, if not all of them.
    pub touched: Option<Vec<(Kind, String)>>,
}

/// Checks `document` and lays it over `prev`: the result holds exactly its objects.
pub fn apply(
    prev: &Snapshot,
    mut document: RawDocument,
    checker: &mut dyn PluginChecker,
    recheck: Recheck,
) -> Applied {
    let mut run = Run::new(prev, checker, recheck);
    for (kind, id, reason, line) in std::mem::take(&mut document.broken) {
        run.refusals.push(Refusal { kind, id, line, reason, kept: false });
    }
    let doc = &mut document;
    // First: a plugin may read its metadata while it checks its other configurations, and what
    // they describe by id.
    let plugin_metadata = run.collection(Kind::PluginMetadata, &prev.plugin_metadata, doc);
    run.checker.metadata(&plugin_metadata);
    let protos = run.collection(Kind::Protos, &prev.protos, doc);
    run.checker.protos(&protos);
    let mut next = Snapshot {
        version: prev.version,
        routes: run.collection(Kind::Routes, &prev.routes, doc),
        services: run.collection(Kind::Services, &prev.services, doc),
        upstreams: run.collection(Kind::Upstreams, &prev.upstreams, doc),
        consumers: run.collection(Kind::Consumers, &prev.consumers, doc),
        plugin_configs: run.collection(Kind::PluginConfigs, &prev.plugin_configs, doc),
        global_rules: run.collection(Kind::GlobalRules, &prev.global_rules, doc),
        plugin_metadata,
        consumer_groups: run.collection(Kind::ConsumerGroups, &prev.consumer_groups, doc),
        protos,
        ssls: run.collection(Kind::Ssls, &prev.ssls, doc),
        stream_routes: run.collection(Kind::StreamRoutes, &prev.stream_routes, doc),
        secrets: run.collection(Kind::Secrets, &prev.secrets, doc),
        plugins: prev.plugins.clone(),
        refusals: Arc::clone(&prev.refusals),
    };
    if document.plugins.as_ref() != prev.plugins.as_deref() {
        next.plugins = document.plugins.take().map(Arc::new);
        next.version = run.revision;
    }
    if run.refusals != *prev.refusals {
        next.refusals = Arc::new(run.refusals);
        next.version = run.revision;
    }
    if Kind::ALL.into_iter().any(|kind| next.kind_version(kind) != prev.kind_version(kind)) {
        next.version = run.revision;
    }
    let warnings = document.warnings;
    Applied { snapshot: next, notices: run.notices, warnings, touched: None }
}

struct Run<'c> {
    checker: &'c mut dyn PluginChecker,
    recheck: Recheck,
    revision: u64,
    /// Equal configurations of one plugin are checked once and share their result.
    memo: HashMap<(String, SchemaType, Fingerprint), (Verdict, Packed)>,
    refusals: Vec<Refusal>,
    notices: Vec<Notice>,
}

impl Run<'_> {
    fn collection<T: Object>(
        &mut self,
        kind: Kind,
        prev: &Collection<T>,
        document: &mut RawDocument,
    ) -> Collection<T> {
        let raws = document.without_duplicates(kind);
        let mut items = Vec::with_capacity(raws.len());
        for raw in raws {
            let before = prev.get(&raw.id);
            let (id, line) = (raw.id.clone(), raw.line);
            match self.one(kind, raw, before) {
                Ok(item) => items.push(item),
                Err(reason) => {
                    let kept = before.is_some();
                    self.refusals.push(Refusal { kind, id, line, reason, kept });
                    items.extend(before.cloned());
                }
            }
        }
        prev.updated(items)
    }

    /// The object of `raw`; the one from `before` if it is no different.
    fn one<T: Object>(
        &mut self,
        kind: Kind,
        raw: RawItem,
        before: Option<&Arc<Item<T>>>,
    ) -> Result<Arc<Item<T>>, String> {
        let same = before.filter(|before| unchanged(before, &raw));
        if self.recheck == Recheck::Changed
            && let Some(before) = same
        {
            return Ok(Arc::clone(before));
        }
        self.item(kind, raw, before)
    }

    fn item<T: Object>(
        &mut self,
        kind: Kind,
        raw: RawItem,
        before: Option<&Arc<Item<T>>>,
    ) -> Result<Arc<Item<T>>, String> {
        let RawItem { id, modified_index, created_index, hash, value, .. } = raw;
        let mut value = value.into_value()?;
        check_schema(kind, &id, &mut value)?;
        let old = before.map(|before| &before.typed);
        let owner = Owner {
            key: format!("/apisix/{}/{id}", kind.plural()).into(),
            version: modified_index.unwrap_or(self.revision),
        };
        let plugins =
            self.plugins((kind, &id), &mut value, &owner, old.map_or(&[], Object::plugins))?;
        self.check_rest(kind, &id, &mut value)?;
        let typed = T::read(&id, &mut value, plugins, old)?;
        if let Value::Object(map) = &mut value {
            map.insert("id".into(), Value::String(id.clone()));
        }
        if let Some(before) = before
            && before.hash == hash
            && modified_index.is_none_or(|index| index == before.modified_index)
            && before.value.is(&value)
            && same_plugins(before.typed.plugins(), typed.plugins())
        {
            return Ok(Arc::clone(before));
        }
        let created = before.map_or(self.revision, |before| before.created_index);
        Ok(Arc::new(Item {
            key: owner.key,
            id: id.into(),
            created_index: created_index.unwrap_or(created),
            modified_index: owner.version,
            hash,
            value: Packed::of(&value),
            typed,
        }))
    }

    /// Checks each plugin of an object and writes the checked configurations back.
    fn plugins(
        &mut self,
        (kind, id): (Kind, &str),
        value: &mut Value,
        owner: &Owner,
        before: &[Arc<PluginConf>],
    ) -> Result<Vec<Arc<PluginConf>>, String> {
        if kind == Kind::PluginMetadata {
            let (verdict, conf, _) = self.verdict(id, SchemaType::Metadata, value.clone());
            if let Verdict::Refused(err) = verdict {
                return Err(format!("failed to check the configuration of plugin {id} err: {err}"));
            }
            *value = conf;
            return Ok(Vec::new());
        }
        // Layer-4 plugins share names with others but not schemas.
        if kind == Kind::StreamRoutes {
            return Ok(Vec::new());
        }
        let schema_type = SchemaType::of(owner);
        let Some(Value::Object(confs)) = value.get_mut("plugins") else { return Ok(Vec::new()) };
        let mut plugins = Vec::with_capacity(confs.len());
        for (name, conf) in confs.iter_mut() {
            match conf {
                Value::Object(_) => {}
                // An empty Lua table is both.
                Value::Array(list) if list.is_empty() => {
                    *conf = Value::Object(serde_json::Map::new());
                }
                other => return Err(format!("invalid plugin conf {other} for plugin [{name}]")),
            }
            let hash = fingerprint(conf);
            let (verdict, checked, packed) = self.verdict(name, schema_type, std::mem::take(conf));
            let keep = PluginConf::keeping(name, hash, (&checked, &packed), owner, before);
            *conf = checked;
            match verdict {
                Verdict::Ok => {}
                Verdict::Refused(err) => {
                    let text =
                        format!("failed to check the configuration of plugin {name} err: {err}");
                    if !keep.meta.disable {
                        return Err(text);
                    }
                    self.notice(kind, id, format!("{text}; accepted, since it is disabled"));
                }
                Verdict::Unknown => return Err(format!("unknown plugin [{name}]")),
                Verdict::Ignored => {
                    let text =
                        format!("plugin [{name}] is not enabled, its configuration is ignored");
                    self.notice(kind, id, text);
                    continue;
                }
            }
            self.check_meta(&keep, conf)?;
            plugins.push(keep);
        }
        Ok(plugins)
    }

    fn verdict(
        &mut self,
        name: &str,
        schema_type: SchemaType,
        mut conf: Value,
    ) -> (Verdict, Value, Packed) {
        let key = (name.to_owned(), schema_type, fingerprint(&conf));
        if let Some((verdict, packed)) = self.memo.get(&key) {
            return (verdict.clone(), packed.value(), packed.clone());
        }
        let verdict = self.checker.check(name, schema_type, &mut conf);
        let packed = Packed::of(&conf);
        if self.memo.len() >= MEMO_MAX {
            // Where each differs from all others there is nothing to share.
            self.memo.clear();
        }
        self.memo.insert(key, (verdict.clone(), packed.clone()));
        (verdict, conf, packed)
    }

    fn check_meta(&mut self, plugin: &PluginConf, conf: &Value) -> Result<(), String> {
        if let Some(filter) = &plugin.meta.filter {
            self.checker
                .check_expr(filter)
                .map_err(|err| format!("failed to validate the 'vars' expression: {err}"))?;
        }
        if let Some(source) = conf.pointer("/_meta/pre_function").and_then(Value::as_str) {
            self.checker.check_function(source).map_err(|err| {
                format!("failed to load _meta.pre_function in plugin {}: {err}", plugin.name)
            })?;
        }
        Ok(())
    }

    fn check_rest(&mut self, kind: Kind, id: &str, value: &mut Value) -> Result<(), String> {
        if value.get("script").is_some_and(|script| !script.is_null()) {
            return Err("script is not supported by moongate".into());
        }
        if kind == Kind::Routes {
            if let Some(vars) = value.get("vars").filter(|vars| !vars.is_null()) {
                self.checker
                    .check_expr(vars)
                    .map_err(|err| format!("failed to validate the 'vars' expression: {err}"))?;
            }
            if let Some(source) = value.get("filter_func").and_then(Value::as_str) {
                self.checker
                    .check_function(&format!("return {source}"))
                    .map_err(|err| format!("failed to load filter function: {err}"))?;
            }
        }
        if kind == Kind::Protos {
            let text = |name: &str| value.get(name).and_then(Value::as_str);
            let (name, content) = (text("name").unwrap_or(id), text("content"));
            self.checker.check_interface(name, content.unwrap_or_default())?;
        }
        let upstream = match kind {
            Kind::Upstreams => Some(value),
            Kind::Routes | Kind::Services => value.get_mut("upstream"),
            _ => None,
        };
        if let Some(upstream) = upstream {
            upstream::normalise(upstream);
            upstream::check(upstream)?;
            if upstream.get("service_name").is_some()
                && let Some(name) = upstream.get("discovery_type").and_then(Value::as_str)
                && let Err(text) = self.checker.check_registry(name)
            {
                self.notice(kind, id, text);
            }
        }
        Ok(())
    }

    fn notice(&mut self, kind: Kind, id: &str, text: String) {
        self.notices.push(Notice { kind, id: id.to_owned(), text });
    }
}

fn unchanged<T>(before: &Item<T>, raw: &RawItem) -> bool {
    before.hash == raw.hash && raw.modified_index.is_none_or(|i| i == before.modified_index)
}

/// Whether the same plugins run: one that was ignored may be there now, with the same text.
fn same_plugins(before: &[Arc<PluginConf>], now: &[Arc<PluginConf>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// The compiled schema of a kind; `None` where APISIX has none either.
fn schema_of(name: &'static str) -> Result<Option<&'static Schema>, String> {
    type Compiled = HashMap<&'static str, Result<Schema, String>>;
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        Kind::ALL
            .into_iter()
            .map(Kind::singular)
            .chain(["credential"])
            .filter_map(|name| {
                let schema = Schema::compile(resource_schema::schema(name)?);
                Some((name, schema.map_err(|err| err.to_string())))
            })
            .collect()
    });
    match compiled.get(name) {
        None => Ok(None),
        Some(Ok(schema)) => Ok(Some(schema)),
        Some(Err(err)) => Err(format!("the schema of {name} cannot be compiled: {err}")),
    }
}

fn check_schema(kind: Kind, id: &str, value: &mut Value) -> Result<(), String> {
    let name = match kind {
        Kind::Consumers if consumer::credential(id).is_some() => "credential",
        // Its schema is the plugin's; secrets have one per manager.
        Kind::PluginMetadata | Kind::Secrets => return Ok(()),
        other => other.singular(),
    };
    match schema_of(name)? {
        Some(schema) => schema.check(value, &CheckOptions::default()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
