//! One service that upstreams want: what is known of it, and who is told.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::{list, registry::Change};
use crate::{
    clock,
    config::{
        sought::Found,
        upstream::{Node, Upstream},
    },
    log::error_log::Level,
    log_at,
};

/// Is told that the upstream with this scope and [`Upstream::id`] has other nodes (`None`: none),
/// before anybody sees them.
pub type OnNodes = Box<dyn Fn(&str, u64, Option<&Arc<Upstream>>) + Send + Sync>;

/// What all services share.
pub(super) struct Hub {
    /// Held while nodes are handed out, and while it is settled who gets them.
    pub(super) handing: Mutex<()>,
    pub(super) on_nodes: OnNodes,
    /// Grows with everything that is told.
    pub(super) news: watch::Sender<u64>,
}

/// One registry's half of its services.
#[derive(Debug)]
pub(super) struct Centre {
    pub(super) name: &'static str,
    pub(super) config: Value,
    pub(super) stale_max: Duration,
    pub(super) orders: mpsc::UnboundedSender<Change>,
    /// Services that the registry does not tell of at the moment.
    failing: AtomicUsize,
    /// How often it told: nodes, none, a failure.
    pub(super) told: [AtomicU64; 3],
    /// How often nodes changed.
    pub(super) changes: AtomicU64,
}

