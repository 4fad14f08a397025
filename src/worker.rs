//! One worker: a thread with its own runtime, sockets, VM and connections.
//!
//! Nothing here is shared but counters. Orders come from the control thread and are
//! carried out between two requests.

use std::{
    cell::RefCell,
    io,
    net::TcpListener,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
    task::LocalSet,
};

use crate::{
    accept::{
        h1,
        listener::{self, Peers},
    },
    balance,
    config::{Local, local, snippet::Sites},
    discovery::Discovery,
    gate::{Gate, Parts},
    health,
    http1::HeadLimits,
    limits::LUA_STACK_BYTES,
    live::Live,
    log::{
        access::AccessLog,
        error_log::Level,
        format::Escape,
        rotate::RotateOptions,
        writer::{LineBuffer, LogFile},
    },
    log_at,
    lua::{
        self, Vm,
        env::{Env, Process},
        loader::Generation,
        pace::Pace,
    },
    parse::client_addr::ClientAddr,
    pipeline::{inside::Asked, posed},
    shared::counts::Counts,
    upstream::{
        Client,
        mux::{self, Mux},
        pool::Pool,
        resolve::{Names, Resolver},
    },
};

pub use crate::pipeline::posed::{Found, Posed, Reply, Stood};

/// What a worker can be told.
pub enum Order {
    /// Serve new requests by this configuration.
    Live(Arc<Live>, std_mpsc::Sender<()>),
    /// config.yaml changed.
    Local(Arc<Local>),
    /// Make a VM of this code, next to the one that serves.
    Prepare(Arc<Code>, std_mpsc::Sender<Result<(), String>>),
    /// Let one request run on the prepared VM; the answer is what it raised.
    Trial(std_mpsc::Sender<Result<(), String>>),
    /// Let the prepared VM serve; errors in these files bring the old one back.
    Commit(Arc<Vec<String>>, std_mpsc::Sender<()>),
    /// Throw the prepared VM away.
    Abort,
    /// Let the VM before the current one serve again.
    Rollback(u64, std_mpsc::Sender<bool>),
    /// Tell where a request would go, as if this consumer had been recognised.
    Find(Box<Posed>, Option<String>, oneshot::Sender<Result<Found, String>>),
    /// Let plugins answer a request to the Control API.
    Endpoint(Box<Posed>, oneshot::Sender<Reply>),
    /// Tell which plugin generations there are VMs of.
    Generations(oneshot::Sender<Vec<u64>>),
    /// Free the memory that Lua does not use any more.
    Collect,
    /// The process is about to end: answers say `Connection: close`.
    Announce,
    /// Stop accepting, finish what runs, end.
    Drain,
}

/// Code, and what the control thread knows of it.
pub struct Code {
    /// The files.
    pub generation: Arc<Generation>,
    /// Plugins that load.
    pub plugins: Vec<String>,
    /// Plugins that do not, with the reason.
    pub broken: Vec<(String, String)>,
}

impl Code {
    /// The code of a VM that was loaded before.
    #[must_use]
    pub fn of(vm: &Vm, order: &[String]) -> Self {
        let loads = |name: &&String| vm.has(name);
        Self {
            generation: Arc::clone(&vm.generation),
            plugins: order.iter().filter(loads).cloned().collect(),
            broken: vm.broken.clone(),
        }
    }
}

/// How long kept connections are served before the end: each answer says `Connection: close`.
const UNTOLD: Duration = Duration::from_secs(1);

/// How long what is on its way between workers may take.
const ARRIVING: Duration = Duration::from_millis(50);

/// How long a connection that was just accepted may wait with its first request at the end.
const FRESH: Duration = Duration::from_secs(1);

/// How long copies of requests may still take at the end: nobody waits for their answers.
const MIRRORING: Duration = Duration::from_secs(1);

/// How long a new VM waits for a request to try it out.
const TRIAL: Duration = Duration::from_millis(20);

/// Threads of one worker that read and write temporary files.
const FILE_THREADS_MAX: usize = 8;

/// Takes the generation and the message of an uncaught error.
pub type OnError = Arc<dyn Fn(u64, &str) + Send + Sync>;

