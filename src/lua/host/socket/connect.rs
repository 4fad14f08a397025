//! `connect`: out of the pool, or to an address that may have to be asked for.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    rc::Rc,
};

use tokio::{
    net::{TcpSocket, TcpStream, UnixStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::{
    adopt, count_of, failure,
    handles::{Owned, tcp_of},
    not_resolved, pool,
    pool::{Pool, Turn},
    success,
    tcp::{Busy, Doing, Open, Tcp},
    wait, words,
};
use crate::{
    lua::{
        host::push_failure,
        raw::{
            co::Value,
            frame::{Called, Frame, Raise},
        },
    },
    sys::conn::{Conn, Io},
    upstream::resolve::Resolver,
};

/// The other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    Host(String, u16),
    Unix(PathBuf),
}

impl Peer {
    /// `(…, host, port)` or `(…, "unix:/path")` from argument 2 on.
    ///
    /// # Errors
    ///
    /// What is wrong with them, to be returned.
    pub(super) fn of(frame: &Frame<'_>) -> Result<Self, String> {
        let host = frame.str(2).unwrap_or_default();
        let host = std::str::from_utf8(host)
            .map_err(|_| format!("failed to parse host name \"{}\"", host.escape_ascii()))?;
        if let Some(path) = host.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(format!(
                    "failed to parse host name \"{host}\": no path in the unix domain socket"
                ));
            }
            return Ok(Self::Unix(path.into()));
        }
        if host.is_empty() {
            return Err("failed to parse host name \"\": no host".to_owned());
        }
        let Some(port) = frame.num(3) else { return Err("missing the port number".to_owned()) };
        if port.fract() != 0.0 || !(0.0..=65535.0).contains(&port) {
            return Err(format!("bad port number: {port}"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
        Ok(Self::Host(host.to_owned(), port as u16))
    }

    fn pool(&self) -> String {
        match self {
            Self::Host(host, port) => format!("{host}:{port}"),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    fn host(&self) -> &str {
        match self {
            Self::Host(host, _) => host,
            Self::Unix(_) => "",
        }
    }
}

/// The address of `host`, asked for if need be.
///
/// # Errors
///
/// In OpenResty's words.
pub(super) async fn address_of(resolver: Option<&Resolver>, host: &str) -> Result<IpAddr, String> {
    let Some(resolver) = resolver else {
        return Err(format!("no resolver defined to resolve \"{host}\""));
    };
    resolver.resolve(host).await.map_err(|error| not_resolved(host, &error))
}

/// `(handle, host, port, pool, pool_size, backlog)`.
pub(super) fn connect(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    frame.need_str(2, "connect")?;
    let pool_name = frame.str(4);
    let pool_size = option(frame, 5, "pool_size", 1.0)?;
    let backlog = option(frame, 6, "backlog", 0.0)?;
    if let Some(busy) = tcp.busy(&[Doing::Connecting, Doing::Reading, Doing::Writing]) {
        return push_failure(frame, busy);
    }
    let peer = match Peer::of(frame) {
        Ok(peer) => peer,
        Err(error) => return push_failure(frame, &error),
    };
    adopt(frame, &(Rc::clone(&tcp) as Rc<dyn Owned>))?;
    tcp.close();

    let core = frame.core()?;
    let name: Rc<[u8]> = match pool_name {
        Some(name) => name.into(),
        None => peer.pool().into_bytes().into(),
    };
    let pools = &core.env.network.pools;
    let pool = if pool_size.is_some() || backlog.is_some() {
        Some(pools.find_or_make(&name, pool_size.unwrap_or(pool::SIZE), backlog))
    } else {
        pools.find(&name)
    };
    let connecting = Connecting {
        resolver: core.env.resolver.clone(),
        pool,
        host: peer.host().into(),
        peer,
        name,
        pool_size,
        backlog,
        tcp,
    };
    connecting.begin(frame)
}

fn option(frame: &Frame<'_>, at: i32, name: &str, min: f64) -> Result<Option<usize>, Raise> {
    if frame.is_nil(at) {
        return Ok(None);
    }
    let bad = || Raise(format!("bad \"{name}\" option value"));
    count_of(frame, at, min).map(Some).ok_or_else(bad)
}

struct Connecting {
    tcp: Rc<Tcp>,
    resolver: Option<Rc<Resolver>>,
    pool: Option<Rc<Pool>>,
    peer: Peer,
    host: Rc<str>,
    name: Rc<[u8]>,
    pool_size: Option<usize>,
    backlog: Option<usize>,
}

impl Connecting {
    fn begin(self, frame: &mut Frame<'_>) -> Called {
        let turn = self.pool.as_ref().map_or(Turn::Now(None), Pool::turn);
        let busy = Busy::new(&self.tcp, Doing::Connecting);
        match turn {
            Turn::Never => push_failure(frame, "too many waiting connect operations"),
            Turn::Later(queued) => wait(frame, async move {
                let limit = self.tcp.timeouts.get().connect;
                let Ok(permit) = timeout(limit, queued.turn()).await else {
                    return failure("timeout");
                };
                drop(queued);
                let values = match self.reuse(permit) {
                    Ok(()) => vec![Value::Num(1.0)],
                    Err(permit) => self.open(permit).await,
                };
                drop(busy);
                values
            }),
            Turn::Now(permit) => match self.reuse(permit) {
                Ok(()) => success(frame),
                Err(permit) => wait(frame, async move {
                    let values = self.open(permit).await;
                    drop(busy);
                    values
                }),
            },
        }
    }

    /// Takes an idle connection of the pool; gives the permit back if there is none.
    fn reuse(
        &self,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Option<OwnedSemaphorePermit>> {
        let Some((conn, reused)) = self.pool.as_ref().and_then(|pool| pool.take()) else {
            return Err(permit);
        };
        self.start(conn, reused, permit);
        Ok(())
    }

    fn start(&self, conn: Rc<Conn>, reused: u64, permit: Option<OwnedSemaphorePermit>) {
        self.tcp.start(Open {
            conn,
            pool: Rc::clone(&self.name),
            pool_size: self.pool_size,
            backlog: self.backlog,
            permit,
            reused,
            host: Rc::clone(&self.host),
        });
    }

    async fn open(&self, permit: Option<OwnedSemaphorePermit>) -> Vec<Value> {
        match self.dial().await {
            Ok(conn) => {
                self.start(Rc::new(conn), 0, permit);
                vec![Value::Num(1.0)]
            }
            Err(error) => failure(error),
        }
    }

    async fn dial(&self) -> Result<Conn, String> {
        let limit = self.tcp.timeouts.get().connect;
        match &self.peer {
            Peer::Unix(path) => {
                let stream = timed(limit, UnixStream::connect(path)).await?;
                Ok(Conn::new(Io::Unix(stream), None))
            }
            Peer::Host(host, port) => {
                let addr = address_of(self.resolver.as_deref(), host).await?;
                let addr = SocketAddr::new(addr, *port);
                let stream = timed(limit, stream_to(addr, self.tcp.local.get())).await?;
                Ok(Conn::new(Io::Tcp(stream), Some(addr)))
            }
        }
    }
}

async fn stream_to(addr: SocketAddr, local: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(local) = local else { return TcpStream::connect(addr).await };
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(local, 0))?;
    socket.connect(addr).await
}

async fn timed<T>(
    limit: std::time::Duration,
    connecting: impl Future<Output = io::Result<T>>,
) -> Result<T, String> {
    match timeout(limit, connecting).await {
        Ok(connected) => connected.map_err(|error| words(&error)),
        Err(_) => Err("timeout".to_owned()),
    }
}
