//! What the control thread knows and the listeners beside the clients' show.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc::UnboundedSender, oneshot};

use super::{
    Event,
    tries::{Outcome, Try},
};
use crate::{
    admin::judge::Facts as PluginFacts,
    clock,
    config::{Item, local::Local},
    discovery::Discovery,
    health::Registry,
    live::Live,
    log::{
        target::Target,
        writer::{Stats, Writer},
    },
    lua::Vm,
    shared::{counts::Counts, metrics},
    worker::{Common, Order},
};

/// How long `plugins/reload` waits for its outcome.
const RELOAD: Duration = Duration::from_secs(120);

/// How long a worker may take for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// How much code that was tried is remembered.
const TRIES_MAX: usize = 16;

/// What the control thread tells these listeners.
pub(super) struct Board {
    /// Set when the process is about to end.
    pub(super) draining: AtomicBool,
    /// Whether the store never said yet what there is.
    unread: AtomicBool,
    live: ArcSwap<Live>,
    facts: Mutex<Facts>,
    metrics: Arc<metrics::Registry>,
    counts: Arc<Counts>,
    health: Arc<Registry>,
    discovery: Arc<Discovery>,
    writer: Writer,
    events: Mutex<mpsc::Sender<Event>>,
    strict: bool,
    /// What is known of plugins, which the Admin API and the Control API show.
    plugins: Arc<ArcSwap<PluginFacts>>,
    /// Orders of the workers, once these serve.
    workers: OnceLock<Vec<UnboundedSender<Order>>>,
    local: ArcSwap<Local>,
    /// Explanations are made one after the other.
    pub(super) explains: Semaphore,
    started: Instant,
}

/// What happened lately.
#[derive(Default)]
struct Facts {
    /// Why the objects' file is not in use, if it is not.
    objects_error: Option<String>,
    /// Plugins in the list that did not load: name and reason.
    broken: Vec<(String, String)>,
    loaded: Vec<(String, f64)>,
    generation: u64,
    /// The last reload: generation tried, and why it was refused.
    last: Option<(u64, Option<String>)>,
    /// The last roll-back: from, to, why.
    rolled_back: Option<(u64, u64, String)>,
    /// The code that was tried lately, the last one at the end.
    history: VecDeque<Try>,
    store: Option<StoreFacts>,
}

/// What is known of the store.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreFacts {
    /// Whether it answers.
    pub(super) connected: bool,
    /// The revision by which all workers serve.
    pub(super) revision: u64,
    /// What went wrong last, and when: seconds since 1970.
    pub(super) last_error: Option<(u64, String)>,
    /// The copy on disk from which a start without the store serves, if there is to be one.
    pub(super) snapshot: Option<(Option<u64>, Option<String>)>,
}

impl Board {
    pub(super) fn new(
        common: &Common,
        plugins: &Arc<ArcSwap<PluginFacts>>,
        writer: Writer,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            draining: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            live: ArcSwap::new(Arc::clone(&common.live)),
            facts: Mutex::default(),
            metrics: Arc::clone(&common.metrics),
            counts: Arc::clone(&common.counts),
            health: Arc::clone(&common.health),
            discovery: Arc::clone(&common.discovery),
            writer,
            events: Mutex::new(events),
            strict: common.local.readiness_strict,
            plugins: Arc::clone(plugins),
            workers: OnceLock::new(),
            local: ArcSwap::new(Arc::clone(&common.local)),
            explains: Semaphore::new(1),
            started: clock::now(),
        }
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_objects_error(&self, error: Option<String>) {
        self.facts().objects_error = error;
    }

