//! Listening sockets, and handing connections to the workers.
//!
//! Each worker has its own socket per port (`SO_REUSEPORT`). The kernel's hash leaves cores
//! idle when there are few connections, so a worker that has more open connections than
//! the least loaded one passes a new one on.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};

use crate::{gate::Gate, log::error_log::Level, log_at, shared::counts::Counts};

/// Connections more than the least loaded worker has before one is passed on.
const MARGIN: u64 = 1;

/// How long accepting pauses when no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections taken before everybody else on this worker gets a turn.
const BURST: u32 = 16;

/// The length of the accept queue, as APISIX sets it.
const BACKLOG: i32 = 511;

/// Opens a listening socket that other workers, or a process that takes over, share.
///
/// # Errors
///
/// What the system says.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Whether `addr` is free: nobody listens there, not even with `SO_REUSEPORT` unless `shared`.
///
/// # Errors
///
/// [`io::ErrorKind::AddrInUse`] if not, or what the system says.
pub fn probe(addr: SocketAddr, shared: bool) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    // Nobody may connect here: among those that share a port, binding alone tells.
    if shared { Ok(()) } else { socket.listen(1) }
}

/// Where the other workers take connections that are passed on.
#[derive(Clone)]
pub struct Peers {
    /// One sender per worker.
    pub inboxes: Vec<mpsc::UnboundedSender<std::net::TcpStream>>,
    /// Open connections per worker.
    pub counts: Arc<Counts>,
}

/// Accepts until `stop` says so, then empties the queue and closes the socket.
pub async fn accept(
    gate: Rc<Gate>,
    listener: TcpListener,
    peers: Rc<Peers>,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut burst = Burst::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    place(&gate, &peers, stream);
                    burst.next().await;
                }
                Err(error) => pause(&gate, &error).await,
            },
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    // Connections the kernel already completed would be reset by the close. The runtime may
    // not know of the last ones yet, so the socket itself is asked.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        let stream =
            stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            place(&gate, &peers, stream);
        }
    }
}

/// Takes connections that other workers pass on, also while an order is carried out. They are
/// counted already.
pub async fn adopt(
    gate: Rc<Gate>,
    peers: Rc<Peers>,
    mut inbox: mpsc::UnboundedReceiver<std::net::TcpStream>,
) {
    let mut burst = Burst::default();
    while let Some(stream) = inbox.recv().await {
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => spawn(&gate, &peers, stream),
            Err(_) => {
                peers.counts.open[gate.worker].fetch_sub(1, Ordering::Relaxed);
            }
        }
        burst.next().await;
    }
}

/// Counts new connections: a flood of them must not keep the old ones waiting.
#[derive(Default)]
struct Burst(u32);

impl Burst {
    /// To be called after each.
    async fn next(&mut self) {
        self.0 += 1;
        if self.0 == BURST {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

async fn pause(gate: &Gate, error: &io::Error) {
    // Per-connection errors such as ECONNABORTED need no pause.
    if matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    ) {
        Counts::add(&gate.counts.accept_pauses);
        log_at!(Level::Crit, "accept() failed, pausing for {} ms: {error}", PAUSE.as_millis());
        tokio::time::sleep(PAUSE).await;
    }
}

/// Serves a connection here, or passes it to the least loaded worker.
fn place(gate: &Rc<Gate>, peers: &Peers, stream: tokio::net::TcpStream) {
    Counts::add(&gate.counts.accepted);
    let open = |worker: usize| peers.counts.open[worker].load(Ordering::Relaxed);
    let here = gate.worker;
    let least = (0..peers.inboxes.len()).min_by_key(|worker| open(*worker)).unwrap_or(here);
    // Counted before it arrives there, or a burst would all go to one worker. A worker that
    // is about to end may have looked into its inbox for the last time.
    let staying = !gate.drain.announced.get();
    if staying && least != here && open(here) >= open(least) + MARGIN {
        Counts::add(&peers.counts.open[least]);
        if let Ok(stream) = stream.into_std()
            && peers.inboxes[least].send(stream).is_err()
        {
            peers.counts.open[least].fetch_sub(1, Ordering::Relaxed);
        }
        return;
    }
    Counts::add(&peers.counts.open[here]);
    spawn(gate, peers, stream);
}

fn spawn(gate: &Rc<Gate>, peers: &Peers, stream: tokio::net::TcpStream) {
    let max = gate.local.borrow().worker_connections;
    if gate.connections.get() >= max {
        log_at!(Level::Alert, "{max} worker_connections are not enough");
        peers.counts.open[gate.worker].fetch_sub(1, Ordering::Relaxed);
        return;
    }
    gate.connections.update(|open| open + 1);
    let gate = Rc::clone(gate);
    let counts = Arc::clone(&peers.counts);
    tokio::task::spawn_local(async move {
        let _open = Open { gate: Rc::clone(&gate), counts };
        super::serve(Rc::clone(&gate), stream).await;
    });
}

/// Counts an open connection until dropped.
struct Open {
    gate: Rc<Gate>,
    counts: Arc<Counts>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gate.connections.update(|open| open - 1);
        self.counts.open[self.gate.worker].fetch_sub(1, Ordering::Relaxed);
    }
}
