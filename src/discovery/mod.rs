//! Services: upstreams that name one get their nodes from a registry, and keep getting them.
//!
//! There is one [`Discovery`] for the process. The control thread shows it each snapshot before
//! the workers get it ([`Discovery::follow`]); a worker shows it what a plugin made
//! ([`Discovery::found`]). Each registry of config.yaml lives on a thread of its own; what it
//! tells becomes an upstream with nodes, made once for all workers, which they read from the
//! upstream that named the service: one atomic load for a request. A list that did not change is
//! not handed out again, so balancers and probes notice nothing.
//!
//! Nodes are used on while a registry is silent, up to a bound. A service is looked after as long
//! as an upstream wants it. Another registry is a file here that implements [`Registry`].

pub mod dns;
mod list;
pub mod registry;
mod service;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use registry::{Change, Feed, Registry, Services};
use serde_json::{Map, Value, json};
pub use service::OnNodes;
use service::{Centre, Hub, Service};
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
    time::timeout,
};

use crate::{
    clock,
    config::{Snapshot, raw::Kind, sought::Sought, upstream::Upstream},
    error::{self, Error, Result},
};

/// Services looked after at most. Those of the configuration come first; plugins may make more.
const SERVICES_MAX: usize = 20_000;

/// How long a request waits for the first answer about its service.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Every registry of the process.
pub struct Discovery {
    hub: Arc<Hub>,
    centres: BTreeMap<&'static str, Arc<Centre>>,
    services: Mutex<HashMap<Key, Weak<Service>>>,
    last_id: AtomicU64,
}

