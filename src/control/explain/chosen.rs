//! The route that serves a request: what it is put together of, what runs, where it goes.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::others::Walked;
use crate::{
    admin::{conceal_conf, judge::Facts},
    config::{
        check::SchemaType,
        merge::{Merged, UpstreamSource},
        plugin::{Owner, PluginConf},
        upstream::{Node, Upstream},
    },
    health::Registry,
    route::expr::Expr,
    worker::{Found, Stood},
};

/// The phases of plugins, in their order.
const PHASES: [&str; 8] = [
    "rewrite",
    "access",
    "before_proxy",
    "balancer",
    "header_filter",
    "body_filter",
    "delayed_body_filter",
    "log",
];

/// What it is told from.
pub(super) struct Chosen<'f> {
    pub(super) found: &'f Found,
    pub(super) stood: &'f Stood,
    pub(super) facts: &'f Facts,
    pub(super) nodes: &'f Registry,
}

impl Chosen<'_> {
    fn merged(&self) -> Option<&Merged> {
        self.found.merged.as_ref()
    }

    /// The route, with the objects that belong to it.
    pub(super) fn route(&self, walked: &Walked) -> Value {
        let Some(merged) = self.merged() else {
            // It may be there and lead nowhere: then the error says to what.
            let best = walked.best.as_ref().filter(|_| self.found.failed.is_some());
            return best.map_or(Value::Null, |route| json!({"id": *route.id}));
        };
        let route = &merged.route;
        let of = |name: &str| {
            let found = self.found.params.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let own = self.found.params.iter().filter(|(name, _)| !name.starts_with('_'));
        let params: Map<String, Value> =
            own.map(|(name, value)| (name.clone(), value.clone().into())).collect();
        json!({
            "id": *route.id,
            "name": route.typed.name.as_deref(),
            "priority": route.typed.priority,
            "matched_uri": of("_path"),
            "matched_host": of("_host"),
            "params": params,
            "service": merged.service.as_ref().map(|item| &*item.id),
            "plugin_config": merged.plugin_config.as_ref().map(|item| &*item.id),
            "consumer": merged.consumer.as_ref().map(|item| &*item.id),
            "consumer_group": merged.consumer_group.as_ref().map(|item| &*item.id),
            "conf_type": merged.conf_type,
            "conf_id": merged.conf_id,
        })
    }

    /// What runs for the route, in its order.
    pub(super) fn plugins(&self) -> Value {
        let confs = self.merged().map_or(&[][..], |merged| &merged.plugins);
        self.listed(&self.found.plugins, confs, |_| None)
    }

    /// What runs of the global rules, in its order.
    pub(super) fn global_rules(&self) -> Value {
        let globals = self.found.live.globals.as_ref();
        let confs = globals.map_or(&[][..], |globals| &globals.plugins);
        self.listed(&self.found.globals, confs, |entry| {
            let name = entry.get("name")?;
            let gives_way = entry.get("run_policy")? == "prefer_route";
            let here = self.found.plugins.iter().any(|own| own.get("name") == Some(name));
            (gives_way && here).then(|| "the route has the same plugin".into())
        })
    }

    fn listed(
        &self,
        list: &[Value],
        confs: &[Arc<PluginConf>],
        steps_back: impl Fn(&Value) -> Option<Value>,
    ) -> Value {
        let one = |entry: &Value| {
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            let conf = confs.iter().find(|conf| *conf.name == *name)?;
            let mut shown = self.conf(conf);
            let map = shown.as_object_mut()?;
            for key in ["priority", "phases"] {
                map.insert(key.to_owned(), entry.get(key).cloned().unwrap_or_default());
            }
            map.extend(steps_back(entry).map(|why| ("steps_back".to_owned(), why)));
            Some(shown)
        };
        list.iter().filter_map(one).collect()
    }

    /// A configuration, and the object that it stands in.
    fn conf(&self, conf: &PluginConf) -> Value {
        let mut value = conf.conf.value();
        let kind = match conf.owner.key.contains("/consumers/") {
            true => SchemaType::Consumer,
            false => SchemaType::Plugin,
        };
        conceal_conf(self.facts, &conf.name, kind, &mut value);
        let mut shown = json!({
            "name": *conf.name,
            "from": from(&conf.owner),
            "conf": value,
        });
        if let (Some(filter), Some(map)) = (&conf.meta.filter, shown.as_object_mut()) {
            // By the variables as the request brings them; plugins before it may set others.
            let holds = match Expr::compile(filter).map(|filter| filter.eval(self.stood)) {
                Ok(Ok(holds)) => Value::Bool(holds),
                Ok(Err(error)) => error.to_string().into(),
                Err(why) => why.into(),
            };
            map.insert("filter".to_owned(), json!({"expression": filter, "holds": holds}));
        }
        shown
    }

    /// The names that run in each phase: of the global rules, then of the route.
    pub(super) fn phases(&self) -> Value {
        let runs = |phase: &str| -> Vec<Value> {
            let all = self.found.globals.iter().chain(&self.found.plugins);
            let here = |entry: &&Value| {
                let phases = entry.get("phases").and_then(Value::as_array);
                phases.is_some_and(|phases| phases.iter().any(|known| known == phase))
            };
            all.filter(here).filter_map(|entry| entry.get("name").cloned()).collect()
        };
        let some = PHASES.iter().map(|phase| ((*phase).to_owned(), runs(phase)));
        let some = some.filter(|(_, names)| !names.is_empty());
        Value::Object(some.map(|(phase, names)| (phase, names.into())).collect())
    }

    /// Configurations that are there and do not run.
    pub(super) fn not_run(&self) -> Value {
        let Some(merged) = self.merged() else { return json!([]) };
        let runs = |name: &str| {
            self.found.plugins.iter().any(|entry| entry.get("name").is_some_and(|own| own == name))
        };
        let why = |conf: &PluginConf| {
            if conf.meta.disable { "disabled by its _meta" } else { "the plugin is not loaded" }
        };
        let silent = merged.plugins.iter().filter(|conf| !runs(&conf.name));
        let silent = silent.map(|conf| {
            json!({
                "name": *conf.name, "from": from(&conf.owner), "why": why(conf),
            })
        });
        let replaced = below(merged).filter_map(|conf| {
            let now = merged.plugins.iter().find(|now| now.name == conf.name)?;
            (!Arc::ptr_eq(now, conf)).then(|| {
                json!({
                    "name": *conf.name, "from": from(&conf.owner),
                    "why": "replaced", "by": from(&now.owner),
                })
            })
        });
        silent.chain(replaced).collect()
    }

    /// Where the request goes, unless a plugin decides otherwise.
    pub(super) fn upstream(&self) -> Value {
        let Some(merged) = self.merged() else { return Value::Null };
        let snapshot = &self.found.live.snapshot;
        match &merged.upstream {
            UpstreamSource::None => Value::Null,
            UpstreamSource::Id(id) => match snapshot.upstreams.get(id) {
                Some(item) => self.nodes(&item.typed, &item.key, Some(&item.value.value())),
                None => json!({"from": {"kind": "upstream", "id": **id}, "error": "not found"}),
            },
            UpstreamSource::Inline { upstream, key, .. } => {
                let of = match &merged.service {
                    Some(service) if **key != *merged.route.key => &service.value,
                    _ => &merged.route.value,
                };
                self.nodes(upstream, key, of.value().get("upstream"))
            }
        }
    }

    fn nodes(&self, upstream: &Arc<Upstream>, key: &str, value: Option<&Value>) -> Value {
        let mut shown = Map::new();
        shown.insert("from".to_owned(), place(key));
        for name in [
            "type",
            "hash_on",
            "key",
            "scheme",
            "pass_host",
            "upstream_host",
            "service_name",
            "discovery_type",
            "retries",
        ] {
            let found = value.and_then(|value| value.get(name)).cloned();
            shown.extend(found.map(|found| (name.to_owned(), found)));
        }
        let watch = self.nodes.of(key, upstream);
        let port = |node: &Node| node.port.or(upstream.scheme.default_port()).unwrap_or(80);
        let healthy = |at: usize| watch.as_ref().is_none_or(|watch| watch.is_healthy(at));
        let node = |(at, node): (usize, &Node)| {
            let target = watch.as_ref().and_then(|watch| watch.find(&node.host, port(node), None));
            let state = target.map_or("unchecked", |target| target.word.status().state.as_str());
            json!({
                "host": *node.host, "port": port(node), "weight": node.weight,
                "priority": node.priority, "state": state, "healthy": healthy(at),
            })
        };
        let list: Vec<Value> = upstream.nodes.iter().enumerate().map(node).collect();
        shown.insert("nodes".to_owned(), list.into());
        let next = candidates(&upstream.nodes, healthy);
        let name = |at: usize| upstream.nodes.get(at).map(|n| format!("{}:{}", n.host, port(n)));
        let next: Vec<String> = next.into_iter().filter_map(name).collect();
        shown.insert("picked_from".to_owned(), next.into());
        Value::Object(shown)
    }
}

