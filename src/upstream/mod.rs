//! Talking to a node: connections, the HTTP/1 client driver, the protocols beside HTTP, name
//! resolution.
//!
//! [`Client`] belongs to a worker. [`Client::send`] makes one try at one node, [`Client::call`]
//! one in a protocol that a plugin chose; whether
//! there is another try, and where, is the pipeline's decision.

mod call;
pub mod connect;
pub mod mux;
pub mod pool;
pub mod request;
pub mod resolve;
mod response;
mod send;
pub mod tls;

use std::{net::SocketAddr, rc::Rc, time::Duration};

pub use request::Sending;
pub use response::{Tunnel, UpstreamBody};
pub use send::{Answer, Try};

use crate::http1::HeadLimits;

/// A node, and how to talk to it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its address.
    pub addr: SocketAddr,
    /// The address as text.
    pub addr_text: Rc<str>,
    /// TLS, if the scheme is https: the client configuration and the name to ask for.
    pub tls: Option<(Rc<tls::TlsClient>, Rc<str>)>,
    /// What goes into `Host`; `None` for what the client sent.
    pub host: Option<Rc<[u8]>>,
    /// How connections to it are kept.
    pub keep: pool::KeepAlive,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one write may take.
    pub send_timeout: Duration,
    /// How long the node may be silent.
    pub read_timeout: Duration,
}

/// A worker's side towards all nodes.
#[derive(Debug, Clone)]
pub struct Client {
    /// Idle connections.
    pub pool: pool::Pool,
    /// Connections of the protocols that carry many calls at once.
    pub mux: mux::Mux,
    /// Bounds of answers' heads.
    pub limits: HeadLimits,
}
