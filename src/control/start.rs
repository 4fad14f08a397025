//! Starting: everything between the command line and the first request.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, mpsc},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::task::LocalSet;

use super::{
    Control, Event, admin,
    board::Board,
    discovery, http, judge,
    rebuild::Rebuild,
    stored::Storage,
    tries::{Outcome, Try},
};
use crate::{
    accept::listener::{self, Peers},
    balance, clock,
    config::{
        Local, Snapshot, env, local,
        local::{RouterKind, WorkerCount},
        provider::Provider,
        snippet::Sites,
        source::reader::Reader,
    },
    discovery::Discovery,
    health,
    live::Live,
    log::{
        self,
        error_log::{self, Level},
        rotate::RotateOptions,
        target::Target,
        writer::{self, Class, Writer},
    },
    log_at,
    lua::{
        Vm,
        breaker::Limits,
        env::{Env, Settings},
        loader::{Generation, Places},
        pace::Pace,
    },
    parse::client_addr::ClientAddr,
    route::Mode,
    shared::{counts::Counts, dicts::Dicts, metrics::Registry},
    sys::{cpu, platform, port},
    upstream::resolve::{self, Names},
    worker::{self, Code, Common, Own},
};

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds `conf/`, `logs/`, `plugins/`.
    pub prefix: PathBuf,
    /// Instead of `conf/config.yaml`.
    pub config: Option<PathBuf>,
    /// Listen beside a running process instead of refusing.
    pub takeover: bool,
    /// Serve the embedded example when the prefix has no configuration at all.
    pub demo: bool,
}

impl Options {
    /// Where config.yaml is.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| local::path(&self.prefix, &env::process))
    }
}

/// Where Lua files are looked for.
#[must_use]
pub(super) fn places(prefix: &Path, local: &Local) -> Places {
    Places {
        extra: local.extra_lua_path.clone(),
        plugins: vec![
            prefix.join("plugins"),
            prefix.join("apisix/plugins"),
            PathBuf::from("/plugins"),
        ],
        lua: vec![prefix.join("lua")],
        extra_c: local.extra_lua_cpath.clone(),
        checked: Vec::new(),
    }
}

/// The router's mode.
pub(super) fn mode(local: &Local) -> Mode {
    match local.router_http {
        RouterKind::Uri => Mode::Uri,
        RouterKind::HostUri => Mode::HostUri,
        RouterKind::UriWithParameter => Mode::UriWithParameter,
    }
}

/// The error log's level.
pub(super) fn level(local: &Local) -> Level {
    Level::from_number(i64::from(local.error_log_level as u8)).unwrap_or(Level::Warn)
}

fn settings(prefix: &Path, local: &Local) -> Settings {
    Settings {
        resume_bytes_max: local.memory.resume_bytes_max,
        vm_bytes_max: local.memory.vm_bytes_max,
        budget: local.watchdog.budget,
        breaker: Limits {
            overruns_max: local.watchdog.overruns_max as usize,
            window: local.watchdog.overruns_window,
            suspend: local.watchdog.suspend,
        },
        pending_timers_max: local.max_pending_timers,
        running_timers_max: local.max_running_timers,
        body_memory_bytes_max: 64 << 20,
        prefix: prefix.to_path_buf(),
        snippets: local.snippets.clone(),
        module_hook: local.lua_module_hook.clone(),
    }
}

/// A VM that checks, and config.yaml, for commands that do not serve.
///
/// # Errors
///
/// When config.yaml or the shelves do not load.
pub fn checking(options: &Options) -> Result<(Vm, Local), String> {
    checking_plugins(options, &[])
}

