//! One worker: a thread with its own runtime, sockets, VM and connections.
//!
//! Nothing here is shared but counters. Orders come from the control thread and are
//! carried out between two requests.

use std::{
    io,
    net::TcpListener,
    rc::Rc,
    sync::{Arc, atomic::Ordering, mpsc as std_mpsc},
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    sync::{mpsc, watch},
    task::LocalSet,
};

use crate::{
    accept::{h1, listener::{self, Peers}},
    balance,
    config::{Local, local},
    gate::{Gate, Parts},
    http1::HeadLimits,
    limits::LUA_STACK_BYTES,
    live::Live,
    log::{access::AccessLog, error_log::Level, format::Escape, writer::{LineBuffer, LogFile}},
    log_at,
    lua::{self, Vm, env::Env, loader::Generation},
    shared::counts::Counts,
    upstream::{Client, pool::Pool, resolve::{Names, Resolver}},
};

/// What a worker can be told.
pub enum Order {
    /// Serve new requests by this configuration.
    Live(Arc<Live>, std_mpsc::Sender<()>),
    /// config.yaml changed.
    Local(Arc<Local>),
    /// Make a VM of this code, next to the one that serves.
    Prepare(Arc<Generation>, Arc<Vec<String>>, std_mpsc::Sender<Result<(), String>>),
    /// Let the prepared VM serve.
    Commit(std_mpsc::Sender<()>),
    /// Throw the prepared VM away.
    Abort,
    /// Let the VM before the current one serve again.
    Rollback(u64, std_mpsc::Sender<bool>),
    /// The process is about to end: answers say `Connection: close`.
    Announce,
    /// Stop accepting, finish what runs, end.
    Drain,
}

/// What all workers share.
#[derive(Clone)]
pub struct Common {
    /// config.yaml.
    pub local: Arc<Local>,
    /// The configuration at start.
    pub live: Arc<Live>,
    /// The code at start.
    pub generation: Arc<Generation>,
    /// Plugins to load.
    pub plugins: Arc<Vec<String>>,
    /// Bounds of VMs.
    pub settings: lua::env::Settings,
    /// `ngx.shared`.
    pub dicts: Arc<crate::shared::dicts::Dicts>,
    /// Metrics.
    pub metrics: Arc<crate::shared::metrics::Registry>,
    /// Counters.
    pub counts: Arc<Counts>,
    /// Balancer state.
    pub balance: Arc<balance::Shared>,
    /// Name resolution.
    pub names: Arc<Names>,
    /// Where access lines go.
    pub access: LogFile,
    /// Tells the control thread of an uncaught error: generation and message.
    pub on_error: Arc<dyn Fn(u64, &str) + Send + Sync>,
    /// How many workers there are.
    pub workers: usize,
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
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
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
    let env = Env::new(
        common.settings.clone(),
        (number, common.workers),
        Arc::clone(&common.live.snapshot),
        Arc::clone(&common.local.raw),
        (Arc::clone(&common.dicts), Arc::clone(&common.metrics)),
        Some(resolver),
    );
    let hook = Arc::clone(&common.on_error);
    *env.on_error.borrow_mut() = Some(Rc::new(move |generation, message: &str| hook(generation, message)));
    env
}

async fn serve(common: Common, own: Own, mut orders: mpsc::UnboundedReceiver<Order>) {
    let resolver = Rc::new(Resolver::new(Arc::clone(&common.names), own.number));
    let env = env_of(&common, own.number, Rc::clone(&resolver));
    let vm = match load(&env, &common.generation, &common.plugins).await {
        Ok(vm) => Rc::new(vm),
        Err(reason) => {
            // The starter waits for this answer.
            let _ = own.ready.send(Err(reason));
            return;
        }
    };
    let access = match access_log(&common) {
        Ok(access) => access,
        Err(reason) => {
            let _ = own.ready.send(Err(reason));
            return;
        }
    };
    h1::set_send_timeout(common.local.send_timeout);
    let gate = Rc::new(Gate::new(Parts {
        worker: own.number,
        local: Rc::new((*common.local).clone()),
        live: Arc::clone(&common.live),
        vm,
        client: Client { pool: Pool::new(common.local.upstream_keepalive.max(1) * 4), limits: answer_limits() },
        resolver,
        shared: Arc::clone(&common.balance),
        access,
        counts: Arc::clone(&common.counts),
    }));
    let mut worker = Worker { gate, env, prepared: None, before: None, retiring: Vec::new() };
    let (stop, stopped) = watch::channel(false);
    let peers = Rc::new(own.peers);
    for listener in own.listeners {
        let gate = Rc::clone(&worker.gate);
        tokio::task::spawn_local(listener::accept(gate, listener, Rc::clone(&peers), stopped.clone()));
    }
    // The starter may have given up; then the process ends soon.
    let _ = own.ready.send(Ok(()));
    let mut inbox = own.inbox;
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
                Some(order) => worker.obey(order).await,
            },
            Some(stream) = inbox.recv() => listener::adopt(&worker.gate, &peers, stream),
            _ = tick.tick() => worker.tick().await,
        }
    }
    while let Ok(stream) = inbox.try_recv() {
        listener::adopt(&worker.gate, &peers, stream);
    }
    worker.finish().await;
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
    AccessLog::new(&settings.format, escape, lines).map_err(|error| format!("access_log_format: {error}"))
}

