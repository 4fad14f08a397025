//! What keeps one connection up: connects when somebody calls, watches, replaces, gives up
//! after a while without calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Until,
    command::{Command, Job},
    link::{Link, Login},
    options::{Address, Options, Sentinels},
    reply::{Error, Reply},
    sentinel,
};

/// How long connecting and logging in may take. A call may give up earlier.
const CONNECT: Duration = Duration::from_secs(1);

/// The wait after the first failed connect; it doubles up to [`WAIT_MAX`].
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How often a connection without answers is asked whether it lives.
const CHECK: Duration = Duration::from_secs(1);

/// A connection that nobody used for this long is closed.
const UNUSED: Duration = Duration::from_secs(60);

/// What to connect to.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    /// One address.
    Address(Address),
    /// Whatever sentinels call the master.
    Master(Sentinels),
}

#[derive(Debug, Clone)]
enum State {
    /// Nobody asked yet, or not for long.
    Idle,
    /// The first attempt runs: callers wait for it.
    Connecting,
    Up(Link),
    /// Connecting failed and is tried again: callers are told why at once.
    Down(Arc<str>),
}

/// One connection and what keeps it up.
#[derive(Debug)]
pub(super) struct Node {
    options: Options,
    goal: Goal,
    name: String,
    state: watch::Sender<State>,
    /// Wakes the keeper: somebody calls, or the connection is no good.
    wake: Arc<Notify>,
    closed: AtomicBool,
    born: Instant,
    /// Milliseconds from `born` to the last call.
    used: AtomicU64,
}

impl Node {
    /// Starts the keeper on `handle`; it ends with [`Node::close`].
    pub(super) fn start(options: &Options, goal: Goal, handle: &Handle) -> Arc<Self> {
        let name = match &goal {
            Goal::Address(address) => address.to_string(),
            Goal::Master(sentinels) => format!("master {}", sentinels.master),
        };
        let node = Arc::new(Self {
            options: options.clone(),
            goal,
            name,
            state: watch::Sender::new(State::Idle),
            wake: Arc::default(),
            closed: AtomicBool::new(false),
            born: Instant::now(),
            used: AtomicU64::new(0),
        });
        handle.spawn(keep(Arc::clone(&node)));
        node
    }

    /// Closes the connection for good.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Runs `job` on the connection.
    pub(super) async fn call(&self, job: &Job, until: Until) -> Result<Reply, Error> {
        self.call_with(job, until, false).await
    }

    /// Runs `job`; with `asking` on a node that gets its slot just now.
    pub(super) async fn call_with(
        &self,
        job: &Job,
        until: Until,
        asking: bool,
    ) -> Result<Reply, Error> {
        let link = self.link(until).await?;
        let before = link.replies();
        let run = async { if asking { link.run_asking(job).await } else { link.run(job).await } };
        match timeout_at(until.at, run).await {
            Ok(Err(error)) => {
                let moved = error.is_code("READONLY") && !matches!(self.goal, Goal::Address(_));
                if moved || matches!(error, Error::Broken(_)) {
                    self.give_up(&link);
                }
                Err(error)
            }
            Ok(reply) => reply,
            Err(_) => {
                // Others got theirs: only this answer was slow.
                if link.replies() == before {
                    self.give_up(&link);
                }
                Err(Error::Timeout(until.limit))
            }
        }
    }