/// The same, with some plugins taken from given directories, in the list or not.
///
/// # Errors
///
/// As [`checking`].
pub fn checking_plugins(
    options: &Options,
    checked: &[(String, PathBuf)],
) -> Result<(Vm, Local), String> {
    let mut local = load_local(options, &options.config_path())?.local;
    for (name, _) in checked {
        if !local.plugins.contains(name) {
            local.plugins.push(name.clone());
        }
    }
    Sites::of(&local)?;
    let local = Arc::new(local);
    let (events, _) = mpsc::channel();
    let mut common = common(options, &local, 1, writer::LogFile::off(), &events);
    let places = Places { checked: checked.to_vec(), ..places(&options.prefix, &local) };
    common.generation = Arc::new(Generation::new(1, places));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let vm = check_vm(&runtime, &common, &common.generation)?;
    Ok((vm, (*local).clone()))
}

/// A VM that checks and does not serve, with all plugins of `common` loaded.
///
/// # Errors
///
/// When the shelves do not load; plugins that do not are in `Vm::broken`.
pub(super) fn check_vm(
    runtime: &tokio::runtime::Runtime,
    common: &Common,
    generation: &Arc<Generation>,
) -> Result<Vm, String> {
    let env = Env::new(
        common.settings.clone(),
        (common.workers, common.workers),
        (Arc::clone(&common.live.snapshot), Arc::clone(&common.local.raw)),
        common.process(),
        None,
    );
    LocalSet::new().block_on(runtime, async {
        let pace = Pace::polite();
        let mut vm = Vm::bare(Rc::clone(&env), Arc::clone(generation), &pace).await?;
        for plugin in common.plugins.iter() {
            pace.step().await;
            // What does not load is remembered in the VM.
            let _ = vm.load_plugin(plugin).await;
        }
        for clash in vm.order() {
            log_at!(Level::Warn, "plugins share a priority and run by name: {clash}");
        }
        Ok(vm)
    })
}

/// How logs are rotated while no plugin says otherwise.
fn rotation(local: &Local) -> RotateOptions {
    RotateOptions {
        max_size: local.log.rotate_bytes,
        // Two files share what all may take: a full access log must not cost the errors.
        max_total_size: local.log.total_bytes_max / 2,
        ..RotateOptions::default()
    }
}

fn open_logs(prefix: &Path, local: &Local, writer: &Writer) -> Result<writer::LogFile, String> {
    let rotation = rotation(local);
    let open = |path: &str, class: Class| {
        let target = Target::parse(path, prefix)?;
        if let Some(dir) = target.path().parent() {
            // If it cannot be made, opening says why.
            let _ = fs::create_dir_all(dir);
        }
        writer.open(&target, class, rotation.clone()).map_err(|error| format!("{path}: {error}"))
    };
    let errors = open(&local.error_log, Class::Error)?;
    error_log::set_file(Some(errors));
    error_log::set_level(level(local));
    if !local.access_log.enabled {
        return Ok(writer::LogFile::off());
    }
    open(&local.access_log.path, Class::Access)
}

/// A config.yaml that knows its provider.
struct Settled {
    local: Arc<Local>,
    /// Nobody asked for that provider.
    by_default: bool,
    /// What there is to tell.
    lines: Vec<(Level, String)>,
}

fn settle(options: &Options, path: &Path) -> Result<Settled, String> {
    let local::Loaded { mut local, warnings } = load_local(options, path)?;
    let by_default = local.provider.is_none();
    let (provider, why) = Provider::choose(&local, &options.prefix, &env::process);
    local.set_provider(provider);
    let mut lines = vec![(Level::Notice, format!("use config_provider: {provider} ({why})"))];
    lines.extend(warnings.iter().map(|warning| (Level::Warn, warning.to_string())));
    Ok(Settled { local: Arc::new(local), by_default, lines })
}

/// Opens the logs and writes their first lines.
fn begin_logs(
    prefix: &Path,
    local: &Local,
    lines: &[(Level, String)],
) -> Result<(Writer, writer::LogFile), String> {
    log::install(log::Platform {
        local_offset_s: platform::local_offset_s,
        free_bytes: platform::free_bytes,
    });
    let writer = Writer::new(writer::Options {
        queue_bytes_max: local.log.queue_bytes,
        min_free: local.log.free_bytes_min,
        ..writer::Options::default()
    });
    let access = open_logs(prefix, local, &writer)?;
    for (level, line) in lines {
        log_at!(*level, "{line}");
    }
    Ok((writer, access))
}