/// What all workers share.
#[derive(Clone)]
pub struct Common {
    /// config.yaml.
    pub local: Arc<Local>,
    /// The configuration at start.
    pub live: Arc<Live>,
    /// The code at start.
    pub generation: Arc<Generation>,
    /// The same, checked.
    pub code: Arc<Code>,
    /// Plugins to load, as config.yaml lists them.
    pub plugins: Arc<Vec<String>>,
    /// Bounds of VMs.
    pub settings: lua::env::Settings,
    /// `ngx.shared`.
    pub dicts: Arc<crate::shared::dicts::Dicts>,
    /// Metrics.
    pub metrics: Arc<crate::shared::metrics::Registry>,
    /// Numbers used once.
    pub nonces: Arc<crate::shared::nonces::Nonces>,
    /// Counters.
    pub counts: Arc<Counts>,
    /// Connections to Redis.
    pub redis: Arc<crate::shared::redis::Clients>,
    /// Balancer state.
    pub balance: Arc<balance::Shared>,
    /// Health of nodes.
    pub health: Arc<health::Registry>,
    /// Services, and the registries that tell of them.
    pub discovery: Arc<Discovery>,
    /// Name resolution.
    pub names: Arc<Names>,
    /// Where access lines go.
    pub access: LogFile,
    /// How logs are rotated while no plugin says otherwise.
    pub rotation: RotateOptions,
    /// Tells the control thread of an uncaught error: generation and message.
    pub on_error: OnError,
    /// How many workers there are.
    pub workers: usize,
}

impl Common {
    /// What the VMs of all workers share.
    pub(crate) fn process(&self) -> Process {
        Process {
            dicts: Arc::clone(&self.dicts),
            metrics: Arc::clone(&self.metrics),
            nonces: Arc::clone(&self.nonces),
            health: Arc::clone(&self.health),
            counts: Arc::clone(&self.counts),
            redis: Arc::clone(&self.redis),
            access: self.access.clone(),
            rotation: self.rotation.clone(),
        }
    }
}

/// The control thread's end of a worker.
pub struct Handle {
    /// Its orders.
    pub orders: mpsc::UnboundedSender<Order>,
    /// Ends when the worker has.
    pub thread: thread::JoinHandle<()>,
}

/// What only this worker gets.
pub struct Own {
    /// Its number.
    pub number: usize,
    /// Its listening sockets.
    pub listeners: Vec<TcpListener>,
    /// Connections other workers pass on.
    pub inbox: mpsc::UnboundedReceiver<std::net::TcpStream>,
    /// Where it passes connections on.
    pub peers: Peers,
    /// Says that it serves, or why not.
    pub ready: std_mpsc::Sender<Result<(), String>>,
}

/// Starts a worker.
///
/// # Errors
///
/// When the thread cannot be started.
pub fn start(common: Common, own: Own) -> io::Result<Handle> {
    let (orders, inbox) = mpsc::unbounded_channel();
    let thread = thread::Builder::new()
        .name(format!("worker-{}", own.number))
        .stack_size(LUA_STACK_BYTES)
        .spawn(move || run(common, own, inbox))?;
    Ok(Handle { orders, thread })
}

fn run(common: Common, own: Own, orders: mpsc::UnboundedReceiver<Order>) {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().max_blocking_threads(FILE_THREADS_MAX);
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // The starter waits for this answer.
            let _ = own.ready.send(Err(format!("cannot start a runtime: {error}")));
            return;
        }
    };
    let tasks = LocalSet::new();
    runtime.block_on(tasks.run_until(serve(common, own, orders)));
}

fn env_of(common: &Common, number: usize, resolver: Rc<Resolver>) -> Rc<Env> {
    Env::new(
        common.settings.clone(),
        (number, common.workers),
        (Arc::clone(&common.live.snapshot), Arc::clone(&common.local.raw)),
        common.process(),
        Some(resolver),
    )
}