/// The confs of all layers that are not the uppermost.
fn below(merged: &Merged) -> impl Iterator<Item = &Arc<PluginConf>> {
    let service = merged.service.iter().flat_map(|item| &item.typed.plugins);
    let config = merged.plugin_config.iter().flat_map(|item| &item.typed.plugins);
    let group = merged.consumer_group.iter().flat_map(|item| &item.typed.plugins);
    service.chain(config).chain(&merged.route.typed.plugins).chain(group)
}

/// The nodes of which the first try is sent to one: those of the highest priority that has a
/// healthy one, or, if there is none at all, any.
fn candidates(nodes: &[Node], healthy: impl Fn(usize) -> bool) -> Vec<usize> {
    if nodes.len() < 2 {
        return (0..nodes.len()).collect();
    }
    let weighed = || nodes.iter().enumerate().filter(|(_, node)| node.weight > 0);
    let any = weighed().any(|(at, _)| healthy(at));
    let good = |at: usize| !any || healthy(at);
    let first = weighed().filter(|(at, _)| good(*at)).map(|(_, node)| node.priority).max();
    let taken = weighed().filter(|(at, node)| good(*at) && Some(node.priority) == first);
    taken.map(|(at, _)| at).collect()
}

fn from(owner: &Owner) -> Value {
    place(&owner.key)
}