    /// The connection, waiting for it if need be.
    async fn link(&self, until: Until) -> Result<Link, Error> {
        let used = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used.store(used, Ordering::Relaxed);
        let current = self.state.borrow().clone();
        match current {
            State::Up(link) if !link.is_over() => return Ok(link),
            State::Up(link) => self.give_up(&link),
            State::Down(why) => return Err(Error::Unavailable(why.to_string())),
            State::Idle => self.wake.notify_one(),
            State::Connecting => {}
        }
        let mut changes = self.state.subscribe();
        let settled = changes.wait_for(|state| matches!(state, State::Up(_) | State::Down(_)));
        let state = match timeout_at(until.at, settled).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) => return Err(Error::Unavailable(format!("{}: closed", self.name))),
            Err(_) => {
                let (name, limit) = (&self.name, until.limit.as_millis());
                return Err(Error::Unavailable(format!("{name}: not connected within {limit} ms")));
            }
        };
        match state {
            State::Up(link) => Ok(link),
            State::Down(why) => Err(Error::Unavailable(why.to_string())),
            _ => Err(Error::Unavailable(format!("{}: not connected", self.name))),
        }
    }

    /// Has `link` replaced, unless it is already.
    fn give_up(&self, link: &Link) {
        let was_current = self.state.send_if_modified(|state| {
            let current = matches!(state, State::Up(up) if up.is(link));
            if current {
                *state = State::Connecting;
            }
            current
        });
        if was_current {
            self.wake.notify_one();
        }
    }

    async fn open(&self) -> Result<(Link, Address), String> {
        let options = &self.options;
        let login = Login {
            username: options.username.as_deref(),
            password: options.password.as_deref(),
            database: options.database,
            tls: options.tls.as_ref(),
        };
        let address = match &self.goal {
            Goal::Address(address) => address.clone(),
            Goal::Master(sentinels) => sentinel::master(sentinels, options.tls.as_ref()).await?,
        };
        let link = Link::open(&address, login, Arc::clone(&self.wake)).await;
        let link = link.map_err(|error| format!("{address}: {error}"))?;
        if let Goal::Master(_) = self.goal {
            sentinel::check_role(&link).await.map_err(|why| format!("{address}: {why}"))?;
        }
        Ok((link, address))
    }

    fn is_unused(&self) -> bool {
        let used = Duration::from_millis(self.used.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(used) >= UNUSED
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Runs on the background thread for as long as the node is wanted.
async fn keep(node: Arc<Node>) {
    while !node.is_closed() {
        node.wake.notified().await;
        if node.is_closed() {
            break;
        }
        node.state.send_replace(State::Connecting);
        keep_up(&node).await;
        // A call that came in between sees that nothing is connected and asks again.
        node.state.send_replace(State::Idle);
    }
    // Frees the connection, even if somebody still holds the node.
    node.state.send_replace(State::Down(Arc::from(format!("{}: closed", node.name))));
}

/// Connects again and again, until nobody wants it any more.
async fn keep_up(node: &Node) {
    let mut wait = WAIT_MIN;
    let mut lost_early = false;
    while !node.is_closed() {
        let started = Instant::now();
        let why = match timeout(CONNECT, node.open()).await {
            Ok(Ok((link, address))) => {
                node.state.send_replace(State::Up(link.clone()));
                if watch_over(node, &link, &address).await {
                    return;
                }
                // What works for a moment only, twice in a row, is not tried again at once.
                let early = started.elapsed() < CHECK;
                if !early || !lost_early {
                    wait = WAIT_MIN;
                    lost_early = early;
                    node.state.send_replace(State::Connecting);
                    continue;
                }
                format!("{address}: the connection was lost")
            }
            Ok(Err(why)) => why,
            Err(_) => {
                format!("{}: no connection within {} ms", node.name, CONNECT.as_millis())
            }
        };
        node.state.send_replace(State::Down(Arc::from(why)));
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
        if node.is_unused() {
            return;
        }
    }
}

/// Returns when the connection is no good any more; true when nobody needs it.
async fn watch_over(node: &Node, link: &Link, address: &Address) -> bool {
    let mut replies = link.replies();
    loop {
        let woken = timeout(CHECK, node.wake.notified()).await.is_ok();
        let current = matches!(&*node.state.borrow(), State::Up(up) if up.is(link));
        if node.is_closed() {
            return true;
        }
        if !current || link.is_over() {
            node.give_up(link);
            return false;
        }
        if woken {
            continue;
        }
        if node.is_unused() {
            return true;
        }
        if let Goal::Master(sentinels) = &node.goal
            && sentinel::moved(sentinels, node.options.tls.as_ref(), address).await
        {
            node.give_up(link);
            return false;
        }
        if link.replies() == replies {
            let ping = Job::Command(Command::build(&["PING"]));
            // An error is an answer as well: a server that loads its data is there.
            match timeout(CHECK, link.run(&ping)).await {
                Ok(Ok(_) | Err(Error::Server { .. })) => {}
                _ => {
                    node.give_up(link);
                    return false;
                }
            }
        }
        replies = link.replies();
    }
}
