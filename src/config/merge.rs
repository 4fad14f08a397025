//! Route, plugin_config, service, consumer group and consumer laid over each other.
//!
//! Pure functions of a [`Snapshot`]; who calls them caches the result per versions. Plugins
//! are replaced whole by name, never merged into each other: consumer over consumer group
//! over route over plugin_config over service.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    consumer::Consumer,
    item::{Collection, Item},
    packed::Packed,
    plugin::{PluginConf, PluginSet},
    route::Route,
    service::Service,
    snapshot::Snapshot,
    upstream::{Timeout, Upstream},
};
use crate::error;

/// An object names another that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingReference {
    /// `service`, `plugin_config` or `consumer_group`.
    pub kind: &'static str,
    /// The id that does not exist.
    pub id: String,
}

impl From<MissingReference> for error::Error {
    fn from(missing: MissingReference) -> Self {
        error::Kind::MissingReference { kind: missing.kind, id: missing.id }.into()
    }
}

/// Where the upstream of a merged route comes from.
#[derive(Debug, Clone)]
pub enum UpstreamSource {
    /// There is none.
    None,
    /// An upstream by id; looked up when the request needs it.
    Id(Arc<str>),
    /// An upstream that is part of a route or service.
    Inline {
        /// The upstream.
        upstream: Arc<Upstream>,
        /// Key of the owner, such as `/apisix/routes/1`.
        key: Arc<str>,
        /// Id of the owner.
        id: Arc<str>,
        /// `modifiedIndex` of the owner.
        version: u64,
    },
}

/// A route with everything that belongs to it.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The route.
    pub route: Arc<Item<Route>>,
    /// Its service.
    pub service: Option<Arc<Item<Service>>>,
    /// Its plugin_config.
    pub plugin_config: Option<Arc<Item<PluginSet>>>,
    /// The consumer, once known.
    pub consumer: Option<Arc<Item<Consumer>>>,
    /// The consumer's group.
    pub consumer_group: Option<Arc<Item<PluginSet>>>,
    /// One per name, disabled ones among them.
    pub plugins: Vec<Arc<PluginConf>>,
    /// Names of plugins that came with the consumer or its group and were not there before.
    pub from_consumer: Vec<Arc<str>>,
    /// The upstream.
    pub upstream: UpstreamSource,
    /// The route's own time limits.
    pub timeout: Option<Timeout>,
    /// Whether upgrades are let through.
    pub enable_websocket: bool,
    /// `route`, `route&service`, with `&consumer` and `&consumer_group` behind.
    pub conf_type: String,
    /// Ids, joined likewise.
    pub conf_id: String,
    /// Versions, joined likewise.
    pub conf_version: String,
}

/// Lays a route over its plugin_config and its service.
///
/// # Errors
///
/// One of them is named but does not exist.
pub fn merged(route: &Arc<Item<Route>>, snapshot: &Snapshot) -> Result<Merged, MissingReference> {
    let typed = &route.typed;
    let plugin_config = find(&snapshot.plugin_configs, "plugin_config", &typed.plugin_config_id)?;
    let service = find(&snapshot.services, "service", &typed.service_id)?;
    let mut plugins = Vec::new();
    if let Some(service) = &service {
        plugins.extend(service.typed.plugins.iter().cloned());
    }
    if let Some(config) = &plugin_config {
        overlay(&mut plugins, &config.typed.plugins);
    }
    overlay(&mut plugins, &typed.plugins);
    let mut conf_version = route.modified_index.to_string();
    if let Some(config) = &plugin_config {
        conf_version = format!("{conf_version}#{}", config.modified_index);
    }
    let (mut conf_type, mut conf_id) = ("route".to_owned(), route.id.to_string());
    if let Some(service) = &service {
        conf_type.push_str("&service");
        conf_id = format!("{conf_id}&{}", service.id);
        conf_version = format!("{conf_version}&{}", service.modified_index);
    }
    let websocket = service.as_ref().and_then(|service| service.typed.enable_websocket);
    Ok(Merged {
        upstream: upstream(route, service.as_ref()),
        timeout: typed.timeout.as_deref().copied(),
        enable_websocket: typed.enable_websocket.or(websocket).unwrap_or(false),
        route: Arc::clone(route),
        service,
        plugin_config,
        consumer: None,
        consumer_group: None,
        plugins,
        from_consumer: Vec::new(),
        conf_type,
        conf_id,
        conf_version,
    })
}