/// Makes a VM, a plugin at a time, so that requests are served in between.
async fn load(
    env: &Rc<Env>,
    generation: &Arc<Generation>,
    plugins: &[String],
) -> Result<Vm, String> {
    let mut vm = Vm::bare(Rc::clone(env), Arc::clone(generation)).await?;
    for plugin in plugins {
        // The control thread has reported what does not load; routes that need it refuse.
        let _ = vm.load_plugin(plugin).await;
        tokio::task::yield_now().await;
    }
    vm.order();
    let mut started: Vec<Arc<str>> = Vec::new();
    for plugin in vm.loaded.clone() {
        if let Err(reason) = vm.life("init", &plugin.name).await {
            for name in started {
                // What init began must end; what destroy says then adds nothing.
                let _ = vm.life("destroy", &name).await;
            }
            vm.end_timers();
            return Err(format!("init of plugin {} failed: {reason}", plugin.name));
        }
        started.push(Arc::clone(&plugin.name));
        tokio::task::yield_now().await;
    }
    Ok(vm)
}

struct Worker {
    gate: Rc<Gate>,
    env: Rc<Env>,
    /// Made, not yet serving.
    prepared: Option<Rc<Vm>>,
    /// What served before the current VM: kept for a roll-back.
    before: Option<Rc<Vm>>,
    /// Old VMs whose last requests run.
    retiring: Vec<Rc<Vm>>,
}

impl Worker {
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Live(live, done) => {
                *self.env.snapshot.borrow_mut() = Arc::clone(&live.snapshot);
                self.gate.swap_live(live);
                self.gate.vm.borrow().sweep();
                // Nobody may wait any more.
                let _ = done.send(());
            }
            Order::Local(local) => {
                *self.env.local.borrow_mut() = Arc::clone(&local.raw);
                h1::set_send_timeout(local.send_timeout);
                *self.gate.local.borrow_mut() = Rc::new((*local).clone());
            }
            Order::Prepare(generation, plugins, answer) => {
                let result = load(&self.env, &generation, &plugins).await;
                let result = result.map(|vm| self.prepared = Some(Rc::new(vm)));
                let _ = answer.send(result);
            }
            Order::Commit(done) => {
                if let Some(vm) = self.prepared.take() {
                    self.swap(vm);
                }
                let _ = done.send(());
            }
            Order::Abort => {
                if let Some(vm) = self.prepared.take() {
                    vm.retire().await;
                }
            }
            Order::Rollback(generation, done) => {
                let current = Rc::clone(&self.gate.vm.borrow());
                let rolled = current.generation.id == generation && self.before.is_some();
                if rolled && let Some(before) = self.before.take() {
                    self.swap(before);
                    self.before = None;
                    self.retiring.push(current);
                }
                let _ = done.send(rolled);
            }
            Order::Announce => self.gate.drain.announced.set(true),
            Order::Drain => {}
        }
        self.retire_unused().await;
    }

    /// Lets `vm` serve new requests; requests that run keep theirs.
    fn swap(&mut self, vm: Rc<Vm>) {
        let old = self.gate.vm.replace(vm);
        if let Some(older) = self.before.replace(old) {
            self.retiring.push(older);
        }
    }

    /// Ends VMs that no request uses any more.
    async fn retire_unused(&mut self) {
        for vm in &self.retiring {
            // Timers of a VM that does not serve have nothing to do any more, even while
            // its last requests run.
            vm.retire().await;
        }
        self.retiring.retain(|vm| Rc::strong_count(vm) > 1 || !vm.is_idle());
    }

    async fn tick(&mut self) {
        self.gate.access.borrow_mut().flush();
        let counts = &self.gate.counts;
        counts.requests[self.gate.worker].store(self.gate.requests.get(), Ordering::Relaxed);
        let vm = Rc::clone(&self.gate.vm.borrow());
        vm.tend();
        self.retire_unused().await;
    }

    /// Closes what is idle and waits for what runs, within `worker_shutdown_timeout`.
    async fn drain(&mut self) {
        let gate = &self.gate;
        gate.drain.announced.set(true);
        let timeout = gate.local.borrow().worker_shutdown_timeout;
        let end = tokio::time::Instant::now() + timeout;
        // Requests that came with the last accepts are still on their way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        gate.drain.close();
        while gate.connections.get() > 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
            gate.drain.close();
        }
        if gate.connections.get() > 0 {
            log_at!(Level::Notice, "{} connections cut at the end of worker_shutdown_timeout", gate.connections.get());
        }
    }

    async fn finish(&mut self) {
        self.env.exiting.set(true);
        let current = Rc::clone(&self.gate.vm.borrow());
        let all = [Some(current), self.before.take(), self.prepared.take()];
        for vm in all.into_iter().flatten().chain(self.retiring.drain(..)) {
            vm.retire().await;
        }
        // Timers that flush batches when they are told to end get a moment for it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.gate.client.pool.drain();
        self.gate.access.borrow_mut().flush();
    }
}
