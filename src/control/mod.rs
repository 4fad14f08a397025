//! The control thread: it starts the workers, watches files and signals, checks what
//! changed, and hands finished configuration and code to the workers.
//!
//! Nothing here is on the way of a request. [`run`] is the life of the process.

mod admin;
mod api;
mod board;
mod checker;
mod code;
mod conf;
mod discovery;
mod etcd;
mod explain;
mod health;
mod http;
mod judge;
mod offline;
mod rebuild;
mod signals;
mod start;
mod stored;
mod stores;
mod tries;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use rebuild::Rebuild;
use serde_json::Value;
use stored::Storage;
use tokio::sync::oneshot;

pub use checker::Checker;
pub use offline::{Door, Place, place, store_owner};
pub(crate) use start::pid_file;
pub use start::{Options, checking, checking_plugins};

use crate::{
    admin::judge::{Facts, Question},
    clock,
    config::{Local, Snapshot, check::Verdict, local, source::reader::Reader},
    live::Live,
    log::{error_log::Level, writer::Writer},
    log_at,
    lua::{
        Vm,
        loader::{Changes, Generation},
    },
    store::Batch,
    sys::platform,
    worker::{Common, Handle, Order},
};

/// What the control thread waits for.
enum Event {
    /// The file of objects changed.
    Objects,
    /// A Lua file changed.
    Code,
    /// A signal.
    Signal(signals::Signal),
    /// A plugin of this generation raised this, uncaught.
    Raised(u64, String),
    /// Somebody asked for a reload; the answer says why it was refused.
    Reload(mpsc::Sender<Result<(), String>>),
    /// The Admin API did.
    AdminReload(oneshot::Sender<Result<(), String>>),
    /// The Admin API asks plugins' code.
    Judge(Vec<Question>, oneshot::Sender<Vec<Verdict>>),
    /// The Admin API brings all objects at once.
    Whole(Value, oneshot::Sender<Result<(), String>>),
    /// The store tells something.
    Stored(Batch),
    /// A new router is ready.
    Rebuilt(Box<Live>),
}

/// How long after a router was replaced nobody has it any more.
const TRIM: Duration = Duration::from_secs(1);

/// How often idle metric series are looked for.
const SWEEP: Duration = Duration::from_secs(3);

/// The state of the control thread.
struct Control {
    prefix: PathBuf,
    config_path: PathBuf,
    local: Arc<Local>,
    snapshot: Arc<Snapshot>,
    live: Arc<Live>,
    rebuild: Rebuild,
    /// Checks plugins and confs; made anew for each generation.
    vm: Vm,
    runtime: tokio::runtime::Runtime,
    generation: Arc<Generation>,
    /// What served before, for a roll-back.
    before: Option<Arc<Generation>>,
    last_id: u64,
    /// What was rolled back: these files are not loaded again as they are.
    rejected: Option<Changes>,
    /// Configurations that requests may still hold; freed here, where nobody waits.
    retired: Vec<Arc<Live>>,
    /// When a router of very many routes was replaced: it leaves much memory behind.
    replaced: Option<Instant>,
    workers: Vec<Handle>,
    common: Common,
    board: Arc<board::Board>,
    writer: Writer,
    /// Of the objects' file.
    reader: Reader,
    /// Whether the objects' file was read at all.
    read_once: bool,
    /// Served as long as there is no objects' file and nothing in the store.
    example: Option<&'static str>,
    storage: Storage,
    /// The list of plugins that the store has, where it counts instead of config.yaml's.
    listed: Option<Vec<String>>,
    /// What the Admin API knows of plugins.
    facts: Arc<ArcSwap<Facts>>,
}

/// Runs the gateway until it is told to end.
///
/// # Errors
///
/// What keeps it from starting, in words for the operator.
pub fn run(options: Options) -> Result<(), String> {
    // Without it the gateway is larger, that is all.
    let _ = platform::allow_huge_pages(false);
    let starting = platform::give_memory_back();
    let (events, inbox) = mpsc::channel();
    let mut control = start::start(&options, &events, &inbox)?;
    signals::forward(events.clone())?;
    let _watchers = control.watch(&events)?;
    // What changed between reading and watching.
    control.reload_objects();
    // The outcome is in the log and on the board.
    let _ = control.reload_code(false);
    // What was started so far keeps its priority; checks are less urgent than requests.
    crate::sys::platform::lower_priority();
    drop(starting);
    control.serve(&inbox);
    Ok(())
}