/// Lays a consumer and its group over a merged route.
///
/// # Errors
///
/// The consumer's group does not exist.
pub fn merge_consumer(
    merged: &Merged,
    consumer: &Arc<Item<Consumer>>,
    snapshot: &Snapshot,
) -> Result<Merged, MissingReference> {
    let group = find(&snapshot.consumer_groups, "consumer_group", &consumer.typed.group_id)?;
    let mut next = merged.clone();
    let over = group.iter().flat_map(|group| &group.typed.plugins).chain(&consumer.typed.plugins);
    for plugin in over {
        match next.plugins.iter_mut().find(|old| old.name == plugin.name) {
            Some(old) => *old = Arc::clone(plugin),
            None => {
                next.from_consumer.push(Arc::clone(&plugin.name));
                next.plugins.push(Arc::clone(plugin));
            }
        }
    }
    next.conf_type.push_str("&consumer");
    next.conf_version = format!("{}&{}", next.conf_version, snapshot.consumers.version);
    next.conf_id = format!("{}&{}", next.conf_id, consumer.typed.username);
    if let Some(group) = &group {
        next.conf_type.push_str("&consumer_group");
        next.conf_version = format!("{}&{}", next.conf_version, group.modified_index);
        next.conf_id = format!("{}&{}", next.conf_id, group.id);
    }
    next.consumer = Some(Arc::clone(consumer));
    next.consumer_group = group;
    Ok(next)
}

impl Merged {
    /// Whether the consumer brought any plugin.
    #[must_use]
    pub fn changed_by_consumer(&self) -> bool {
        let some = |plugins: &Vec<Arc<PluginConf>>| !plugins.is_empty();
        self.consumer.as_ref().is_some_and(|consumer| some(&consumer.typed.plugins))
            || self.consumer_group.as_ref().is_some_and(|group| some(&group.typed.plugins))
    }

    /// The merged object as plugins see it in `ctx.matched_route.value`.
    #[must_use]
    pub fn value(&self) -> Value {
        let route = object(&self.route.value);
        let mut value = match &self.service {
            None => route,
            Some(service) => over_service(object(&service.value), &route, &service.id),
        };
        value.insert("id".into(), Value::String(self.route.id.to_string()));
        if !self.plugins.is_empty() {
            let plugins =
                self.plugins.iter().map(|p| (p.name.to_string(), p.conf.value())).collect();
            value.insert("plugins".into(), Value::Object(plugins));
        }
        Value::Object(value)
    }
}

