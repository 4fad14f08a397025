//! Which Redis, and as whom: what tells targets apart.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use tokio_rustls::TlsConnector;

/// Host name or address, and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`; an IPv6 address may stand in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0)?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Sentinels, and what to ask them for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sentinels {
    /// Asked in this order until one answers.
    pub addresses: Vec<Address>,
    /// The name of the master.
    pub master: String,
    /// The user to be at the sentinels.
    pub username: Option<String>,
    /// The password of the sentinels.
    pub password: Option<String>,
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sentinels({})", self.master)
    }
}

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// One server.
    Single(Address),
    /// The server that sentinels hold to be the master.
    Sentinel(Sentinels),
    /// A cluster, by some of its nodes.
    Cluster(Vec<Address>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(address) => address.fmt(f),
            Self::Sentinel(sentinels) => write!(f, "master {}", sentinels.master),
            Self::Cluster(seeds) => match seeds.first() {
                Some(seed) => write!(f, "cluster of {seed}"),
                None => f.write_str("cluster"),
            },
        }
    }
}

/// How to shake hands. Two are the same if their keys are.
#[derive(Clone)]
pub struct Tls {
    /// Names the way of trusting, such as `verify:/etc/ssl/ca.pem`.
    pub key: String,
    /// What shakes hands.
    pub connector: TlsConnector,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.key)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Everything that tells one target from another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Options {
    /// Where the data is.
    pub place: Place,
    /// The user to be; Redis's `default` if only a password is given.
    pub username: Option<String>,
    /// The password; none does not authenticate.
    pub password: Option<String>,
    /// The number of the database; 0 in a cluster.
    pub database: i64,
    /// TLS, if it is to be used.
    pub tls: Option<Tls>,
}

impl fmt::Debug for Options {
    // Passwords stay out of every log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("place", &self.place.to_string())
            .field("database", &self.database)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}
