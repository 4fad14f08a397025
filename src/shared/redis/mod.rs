//! Redis, as plugins use it: one multiplexed connection per server and process.
//!
//! [`Clients`] knows every target that a plugin named; the same fields give the same
//! [`Target`], so that all workers share its connection. Connections are opened, watched and
//! replaced on one background thread with a runtime of its own, which starts with the first
//! target. A call runs on the worker: it hands its bytes to the connection's task, awaits the
//! answer and holds nobody up.
//!
//! What is promised to a caller:
//!
//! * A call ends by its deadline, whatever the server does: connecting counts as well. While
//!   a server is known to be gone, calls fail at once.
//! * A command is sent once. It is sent again only where the server said that it did not run
//!   it: `NOSCRIPT`, and the redirections of a cluster.
//! * Only masters are asked, never replicas.
//! * At most [`CALLS_MAX`] calls of one target wait; one more is refused.
//!
//! `link` is one connection, `node` what keeps it up, `sentinel` finds the master, `cluster`
//! sends a key to the node that has it.

mod cluster;
mod command;
mod link;
mod node;
mod options;
mod reply;
mod sentinel;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    time::Instant,
};

pub use command::{Command, Job, Script};
pub use options::{Address, Options, Place, Sentinels, Tls};
pub use reply::{Error, Reply};

use cluster::Cluster;
use node::{Goal, Node};

/// Calls of one target that may wait for their answers.
pub const CALLS_MAX: usize = 10_000;

/// Targets that one process may have.
const TARGETS_MAX: usize = 1_000;

/// Threads that ask the system for the addresses of names.
const LOOKUPS_MAX: usize = 4;

/// Every Redis that this process uses.
#[derive(Debug, Default)]
pub struct Clients {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    targets: HashMap<Options, Arc<Target>>,
    thread: Option<Thread>,
}

/// The thread behind all connections. It ends when this is dropped.
#[derive(Debug)]
struct Thread {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Thread {
    fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS_MAX)
            .build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new().name("redis".to_owned()).spawn(move || {
            // Nobody sends: the other end is dropped.
            let _dropped = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _end: end })
    }
}

impl Clients {
    /// The target with these fields; connects when it is first called.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the background thread cannot be started or there are too
    /// many targets.
    pub fn target(&self, options: &Options) -> Result<Arc<Target>, Error> {
        let mut inner = self.lock();
        if let Some(target) = inner.targets.get(options) {
            return Ok(Arc::clone(target));
        }
        // What no plugin holds any more would only connect again if one asked.
        inner.targets.retain(|_, target| Arc::strong_count(target) > 1);
        if inner.targets.len() >= TARGETS_MAX {
            return Err(Error::Unavailable(format!("more than {TARGETS_MAX} Redis targets")));
        }
        let handle = match &inner.thread {
            Some(thread) => thread.handle.clone(),
            None => {
                let thread = Thread::start().map_err(|error| {
                    Error::Unavailable(format!("cannot start the thread of Redis: {error}"))
                })?;
                inner.thread.insert(thread).handle.clone()
            }
        };
        let target = Arc::new(Target::new(options, &handle));
        inner.targets.insert(options.clone(), Arc::clone(&target));
        Ok(target)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
enum Kind {
    One(Arc<Node>),
    Cluster(Arc<Cluster>),
}

/// One server, one master under sentinels, or one cluster.
#[derive(Debug)]
pub struct Target {
    kind: Kind,
    name: String,
    calls: AtomicUsize,
}

impl Target {
    fn new(options: &Options, handle: &Handle) -> Self {
        let kind = match &options.place {
            Place::Single(address) => {
                let goal = Goal::Address(address.clone());
                Kind::One(Node::start(options, goal, handle))
            }
            Place::Sentinel(sentinels) => {
                let goal = Goal::Master(sentinels.clone());
                Kind::One(Node::start(options, goal, handle))
            }
            Place::Cluster(seeds) => Kind::Cluster(Cluster::start(options, seeds, handle)),
        };
        Self { kind, name: options.place.to_string(), calls: AtomicUsize::new(0) }
    }

    /// What to call it in messages: `host:port`, the master's name, or the first node.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many calls wait for their answers.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Runs `job` and waits for its answer, for no longer than `limit`. Dropping the future
    /// drops the answer; the server may run the job all the same.
    ///
    /// # Errors
    ///
    /// See [`Error`]. After [`Error::Timeout`] and [`Error::Broken`] the server may have run
    /// the job.
    pub async fn call(&self, job: &Job, limit: Duration) -> Result<Reply, Error> {
        let _counted = Counted::enter(&self.calls)?;
        let until = Until { at: Instant::now() + limit, limit };
        match &self.kind {
            Kind::One(node) => node.call(job, until).await,
            Kind::Cluster(cluster) => cluster.call(job, until).await,
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        match &self.kind {
            Kind::One(node) => node.close(),
            Kind::Cluster(cluster) => cluster.close(),
        }
    }
}

/// When a call has to be over, and how long that was from its start, for messages.
#[derive(Debug, Clone, Copy)]
struct Until {
    at: Instant,
    limit: Duration,
}

/// One of the calls that wait.
struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn enter(calls: &'c AtomicUsize) -> Result<Self, Error> {
        let counted = Self(calls);
        if calls.fetch_add(1, Ordering::Relaxed) >= CALLS_MAX {
            return Err(Error::Busy);
        }
        Ok(counted)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