impl Centre {
    pub(super) fn new(
        (name, config): (&'static str, Value),
        stale_max: Duration,
        orders: mpsc::UnboundedSender<Change>,
    ) -> Self {
        let (failing, told, changes) = Default::default();
        Self { name, config, stale_max, orders, failing, told, changes }
    }
}

/// A service. It is looked after as long as anybody has it.
pub(super) struct Service {
    pub(super) id: u64,
    /// As upstreams name it.
    pub(super) name: Box<str>,
    pub(super) args: Option<Value>,
    pub(super) centre: Arc<Centre>,
    state: Mutex<State>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    known: Known,
    /// When the registry told it last, and since when it is so.
    heard: Option<Instant>,
    since: Option<Instant>,
    /// Since when the registry has not been able to tell, and why.
    failing: Option<(Instant, String)>,
    /// Whether the log has this list as cut.
    cut: bool,
    followers: Vec<(Arc<str>, Weak<Upstream>)>,
}

/// What upstreams of a service get.
#[derive(Default, Clone)]
enum Known {
    /// Nothing was told yet.
    #[default]
    Nothing,
    Nodes(Arc<[Node]>),
    None(Arc<str>),
}

impl Known {
    fn found(&self, upstream: &Upstream) -> Option<Found> {
        match self {
            Self::Nothing => None,
            Self::Nodes(nodes) => Some(Ok(upstream.with_nodes(nodes))),
            Self::None(why) => Some(Err(Arc::clone(why))),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.state().failing.is_some() {
            self.centre.failing.fetch_sub(1, Ordering::AcqRel);
        }
        // The registry ends with the process only.
        let _ = self.centre.orders.send(Change::End(self.id));
    }
}

impl Service {
    pub(super) fn new(id: u64, (name, args): (&str, Option<&Value>), centre: &Arc<Centre>) -> Self {
        let (name, args, centre) = (name.into(), args.cloned(), Arc::clone(centre));
        Self { id, name, args, centre, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `upstream` gets what is told, and at once what is known. The caller holds
    /// [`Hub::handing`].
    pub(super) fn add(&self, scope: &str, upstream: &Arc<Upstream>) {
        let known = {
            let mut state = self.state();
            state.followers.retain(|(_, upstream)| upstream.strong_count() > 0);
            state.followers.push((scope.into(), Arc::downgrade(upstream)));
            state.known.clone()
        };
        if let (Some(sought), Some(found)) = (&upstream.sought, known.found(upstream)) {
            sought.set_found(found);
        }
    }

    /// What is known, for those who debug.
    pub(super) fn described(&self, now: Instant) -> Value {
        let state = self.state();
        let age = |at: &Instant| now.saturating_duration_since(*at).as_secs();
        let nodes: Vec<Value> = match &state.known {
            Known::Nodes(nodes) => nodes.iter().map(node_value).collect(),
            Known::Nothing | Known::None(_) => Vec::new(),
        };
        let why = match (&state.failing, &state.known) {
            (Some((_, why)), _) => Some(why.clone()),
            (None, Known::None(why)) => Some(why.to_string()),
            (None, _) => None,
        };
        json!({
            "nodes": nodes,
            "age": state.heard.as_ref().map(age),
            "unchanged_for": state.since.as_ref().map(age),
            "stale": state.failing.is_some() && !nodes.is_empty(),
            "error": why,
        })
    }

    /// Nodes, seconds since the registry told them, and whether it could not since.
    pub(super) fn figures(&self, now: Instant) -> (usize, Option<u64>, bool) {
        let state = self.state();
        let nodes = match &state.known {
            Known::Nodes(nodes) => nodes.len(),
            Known::Nothing | Known::None(_) => 0,
        };
        let age = state.heard.map(|heard| now.saturating_duration_since(heard).as_secs());
        (nodes, age, state.failing.is_some())
    }

    /// Takes what was told and hands it to the followers, if it is new.
    fn take(&self, hub: &Hub, known: Known, now: Instant) {
        let _handing = hub.handing.lock().unwrap_or_else(PoisonError::into_inner);
        let followers: Vec<_> = {
            let mut state = self.state();
            state.known = known.clone();
            state.since = Some(now);
            let upgraded = |(scope, upstream): &(Arc<str>, Weak<Upstream>)| {
                Some((Arc::clone(scope), upstream.upgrade()?))
            };
            state.followers.iter().filter_map(upgraded).collect()
        };
        for (scope, upstream) in &followers {
            let (Some(sought), Some(found)) = (&upstream.sought, known.found(upstream)) else {
                continue;
            };
            // First who looks after the nodes, then who sends to them.
            (hub.on_nodes)(scope, upstream.id, found.as_ref().ok());
            sought.set_found(found);
        }
        hub.news.send_modify(|news| *news += 1);
    }

    /// The registry tells again.
    fn heard(&self, now: Instant) {
        let mut state = self.state();
        state.heard = Some(now);
        let Some((since, _)) = state.failing.take() else { return };
        drop(state);
        let (name, service) = (self.centre.name, &self.name);
        let seconds = now.saturating_duration_since(since).as_secs();
        if self.centre.failing.fetch_sub(1, Ordering::AcqRel) == 1 {
            log_at!(
                Level::Notice,
                "discovery {name} tells of all services again, of {service} after {seconds} s"
            );
        } else {
            log_at!(Level::Info, "discovery {name} tells of {service} again after {seconds} s");
        }
    }

    fn nodes(&self, hub: &Hub, nodes: Vec<Node>, now: Instant) {
        let (nodes, over) = list::settle(nodes);
        self.heard(now);
        let (name, service) = (self.centre.name, &self.name);
        let (before, cut) = {
            let mut state = self.state();
            (state.known.clone(), std::mem::replace(&mut state.cut, over > 0))
        };
        if over > 0 && !cut {
            log_at!(
                Level::Warn,
                "discovery {name}: service {service} has {over} nodes more than {} and they are \
                 not used",
                list::NODES_MAX
            );
        }
        let (came, went) = match &before {
            Known::Nodes(before) if **before == *nodes => return,
            Known::Nodes(before) => list::difference(before, &nodes),
            Known::Nothing | Known::None(_) => (nodes.len(), 0),
        };
        log_at!(
            Level::Info,
            "discovery {name}: service {service} has {} nodes, {came} came and {went} went",
            nodes.len()
        );
        self.centre.changes.fetch_add(1, Ordering::Relaxed);
        self.take(hub, Known::Nodes(nodes.into()), now);
    }

    fn none(&self, hub: &Hub, why: &str, now: Instant) {
        self.heard(now);
        let (name, service) = (self.centre.name, &self.name);
        let before = self.state().known.clone();
        match &before {
            Known::None(before) if **before == *why => return,
            Known::Nodes(nodes) => {
                self.centre.changes.fetch_add(1, Ordering::Relaxed);
                let count = nodes.len();
                log_at!(
                    Level::Warn,
                    "discovery {name}: service {service} is gone with its {count} nodes: {why}"
                );
            }
            Known::Nothing | Known::None(_) => {
                log_at!(Level::Warn, "discovery {name}: there is no service {service}: {why}");
            }
        }
        self.take(hub, Known::None(why.into()), now);
    }

    /// Nodes are used on, up to the registry's bound.
    fn failed(&self, hub: &Hub, why: &str, now: Instant) {
        let (name, service) = (self.centre.name, &self.name);
        let (known, heard, first) = {
            let mut state = self.state();
            let first = state.failing.is_none();
            let since = state.failing.as_ref().map_or(now, |(since, _)| *since);
            state.failing = Some((since, why.to_owned()));
            (state.known.clone(), state.heard, first)
        };
        let age = heard.map(|heard| now.saturating_duration_since(heard)).unwrap_or_default();
        let kept = match &known {
            Known::Nodes(nodes) if age < self.centre.stale_max => Some(nodes.len()),
            _ => None,
        };
        if first {
            // One line for an outage, however many services there are.
            let others = self.centre.failing.fetch_add(1, Ordering::AcqRel);
            let level = if others == 0 { Level::Error } else { Level::Info };
            let after = match kept {
                Some(nodes) => format!(
                    "its {nodes} nodes are used for up to {} s more",
                    self.centre.stale_max.saturating_sub(age).as_secs()
                ),
                None => "it has no nodes".to_owned(),
            };
            log_at!(level, "discovery {name} does not tell of service {service}, {after}: {why}");
        }
        match known {
            Known::Nodes(nodes) if kept.is_none() => {
                log_at!(
                    Level::Error,
                    "discovery {name}: nothing was heard of service {service} for {} s, its {} \
                     nodes are not used any more: {why}",
                    age.as_secs(),
                    nodes.len()
                );
                self.centre.changes.fetch_add(1, Ordering::Relaxed);
                self.take(hub, Known::None(why.into()), now);
            }
            Known::Nothing => self.take(hub, Known::None(why.into()), now),
            Known::Nodes(_) | Known::None(_) => {}
        }
    }
}

fn node_value(node: &Node) -> Value {
    let mut value = json!({
        "host": &*node.host,
        "port": node.port,
        "weight": node.weight,
        "priority": node.priority,
    });
    if let (Some(metadata), Some(map)) = (&node.metadata, value.as_object_mut()) {
        map.insert("metadata".to_owned(), Value::clone(metadata));
    }
    value
}

/// A registry's way to tell of one service. What is told of a service that nobody wants any more
/// is lost.
pub struct Feed {
    service: Weak<Service>,
    hub: Arc<Hub>,
    id: u64,
    name: Box<str>,
    args: Option<Value>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("service", &self.name).finish_non_exhaustive()
    }
}

impl Feed {
    pub(super) fn new(service: &Arc<Service>, hub: &Arc<Hub>) -> Self {
        let (name, args) = (service.name.clone(), service.args.clone());
        Self { service: Arc::downgrade(service), hub: Arc::clone(hub), id: service.id, name, args }
    }

    /// Number of the service, given once.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// `service_name`
    #[must_use]
    pub fn service(&self) -> &str {
        &self.name
    }

    /// `discovery_args`
    #[must_use]
    pub fn args(&self) -> Option<&Value> {
        self.args.as_ref()
    }

    /// The registry says that these are the nodes, all of them, in any order.
    pub fn nodes(&self, nodes: Vec<Node>) {
        self.tell(0, |service, hub, now| service.nodes(hub, nodes, now));
    }

    /// The registry says that there is no such service.
    pub fn none(&self, why: &str) {
        self.tell(1, |service, hub, now| service.none(hub, why, now));
    }

    /// The registry could not say anything; to be called again as long as that lasts.
    pub fn failed(&self, why: &str) {
        self.tell(2, |service, hub, now| service.failed(hub, why, now));
    }

    fn tell(&self, what: usize, tell: impl FnOnce(&Service, &Hub, Instant)) {
        let Some(service) = self.service.upgrade() else { return };
        if let Some(count) = service.centre.told.get(what) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        tell(&service, &self.hub, clock::now());
    }
}
