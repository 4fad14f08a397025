//! Health of upstream nodes: who is watched, by which checks, and what came of it.
//!
//! There is one [`Registry`] for the process. The control thread shows it each snapshot before
//! the workers get it ([`Registry::follow`]); it compares, and a node that stays keeps its
//! state, whatever else changed. Workers take the [`Watch`] of an upstream when they prepare it
//! and hold it: a pick then costs one atomic load per node, a report of an answer one more.
//! An upstream without checks has no watch and costs nothing.
//!
//! Probes begin with the configuration, not with the first request (APISIX waits for it): a
//! dead node is known before anybody is sent there. They run on one thread of their own for
//! all workers.
//!
//! Nothing here picks a node (`balance` does) or answers a request.

pub mod checks;
mod probe;
mod prober;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{Semaphore, mpsc};

use checks::{Active, Checks, Way};
use prober::{Job, Order};
use watch::{Gear, Plan};
pub use watch::{Target, Tried, Watch};

use crate::{
    config::{Snapshot, raw::Kind, upstream::Upstream},
    log::error_log::Level,
    log_at,
    upstream::{
        resolve::{self, Names},
        tls::{TlsClient, TlsOptions},
    },
};

/// What watches do besides watching.
pub struct Options {
    /// False: nobody is watched (`apisix.disable_upstream_healthcheck`).
    pub enabled: bool,
    /// `apisix.ssl.ssl_trusted_certificate`; the system's authorities without it.
    pub roots: Option<PathBuf>,
    /// Addresses of nodes with names.
    pub names: Arc<Names>,
}

/// Every watched upstream of the process.
pub struct Registry {
    options: Options,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Upstreams of the snapshot whose nodes a registry tells: key, and [`Upstream::id`].
    seekers: HashMap<Arc<str>, u64>,
    /// Of the snapshot, by key.
    watches: BTreeMap<Arc<str>, Arc<Watch>>,
    /// Of upstreams that plugins made, for as long as anybody has them.
    made: HashMap<Arc<str>, Weak<Watch>>,
    prober: Option<mpsc::UnboundedSender<Order>>,
    jobs: u64,
    /// For https with verification, made at the first need.
    verified: Option<Result<TlsClient, String>>,
}

