//! What a worker offers to its VMs.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::breaker::Limits;
use super::host::socket::Network;
use crate::shared::redis::Clients as RedisClients;
use crate::{
    config::{Snapshot, snippet::Snippets},
    exchange::{Exchange, Inside, vars},
    health,
    log::{
        error_log::{self, Level},
        rotate::RotateOptions,
        writer::LogFile,
    },
    shared::{counts::Counts, dicts::Dicts, metrics::Registry, nonces::Nonces},
    upstream::resolve::Resolver,
};

/// Where temporary files are made, below the prefix.
const TEMP_DIR: &str = "tmp";

/// Bounds and settings of a VM.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What one resume may allocate, in bytes.
    pub resume_bytes_max: usize,
    /// What a VM may hold before garbage is collected at once, in bytes.
    pub vm_bytes_max: usize,
    /// What one resume may take.
    pub budget: Duration,
    /// When code that overran is suspended.
    pub breaker: Limits,
    /// `max_pending_timers`.
    pub pending_timers_max: usize,
    /// `max_running_timers`.
    pub running_timers_max: usize,
    /// Bytes of a request body that a plugin reads into memory; a larger one goes to a file.
    pub body_memory_bytes_max: usize,
    /// The prefix: holds `conf/`, `logs/`, `plugins/`.
    pub prefix: PathBuf,
    /// The snippets of config.yaml.
    pub snippets: Option<Arc<Snippets>>,
    /// `apisix.lua_module_hook`: required before any plugin.
    pub module_hook: Option<String>,
}

/// An uncaught error of a plugin.
#[derive(Debug, Clone, Copy)]
pub struct Raised<'r> {
    /// The generation of the code.
    pub generation: u64,
    /// Message with position.
    pub message: &'r str,
    /// The Lua stack.
    pub traceback: &'r str,
}

/// What the VMs of all workers share.
#[derive(Clone)]
pub(crate) struct Process {
    /// `ngx.shared`.
    pub(crate) dicts: Arc<Dicts>,
    /// Metrics of the process.
    pub(crate) metrics: Arc<Registry>,
    /// Numbers used once.
    pub(crate) nonces: Arc<Nonces>,
    /// Health of upstream nodes.
    pub(crate) health: Arc<health::Registry>,
    /// Connections and requests.
    pub(crate) counts: Arc<Counts>,
    /// Connections to Redis.
    pub(crate) redis: Arc<RedisClients>,
    /// Where access lines go.
    pub(crate) access: LogFile,
    /// How logs are rotated while no plugin says otherwise.
    pub(crate) rotation: RotateOptions,
}

/// Takes an uncaught error.
pub(crate) type OnError = Rc<dyn Fn(&Raised<'_>)>;

/// One worker, as Lua sees it.
pub(crate) struct Env {
    /// Bounds.
    pub(crate) settings: Settings,
    /// Number of this worker, from 0; the control VM has `workers`.
    pub(crate) worker: usize,
    /// How many workers there are.
    pub(crate) workers: usize,
    /// Whether this VM serves requests: the control VM only checks, and has no runtime.
    pub(crate) serves: bool,
    /// Whether the process is going down.
    pub(crate) exiting: Cell<bool>,
    /// The configuration outside of requests.
    pub(crate) snapshot: RefCell<Arc<Snapshot>>,
    /// config.yaml, merged over the defaults.
    pub(crate) local: RefCell<Arc<serde_json::Value>>,
    /// What all workers share.
    pub(crate) process: Process,
    /// What each code generation says of how logs are rotated; the newest one holds.
    pub(crate) rotations: RefCell<BTreeMap<u64, RotateOptions>>,
    /// Where request bodies go that are too large for memory.
    pub(crate) temp_dir: Rc<Path>,
    /// Name resolution.
    pub(crate) resolver: Option<Rc<Resolver>>,
    /// What all sockets of this worker share.
    pub(crate) network: Network,
    /// Called for an uncaught error outside of a request.
    pub(crate) on_error: RefCell<Option<OnError>>,
    /// Answers requests that Lua makes inside of others.
    pub(crate) inside: RefCell<Option<Rc<dyn Inside>>>,
}

impl Env {
    /// What worker `number` of `workers` offers; without a resolver it only checks.
    pub(crate) fn new(
        settings: Settings,
        (worker, workers): (usize, usize),
        (snapshot, local): (Arc<Snapshot>, Arc<serde_json::Value>),
        process: Process,
        resolver: Option<Rc<Resolver>>,
    ) -> Rc<Self> {
        let temp_dir = Rc::from(settings.prefix.join(TEMP_DIR));
        Rc::new(Self {
            settings,
            temp_dir,
            worker,
            workers,
            serves: resolver.is_some(),
            exiting: Cell::new(false),
            snapshot: RefCell::new(snapshot),
            local: RefCell::new(local),
            process,
            rotations: RefCell::default(),
            resolver,
            network: Network::default(),
            on_error: RefCell::default(),
            inside: RefCell::default(),
        })
    }

    /// Logs a line that no request is to blame for. `level` is nginx's number.
    pub(crate) fn log_lua(&self, level: u8, message: &str) {
        let context = error_log::Context::default();
        error_log::log(level_of(level), &context, format!("[lua] {message}").as_bytes());
    }

    /// Logs a line with the request it belongs to.
    pub(crate) fn log_request(level: u8, x: &Exchange, message: &str) {
        log_about(level_of(level), x, message);
    }
}

/// The level of a number as Lua has it; numbers that mean nothing are errors.
pub(crate) fn level_of(number: u8) -> Level {
    Level::from_number(i64::from(number)).unwrap_or(Level::Error)
}

/// Logs a line with the request it belongs to.
pub(crate) fn log_about(level: Level, x: &Exchange, message: &str) {
    if !error_log::enabled(level) {
        return;
    }
    let client = x.remote_text();
    let request = vars::request_line(x);
    let upstream = x.upstream.attempts.last().map(|attempt| {
        let protocol = x.upstream.asked.as_ref().map_or("http", |asked| asked.framing.name());
        let forward = String::from_utf8_lossy(&x.forward);
        format!("{protocol}://{}{forward}", attempt.addr).into_bytes()
    });
    let context = error_log::Context {
        connection: Some(x.serial),
        client: Some(&client),
        server: Some("_"),
        request: Some(&request),
        upstream: upstream.as_deref(),
        host: x.head.fields.get("host"),
        referrer: x.head.fields.get("referer"),
    };
    error_log::log(level, &context, message.as_bytes());
}
