//! The one error type of the request path.
//!
//! An [`Error`] answers what its reader always asks: *what* broke ([`Kind`]),
//! *whose fault* it was ([`Side`]), and whether another node may be tried
//! ([`Error::retryable`]). It knows nothing of HTTP: turning it into a response
//! happens in one place, `rescue`.

use std::{error, fmt, time::Duration};

/// Result of any step of the request path.
pub type Result<T> = std::result::Result<T, Error>;

/// What broke, with the numbers an operator needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The client sent something that is not a request we may forward; the text says what.
    BadRequest(&'static str),
    /// The head of a request broke the rules; the status says which kind of rule.
    BadHead {
        /// The status to answer.
        status: u16,
        /// What was wrong.
        why: &'static str,
    },
    /// Request line and headers together passed the configured bound, in bytes.
    HeadTooLarge {
        /// `large_client_header_buffers`, multiplied out.
        bytes_max: usize,
    },
    /// The request body is larger than `client_max_body_size`, in bytes.
    BodyTooLarge {
        /// The configured bound.
        bytes_max: u64,
    },
    /// The request body is not the one that was signed.
    BodyTampered {
        /// The status to answer.
        status: u16,
    },
    /// The temporary file for a request body cannot be made, written or read.
    BodyFile,
    /// The client sent nothing for this long.
    ClientTimeout(Duration),
    /// The client went away.
    ClientGone,
    /// No route matched.
    NoRoute,
    /// An object names another that does not exist, such as `service_id`.
    MissingReference {
        /// The kind of the missing object: `service`, `plugin_config`, `upstream`, …
        kind: &'static str,
        /// Its id as configured.
        id: String,
    },
    /// The route has no upstream at all.
    NoUpstream,
    /// The service of an upstream has no nodes; the text is what APISIX says of it, with a reason.
    Discovery(String),
    /// Nothing is known of the service of an upstream yet.
    Discovering,
    /// Every node is down, tried already, or has weight 0.
    NoNode,
    /// The name of a node could not be resolved.
    Resolve {
        /// The name.
        host: String,
    },
    /// The connection to a node failed or was refused.
    Connect {
        /// `ip:port`.
        node: String,
    },
    /// A node did not connect, read or write in time.
    UpstreamTimeout {
        /// `connect`, `send` or `read`.
        what: &'static str,
        /// `ip:port`.
        node: String,
    },
    /// No connection to a node has room for another call.
    UpstreamBusy {
        /// `ip:port`.
        node: String,
    },
    /// The connection ended before the first byte of an answer.
    UpstreamClosed {
        /// `ip:port`.
        node: String,
        /// Whether the connection came from the pool.
        reused: bool,
    },
    /// The node answered something that is not HTTP we may forward; the text says what.
    BadAnswer {
        /// `ip:port`.
        node: String,
        /// What was wrong with it.
        why: &'static str,
    },
    /// A plugin raised, ran too long, or is configured but not loaded. Logged where it happened.
    Plugin,
    /// The routes's plugin is missing or suspended: answered 503.
    PluginUnavailable,
    /// A limit of this process was reached; the text names it.
    Limit(&'static str),
    /// A feature that moongate does not have; the text names it.
    Unsupported(&'static str),
}

/// Whose fault it was; decided here once, never guessed by callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Downstream,
    /// The service behind us.
    Upstream,
    /// This process or its configuration.
    Gateway,
}

/// What broke, with the cause for the log. Clients never see the cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    cause: Option<Box<dyn error::Error + Send + Sync>>,
}

impl Error {
    /// What broke.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whose fault it was.
    #[must_use]
    pub fn side(&self) -> Side {
        match self.kind {
            Kind::BadRequest(_)
            | Kind::BadHead { .. }
            | Kind::HeadTooLarge { .. }
            | Kind::BodyTooLarge { .. }
            | Kind::BodyTampered { .. }
            | Kind::ClientTimeout(_)
            | Kind::ClientGone
            | Kind::NoRoute => Side::Downstream,
            Kind::Resolve { .. }
            | Kind::Connect { .. }
            | Kind::UpstreamTimeout { .. }
            | Kind::UpstreamBusy { .. }
            | Kind::UpstreamClosed { .. }
            | Kind::BadAnswer { .. } => Side::Upstream,
            _ => Side::Gateway,
        }
    }

    /// Whether the failure leaves room for another try on the same or another node.
    /// Whether the *request* may be repeated (method, bytes sent) is `upstream`'s business.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.side() == Side::Upstream && !matches!(self.kind, Kind::Resolve { .. })
    }

    /// Keeps the lower-level error for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind, cause: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::BadHead { why, .. } => write!(f, "client sent an invalid request: {why}"),
            Kind::BadRequest(why) => write!(f, "client sent an invalid request: {why}"),
            Kind::HeadTooLarge { bytes_max } => {
                write!(f, "client sent a request head above {bytes_max} bytes")
            }
            Kind::BodyTooLarge { bytes_max } => {
                write!(f, "client intended to send a body above {bytes_max} bytes")
            }
            Kind::BodyTampered { .. } => write!(f, "the body is not the one that was signed"),
            Kind::BodyFile => write!(f, "the temporary file for a request body failed"),
            Kind::ClientTimeout(after) => write!(f, "client timed out after {after:?}"),
            Kind::ClientGone => write!(f, "client closed the connection"),
            Kind::NoRoute => write!(f, "no route matched"),
            Kind::MissingReference { kind, id } => write!(f, "{kind} [{id}] does not exist"),
            Kind::NoUpstream => write!(f, "missing upstream configuration in route or service"),
            Kind::Discovery(why) => write!(f, "{why}"),
            Kind::Discovering => {
                write!(f, "no valid upstream node: the registry has not answered yet")
            }
            Kind::NoNode => write!(f, "no node left to try"),
            Kind::Resolve { host } => write!(f, "cannot resolve {host}"),
            Kind::Connect { node } => write!(f, "connect() to {node} failed"),
            Kind::UpstreamTimeout { what, node } => write!(f, "upstream {node} timed out ({what})"),
            Kind::UpstreamBusy { node } => {
                write!(f, "upstream {node} has as many calls in flight as its connections carry")
            }
            Kind::UpstreamClosed { node, reused } => write!(
                f,
                "upstream {node} prematurely closed {} connection",
                if *reused { "a kept-alive" } else { "the" }
            ),
            Kind::BadAnswer { node, why } => write!(f, "upstream {node} sent {why}"),
            Kind::Plugin => write!(f, "a plugin failed"),
            Kind::PluginUnavailable => write!(f, "a plugin of this route is not available"),
            Kind::Limit(what) => write!(f, "limit reached: {what}"),
            Kind::Unsupported(what) => write!(f, "not supported by moongate: {what}"),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn error::Error + 'static))
    }
}