    pub(super) fn set_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }

    pub(super) fn set_live(&self, live: &Arc<Live>, vm: &Vm) {
        self.live.store(Arc::clone(live));
        let mut facts = self.facts();
        facts.broken.clone_from(&vm.broken);
        facts.loaded = vm.loaded.iter().map(|p| (p.name.to_string(), p.priority)).collect();
        facts.generation = vm.generation.id;
    }

    /// From now on `workers` can be asked.
    pub(super) fn set_workers(&self, workers: Vec<UnboundedSender<Order>>) {
        // There is one start.
        let _ = self.workers.set(workers);
    }

    pub(super) fn set_local(&self, local: &Arc<Local>) {
        self.local.store(Arc::clone(local));
    }

    pub(super) fn local(&self) -> Arc<Local> {
        self.local.load_full()
    }

    pub(super) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    pub(super) fn plugin_facts(&self) -> Arc<PluginFacts> {
        self.plugins.load_full()
    }

    pub(super) fn nodes(&self) -> &Registry {
        &self.health
    }

    pub(super) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Changes what is known of the store.
    pub(super) fn store(&self, change: impl FnOnce(&mut StoreFacts)) {
        change(self.facts().store.get_or_insert_default());
    }

    /// Code was tried.
    pub(super) fn tried(&self, what: Try) {
        let mut facts = self.facts();
        if facts.history.len() >= TRIES_MAX {
            facts.history.pop_front();
        }
        facts.history.push_back(what);
    }

    /// The orders of the worker that has least to do.
    fn idle_worker(&self) -> Option<&UnboundedSender<Order>> {
        let running =
            |at: usize| self.counts.running.get(at).map(|cell| cell.load(Ordering::Relaxed));
        let all = self.workers.get()?.iter().enumerate();
        all.min_by_key(|(at, _)| running(*at)).map(|(_, worker)| worker)
    }

    /// Asks a worker.
    ///
    /// # Errors
    ///
    /// None answers, in words for the operator.
    pub(super) async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, String> {
        let worker = self.idle_worker().ok_or("the workers do not serve yet")?;
        let (answer, outcome) = oneshot::channel();
        worker.send(order(answer)).map_err(|_| "shutting down".to_owned())?;
        match tokio::time::timeout(ANSWER, outcome).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err("shutting down".to_owned()),
            Err(_) => Err("the worker takes too long".to_owned()),
        }
    }

    /// Lets all workers free what their Lua does not use any more.
    pub(super) fn collect(&self) {
        for worker in self.workers.get().into_iter().flatten() {
            // One that is gone has nothing to free.
            let _ = worker.send(Order::Collect);
        }
    }

    /// The generations that workers have VMs of.
    async fn held(&self) -> BTreeSet<u64> {
        let mut held = BTreeSet::new();
        for worker in self.workers.get().into_iter().flatten() {
            let (answer, outcome) = oneshot::channel();
            if worker.send(Order::Generations(answer)).is_ok()
                && let Ok(Ok(ids)) = tokio::time::timeout(ANSWER, outcome).await
            {
                held.extend(ids);
            }
        }
        held
    }

    /// The code that was tried lately: what became of it, and its files.
    pub(super) async fn generations(&self) -> Value {
        let held = self.held().await;
        let facts = self.facts();
        let list = facts.history.iter().map(|tried| tried.shown(facts.generation, &held));
        json!({"serving": facts.generation, "generations": list.collect::<Vec<_>>()})
    }

    /// How the gateway is.
    pub(super) fn health(&self) -> Value {
        let draining = self.draining.load(Ordering::SeqCst);
        let degraded = self.degraded();
        let (local, live) = (self.local(), self.live());
        let facts = self.facts();
        let store = facts.store.as_ref();
        let lost = store.is_some_and(|store| !store.connected);
        let well = degraded.is_empty() && !lost && facts.objects_error.is_none();
        let status = match (draining, well) {
            (true, _) => "draining",
            (false, true) => "ok",
            (false, false) => "degraded",
        };
        json!({
            "status": status,
            "version": crate::VERSION,
            "role": local.role.name(),
            "uptime": self.started.elapsed().as_secs(),
            "config": {
                "provider": local.provider.map(|provider| provider.to_string()),
                "version": live.snapshot.version,
                "refused": live.snapshot.refusals.len(),
                "error": facts.objects_error,
            },
            "store": store.map(StoreFacts::shown),
            "plugins": {
                "generation": facts.generation,
                "broken": facts.broken.len(),
                "degraded_routes": degraded,
            },
            "workers": self.worker_list(),
        })
    }

    pub(super) fn reloaded(&self, tried: u64, serves: u64, error: Option<&String>) {
        let mut facts = self.facts();
        facts.generation = serves;
        facts.last = Some((tried, error.cloned()));
    }

    pub(super) fn rolled_back(&self, from: u64, to: u64, why: &str) {
        let mut facts = self.facts();
        facts.generation = to;
        facts.rolled_back = Some((from, to, why.to_owned()));
        if let Some(tried) = facts.history.iter_mut().find(|tried| tried.id == from) {
            tried.outcome = Outcome::RolledBack(why.to_owned());
        }
    }

    /// Routes that are configured with a plugin that is not there.
    fn degraded(&self) -> Vec<String> {
        let broken: Vec<String> =
            self.facts().broken.iter().map(|(name, _)| name.clone()).collect();
        if broken.is_empty() {
            return Vec::new();
        }
        let live = self.live.load();
        let uses = |route: &&Arc<Item<crate::config::route::Route>>| {
            route.typed.plugins.iter().any(|conf| broken.iter().any(|name| **name == *conf.name))
        };
        live.snapshot.routes.iter().filter(uses).map(|route| route.id.to_string()).collect()
    }

    pub(super) fn ready(&self) -> (StatusCode, Value) {
        if self.draining.load(Ordering::SeqCst) {
            let body = json!({"status": "error", "error": "shutting down"});
            return (StatusCode::SERVICE_UNAVAILABLE, body);
        }
        if self.unread.load(Ordering::Relaxed) {
            // Every request would be answered with 404.
            let why = "the configuration was not received from the store yet";
            let body = json!({"status": "error", "error": why});
            return (StatusCode::SERVICE_UNAVAILABLE, body);
        }
        let degraded = self.degraded();
        if degraded.is_empty() {
            return (StatusCode::OK, json!({"status": "ok"}));
        }
        let status = if self.strict { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let word = if self.strict { "error" } else { "ok" };
        (status, json!({"status": word, "error": "degraded routes", "degraded_routes": degraded}))
    }

    pub(super) fn plugins(&self) -> Value {
        let facts = self.facts();
        json!({
            "generation": facts.generation,
            "loaded": facts.loaded.iter()
                .map(|(name, priority)| json!({"name": name, "priority": priority}))
                .collect::<Vec<_>>(),
            "broken": facts.broken.iter()
                .map(|(name, reason)| json!({"name": name, "error": reason}))
                .collect::<Vec<_>>(),
            "last_reload": facts.last.as_ref().map(|(tried, error)| json!({
                "generation": tried, "accepted": error.is_none(), "error": error,
            })),
            "last_rollback": facts.rolled_back.as_ref().map(|(from, to, why)| json!({
                "from": from, "to": to, "error": why,
            })),
            "reloads_accepted": self.counts.reloads_accepted.load(Ordering::Relaxed),
            "vms": cells(&self.counts.vms),
            "timers": cells(&self.counts.timers),
            "lua_bytes": cells(&self.counts.lua_bytes),
            "reloads_refused": self.counts.reloads_refused.load(Ordering::Relaxed),
            "rollbacks": self.counts.rollbacks.load(Ordering::Relaxed),
        })
    }

    /// Everything that is scraped.
    pub(super) fn all_metrics(&self) -> String {
        let nodes = self.health.metric(self.metrics.prefix());
        self.metrics.render() + &nodes + &self.own_metrics() + &self.discovery.metrics()
    }

    /// Metrics of the gateway itself, in the Prometheus text format.
    fn own_metrics(&self) -> String {
        use std::fmt::Write as _;
        let counts = &self.counts;
        let of = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let mut out = String::new();
        let mut family = |name: &str, kind: &str, help: &str, rows: &[(String, u64)]| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# HELP moongate_{name} {help}\n# TYPE moongate_{name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(out, "moongate_{name}{labels} {value}");
            }
        };
        let result = |name: &str, cell| (format!("{{result=\"{name}\"}}"), of(cell));
        let workers = |cells: &[AtomicU64]| -> Vec<(String, u64)> {
            let row = |(n, cell)| (format!("{{worker=\"{n}\"}}"), of(cell));
            cells.iter().enumerate().map(row).collect()
        };
        let reloads = [
            result("accepted", &counts.reloads_accepted),
            result("refused", &counts.reloads_refused),
            result("rolled_back", &counts.rollbacks),
        ];
        family("plugin_reloads_total", "counter", "Plugin code loaded anew", &reloads);
        let generation = [(String::new(), self.facts().generation)];
        family("plugin_generation", "gauge", "The plugin code that serves", &generation);
        let configs = [
            result("accepted", &counts.configs_accepted),
            result("refused", &counts.configs_refused),
        ];
        family("config_reloads_total", "counter", "Objects read anew", &configs);
        let live = self.live.load();
        let version = [(String::new(), live.snapshot.version)];
        family("config_version", "gauge", "The version of the objects that serves", &version);
        let refused = [(String::new(), live.snapshot.refusals.len() as u64)];
        family("config_refused_objects", "gauge", "Objects not used as written", &refused);
        family("lua_vms", "gauge", "Lua VMs alive", &workers(&counts.vms));
        family("lua_timers", "gauge", "Lua timers waiting or running", &workers(&counts.timers));
        family("lua_bytes", "gauge", "Bytes of Lua memory", &workers(&counts.lua_bytes));
        let lines = workers(&counts.mux_connections);
        family("mux_connections", "gauge", "Upstream connections that carry many calls", &lines);
        let calls = workers(&counts.mux_calls);
        family("mux_calls", "gauge", "Calls in flight on these", &calls);
        let mirrors = workers(&counts.mirrors);
        family("mirrors", "gauge", "Copies of requests on their way", &mirrors);
        let dropped = [(String::new(), of(&counts.mirrors_dropped))];
        family("mirrors_dropped_total", "counter", "Copies of requests not sent", &dropped);
        let logs = self.writer.stats();
        let files = |of: fn(&Stats) -> u64| -> Vec<(String, u64)> {
            let row = |(target, stats): &(Target, Stats)| (file_label(target), of(stats));
            logs.iter().map(row).collect()
        };
        let dropped = files(|stats| stats.dropped_lines);
        family("log_dropped_lines_total", "counter", "Log lines lost", &dropped);
        let dropped = files(|stats| stats.dropped_bytes);
        family("log_dropped_bytes_total", "counter", "Bytes of log lines lost", &dropped);
        let errors = files(|stats| stats.write_errors);
        family("log_write_errors_total", "counter", "Failed writes to a log", &errors);
        let queued = files(|stats| stats.queued_bytes as u64);
        family("log_queued_bytes", "gauge", "Bytes on their way to a log", &queued);
        out
    }

    pub(super) fn config(&self) -> Value {
        let live = self.live.load();
        let refusals: Vec<Value> = live
            .snapshot
            .refusals
            .iter()
            .map(|refusal| {
                json!({
                    "kind": refusal.kind.plural(), "id": refusal.id, "reason": refusal.reason,
                    "kept": refusal.kept, "line": refusal.line,
                })
            })
            .collect();
        json!({
            "version": live.snapshot.version,
            "error": self.facts().objects_error,
            "refused": refusals,
            "routes": live.snapshot.routes.len(),
            "problems": live.problems,
        })
    }

    fn worker_list(&self) -> Value {
        let cells = self.counts.open.iter().zip(&self.counts.requests);
        cells
            .map(|(open, requests)| {
                json!({
                    "connections": open.load(Ordering::Relaxed),
                    "requests": requests.load(Ordering::Relaxed),
                })
            })
            .collect()
    }

    pub(super) fn workers(&self) -> Value {
        let accepted = self.counts.accepted.load(Ordering::Relaxed);
        json!({"workers": self.worker_list(), "accepted": accepted})
    }

    pub(super) fn reload(&self) -> Result<(), String> {
        let (answer, outcome) = mpsc::channel();
        let sent = {
            let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
            events.send(Event::Reload(answer))
        };
        sent.map_err(|_| "shutting down".to_owned())?;
        outcome.recv_timeout(RELOAD).map_err(|_| "the reload takes too long".to_owned())?
    }
}

/// The label that names a log file; a path may hold any character.
fn file_label(target: &Target) -> String {
    let path = target.path().display().to_string();
    let path = path.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{file=\"{path}\"}}")
}

fn cells(cells: &[AtomicU64]) -> Vec<u64> {
    cells.iter().map(|cell| cell.load(Ordering::Relaxed)).collect()
}

impl StoreFacts {
    fn shown(&self) -> Value {
        json!({
            "connected": self.connected,
            "revision": self.revision,
            "last_error": self.last_error.as_ref()
                .map(|(time, error)| json!({"time": time, "error": error})),
            "snapshot": self.snapshot.as_ref()
                .map(|(revision, error)| json!({"revision": revision, "error": error})),
        })
    }
}