impl Control {
    fn serve(&mut self, inbox: &mpsc::Receiver<Event>) {
        loop {
            let event = match self.next_event(inbox) {
                Ok(event) => event,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            match event {
                Event::Objects => self.reload_objects(),
                Event::Code => {
                    // The outcome is in the log and on the board.
                    let _ = self.reload_code(false);
                }
                Event::Reload(answer) => {
                    let result = self.reload_code(true);
                    // Whoever asked may have gone.
                    let _ = answer.send(result);
                }
                Event::AdminReload(answer) => {
                    let result = self.reload_code(true);
                    // As above.
                    let _ = answer.send(result);
                }
                Event::Judge(questions, answer) => {
                    // As above.
                    let _ = answer.send(self.judge(questions));
                }
                Event::Whole(root, answer) => {
                    let result = self.take_whole(root);
                    // As above.
                    let _ = answer.send(result);
                }
                Event::Stored(batch) => self.stored(batch),
                Event::Rebuilt(live) => self.rebuilt(*live),
                Event::Raised(generation, message) => self.raised(generation, &message),
                Event::Signal(signals::Signal::Hangup) => self.hangup(),
                Event::Signal(signals::Signal::Reopen) => self.reopen_logs(),
                Event::Signal(signals::Signal::Release) => self.release_store(),
                Event::Signal(signals::Signal::Fast) => return self.end_now(),
                Event::Signal(signals::Signal::Graceful) => return self.end(inbox),
            }
        }
    }

    /// Opens all logs by their paths; plugins that write logs of their own are told when.
    fn reopen_logs(&self) {
        self.writer.reopen_all();
        let now_ms = u64::try_from(clock::wall().as_millis()).unwrap_or(u64::MAX);
        self.common.counts.logs_reopened_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The next event. Meanwhile: idle metric series go, and while old configurations are in
    /// use, looks after them more often.
    fn next_event(
        &mut self,
        inbox: &mpsc::Receiver<Event>,
    ) -> Result<Event, mpsc::RecvTimeoutError> {
        self.free_retired();
        if self.replaced.is_some_and(|at| at.elapsed() >= TRIM) {
            self.replaced = None;
            platform::trim_memory();
        }
        let pause = if self.retired.is_empty() { SWEEP } else { Duration::from_millis(500) };
        let event = inbox.recv_timeout(pause);
        self.watch_saver();
        if event.is_err() {
            self.common.metrics.sweep(crate::clock::wall().as_secs());
        }
        event
    }

    /// Frees configurations that no request holds any more. A worker that dropped the last
    /// reference would stand still: 100,000 routes take a while.
    fn free_retired(&mut self) {
        let held =
            |live: &Arc<Live>| Arc::strong_count(live) > 1 || Arc::strong_count(&live.snapshot) > 1;
        self.retired.retain(held);
    }

    /// SIGHUP: config.yaml, objects and plugins are read again.
    fn hangup(&mut self) {
        log_at!(Level::Notice, "reloading: config.yaml, objects and plugins are read again");
        match local::load(&self.config_path, &crate::config::env::process) {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    log_at!(Level::Warn, "{warning}");
                }
                let restart = local::restart_keys(&self.local, &loaded.local);
                if !restart.is_empty() {
                    log_at!(
                        Level::Warn,
                        "these changed keys need a restart: {}",
                        restart.join(", ")
                    );
                }
                let mut local = loaded.local;
                if let Some(provider) = self.local.provider {
                    local.set_provider(provider);
                }
                self.local = Arc::new(local);
                self.common.local = Arc::clone(&self.local);
                self.board.set_local(&self.local);
                let listed = self.listed.as_ref().unwrap_or(&self.local.plugins);
                self.common.plugins = Arc::new(listed.clone());
                crate::log::error_log::set_level(start::level(&self.local));
                self.order(|| Order::Local(Arc::clone(&self.local)));
            }
            Err(problems) => {
                for problem in problems {
                    log_at!(Level::Error, "config.yaml stays as it was: {problem}");
                }
            }
        }
        // Its confs are checked with the new code.
        self.reclaim_store();
        // The outcome is in the log and on the board.
        let _ = self.reload_code(true);
        self.reload_objects();
    }

    fn order(&self, order: impl Fn() -> Order) {
        for worker in &self.workers {
            // A worker that is gone takes no orders.
            let _ = worker.orders.send(order());
        }
    }

    /// SIGTERM: announce, wait, drain, end. A second signal ends at once.
    fn end(&mut self, inbox: &mpsc::Receiver<Event>) {
        let delay = self.local.shutdown_delay;
        log_at!(Level::Notice, "shutting down: announcing for {} ms", delay.as_millis());
        self.board.draining.store(true, Ordering::SeqCst);
        self.order(|| Order::Announce);
        let until = Instant::now() + delay;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())
        {
            if let Ok(Event::Signal(signals::Signal::Fast | signals::Signal::Graceful)) =
                inbox.recv_timeout(left)
            {
                return self.end_now();
            }
        }
        self.order(|| Order::Drain);
        while !self.workers.iter().all(|worker| worker.thread.is_finished()) {
            if let Ok(Event::Signal(signals::Signal::Fast | signals::Signal::Graceful)) =
                inbox.recv_timeout(Duration::from_millis(5))
            {
                return self.end_now();
            }
        }
        log_at!(Level::Notice, "all workers have ended");
        self.end_now();
    }

    fn end_now(&mut self) {
        start::remove_pid_file(&self.prefix);
        // Lines that a stuck disk does not take in that time are lost.
        let _ = self.writer.shutdown(Duration::from_secs(2));
        // Threads that still serve would keep the process; what they do is lost on purpose.
        std::process::exit(0);
    }
}