/// Reads everything, starts the workers and waits until they serve.
pub(super) fn start(
    options: &Options,
    events: &mpsc::Sender<Event>,
    inbox: &mpsc::Receiver<Event>,
) -> Result<Control, String> {
    let config_path = options.config_path();
    let Settled { local, by_default, lines } = settle(options, &config_path)?;
    let (writer, access) = begin_logs(&options.prefix, &local, &lines)?;
    ClientAddr::new(&local)
        .map_err(|error| format!("real_ip_from or trusted_addresses: {error}"))?;
    let workers = count_workers(&local)?;
    let files = platform::raise_open_files(local.worker_rlimit_nofile);
    log_at!(Level::Info, "open files: {files}");
    http::probe(&local, options.takeover)?;
    admin::probe(&local, options.takeover)?;
    let listeners = listen(&local, workers, options.takeover)?;
    let mut common = common(options, &local, workers, access, events);
    common.discovery = Arc::new(discovery::start(&options.prefix, &local, &common.health)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let vm = check_vm(&runtime, &common, &common.generation)?;
    for (name, reason) in &vm.broken {
        log_at!(Level::Error, "plugin {name} does not load: {reason}");
    }
    let facts = Arc::new(ArcSwap::from_pointee(judge::facts(&vm)));
    let board = Arc::new(Board::new(&common, &facts, writer.clone(), events.clone()));
    let example = example(options, &config_path, &local);
    let place = (options.prefix.as_path(), options.takeover);
    let storage = Storage::open(place, (&local, by_default), events)?;
    let mut control = Control {
        prefix: options.prefix.clone(),
        config_path,
        snapshot: Arc::clone(&common.live.snapshot),
        live: Arc::clone(&common.live),
        rebuild: Rebuild::new(events),
        generation: Arc::clone(&common.generation),
        last_id: common.generation.id,
        before: None,
        rejected: None,
        workers: Vec::new(),
        runtime,
        vm,
        board,
        writer,
        reader: Reader::default(),
        retired: Vec::new(),
        replaced: None,
        read_once: false,
        example,
        storage,
        listed: None,
        facts,
        local,
        common,
    };
    control.board.tried(Try::new(&control.generation, None, 0, Outcome::Served));
    control.reload_objects();
    control.await_store(inbox, events);
    control.common.live = Arc::clone(&control.live);
    control.common.code = Arc::new(Code::of(&control.vm, &control.common.plugins));
    start_workers(&mut control, listeners)?;
    let orders = control.workers.iter().map(|worker| worker.orders.clone()).collect();
    control.board.set_workers(orders);
    http::serve(Arc::clone(&control.board), &control.local)?;
    admin::serve(&control, events)?;
    write_pid_file(&options.prefix);
    log_at!(Level::Notice, "moongate {} is ready, {workers} workers", crate::VERSION);
    Ok(control)
}

/// The objects to serve where nobody has configured anything, so that the first start
/// answers something.
fn example(options: &Options, config_path: &Path, local: &Local) -> Option<&'static str> {
    let objects = local::standalone_path(&options.prefix, local.standalone, &env::process);
    if !options.demo || options.config.is_some() || config_path.exists() || objects.exists() {
        return None;
    }
    log_at!(
        Level::Warn,
        "there is neither {} nor {}: serving the built-in example until the latter is there, \
         try http://127.0.0.1:9080/hello",
        config_path.display(),
        objects.display()
    );
    Some(include_str!("../../conf/apisix.yaml"))
}

