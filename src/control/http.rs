//! The listeners that are not the clients': status (7085), Control API (9090), metrics (9091).
//!
//! They run on one thread of their own, so that a scrape never holds up a worker.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::{Event, health as nodes, start};
use crate::{
    accept::listener,
    admin::{judge, mask_secrets},
    config::{Item, item::Collection, local::Local},
    health::Registry,
    live::Live,
    log::{
        target::Target,
        writer::{Stats, Writer},
    },
    lua::Vm,
    shared::{counts::Counts, metrics},
    worker::Common,
};

/// How long `plugins/reload` waits for its outcome.
const RELOAD: Duration = Duration::from_secs(120);

/// What the control thread tells these listeners.
pub(super) struct Board {
    /// Set when the process is about to end.
    pub(super) draining: AtomicBool,
    /// Whether the store never said yet what there is.
    unread: AtomicBool,
    live: ArcSwap<Live>,
    facts: Mutex<Facts>,
    plugins: Arc<ArcSwap<judge::Facts>>,
    metrics: Arc<metrics::Registry>,
    counts: Arc<Counts>,
    health: Arc<Registry>,
    writer: Writer,
    events: Mutex<mpsc::Sender<Event>>,
    strict: bool,
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
}

impl Board {
    pub(super) fn new(
        common: &Common,
        plugins: Arc<ArcSwap<judge::Facts>>,
        writer: Writer,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            draining: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            live: ArcSwap::new(Arc::clone(&common.live)),
            facts: Mutex::default(),
            plugins,
            metrics: Arc::clone(&common.metrics),
            counts: Arc::clone(&common.counts),
            health: Arc::clone(&common.health),
            writer,
            events: Mutex::new(events),
            strict: common.local.readiness_strict,
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

    pub(super) fn reloaded(&self, tried: u64, serves: u64, error: Option<&String>) {
        let mut facts = self.facts();
        facts.generation = serves;
        facts.last = Some((tried, error.cloned()));
    }

    pub(super) fn rolled_back(&self, from: u64, to: u64, why: &str) {
        let mut facts = self.facts();
        facts.generation = to;
        facts.rolled_back = Some((from, to, why.to_owned()));
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

    fn ready(&self) -> (StatusCode, Value) {
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

    fn plugins(&self) -> Value {
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

    fn config(&self) -> Value {
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

    fn workers(&self) -> Value {
        let list: Vec<Value> = self
            .counts
            .open
            .iter()
            .zip(&self.counts.requests)
            .map(|(open, requests)| {
                json!({
                    "connections": open.load(Ordering::Relaxed),
                    "requests": requests.load(Ordering::Relaxed),
                })
            })
            .collect();
        json!({"workers": list, "accepted": self.counts.accepted.load(Ordering::Relaxed)})
    }

    fn reload(&self) -> Result<(), String> {
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

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn text(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert("content-type", kind);
    }
    response.headers_mut().insert("server", http::HeaderValue::from_static(crate::SERVER));
    response
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    text(status, "application/json", format!("{body}\n"))
}

fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "text/html", crate::rescue::html(404))
}

/// A kind of object as it is shown: with masks for its secrets.
struct Shown<'a> {
    plugins: &'a judge::Facts,
    /// Name of the collection.
    kind: &'static str,
}

impl Shown<'_> {
    fn all<T>(&self, collection: &Collection<T>) -> Answer {
        let list: Value = collection.iter().map(|item| self.value(item)).collect();
        json_answer(StatusCode::OK, &list)
    }

    fn value<T>(&self, item: &Item<T>) -> Value {
        let mut value = item.value.value();
        mask_secrets(self.plugins, self.kind, &item.id, &mut value);
        json!({
            "key": *item.key,
            "value": value,
            "createdIndex": item.created_index,
            "modifiedIndex": item.modified_index,
        })
    }

    /// `word` is the kind in the singular.
    fn one<T>(&self, collection: &Collection<T>, word: &str, id: &str) -> Answer {
        match collection.get(id) {
            Some(item) => json_answer(StatusCode::OK, &self.value(item)),
            None => json_answer(
                StatusCode::NOT_FOUND,
                &json!({"error_msg": format!("{word}[{id}] not found")}),
            ),
        }
    }
}

/// Answers one request to the status listener.
fn status(board: &Board, request: &Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/status" => json_answer(StatusCode::OK, &json!({"status": "ok"})),
        "/status/ready" => {
            let (status, body) = board.ready();
            json_answer(status, &body)
        }
        _ => not_found(),
    }
}

/// Answers one request to the Control API.
async fn control(board: Arc<Board>, request: &Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let ok = |body: &Value| json_answer(StatusCode::OK, body);
    if path == "/v1/plugins/reload" {
        return reload(board, request).await;
    }
    if request.method() == Method::POST && path == "/v1/gc" {
        return text(StatusCode::OK, "text/plain", "");
    }
    if request.method() != Method::GET {
        return not_found();
    }
    let live = board.live.load_full();
    let snapshot = &live.snapshot;
    let facts = board.plugins.load();
    let shown = |kind: &'static str| Shown { plugins: &facts, kind };
    let mut parts = path.trim_start_matches("/v1/").splitn(2, '/');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("plugins", None) => ok(&board.plugins()),
        ("config", None) => ok(&board.config()),
        ("workers", None) => ok(&board.workers()),
        ("routes", None) => shown("routes").all(&snapshot.routes),
        ("services", None) => shown("services").all(&snapshot.services),
        ("upstreams", None) => shown("upstreams").all(&snapshot.upstreams),
        ("plugin_metadatas", None) => shown("plugin_metadata").all(&snapshot.plugin_metadata),
        ("route", Some(id)) => shown("routes").one(&snapshot.routes, "route", id),
        ("service", Some(id)) => shown("services").one(&snapshot.services, "service", id),
        ("healthcheck", None) => nodes::all(&board.health, snapshot, request),
        ("healthcheck", Some(rest)) => nodes::one(&board.health, snapshot, rest, request),
        ("upstream", Some(id)) => shown("upstreams").one(&snapshot.upstreams, "upstream", id),
        ("plugin_metadata", Some(id)) => {
            shown("plugin_metadata").one(&snapshot.plugin_metadata, "plugin_metadata", id)
        }
        _ => not_found(),
    }
}