fn object(packed: &Packed) -> Map<String, Value> {
    match packed.value() {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A service's value with what a route says over it.
fn over_service(
    mut value: Map<String, Value>,
    route: &Map<String, Value>,
    service_id: &str,
) -> Map<String, Value> {
    let get = |name: &str| route.get(name);
    value.insert("service_id".into(), Value::String(service_id.to_owned()));
    if get("upstream").is_some() {
        value.shift_remove("upstream_id");
    }
    for name in ["upstream", "upstream_id", "timeout", "hosts", "labels", "name"] {
        if let Some(own) = get(name) {
            value.insert(name.into(), own.clone());
        }
    }
    if get("name").is_none() {
        value.shift_remove("name");
    }
    if let (None, Some(host)) = (value.get("hosts"), get("host")) {
        value.insert("host".into(), host.clone());
    }
    value
}

fn upstream(route: &Arc<Item<Route>>, service: Option<&Arc<Item<Service>>>) -> UpstreamSource {
    let inline = |upstream: &Arc<Upstream>, key: &Arc<str>, id: &Arc<str>, version: u64| {
        let (key, id) = (Arc::clone(key), Arc::clone(id));
        UpstreamSource::Inline { upstream: Arc::clone(upstream), key, id, version }
    };
    if let Some(id) = &route.typed.upstream_id {
        return UpstreamSource::Id(Arc::clone(id));
    }
    if let Some(own) = &route.typed.upstream {
        return inline(own, &route.key, &route.id, route.modified_index);
    }
    let Some(service) = service else { return UpstreamSource::None };
    if let Some(id) = &service.typed.upstream_id {
        return UpstreamSource::Id(Arc::clone(id));
    }
    match &service.typed.upstream {
        Some(own) => inline(own, &service.key, &service.id, service.modified_index),
        None => UpstreamSource::None,
    }
}

fn find<T>(
    collection: &Collection<T>,
    kind: &'static str,
    id: &Option<Arc<str>>,
) -> Result<Option<Arc<Item<T>>>, MissingReference> {
    let Some(id) = id else { return Ok(None) };
    match collection.get(id) {
        Some(item) => Ok(Some(Arc::clone(item))),
        None => Err(MissingReference { kind, id: id.to_string() }),
    }
}

/// Puts `over` on top: by name in place, the rest behind.
fn overlay(plugins: &mut Vec<Arc<PluginConf>>, over: &[Arc<PluginConf>]) {
    for plugin in over {
        match plugins.iter_mut().find(|old| old.name == plugin.name) {
            Some(old) => *old = Arc::clone(plugin),
            None => plugins.push(Arc::clone(plugin)),
        }
    }
}

/// All global rules as one.
#[derive(Debug, Clone, Default)]
pub struct GlobalRules {
    /// One per name.
    pub plugins: Vec<Arc<PluginConf>>,
    /// Version of the collection.
    pub version: u64,
    /// What to log once per version.
    pub errors: Vec<String>,
}

/// Lays all global rules beside each other. A plugin in two of them runs in none.
#[must_use]
pub fn global_rules(rules: &Collection<PluginSet>) -> GlobalRules {
    let mut all: Vec<(&Arc<PluginConf>, usize)> = Vec::new();
    let mut errors = Vec::new();
    for plugin in rules.iter().flat_map(|rule| &rule.typed.plugins) {
        match all.iter_mut().find(|(seen, _)| seen.name == plugin.name) {
            None => all.push((plugin, 1)),
            Some((_, times)) => {
                *times += 1;
                errors.push(format!(
                    "Found {} configured across different global rules. \
                     Removing it from execution list",
                    plugin.name
                ));
            }
        }
    }
    let plugins = all.into_iter().filter(|(_, times)| *times == 1);
    GlobalRules {
        plugins: plugins.map(|(plugin, _)| Arc::clone(plugin)).collect(),
        version: rules.version,
        errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        check::{Recheck, apply},
        raw::RawDocument,
        testing::Names,
    };
    use serde_json::json;

    fn snapshot(root: Value) -> Snapshot {
        let document = RawDocument::split(root, &|_| None).unwrap();
        let applied =
            apply(&Snapshot::default(), document, &mut Names::default(), Recheck::Changed);
        assert_eq!(*applied.snapshot.refusals, []);
        applied.snapshot
    }

    fn sample() -> Snapshot {
        snapshot(json!({
            "routes": [
                {"id": "r", "uri": "/", "service_id": "s", "plugin_config_id": "p", "host": "H.com",
                 "plugins": {"on-route": {"from": "route"}, "all": {"from": "route"}}},
                {"id": "own", "uri": "/o", "service_id": "s", "upstream": {"nodes": {"b:1": 1}},
                 "enable_websocket": false, "name": "n", "timeout": {"connect": 1, "send": 1, "read": 1}},
                {"id": "by-id", "uri": "/i", "upstream_id": "u"},
                {"id": "lost", "uri": "/l", "service_id": "nowhere"},
                {"id": "lost-config", "uri": "/l", "plugins": {}, "plugin_config_id": "nowhere"}
            ],
            "services": [{"id": "s", "upstream_id": "u", "enable_websocket": true, "name": "svc",
                "plugins": {"all": {"from": "service"}, "in-service": {"from": "service"}}}],
            "plugin_configs": [{"id": "p", "plugins": {
                "all": {"from": "config"}, "in-config": {"from": "config"},
                "in-service": {"from": "config"}}}],
            "upstreams": [{"id": "u", "nodes": {"a:1": 1}}],
            "consumers": [{"username": "jack", "group_id": "g", "plugins": {
                "all": {"from": "consumer"}, "new": {"from": "consumer"}}},
                {"username": "plain"}, {"username": "lost", "group_id": "nowhere"}],
            "consumer_groups": [{"id": "g", "plugins": {
                "new": {"from": "group"}, "in-group": {"from": "group"}}}]
        }))
    }

    fn origins(merged: &Merged) -> Vec<String> {
        let from = |p: &Arc<PluginConf>| {
            format!("{}:{}", p.name, p.conf.value()["from"].as_str().unwrap())
        };
        merged.plugins.iter().map(from).collect()
    }

    #[test]
    fn plugins_are_replaced_whole_by_name() {
        let snapshot = sample();
        let merged = merged(snapshot.routes.get("r").unwrap(), &snapshot).unwrap();
        assert_eq!(
            origins(&merged),
            ["all:route", "in-service:config", "in-config:config", "on-route:route"]
        );
        assert_eq!((merged.conf_type.as_str(), merged.conf_id.as_str()), ("route&service", "r&s"));
        assert_eq!(merged.conf_version, "1#1&1");
        assert!(merged.enable_websocket);
        assert!(matches!(&merged.upstream, UpstreamSource::Id(id) if &**id == "u"));
        let value = merged.value();
        assert_eq!((&value["id"], &value["service_id"]), (&json!("r"), &json!("s")));
        assert_eq!((&value["host"], value.get("name")), (&json!("h.com"), None));
        assert_eq!(value["plugins"]["all"]["from"], "route");
    }

    #[test]
    fn a_routes_own_upstream_and_flags_win() {
        let snapshot = sample();
        let own = merged(snapshot.routes.get("own").unwrap(), &snapshot).unwrap();
        assert!(!own.enable_websocket);
        assert!(matches!(&own.upstream, UpstreamSource::Inline { key, .. }
            if &**key == "/apisix/routes/own"));
        assert_eq!(own.timeout.unwrap().read.as_secs(), 1);
        assert_eq!(own.value().get("upstream_id"), None);
        assert_eq!(own.value()["name"], "n");
        let by_id = merged(snapshot.routes.get("by-id").unwrap(), &snapshot).unwrap();
        assert_eq!(by_id.conf_type, "route");
        assert!(matches!(by_id.upstream, UpstreamSource::Id(_)));
    }

    #[test]
    fn missing_objects_are_named() {
        let snapshot = sample();
        let lost = merged(snapshot.routes.get("lost").unwrap(), &snapshot).unwrap_err();
        assert_eq!(lost, MissingReference { kind: "service", id: "nowhere".into() });
        let lost = merged(snapshot.routes.get("lost-config").unwrap(), &snapshot).unwrap_err();
        assert_eq!(lost.kind, "plugin_config");
        let route = merged(snapshot.routes.get("r").unwrap(), &snapshot).unwrap();
        let consumer = snapshot.consumers.get("lost").unwrap();
        assert_eq!(merge_consumer(&route, consumer, &snapshot).unwrap_err().kind, "consumer_group");
    }

    #[test]
    fn a_consumer_lies_on_top() {
        let snapshot = sample();
        let route = merged(snapshot.routes.get("r").unwrap(), &snapshot).unwrap();
        let jack = snapshot.consumers.get("jack").unwrap();
        let with = merge_consumer(&route, jack, &snapshot).unwrap();
        assert_eq!(
            origins(&with)[..1].iter().chain(&origins(&with)[4..]).collect::<Vec<_>>(),
            ["all:consumer", "new:consumer", "in-group:group"]
        );
        assert_eq!(
            with.from_consumer.iter().map(|n| &**n).collect::<Vec<_>>(),
            ["new", "in-group"]
        );
        assert_eq!(with.conf_type, "route&service&consumer&consumer_group");
        assert_eq!(with.conf_id, "r&s&jack&g");
        assert_eq!(with.conf_version, "1#1&1&1&1");
        assert!(with.changed_by_consumer());
        let plain = snapshot.consumers.get("plain").unwrap();
        let with = merge_consumer(&route, plain, &snapshot).unwrap();
        assert!(!with.changed_by_consumer());
        assert_eq!(with.conf_type, "route&service&consumer");
    }

    #[test]
    fn a_plugin_in_two_global_rules_runs_in_none() {
        let snapshot = snapshot(json!({"global_rules": [
            {"id": 1, "plugins": {"a": {}, "b": {}}}, {"id": 2, "plugins": {"b": {}, "c": {}}},
            {"id": 3, "plugins": {"b": {}}}
        ]}));
        let rules = global_rules(&snapshot.global_rules);
        assert_eq!(rules.plugins.iter().map(|p| &*p.name).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(rules.errors.len(), 2);
        assert!(rules.errors[0].starts_with("Found b configured across different global rules"));
    }
}