pub(super) fn load_local(options: &Options, path: &Path) -> Result<local::Loaded, String> {
    let result = if path.exists() || options.config.is_some() {
        local::load(path, &env::process)
    } else {
        local::parse("", "(built-in defaults)", &env::process)
    };
    result
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn count_workers(local: &Local) -> Result<usize, String> {
    let cpus = cpu::read(Path::new("/"));
    let configured = match local.workers {
        WorkerCount::Auto => None,
        WorkerCount::Fixed(count) => Some(count),
    };
    let workers = cpu::decide_workers(configured, &env::process, &cpus)?;
    log_at!(Level::Notice, "{} workers by {} ({cpus})", workers.count, workers.by);
    Ok(workers.count)
}

/// One set of sockets per worker. Without `takeover` a taken port is an error.
fn listen(
    local: &Local,
    workers: usize,
    takeover: bool,
) -> Result<Vec<Vec<std::net::TcpListener>>, String> {
    let mut all: Vec<Vec<std::net::TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut seen = BTreeSet::new();
    if !local.role.serves() {
        return Ok(all);
    }
    let own = local.node_listen.iter();
    let own = own.map(|listen| (SocketAddr::new(listen.ip, listen.port), listen.optional));
    // What snippets add to the clients' ports.
    let sites = Sites::of(local)?;
    let more = sites.iter().flat_map(Sites::listens).map(|addr| (addr, false));
    for (addr, optional) in own.chain(more) {
        if !seen.insert(addr) {
            continue;
        }
        if !takeover && let Err(error) = listener::probe(addr, false) {
            if optional {
                continue;
            }
            return Err(taken(addr, &error));
        }
        for sockets in &mut all {
            match listener::listen(addr) {
                Ok(socket) => sockets.push(socket),
                Err(_) if optional => {}
                Err(error) => return Err(taken(addr, &error)),
            }
        }
    }
    Ok(all)
}

/// The message for a port that cannot be had.
pub(super) fn taken(addr: SocketAddr, error: &std::io::Error) -> String {
    if error.kind() != std::io::ErrorKind::AddrInUse {
        return format!("cannot listen on {addr}: {error}");
    }
    match port::owner(addr) {
        Some(pid) => format!("cannot listen on {addr}: address already in use by pid {pid}"),
        None => format!("cannot listen on {addr}: address already in use"),
    }
}

/// What the names of plugins' metrics begin with.
fn metric_prefix(local: &Local) -> &str {
    let attr = local.plugin_attr.get("prometheus");
    attr.and_then(|attr| attr.get("metric_prefix")?.as_str()).unwrap_or("apisix_")
}

fn health_options(prefix: &Path, local: &Local, names: &Arc<Names>) -> health::Options {
    let at = |pointer| local.raw.pointer(pointer);
    let disabled = at("/apisix/disable_upstream_healthcheck").and_then(|value| value.as_bool());
    let roots = at("/apisix/ssl/ssl_trusted_certificate").and_then(|path| path.as_str());
    health::Options {
        // Who sends nothing to nodes need not know how they are.
        enabled: !disabled.unwrap_or(false) && local.role.serves(),
        roots: roots.filter(|path| *path != "system").map(|path| prefix.join(path)),
        names: Arc::clone(names),
    }
}

fn common(
    options: &Options,
    local: &Arc<Local>,
    workers: usize,
    access: writer::LogFile,
    events: &mpsc::Sender<Event>,
) -> Common {
    let dicts = local
        .shared_dicts
        .iter()
        .map(|(name, bytes)| (name.as_str(), usize::try_from(*bytes).unwrap_or(usize::MAX)));
    let snapshot = Arc::new(Snapshot::default());
    let live = Arc::new(Live::build(snapshot, mode(local), None));
    let generation = Arc::new(Generation::new(1, places(&options.prefix, local)));
    let plugins = Arc::new(local.plugins.clone());
    let code = Code {
        generation: Arc::clone(&generation),
        plugins: local.plugins.clone(),
        broken: vec![],
    };
    let sender = std::sync::Mutex::new(events.clone());
    let names = Names::new(resolve::Options {
        servers: local.dns_resolver.iter().filter_map(|server| server.parse().ok()).collect(),
        valid: local.dns_resolver_valid,
        timeout: local.resolver_timeout,
        search: local.enable_resolv_search_opt,
        hosts: resolve::hosts::read().unwrap_or_default(),
        ..resolve::Options::default()
    });
    Common {
        live,
        generation,
        code: Arc::new(code),
        plugins,
        settings: settings(&options.prefix, local),
        dicts: Arc::new(Dicts::new(dicts)),
        metrics: Arc::new(Registry::new(metric_prefix(local), workers)),
        nonces: Arc::default(),
        counts: Arc::new(Counts::new(workers)),
        redis: Arc::default(),
        balance: Arc::new(balance::Shared::new(clock::now())),
        health: Arc::new(health::Registry::new(health_options(&options.prefix, local, &names))),
        discovery: Arc::new(Discovery::none()),
        names,
        access,
        rotation: rotation(local),
        on_error: Arc::new(move |generation, message: &str| {
            let sender = sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Without a control thread there is nobody to roll anything back.
            let _ = sender.send(Event::Raised(generation, message.to_owned()));
        }),
        workers,
        local: Arc::clone(local),
    }
}

fn start_workers(
    control: &mut Control,
    listeners: Vec<Vec<std::net::TcpListener>>,
) -> Result<(), String> {
    let (mut inboxes, mut receivers) = (Vec::new(), Vec::new());
    for _ in &listeners {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        inboxes.push(sender);
        receivers.push(receiver);
    }
    let peers = Peers { inboxes, counts: Arc::clone(&control.common.counts) };
    let (ready, answers) = mpsc::channel();
    for (number, (listeners, inbox)) in listeners.into_iter().zip(receivers).enumerate() {
        let own = Own { number, listeners, inbox, peers: peers.clone(), ready: ready.clone() };
        let handle =
            worker::start(control.common.clone(), own).map_err(|error| error.to_string())?;
        control.workers.push(handle);
    }
    drop(ready);
    for _ in &control.workers {
        match answers.recv_timeout(Duration::from_secs(60)) {
            Ok(result) => result?,
            Err(_) => return Err("a worker did not start".to_owned()),
        }
    }
    Ok(())
}

/// Where `stop`, `quit` and `reload` find the process.
#[must_use]
pub(crate) fn pid_file(prefix: &Path) -> PathBuf {
    prefix.join("logs/nginx.pid")
}

fn write_pid_file(prefix: &Path) {
    let path = pid_file(prefix);
    if let Err(error) = fs::write(&path, format!("{}\n", std::process::id())) {
        log_at!(
            Level::Warn,
            "no pid file, `moongate stop` will not find us: {}: {error}",
            path.display()
        );
    }
}

/// Removes the pid file if it is ours: after a take-over it is the other's.
pub(super) fn remove_pid_file(prefix: &Path) {
    let path = pid_file(prefix);
    let ours =
        fs::read_to_string(&path).is_ok_and(|text| text.trim().parse() == Ok(std::process::id()));
    if ours {
        // Nothing depends on it any more.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_served_only_where_nothing_is_configured() {
        let prefix = std::env::temp_dir().join(format!("moongate-example-{}", std::process::id()));
        fs::create_dir_all(prefix.join("conf")).unwrap();
        let local = Local::defaults(&|_| None).unwrap();
        let served = |demo: bool, config: Option<PathBuf>| {
            let options = Options { prefix: prefix.clone(), config, takeover: false, demo };
            example(&options, &prefix.join("conf/config.yaml"), &local).is_some()
        };
        assert!(served(true, None));
        assert!(!served(false, None));
        assert!(!served(true, Some("other.yaml".into())));
        for file in ["conf/config.yaml", "conf/apisix.yaml"] {
            fs::write(prefix.join(file), "").unwrap();
            assert!(!served(true, None), "{file}");
            fs::remove_file(prefix.join(file)).unwrap();
        }
        fs::remove_dir_all(&prefix).unwrap();
    }
}