async fn reload(board: Arc<Board>, request: &Request<Incoming>) -> Answer {
    if request.method() != Method::PUT {
        let text = format!(
            "please use PUT method to reload the plugins, {} method is not allowed.",
            request.method()
        );
        return json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error_msg": text}));
    }
    match tokio::task::spawn_blocking(move || board.reload()).await {
        Ok(Ok(())) => text(StatusCode::OK, "text/plain", "done"),
        Ok(Err(reason)) => json_answer(StatusCode::BAD_REQUEST, &json!({"error_msg": reason})),
        Err(error) => {
            json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"error_msg": error.to_string()}))
        }
    }
}

/// Which listener a request came to.
#[derive(Clone)]
enum Face {
    Status,
    Control,
    Metrics(Arc<str>),
}

async fn answer(
    board: Arc<Board>,
    face: Face,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    Ok(match face {
        Face::Status => status(&board, &request),
        Face::Control => control(board, &request).await,
        Face::Metrics(uri) if request.uri().path() == &*uri => text(
            StatusCode::OK,
            "text/plain; version=0.0.4",
            board.metrics.render()
                + &board.health.metric(board.metrics.prefix())
                + &board.own_metrics(),
        ),
        Face::Metrics(_) => not_found(),
    })
}

/// Where metrics are exported: `plugin_attr.prometheus`.
fn export(local: &Local) -> Option<(SocketAddr, Arc<str>)> {
    if !local.plugins.iter().any(|plugin| plugin == "prometheus") {
        return None;
    }
    let attr = local.plugin_attr.get("prometheus");
    let of = |name: &str| attr.and_then(|attr| attr.get(name));
    if of("enable_export_server") == Some(&Value::Bool(false)) {
        return None;
    }
    let addr = of("export_addr");
    let ip = addr.and_then(|addr| addr.get("ip")?.as_str()?.parse().ok());
    let port = addr.and_then(|addr| u16::try_from(addr.get("port")?.as_u64()?).ok());
    let uri = of("export_uri").and_then(Value::as_str).unwrap_or("/apisix/prometheus/metrics");
    let ip = ip.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    Some((SocketAddr::new(ip, port.unwrap_or(9091)), Arc::from(uri)))
}

/// The listeners that `local` asks for.
fn faces(local: &Local) -> Vec<(SocketAddr, Face)> {
    let mut faces = vec![(SocketAddr::from(local.status), Face::Status)];
    faces.extend(local.control.map(|addr| (SocketAddr::from(addr), Face::Control)));
    faces.extend(export(local).map(|(addr, uri)| (addr, Face::Metrics(uri))));
    faces
}

/// Looks whether the listeners can be opened, before anything is served. With `takeover` the
/// process that is to end still has them.
///
/// # Errors
///
/// When a port is taken.
pub(super) fn probe(local: &Local, takeover: bool) -> Result<(), String> {
    for (addr, _) in faces(local) {
        listener::probe(addr, takeover).map_err(|error| start::taken(addr, &error))?;
    }
    Ok(())
}

/// Opens the listeners and serves them on a thread of their own.
///
/// # Errors
///
/// When a port is taken.
pub(super) fn serve(board: Arc<Board>, local: &Local) -> Result<(), String> {
    let mut sockets = Vec::new();
    for (addr, face) in faces(local) {
        let socket = listener::listen(addr).map_err(|error| start::taken(addr, &error))?;
        sockets.push((socket, face));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let run = move || {
        let local = tokio::task::LocalSet::new();
        for (socket, face) in sockets {
            local.spawn_local(accept(Arc::clone(&board), socket, face));
        }
        runtime.block_on(local);
    };
    thread::Builder::new()
        .name("control-http".into())
        .spawn(run)
        .map_err(|error| error.to_string())?;
    Ok(())
}

async fn accept(board: Arc<Board>, socket: std::net::TcpListener, face: Face) {
    let Ok(listener) = tokio::net::TcpListener::from_std(socket) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (board, face) = (Arc::clone(&board), face.clone());
        tokio::task::spawn_local(async move {
            let service =
                service_fn(move |request| answer(Arc::clone(&board), face.clone(), request));
            // What a client of these listeners breaks is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
