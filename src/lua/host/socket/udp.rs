//! UDP and Unix datagram sockets.

use std::{
    cell::{Cell, RefCell},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use tokio::{
    net::{UdpSocket, UnixDatagram},
    time::timeout,
};

use super::{
    TIMEOUT, adopt, connect,
    connect::Peer,
    count_of, failure,
    handles::{Owned, udp_of},
    success, timeout_of, wait, words,
};
use crate::lua::{
    core::Core,
    host::{NONE, push_failure},
    raw::{
        co::Value,
        frame::{Called, Frame, Raise},
    },
};

/// What `receive` takes at most, as in OpenResty.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// What it takes if it is not told.
const DATAGRAM_BYTES: usize = 8192;

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "udp_connect", connect)?;
    state.host_function(table, "udp_send", send)?;
    state.host_function(table, "udp_receive", receive)?;
    state.host_function(table, "udp_set_timeout", set_timeout)?;
    state.host_function(table, "udp_close", close)
}

enum Line {
    Inet(UdpSocket),
    Unix(UnixDatagram),
}

impl Line {
    async fn open(peer: &Peer, addr: Option<IpAddr>, local: Option<IpAddr>) -> io::Result<Self> {
        match (peer, addr) {
            (Peer::Host(_, port), Some(addr)) => {
                let any = match addr {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                let socket = UdpSocket::bind(SocketAddr::new(local.unwrap_or(any), 0)).await?;
                socket.connect(SocketAddr::new(addr, *port)).await?;
                Ok(Self::Inet(socket))
            }
            (Peer::Unix(path), _) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Self::Unix(socket))
            }
            (Peer::Host(..), None) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Inet(socket) => socket.try_send(data),
            Self::Unix(socket) => socket.try_send(data),
        }
    }

    async fn send(&self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Inet(socket) => socket.send(data).await,
            Self::Unix(socket) => socket.send(data).await,
        }
    }

    async fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Inet(socket) => socket.recv(buf).await,
            Self::Unix(socket) => socket.recv(buf).await,
        }
    }
}

/// One socket object.
pub(super) struct Udp {
    line: RefCell<Option<Rc<Line>>>,
    timeout: Cell<Duration>,
    receiving: Cell<bool>,
    pub(super) local: Cell<Option<IpAddr>>,
    owner: Cell<u64>,
}

impl Default for Udp {
    fn default() -> Self {
        Self {
            line: RefCell::default(),
            timeout: Cell::new(TIMEOUT),
            receiving: Cell::new(false),
            local: Cell::new(None),
            owner: Cell::new(0),
        }
    }
}

impl Owned for Udp {
    fn owner(&self) -> &Cell<u64> {
        &self.owner
    }

    fn abandon(&self) {
        self.line.borrow_mut().take();
    }
}

/// `(handle, host, port)` or `(handle, "unix:/path")` -> 1 | nil, error.
fn connect(frame: &mut Frame<'_>) -> Called {
    let udp = udp_of(frame)?;
    frame.need_str(2, "setpeername")?;
    let peer = match Peer::of(frame) {
        Ok(peer) => peer,
        Err(error) => return push_failure(frame, &error),
    };
    adopt(frame, &(Rc::clone(&udp) as Rc<dyn Owned>))?;
    udp.abandon();
    let resolver = frame.core()?.env.resolver.clone();
    wait(frame, async move {
        let addr = match &peer {
            Peer::Unix(_) => None,
            Peer::Host(host, _) => match connect::address_of(resolver.as_deref(), host).await {
                Ok(addr) => Some(addr),
                Err(error) => return failure(error),
            },
        };
        match Line::open(&peer, addr, udp.local.get()).await {
            Ok(line) => {
                *udp.line.borrow_mut() = Some(Rc::new(line));
                vec![Value::Num(1.0)]
            }
            Err(error) => failure(words(&error)),
        }
    })
}

fn send(frame: &mut Frame<'_>) -> Called {
    let udp = udp_of(frame)?;
    let data = frame.need_str(2, "send")?;
    let line = udp.line.borrow().clone();
    let Some(line) = line else { return push_failure(frame, "closed") };
    match line.try_send(data) {
        Ok(_) => success(frame),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let data = data.to_vec();
            wait(frame, async move {
                match timeout(udp.timeout.get(), line.send(&data)).await {
                    Ok(Ok(_)) => vec![Value::Num(1.0)],
                    Ok(Err(error)) => failure(words(&error)),
                    Err(_) => failure("timeout"),
                }
            })
        }
        Err(error) => push_failure(frame, &words(&error)),
    }
}

/// Resets the flag of a `receive` under way.
struct Receiving(Rc<Udp>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.receiving.set(false);
    }
}

/// `(handle, size)` -> data | nil, error.
fn receive(frame: &mut Frame<'_>) -> Called {
    let udp = udp_of(frame)?;
    let size = match frame.num(2) {
        None => DATAGRAM_BYTES,
        Some(_) => count_of(frame, 2, 1.0)
            .ok_or_else(|| Raise::new("bad argument #1 to 'receive' (bad size argument)"))?
            .min(DATAGRAM_BYTES_MAX),
    };
    if udp.receiving.get() {
        return push_failure(frame, "socket busy");
    }
    let line = udp.line.borrow().clone();
    let Some(line) = line else { return push_failure(frame, "closed") };
    udp.receiving.set(true);
    let receiving = Receiving(udp);
    wait(frame, async move {
        let mut buf = vec![0; size];
        match timeout(receiving.0.timeout.get(), line.receive(&mut buf)).await {
            Ok(Ok(count)) => {
                buf.truncate(count);
                vec![Value::Str(buf)]
            }
            Ok(Err(error)) => failure(words(&error)),
            Err(_) => failure("timeout"),
        }
    })
}

fn set_timeout(frame: &mut Frame<'_>) -> Called {
    let udp = udp_of(frame)?;
    udp.timeout.set(timeout_of(frame, 2, "settimeout")?);
    NONE
}

fn close(frame: &mut Frame<'_>) -> Called {
    let udp = udp_of(frame)?;
    if udp.receiving.get() {
        return push_failure(frame, "socket busy");
    }
    let line = udp.line.borrow_mut().take();
    if line.is_some() { success(frame) } else { push_failure(frame, "closed") }
}