/// Registry, name and arguments of a service.
type Key = (&'static str, Box<str>, String);

impl Discovery {
    /// Starts `registries`; `on_nodes` hears of changes of upstreams that are followed.
    ///
    /// # Errors
    ///
    /// When a thread cannot be had.
    pub fn start(registries: Vec<Box<dyn Registry>>, on_nodes: OnNodes) -> io::Result<Self> {
        let (handing, (news, _)) = (Mutex::default(), watch::channel(0));
        let mut centres = BTreeMap::new();
        for registry in registries {
            let (orders, inbox) = mpsc::unbounded_channel();
            let about = (registry.name(), registry.config());
            let centre = Centre::new(about, registry.stale_max(), orders);
            centres.insert(registry.name(), Arc::new(centre));
            start(registry, Services(inbox))?;
        }
        let hub = Arc::new(Hub { handing, on_nodes, news });
        Ok(Self { hub, centres, services: Mutex::default(), last_id: AtomicU64::new(0) })
    }

    /// Knows no registry: for what checks and does not serve.
    #[must_use]
    pub fn none() -> Self {
        let (handing, (news, _)) = (Mutex::default(), watch::channel(0));
        let hub = Arc::new(Hub { handing, on_nodes: Box::new(|_, _, _| {}), news });
        let (centres, services) = (BTreeMap::new(), Mutex::default());
        Self { hub, centres, services, last_id: AtomicU64::new(0) }
    }

    /// Looks for the services of `snapshot`; of the objects `touched` alone, if all others were
    /// seen before. Nodes stay as they are until `then` has ended.
    pub fn follow(
        &self,
        snapshot: &Snapshot,
        touched: Option<&[(Kind, String)]>,
        then: impl FnOnce(),
    ) {
        let handing = self.handing();
        if !self.centres.is_empty() {
            let seek = |(key, upstream): (&Arc<str>, &Arc<Upstream>)| {
                if let Some(sought) = &upstream.sought {
                    // A request is told what is wrong with it.
                    let _ = self.seek(&handing, (key, upstream), sought);
                }
            };
            match touched {
                None => snapshot.each_upstream().for_each(seek),
                Some(touched) => {
                    let each = touched.iter();
                    each.filter_map(|(kind, id)| snapshot.upstream_of(*kind, id)).for_each(seek);
                }
            }
        }
        then();
    }

    fn handing(&self) -> MutexGuard<'_, ()> {
        self.hub.handing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upstream to use for `upstream`: itself, or one with the nodes that its service has
    /// now. It is looked for from now on, if it was not before; `scope` names it.
    ///
    /// # Errors
    ///
    /// [`error::Kind::Discovery`] without nodes, [`error::Kind::Discovering`] as long as nothing
    /// was told: [`Hearing::next`] waits for it.
    pub fn found(&self, upstream: &Arc<Upstream>, scope: &str) -> Result<Arc<Upstream>> {
        let Some(sought) = &upstream.sought else { return Ok(Arc::clone(upstream)) };
        if !sought.is_leased() {
            self.seek(&self.handing(), (scope, upstream), sought)?;
        }
        match sought.found().as_deref() {
            None => Err(error::Kind::Discovering.into()),
            Some(Ok(found)) if found.nodes.is_empty() => {
                Err(refusal("no valid upstream node".to_owned()))
            }
            Some(Ok(found)) => Ok(Arc::clone(found)),
            Some(Err(why)) => Err(refusal(format!("no valid upstream node: {why}"))),
        }
    }

    fn seek(
        &self,
        _handing: &MutexGuard<'_, ()>,
        (scope, upstream): (&str, &Arc<Upstream>),
        sought: &Sought,
    ) -> Result<()> {
        if sought.is_leased() {
            return Ok(());
        }
        let name = sought.registry.as_deref();
        let name = name.ok_or_else(|| refusal("discovery server need appoint".to_owned()))?;
        let Some(centre) = self.centres.get(name) else {
            return Err(refusal(format!("discovery {name} is uninitialized")));
        };
        let service = self.service(centre, sought)?;
        service.add(scope, upstream);
        sought.set_lease(Box::new(service));
        Ok(())
    }

    fn services(&self) -> MutexGuard<'_, HashMap<Key, Weak<Service>>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service of an upstream, which its registry looks after from now on.
    fn service(&self, centre: &Arc<Centre>, sought: &Sought) -> Result<Arc<Service>> {
        let args = sought.args.as_ref().map(Value::to_string).unwrap_or_default();
        let key = (centre.name, sought.service.clone(), args);
        let mut services = self.services();
        if let Some(service) = services.get(&key).and_then(Weak::upgrade) {
            return Ok(service);
        }
        if services.len() >= SERVICES_MAX {
            services.retain(|_, service| service.strong_count() > 0);
            if services.len() >= SERVICES_MAX {
                return Err(error::Kind::Limit("services looked up by discovery").into());
            }
        }
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let wanted = (&*sought.service, sought.args.as_ref());
        let service = Arc::new(Service::new(id, wanted, centre));
        services.insert(key, Arc::downgrade(&service));
        // The registry ends with the process only.
        let _ = centre.orders.send(Change::Begin(Feed::new(&service, &self.hub)));
        Ok(service)
    }

    /// Hears what is told from now on.
    #[must_use]
    pub fn hear(&self) -> Hearing {
        Hearing { news: self.hub.news.subscribe(), until: clock::now() + FIRST_ANSWER }
    }

    /// What is known, for those who debug; `None` for a registry that config.yaml has not.
    #[must_use]
    pub fn dump(&self, registry: &str) -> Option<Value> {
        let centre = self.centres.get(registry)?;
        let now = clock::now();
        let services: BTreeMap<String, Value> = self
            .each(centre)
            .into_iter()
            .map(|service| {
                let args = service.args.as_ref().map(|args| format!("?{args}"));
                let name = format!("{}{}", service.name, args.unwrap_or_default());
                (name, service.described(now))
            })
            .collect();
        let services: Map<String, Value> = services.into_iter().collect();
        Some(json!({"config": centre.config, "services": services}))
    }

    fn each(&self, centre: &Arc<Centre>) -> Vec<Arc<Service>> {
        let services = self.services();
        let of = |service: &Arc<Service>| Arc::ptr_eq(&service.centre, centre);
        services.values().filter_map(Weak::upgrade).filter(of).collect()
    }

    /// Age and size of each list, and what registries told, in the text format of Prometheus.
    /// Nothing without a registry.
    #[must_use]
    pub fn metrics(&self) -> String {
        let mut out = String::new();
        if self.centres.is_empty() {
            return out;
        }
        let now = clock::now();
        let (mut ages, mut nodes, mut stale) = (Vec::new(), Vec::new(), Vec::new());
        let (mut told, mut changes) = (Vec::new(), Vec::new());
        for centre in self.centres.values() {
            let registry = centre.name;
            for (result, count) in ["nodes", "none", "failed"].into_iter().zip(&centre.told) {
                let labels = format!("{{registry=\"{registry}\",result=\"{result}\"}}");
                told.push((labels, count.load(Ordering::Relaxed)));
            }
            let labels = format!("{{registry=\"{registry}\"}}");
            changes.push((labels, centre.changes.load(Ordering::Relaxed)));
            self.measure(centre, now, (&mut ages, &mut nodes, &mut stale));
        }
        let mut family = |name: &str, kind: &str, help: &str, rows: &mut Vec<(String, u64)>| {
            rows.sort();
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "# HELP moongate_discovery_{name} {help}\n# TYPE moongate_discovery_{name} {kind}"
            );
            for (labels, value) in rows {
                let _ = writeln!(out, "moongate_discovery_{name}{labels} {value}");
            }
        };
        family("answers_total", "counter", "What registries told of services", &mut told);
        family("changes_total", "counter", "Lists of nodes that changed", &mut changes);
        let help = "Seconds since the registry told a service's nodes";
        family("list_age_seconds", "gauge", help, &mut ages);
        family("nodes", "gauge", "Nodes of a service", &mut nodes);
        family("stale", "gauge", "Whether a registry does not tell of a service", &mut stale);
        out
    }

    fn measure(
        &self,
        centre: &Arc<Centre>,
        now: Instant,
        (ages, nodes, stale): (&mut Rows, &mut Rows, &mut Rows),
    ) {
        for service in self.each(centre) {
            let name = service.name.replace('\\', "\\\\").replace('"', "\\\"");
            let name = name.replace('\n', "\\n");
            let labels = format!("{{registry=\"{}\",service=\"{name}\"}}", centre.name);
            let (count, age, failing) = service.figures(now);
            if let Some(age) = age {
                ages.push((labels.clone(), age));
            }
            nodes.push((labels.clone(), count as u64));
            stale.push((labels, failing.into()));
        }
    }
}

type Rows = Vec<(String, u64)>;

fn refusal(text: String) -> Error {
    error::Kind::Discovery(text).into()
}

/// Starts a registry's thread.
fn start(registry: Box<dyn Registry>, services: Services) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let name = format!("discovery-{}", registry.name());
    thread::Builder::new().name(name).spawn(move || {
        LocalSet::new().block_on(&runtime, async move { registry.run(services).await });
    })?;
    Ok(())
}

/// A request's ear while its service is not known yet.
#[derive(Debug)]
pub struct Hearing {
    news: watch::Receiver<u64>,
    until: Instant,
}

impl Hearing {
    /// Waits until something is told; false if it takes too long.
    pub async fn next(&mut self) -> bool {
        let left = self.until.saturating_duration_since(clock::now());
        matches!(timeout(left, self.news.changed()).await, Ok(Ok(())))
    }
}
