//! One probe of one node.
//!
//! A connection serves some probes and is then replaced, so that most probes cost no
//! handshake and a node that no longer takes connections is still found out. A kept connection
//! that turns out to be closed says nothing of the node: the probe begins again with a new one.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use tokio::time::timeout;

use super::{
    checks::Way,
    tell::Whole,
    watch::{Gear, Target},
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    http1::{BodyDecoder, Decoded, Framing, HeadLimits, Progress, ResponseHead, parse_response},
    sys::conn::{self, Conn},
    upstream::{connect, resolve::Resolver},
};

/// Probes that one connection serves.
const PROBES_PER_CONNECTION: u32 = 20;

/// Nodes that are asked less often than this are not kept connected meanwhile.
const KEPT_WITHIN: Duration = Duration::from_secs(30);

/// Connections that are kept; what comes on top connects for each probe.
const KEPT_MAX: usize = 4096;

/// The longest body that is read for the sake of a connection, and how long it may take.
const BODY_BYTES_MAX: u64 = 16 << 10;
const BODY_WITHIN: Duration = Duration::from_millis(200);

/// Interim answers (1xx) before the final one.
const INTERIM_MAX: u32 = 8;

thread_local! {
    /// Heads are read whole, one after the other.
    static HEAD: RefCell<ResponseHead> = RefCell::default();

    /// How many connections are kept.
    static KEPT: Cell<usize> = const { Cell::new(0) };
}

/// The right to keep a connection.
struct Right;

impl Right {
    fn take() -> Option<Self> {
        let kept = KEPT.get();
        (kept < KEPT_MAX).then(|| {
            KEPT.set(kept + 1);
            Self
        })
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        KEPT.set(KEPT.get() - 1);
    }
}

/// How a probe ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With an answer; of status 0 if it was none of HTTP.
    Status(u16),
    /// With a connection, where no more is wanted.
    Connected,
    /// Without either.
    Broken(Error),
    /// It took too long.
    Late(&'static str),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(0) => f.write_str("a probe got an answer that is not HTTP"),
            Self::Status(status) => write!(f, "a probe got {status}"),
            Self::Connected => f.write_str("a probe could connect"),
            Self::Broken(error) => write!(f, "a probe failed: {}", Whole(error)),
            Self::Late(what) => write!(f, "a probe timed out ({what})"),
        }
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error.kind() {
            Kind::UpstreamTimeout { what, .. } => Self::Late(what),
            _ => Self::Broken(error),
        }
    }
}

/// A connection that may be used again.
struct Kept {
    conn: Conn,
    addr: SocketAddr,
    /// Probes it has served.
    served: u32,
    /// Given with the first probe that leaves it open.
    right: Option<Right>,
}

/// The probes of one node.
pub(super) struct Prober {
    gear: Arc<Gear>,
    resolver: Rc<Resolver>,
    /// The request, and the same with word that it is the last.
    requests: [Box<[u8]>; 2],
    /// Whether a second request may follow the first.
    keeps: bool,
    kept: Option<Kept>,
    /// What the first connection counts as served, so that not all are replaced together.
    served: u32,
}

impl Prober {
    /// Probes `target`, the `number`th of this process.
    pub(super) fn new(
        gear: Arc<Gear>,
        (target, number): (&Target, u64),
        resolver: Rc<Resolver>,
    ) -> Self {
        let requests = [request(&gear, target, false), request(&gear, target, true)];
        // Twice is done only what does no harm.
        let harmless = matches!(&*gear.active.method, "GET" | "HEAD" | "OPTIONS");
        let longest = gear.active.healthy_interval.max(gear.active.unhealthy_interval);
        let keeps = harmless && longest.is_some_and(|interval| interval <= KEPT_WITHIN);
        // The rest of a division by so little fits.
        let served = (number % u64::from(PROBES_PER_CONNECTION)) as u32;
        Self { gear, resolver, requests, keeps, kept: None, served }
    }

    pub(super) async fn probe(&mut self, target: &Target) -> Outcome {
        let addr = match self.address(target).await {
            Ok(addr) => addr,
            Err(outcome) => return outcome,
        };
        if self.gear.active.way == Way::Tcp {
            return match connect::tcp(addr, self.gear.active.timeout).await {
                Ok(_) => Outcome::Connected,
                Err(error) => error.into(),
            };
        }
        let kept = self.kept.take().filter(|kept| kept.addr == addr && kept.conn.is_alive());
        if let Some(kept) = kept
            && let Ok(outcome) = self.within(kept).await
        {
            return outcome;
        }
        // On the heap: most probes do without.
        let conn = match Box::pin(self.connect(target, addr)).await {
            Ok(conn) => conn,
            Err(error) => return error.into(),
        };
        let served = std::mem::take(&mut self.served);
        self.within(Kept { conn, addr, served, right: None }).await.unwrap_or_else(Outcome::from)
    }

    async fn address(&self, target: &Target) -> std::result::Result<SocketAddr, Outcome> {
        if let Some(ip) = target.ip {
            return Ok(SocketAddr::new(ip, target.port));
        }
        let asked = async {
            match self.resolver.cached(&target.host, clock::now()) {
                Some(known) => known,
                None => self.resolver.resolve(&target.host).await,
            }
        };
        match timeout(self.gear.active.timeout, asked).await {
            Ok(Ok(ip)) => {
                let addr = SocketAddr::new(ip, target.port);
                target.see(addr);
                Ok(addr)
            }
            Ok(Err(error)) => Err(Outcome::Broken(error)),
            Err(_) => Err(Outcome::Late("resolve")),
        }
    }