async fn serve(common: Common, own: Own, mut orders: mpsc::UnboundedReceiver<Order>) {
    let resolver = Rc::new(Resolver::new(Arc::clone(&common.names), own.number));
    let env = env_of(&common, own.number, Rc::clone(&resolver));
    let (vm, access, sites) = match begin(&common, &env).await {
        Ok(begun) => begun,
        Err(reason) => {
            // The starter waits for this answer.
            let _ = own.ready.send(Err(reason));
            return;
        }
    };
    h1::set_send_timeout(common.local.send_timeout);
    let gate = Rc::new(Gate::new(Parts {
        worker: own.number,
        local: Rc::new((*common.local).clone()),
        sites,
        live: Arc::clone(&common.live),
        vm,
        client: Client {
            pool: Pool::new(common.local.upstream_keepalive.max(1) * 4),
            mux: Mux::new(mux::Limits::default()),
            limits: answer_limits(),
        },
        resolver,
        shared: Arc::clone(&common.balance),
        health: Arc::clone(&common.health),
        discovery: Arc::clone(&common.discovery),
        access,
        counts: Arc::clone(&common.counts),
        temp_dir: Rc::clone(&env.temp_dir),
    }));
    watch_errors(&gate, &env, &common);
    *env.inside.borrow_mut() = Some(Rc::new(Asked::new(&gate)));
    let mut worker = Worker { gate, env, prepared: Rc::default() };
    let (stop, stopped) = watch::channel(false);
    let peers = Rc::new(own.peers);
    for listener in own.listeners {
        let gate = Rc::clone(&worker.gate);
        tokio::task::spawn_local(listener::accept(
            gate,
            listener,
            Rc::clone(&peers),
            stopped.clone(),
        ));
    }
    // The starter may have given up; then the process ends soon.
    let _ = own.ready.send(Ok(()));
    let adopting =
        tokio::task::spawn_local(listener::adopt(Rc::clone(&worker.gate), peers, own.inbox));
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => break,
                Some(Order::Drain) => {
                    let _ = stop.send(true);
                    worker.drain().await;
                    break;
                }
                Some(order) => worker.obey(order),
            },
            _ = tick.tick() => worker.tick(),
        }
    }
    adopting.abort();
    worker.finish().await;
}

/// What a worker serves with from its start.
async fn begin(
    common: &Common,
    env: &Rc<Env>,
) -> Result<(Rc<Vm>, AccessLog, Option<Sites>), String> {
    let vm = load(env, &common.code, &Pace::at_once()).await?;
    Ok((Rc::new(vm), access_log(common)?, Sites::of(&common.local)?))
}

/// An error that is new with new code brings the old code back here at once; the control
/// thread sees to the rest.
fn watch_errors(gate: &Rc<Gate>, env: &Env, common: &Common) {
    let tell = Arc::clone(&common.on_error);
    let gate = Rc::downgrade(gate);
    *env.on_error.borrow_mut() = Some(Rc::new(move |raised| {
        let Some(gate) = gate.upgrade() else { return };
        if gate.vms.raised(raised.generation, raised.message, raised.traceback) {
            tell(raised.generation, raised.message);
        }
    }));
}

fn answer_limits() -> HeadLimits {
    HeadLimits { bytes_max: 64 << 10, ..HeadLimits::default() }
}

fn access_log(common: &Common) -> Result<AccessLog, String> {
    let settings = &common.local.access_log;
    let escape = match settings.escape {
        local::Escape::Default => Escape::Default,
        local::Escape::Json => Escape::Json,
        local::Escape::None => Escape::None,
    };
    let lines = (!common.access.is_off())
        .then(|| LineBuffer::new(common.access.clone(), LineBuffer::BYTES));
    AccessLog::new(&settings.format, escape, lines)
        .map_err(|error| format!("access_log_format: {error}"))
}