/// The object with this key.
fn place(key: &str) -> Value {
    let rest = key.strip_prefix("/apisix/").unwrap_or(key);
    let (plural, id) = rest.split_once('/').unwrap_or((rest, ""));
    let kind = plural.strip_suffix('s').unwrap_or(plural);
    json!({"kind": kind, "id": id})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_try_goes_to_a_healthy_node_of_the_highest_priority() {
        let node = |weight, priority| Node {
            host: "h".into(),
            ip: None,
            port: None,
            weight,
            priority,
            metadata: None,
            domain: None,
        };
        let nodes = [node(1, 1), node(1, 1), node(0, 1), node(1, 0)];
        assert_eq!(candidates(&nodes, |_| true), [0, 1]);
        assert_eq!(candidates(&nodes, |at| at != 0), [1]);
        assert_eq!(candidates(&nodes, |at| at > 1), [3], "one without weight gets nothing");
        assert_eq!(candidates(&nodes, |_| false), [0, 1], "none is healthy: health is ignored");
        assert_eq!(candidates(&nodes[2..3], |_| false), [0], "the only one");
        assert_eq!(candidates(&[], |_| true), [0; 0]);
    }

    #[test]
    fn keys_are_told_as_kind_and_id() {
        assert_eq!(place("/apisix/routes/1"), json!({"kind": "route", "id": "1"}));
        assert_eq!(place("/apisix/global_rules/g"), json!({"kind": "global_rule", "id": "g"}));
    }
}