    async fn connect(&self, target: &Target, addr: SocketAddr) -> Result<Conn> {
        let active = &self.gear.active;
        match &self.gear.tls {
            Ok(None) => connect::tcp(addr, active.timeout).await,
            Ok(Some(client)) => {
                let name = active.sni.as_deref().unwrap_or(&target.asked);
                connect::tls(addr, client, name, active.timeout).await
            }
            Err(why) => {
                Err(Error::from(Kind::Connect { node: addr.to_string() }).because(why.clone()))
            }
        }
    }

    /// Asks over a connection, and keeps it if it can be used again. The error is one of the
    /// connection.
    async fn within(&mut self, mut kept: Kept) -> Result<Outcome> {
        let mut last = !self.keeps || kept.served + 1 >= PROBES_PER_CONNECTION;
        if !last && kept.right.is_none() {
            kept.right = Right::take();
            last = kept.right.is_none();
        }
        let mut buf = BytesMut::new();
        let asked = ask(&kept.conn, &self.requests[usize::from(last)], &self.gear, &mut buf);
        let answer = match timeout(self.gear.active.timeout, asked).await {
            Ok(answer) => answer.map_err(|error| closed(&kept, error))?,
            Err(_) => return Ok(Outcome::Late("read")),
        };
        let Some((status, framing, keep_alive)) = answer else { return Ok(Outcome::Status(0)) };
        if keep_alive && !last && drained(&kept.conn, framing, &mut buf).await {
            self.kept = Some(Kept { served: kept.served + 1, ..kept });
        }
        conn::give_back(&mut buf);
        Ok(Outcome::Status(status))
    }
}

fn closed(kept: &Kept, error: std::io::Error) -> Error {
    let kind = Kind::UpstreamClosed { node: kept.addr.to_string(), reused: kept.served > 0 };
    Error::from(kind).because(error)
}

/// The request for `target`; `last` says that the connection is to be closed behind it.
fn request(gear: &Gear, target: &Target, last: bool) -> Box<[u8]> {
    let active = &gear.active;
    let is = |line: &str, name: &str| {
        line.split(':').next().is_some_and(|field| field.trim().eq_ignore_ascii_case(name))
    };
    let given = |name: &str| active.headers.iter().any(|line| is(line, name));
    let mut text = format!("{} {} HTTP/1.1\r\n", active.method, path(&active.path));
    if !given("host") {
        text.push_str(&format!("Host: {}\r\n", target.asked));
    }
    if last && !given("connection") {
        text.push_str("Connection: close\r\n");
    }
    for line in &active.headers {
        text.push_str(line);
        text.push_str("\r\n");
    }
    if !active.body.is_empty() && !given("content-length") {
        text.push_str(&format!("Content-Length: {}\r\n", active.body.len()));
    }
    text.push_str("\r\n");
    text.push_str(&active.body);
    text.into_bytes().into()
}

/// A path that cannot end the request line early.
fn path(path: &str) -> String {
    let plain = |byte: u8| byte > b' ' && byte != 0x7f;
    if path.bytes().all(plain) {
        return path.to_owned();
    }
    let sign = |c: char| {
        if c.is_ascii() && !plain(c as u8) { format!("%{:02X}", c as u32) } else { c.to_string() }
    };
    path.chars().map(sign).collect()
}

/// Sends a request and reads the head of its answer; `buf` holds what came behind it. `None` if
/// it is no head.
async fn ask(
    conn: &Conn,
    request: &[u8],
    gear: &Gear,
    buf: &mut BytesMut,
) -> std::io::Result<Option<(u16, Framing, bool)>> {
    conn.write_all(request).await?;
    let method = gear.active.method.as_bytes();
    let mut interim = 0;
    loop {
        let read = HEAD.with_borrow_mut(|head| {
            // Another node's half a head.
            head.clear();
            let progress = parse_response(buf, &HeadLimits::default(), method, head);
            let facts = (head.status(), head.framing(), head.keep_alive());
            progress.map(|progress| (progress, facts, head.is_interim()))
        });
        match read {
            Err(_) => return Ok(None),
            Ok((Progress::Done(end), _, true)) if interim < INTERIM_MAX => {
                interim += 1;
                // The final answer may have come with it.
                let _ = buf.split_to(end);
            }
            Ok((Progress::Done(_), (status, ..), true)) => {
                return Ok(Some((status, Framing::Close, false)));
            }
            Ok((Progress::Done(end), facts, false)) => {
                let _ = buf.split_to(end);
                return Ok(Some(facts));
            }
            Ok((Progress::Partial, ..)) => {
                if conn.read_buf(buf).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Whether the whole body came, soon enough and short enough, and nothing behind it.
async fn drained(conn: &Conn, framing: Framing, buf: &mut BytesMut) -> bool {
    if matches!(framing, Framing::Close) {
        return false;
    }
    let mut decoder = BodyDecoder::response(framing);
    let drain = async {
        loop {
            match decoder.decode(buf) {
                Ok(Decoded::Data(_) | Decoded::Trailers(_)) => {}
                Ok(Decoded::End) => return buf.is_empty(),
                Err(_) => return false,
                Ok(Decoded::NeedMore) => {
                    let enough = decoder.wire_bytes() > BODY_BYTES_MAX;
                    if enough || !matches!(conn.read_buf(buf).await, Ok(1..)) {
                        return false;
                    }
                }
            }
        }
    };
    timeout(BODY_WITHIN, drain).await.unwrap_or(false)
}