/// Makes a VM, a module at a time. A plugin that fails only here is reported, and its routes
/// refuse; beside requests, with old code to fall back to, it refuses the code.
async fn load(env: &Rc<Env>, code: &Code, pace: &Pace) -> Result<Vm, String> {
    let mut vm = Vm::bare(Rc::clone(env), Arc::clone(&code.generation), pace).await?;
    vm.broken.clone_from(&code.broken);
    for plugin in &code.plugins {
        pace.step().await;
        if let Err(reason) = vm.load_plugin(plugin).await {
            let line = format!("plugin {plugin} does not load on worker {}: {reason}", env.worker);
            if pace.is_sliced() {
                vm.end_timers();
                return Err(line);
            }
            log_at!(Level::Error, "{line}");
        }
    }
    vm.order();
    if let Err(reason) = vm.begin_worker().await {
        vm.end_timers();
        return Err(reason);
    }
    let mut started: Vec<Arc<str>> = Vec::new();
    for plugin in vm.loaded.clone() {
        pace.step().await;
        if let Err(reason) = vm.init(&plugin.name).await {
            for name in started {
                // What init began must end; what destroy says then adds nothing.
                let _ = vm.end(&name, true).await;
            }
            vm.end_timers();
            return Err(format!("init of plugin {} failed: {reason}", plugin.name));
        }
        started.push(Arc::clone(&plugin.name));
    }
    Ok(vm)
}

struct Worker {
    gate: Rc<Gate>,
    env: Rc<Env>,
    /// Made, not yet serving.
    prepared: Rc<RefCell<Option<Rc<Vm>>>>,
}

impl Worker {
    fn obey(&mut self, order: Order) {
        match order {
            Order::Live(live, done) => {
                *self.env.snapshot.borrow_mut() = Arc::clone(&live.snapshot);
                self.gate.swap_live(live);
                tokio::task::spawn_local(Rc::clone(&self.gate).sweep());
                // Nobody may wait any more.
                let _ = done.send(());
            }
            Order::Local(local) => self.set_local(&local),
            Order::Prepare(code, answer) => self.prepare(code, answer),
            Order::Trial(answer) => self.try_out(answer),
            Order::Commit(changed, done) => {
                if let Some(vm) = self.prepared.take() {
                    let reload = self.gate.local.borrow().reload.clone();
                    let window = if reload.rollback_on_error {
                        reload.rollback_window
                    } else {
                        Duration::ZERO
                    };
                    self.gate.vms.commit(vm, &changed, window);
                }
                let _ = done.send(());
                self.clean_up();
            }
            Order::Abort => {
                if let Some(vm) = self.prepared.take() {
                    let heirs = self.gate.vms.serving().plugin_names();
                    tokio::task::spawn_local(async move { vm.destroy(&heirs).await });
                }
            }
            Order::Rollback(generation, done) => {
                let rolled = self.gate.vms.fall_back(generation)
                    || self.gate.vms.serving().generation.id != generation;
                let _ = done.send(rolled);
                self.clean_up();
            }
            Order::Find(posed, consumer, answer) => {
                // Nobody may wait any more, here and below.
                let _ = answer.send(posed::find(&self.gate, &posed, consumer.as_deref()));
            }
            Order::Endpoint(posed, answer) => {
                let gate = Rc::clone(&self.gate);
                tokio::task::spawn_local(async move {
                    let _ = answer.send(posed::endpoint(&gate, *posed).await);
                });
            }
            Order::Generations(answer) => drop(answer.send(self.gate.vms.generations())),
            Order::Collect => self.gate.vms.collect(),
            Order::Announce => self.gate.drain.announced.set(true),
            Order::Drain => {}
        }
    }

    fn set_local(&self, local: &Arc<Local>) {
        *self.env.local.borrow_mut() = Arc::clone(&local.raw);
        h1::set_send_timeout(local.send_timeout);
        match ClientAddr::new(local) {
            Ok(client) => *self.gate.client_addr.borrow_mut() = Rc::new(client),
            Err(error) => log_at!(Level::Error, "real_ip_from stays as it was: {error}"),
        }
        *self.gate.local.borrow_mut() = Rc::new((**local).clone());
    }