impl Registry {
    /// Watches nobody yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, inner: Mutex::default() }
    }

    /// Watches nobody, ever: for what checks and does not serve.
    #[must_use]
    pub fn off() -> Self {
        let names = Names::new(resolve::Options::default());
        Self::new(Options { enabled: false, roots: None, names })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what `snapshot` wants watched, and nothing else of what it wanted before. If only
    /// the objects `touched` differ from the snapshot before, no other is looked at.
    pub fn follow(&self, snapshot: &Snapshot, touched: Option<&[(Kind, String)]>) {
        if !self.options.enabled {
            return;
        }
        let mut inner = self.inner();
        // With the first snapshot, wanted or not: later the control thread is less urgent than
        // requests, and who it starts then would be as well.
        let _ = self.orders(&mut inner);
        match touched {
            Some(touched) => {
                for (kind, id) in touched {
                    let upstream = snapshot.upstream_of(*kind, id).map(|(_, upstream)| upstream);
                    // That of an object that is gone, too.
                    let key: Arc<str> = format!("/apisix/{}/{id}", kind.plural()).into();
                    let old = inner.watches.remove(&key);
                    self.watch_again(&mut inner, &key, upstream, old);
                }
            }
            None => {
                inner.seekers.clear();
                let mut before = std::mem::take(&mut inner.watches);
                for (key, upstream) in snapshot.each_upstream() {
                    let old = before.remove(key);
                    self.watch_again(&mut inner, key, Some(upstream), old);
                }
                before.values().for_each(stop);
            }
        }
    }

    /// Watches `upstream` if it has checks; `old` is what was watched under its key.
    fn watch_again(
        &self,
        inner: &mut Inner,
        key: &Arc<str>,
        upstream: Option<&Arc<Upstream>>,
        old: Option<Arc<Watch>>,
    ) {
        inner.seekers.remove(key);
        let checked = upstream.filter(|upstream| upstream.checks.is_some());
        let found = checked.and_then(|upstream| match &upstream.sought {
            None => Some(Arc::clone(upstream)),
            Some(sought) => {
                inner.seekers.insert(Arc::clone(key), upstream.id);
                sought.found().as_deref().cloned()?.ok()
            }
        });
        match found.and_then(|found| self.watch(inner, key, &found, old.clone())) {
            Some(watch) => drop(inner.watches.insert(Arc::clone(key), watch)),
            None => old.iter().for_each(stop),
        }
    }

    /// A registry told other nodes (`None`: none) of the upstream of the snapshot that has this
    /// key and [`Upstream::id`]. Nodes that stay keep their state.
    pub fn moved(&self, key: &str, id: u64, upstream: Option<&Upstream>) {
        let mut inner = self.inner();
        let Some((key, _)) = inner.seekers.get_key_value(key).filter(|(_, known)| **known == id)
        else {
            return;
        };
        let key = Arc::clone(key);
        let old = inner.watches.remove(&key);
        let new = upstream.and_then(|now| self.watch(&mut inner, &key, now, old.clone()));
        match new {
            Some(watch) => drop(inner.watches.insert(key, watch)),
            None => old.iter().for_each(stop),
        }
    }

    /// The watch of an upstream of the snapshot. `None` without checks, and for a version that
    /// is no longer the current one.
    #[must_use]
    pub fn of(&self, key: &str, upstream: &Upstream) -> Option<Arc<Watch>> {
        upstream.checks.as_ref()?;
        let inner = self.inner();
        inner.watches.get(key).filter(|watch| watch.version == upstream.hash).map(Arc::clone)
    }

    /// The watch of an upstream that a plugin made and keeps under `key`. It lasts as long as
    /// somebody has it. `None` without checks.
    pub fn of_plugin(&self, key: &str, upstream: &Upstream) -> Option<Arc<Watch>> {
        if upstream.checks.is_none() || !self.options.enabled {
            return None;
        }
        let mut inner = self.inner();
        let made = inner.made.get(key).and_then(Weak::upgrade);
        if made.as_ref().is_some_and(|watch| watch.version == upstream.hash) {
            return made;
        }
        let key: Arc<str> = key.into();
        inner.made.retain(|_, watch| watch.strong_count() > 0);
        let watch = self.watch(&mut inner, &key, upstream, made)?;
        inner.made.insert(key, Arc::downgrade(&watch));
        Some(watch)
    }

    /// Ends the probes of a watch that a plugin no longer wants, whoever holds it yet.
    pub fn end(&self, watch: &Arc<Watch>) {
        let mut inner = self.inner();
        let known =
            inner.made.get(&watch.key).is_some_and(|made| made.ptr_eq(&Arc::downgrade(watch)));
        if known {
            inner.made.remove(&watch.key);
            watch.jobs.iter().for_each(|job| job.stop());
        }
    }

    /// The watch under `key`, if somebody is watched there.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Watch>> {
        let inner = self.inner();
        let made = || inner.made.get(key).and_then(Weak::upgrade);
        inner.watches.get(key).map(Arc::clone).or_else(made)
    }

    /// All watches, those of the snapshot first, each part in order of keys.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Watch>> {
        let mut all: Vec<_> = self.inner().watches.values().map(Arc::clone).collect();
        all.extend(self.of_plugins());
        all
    }

    /// Those of upstreams that plugins made, in order of keys.
    #[must_use]
    pub fn of_plugins(&self) -> Vec<Arc<Watch>> {
        let mut made: Vec<_> = self.inner().made.values().filter_map(Weak::upgrade).collect();
        made.sort_by(|a, b| a.key.cmp(&b.key));
        made
    }

    /// `upstream_status` in the text format of Prometheus: 1 for each node that gets traffic, 0
    /// for one that does not. Nothing while nobody is watched.
    #[must_use]
    pub fn metric(&self, prefix: &str) -> String {
        let mut out = String::new();
        for watch in self.all() {
            for (target, status) in watch.each() {
                if out.is_empty() {
                    out = format!(
                        "# HELP {prefix}upstream_status Upstream status from health check\n\
                         # TYPE {prefix}upstream_status gauge\n"
                    );
                }
                // Writing to a string cannot fail.
                let _ = writeln!(
                    out,
                    "{prefix}upstream_status{{name=\"{}\",ip=\"{}\",port=\"{}\"}} {}",
                    escaped(&watch.key),
                    escaped(&target.address()),
                    target.port,
                    u8::from(status.state.serves())
                );
            }
        }
        out
    }

    /// `old`, if it watches just this version of `upstream`, or a watch that takes over from it.
    fn watch(
        &self,
        inner: &mut Inner,
        key: &Arc<str>,
        upstream: &Upstream,
        old: Option<Arc<Watch>>,
    ) -> Option<Arc<Watch>> {
        let version = upstream.hash;
        if let Some(old) = &old
            && old.version == version
        {
            return Some(Arc::clone(old));
        }
        let (checks, odd) = Checks::read(upstream.checks.as_ref()?);
        for text in odd {
            log_at!(Level::Warn, "health checks of {key}: {text}");
        }
        let orders = match self.orders(inner) {
            Ok(orders) => orders,
            Err(error) => {
                log_at!(Level::Error, "health checks of {key} are off: {error}");
                return None;
            }
        };
        let plan = Plan::new(key, upstream, checks, old.as_deref());
        let gear = self.gear(inner, upstream, plan.active(), old.as_deref());
        let mut jobs = inner.jobs;
        let watch = plan.watch(version, gear, old.as_deref(), |target, gear| {
            jobs += 1;
            Job::start(jobs, target, gear, &orders)
        });
        inner.jobs = jobs;
        let kept: HashSet<_> = watch.jobs.iter().map(Arc::as_ptr).collect();
        for job in old.iter().flat_map(|old| &old.jobs) {
            if !kept.contains(&Arc::as_ptr(job)) {
                job.stop();
            }
        }
        Some(Arc::new(watch))
    }

    fn orders(&self, inner: &mut Inner) -> std::io::Result<mpsc::UnboundedSender<Order>> {
        if let Some(orders) = &inner.prober {
            return Ok(orders.clone());
        }
        let orders = prober::start(Arc::clone(&self.options.names))?;
        inner.prober = Some(orders.clone());
        Ok(orders)
    }

    /// The gear of `old`, if it is the same, or another.
    fn gear(
        &self,
        inner: &mut Inner,
        upstream: &Upstream,
        active: &Active,
        old: Option<&Watch>,
    ) -> Arc<Gear> {
        let identity = (active.way == Way::Https).then(|| identity(upstream)).flatten();
        let same = |old: &&Watch| old.gear.active == *active && old.gear.identity == identity;
        if let Some(old) = old.filter(same) {
            return Arc::clone(&old.gear);
        }
        let tls = match active.way {
            Way::Https => self.tls(inner, active.verify, identity.as_ref()).map(Some),
            Way::Http | Way::Tcp => Ok(None),
        };
        Arc::new(Gear {
            active: active.clone(),
            permits: Semaphore::new(active.concurrency),
            tls,
            identity,
        })
    }

    fn tls(
        &self,
        inner: &mut Inner,
        verify: bool,
        identity: Option<&(String, String)>,
    ) -> Result<TlsClient, String> {
        let client = identity.map(|(chain, key)| (chain.as_str(), key.as_str()));
        let verified = || TlsClient::trusting(self.options.roots.as_deref(), client);
        let made = match (verify, client) {
            (true, None) => {
                let made = || verified().map_err(|error| error.to_string());
                return inner.verified.get_or_insert_with(made).clone();
            }
            (true, Some(_)) => verified(),
            (false, None) => TlsClient::default_client().cloned(),
            (false, Some(_)) => TlsClient::new(&TlsOptions { client, ..TlsOptions::default() }),
        };
        made.map_err(|error| error.to_string())
    }
}

/// Ends the probes of a watch; workers may hold it for a moment yet.
fn stop(watch: &Arc<Watch>) {
    watch.jobs.iter().for_each(|job| job.stop());
}

/// A label's value as the text format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The certificate and the key that nodes of `upstream` are shown.
fn identity(upstream: &Upstream) -> Option<(String, String)> {
    let text = |name: &str| Some(upstream.tls.as_ref()?.get(name)?.as_str()?.to_owned());
    text("client_cert").zip(text("client_key"))
}
