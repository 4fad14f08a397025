//! A new connection to a node, within its time.

use std::{future::Future, io, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsStream;

use super::tls::{TlsClient, server_name};
use crate::{
    error::{Error, Kind, Result},
    sys::conn::{Conn, Io},
};

/// Connects over TCP.
///
/// # Errors
/// [`Kind::Connect`], or [`Kind::UpstreamTimeout`] after `within`.
pub async fn tcp(addr: SocketAddr, within: Duration) -> Result<Conn> {
    let connected = limited(within, TcpStream::connect(addr), || addr.to_string()).await?;
    Ok(Conn::new(Io::Tcp(connected), Some(addr)))
}

/// Connects over TLS. `name` is what the node is asked for (SNI) and, where `client` checks
/// certificates, what its certificate must be for.
///
/// # Errors
/// [`Kind::Connect`], also for a failed handshake; [`Kind::UpstreamTimeout`] if both together
/// take longer than `within`.
pub async fn tls(
    addr: SocketAddr,
    client: &TlsClient,
    name: &str,
    within: Duration,
) -> Result<Conn> {
    let connecting = async {
        let tcp = TcpStream::connect(addr).await?;
        // Before the handshake: its flights are small writes that must not wait.
        tcp.set_nodelay(true)?;
        client.connector().connect(server_name(name, addr.ip()), tcp).await
    };
    let connected = limited(within, connecting, || addr.to_string()).await?;
    Ok(Conn::new(Io::Tls(Box::new(TlsStream::Client(connected))), Some(addr)))
}

/// Connects to a Unix socket.
///
/// # Errors
/// As [`tcp`].
pub async fn unix(path: &Path, within: Duration) -> Result<Conn> {
    let node = || format!("unix:{}", path.display());
    let connected = limited(within, UnixStream::connect(path), node).await?;
    Ok(Conn::new(Io::Unix(connected), None))
}

async fn limited<T>(
    within: Duration,
    connecting: impl Future<Output = io::Result<T>>,
    node: impl Fn() -> String,
) -> Result<T> {
    match timeout(within, connecting).await {
        Ok(Ok(connected)) => Ok(connected),
        // The kernel's own patience may end before ours.
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
            let kind = Kind::UpstreamTimeout { what: "connect", node: node() };
            Err(Error::from(kind).because(error))
        }
        Ok(Err(error)) => Err(Error::from(Kind::Connect { node: node() }).because(error)),
        Err(_) => Err(Kind::UpstreamTimeout { what: "connect", node: node() }.into()),
    }
}

#[cfg(test)]
#[path = "connect_tests.rs"]
pub(crate) mod tests;