    /// Loads a VM in a task of its own: connections and orders go on meanwhile.
    fn prepare(&self, code: Arc<Code>, answer: std_mpsc::Sender<Result<(), String>>) {
        let (env, prepared) = (Rc::clone(&self.env), Rc::clone(&self.prepared));
        tokio::task::spawn_local(async move {
            let result = load(&env, &code, &Pace::sliced()).await;
            let vm = result.map(|vm| prepared.replace(Some(Rc::new(vm))));
            // One that nobody fetched: the control thread had given up on it.
            if let Ok(Some(forgotten)) = &vm {
                forgotten.destroy(&forgotten.plugin_names()).await;
            }
            let _ = answer.send(vm.map(drop));
        });
    }

    fn try_out(&self, answer: std_mpsc::Sender<Result<(), String>>) {
        let Some(vm) = self.prepared.borrow().clone() else {
            let _ = answer.send(Ok(()));
            return;
        };
        let gate = Rc::clone(&self.gate);
        tokio::task::spawn_local(async move {
            let result = gate.vms.try_out(&vm, TRIAL).await;
            drop(vm);
            let _ = answer.send(result);
        });
    }

    /// Sees old VMs off; their last requests are over in a moment.
    fn clean_up(&self) {
        let gate = Rc::clone(&self.gate);
        tokio::task::spawn_local(async move {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(25)).await;
                tend(&gate);
                if !gate.vms.unfinished() {
                    break;
                }
            }
        });
    }

    fn tick(&self) {
        self.gate.access.borrow_mut().flush();
        self.gate.vms.serving().tend();
        tend(&self.gate);
    }

    /// Closes what is idle and waits for what runs, within `worker_shutdown_timeout`.
    async fn drain(&mut self) {
        let gate = &self.gate;
        gate.drain.announced.set(true);
        let timeout = gate.local.borrow().worker_shutdown_timeout;
        let end = tokio::time::Instant::now() + timeout;
        let begun = tokio::time::Instant::now();
        // Who was not told yet may be about to send his next request.
        let told = gate.local.borrow().shutdown_delay;
        let grace = UNTOLD.saturating_sub(told).max(ARRIVING);
        while gate.connections.get() > 0 && begun.elapsed() < grace {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Connections that were passed on with the last accepts may not have arrived yet.
        tokio::time::sleep(ARRIVING).await;
        gate.drain.close();
        while gate.connections.get() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
            gate.drain.closing_fresh.set(begun.elapsed() > grace + FRESH);
            gate.drain.close();
        }
        let cut = (begun.elapsed() + MIRRORING).min(timeout);
        while !gate.mirrors.is_empty() && begun.elapsed() < cut {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !gate.mirrors.is_empty() {
            log_at!(Level::Notice, "{} mirrored requests cut at the end", gate.mirrors.len());
        }
        if gate.connections.get() > 0 {
            log_at!(
                Level::Notice,
                "{} connections cut at the end of worker_shutdown_timeout",
                gate.connections.get()
            );
        }
    }

    async fn finish(&mut self) {
        self.env.exiting.set(true);
        for vm in self.gate.vms.all().into_iter().chain(self.prepared.take()) {
            vm.destroy(&[]).await;
        }
        // Timers that flush batches when they are told to end get a moment for it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.gate.client.pool.drain();
        self.gate.client.mux.drain();
        self.gate.access.borrow_mut().flush();
    }
}

/// Old VMs and counters, once a second and after a reload.
fn tend(gate: &Gate) {
    let max = gate.local.borrow().reload.vms_max;
    for generation in gate.vms.tend(max) {
        log_at!(
            Level::Warn,
            "worker {}: more than {max} old VMs: connections that still run plugin generation \
             {generation} are closed",
            gate.worker
        );
    }
    let counts = &gate.counts;
    let set = |cells: &[AtomicU64], value: usize| {
        cells[gate.worker].store(value as u64, Ordering::Relaxed);
    };
    let (timers, bytes) = gate.vms.load();
    set(&counts.vms, gate.vms.count());
    set(&counts.timers, timers);
    set(&counts.lua_bytes, bytes);
    counts.requests[gate.worker].store(gate.requests.get(), Ordering::Relaxed);
    set(&counts.running, gate.running.get());
    set(&counts.mux_connections, gate.client.mux.len());
    set(&counts.mux_calls, gate.client.mux.calls());
    set(&counts.mirrors, gate.mirrors.len());
    lua::publish(counts);
}
