//! One request in flight, with everything that is known of it.
//!
//! An [`Exchange`] is owned by the task that serves the connection. Steps read and
//! write its typed fields; Lua sees them through `vars` and the host functions.

pub mod body;
pub mod inner;
pub mod packing;
pub mod vars;

use std::{
    any::Any,
    cell::Cell,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

pub use body::{Body, Frame, RequestBody, Source};
use bytes::BytesMut;
pub use inner::{Inner, Inside, Jump, Told};
pub use packing::Packing;

use crate::{
    clock,
    codec::{Call, Framing, sign::Claim},
    config::{
        Snapshot,
        runs::{Matched, Runs},
        upstream::Upstream,
    },
    error::Result,
    fields::Fields,
    http1::RequestHead,
    sys::{conn::Conn, deadline::Deadline},
};

/// The connection a request came by.
#[derive(Debug)]
pub struct ConnInfo {
    /// Number of the connection in this process, for `$connection`.
    pub serial: u64,
    /// The peer.
    pub peer: SocketAddr,
    /// Its address as text, made once.
    pub peer_text: Box<str>,
    /// Our end.
    pub local: SocketAddr,
    /// Whether the client speaks TLS to us.
    pub tls: bool,
    /// Whether the connection speaks HTTP/2.
    pub http2: bool,
}

impl Default for ConnInfo {
    fn default() -> Self {
        let none = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            serial: 0,
            peer: none,
            peer_text: "0.0.0.0".into(),
            local: none,
            tls: false,
            http2: false,
        }
    }
}

/// Who made the response, for `core.response.get_response_source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// Nobody yet.
    #[default]
    None,
    /// A plugin or the gateway's own logic.
    Gateway,
    /// The gateway because the upstream failed.
    Failure,
    /// The upstream.
    Upstream,
}

/// The response as far as it is made.
#[derive(Debug, Default)]
pub struct Response {
    /// Status code; 0 while none is decided.
    pub status: u16,
    /// Header fields towards the client, without those the driver writes itself
    /// (`Date`, `Connection`, `Transfer-Encoding`).
    pub fields: Fields,
    /// Length of the body if it is known; plugins that change the body clear it.
    pub length: Option<u64>,
    /// Who made it.
    pub origin: Origin,
    /// What a plugin printed before the answer is sent.
    pub printed: Vec<u8>,
    /// Whether the head left already.
    pub head_sent: bool,
    /// Whether the plugin that answers has said that its head is complete (`ngx.flush`).
    pub head_fixed: bool,
    /// Whether it has said that its body is complete, too (`ngx.eof`).
    pub body_fixed: bool,
    /// Whether all of it has left while the plugin still runs.
    pub body_sent: bool,
    /// Whether a part of it was lost on the way: the client must not take it for whole.
    pub body_lost: bool,
    /// Whether a plugin has the connection and answers by itself (`ngx.req.socket(true)`).
    pub taken_over: bool,
    /// Bytes a second that the client may get, 0 for as many as it takes (`$limit_rate`).
    pub rate: u64,
    /// Since when that is counted.
    pub rate_since: Option<Instant>,
    /// Whether the body is packed on its way to the client.
    pub packing: Packing,
    /// Whether plugins have no say in the head (`skip_header_filter_by_lua`).
    pub skip_header_filter: bool,
    /// Whether they have none in the body (`skip_body_filter_by_lua`).
    pub skip_body_filter: bool,
    /// Bytes written to the client: head and body.
    pub bytes_sent: u64,
    /// Bytes of body written to the client.
    pub body_bytes_sent: u64,
}

/// One try at one node.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The address.
    pub addr: SocketAddr,
    /// The address as text.
    pub addr_text: Rc<str>,
    /// Its status; 0 if none came.
    pub status: u16,
    /// Until connected.
    pub connect_time: Option<Duration>,
    /// Until the head of the answer was read.
    pub header_time: Option<Duration>,
    /// Until the last byte.
    pub response_time: Option<Duration>,
    /// Bytes sent to and received from the node.
    pub bytes: (u64, u64),
    /// Bytes of heads among those received.
    pub head_bytes: u64,
    /// When the try began.
    pub started: Instant,
}

/// What goes upstream instead of the HTTP request.
#[derive(Clone)]
pub struct Asked {
    /// The call.
    pub call: Rc<dyn Call>,
    /// How frames of its protocol are told apart.
    pub framing: &'static dyn Framing,
    /// How long a node may take for the answer; `None` for the upstream's `timeout.read`.
    pub timeout: Option<Duration>,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({})", self.framing.name())
    }
}

/// What a plugin's `balancer` wants of a try (`ngx.balancer`).
#[derive(Debug, Default)]
pub struct Orders {
    /// The address to send to, whatever node was picked.
    pub peer: Option<SocketAddr>,
    /// The name that stands for it in `Host` and TLS, if it is not the picked node's.
    pub host: Option<Box<str>>,
    /// Tries there may be beyond the upstream's own.
    pub more_tries: u32,
    /// Time limits of connecting, sending and reading, where they differ from the upstream's.
    pub timeouts: [Option<Duration>; 3],
    /// How long its connection may be idle and how many requests it may carry, where that differs
    /// from the upstream's.
    pub keep: Option<(Duration, u32)>,
    /// How many idle connections to the node are kept, if it is not as many as the upstream says.
    pub pool_size: Option<usize>,
}

/// What is known of the upstream side.
#[derive(Debug, Default)]
pub struct UpstreamState {
    /// Every try, the last one at the end.
    pub attempts: Vec<Attempt>,
    /// The node picked last: host as configured, and port.
    pub picked: Option<(Rc<str>, u16)>,
    /// Fields of the upstream's answer as they came, while plugins may still ask for
    /// `upstream_http_*`; kept only if the response's own fields no longer show them.
    pub original: Option<Box<Fields>>,
    /// An upstream that a plugin chose, replacing the route's.
    pub chosen: Option<Arc<Upstream>>,
    /// Identity of `chosen` for balancer state.
    pub chosen_key: Option<Arc<str>>,
    /// Id given by a plugin as `ctx.upstream_id`.
    pub chosen_id: Option<String>,
    /// What a plugin made of the request for an upstream that does not speak HTTP.
    pub asked: Option<Asked>,
    /// What a plugin's `balancer` has to say about the next try.
    pub orders: Option<Box<Orders>>,
    /// Whether the request goes to a second server too, which `$upstream_mirror_uri` names.
    pub mirrored: bool,
    /// A timer between two uses; it outlives the request, since making one is dear.
    pub timer: Deadline,
}

/// The Lua side of a request: opaque here, owned by `lua`.
#[derive(Default)]
pub struct LuaSlot(Option<Box<dyn Any>>);

impl LuaSlot {
    /// The slot's content, made at first use.
    pub fn slot<T: Default + 'static>(&mut self) -> &mut T {
        let fresh = !self.0.as_ref().is_some_and(|content| content.is::<T>());
        if fresh {
            self.0 = Some(Box::new(T::default()));
        }
        match self.0.as_mut().and_then(|content| content.downcast_mut()) {
            Some(content) => content,
            // Put there two lines above.
            None => unreachable!("a slot holds what was put into it"),
        }
    }

    /// The slot's content, if there is any.
    #[must_use]
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.downcast_ref()
    }

    /// Empties the slot, keeping its memory for the next request.
    pub fn clear<T: Default + 'static>(&mut self) {
        if let Some(content) = self.0.as_mut().and_then(|content| content.downcast_mut::<T>()) {
            *content = T::default();
        }
    }
}

impl std::fmt::Debug for LuaSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LuaSlot({})", if self.0.is_some() { "used" } else { "free" })
    }
}

/// A variable that a plugin set, or took away.
pub type SetVar = (Box<[u8]>, Option<Box<[u8]>>);

/// One request in flight.
pub struct Exchange {
    /// Number of the request in this process, `*N` in the error log.
    pub serial: u64,
    /// Its connection.
    pub conn: Rc<ConnInfo>,
    /// Requests on this connection before this one, plus one.
    pub conn_requests: u32,
    /// When the first byte was read.
    pub started: Instant,
    /// The same on the wall clock.
    pub started_wall: Duration,
    /// Method, target and fields as they came; plugins change the fields here.
    pub head: RequestHead,
    /// The method, also when a plugin changed it.
    pub method: Vec<u8>,
    /// The decoded, normalised path: nginx's `$uri`.
    pub path: Vec<u8>,
    /// The query string without `?`.
    pub args: Vec<u8>,
    /// Path and query in the form that goes upstream while no plugin changes them.
    pub forward: Vec<u8>,
    /// Whether a plugin changed path or query.
    pub rewritten: bool,
    /// `$host`: lower case, no port.
    pub host: Vec<u8>,
    /// The client as plugins see it; `real-ip` may change it.
    pub remote: SocketAddr,
    /// The body.
    pub body: RequestBody,
    /// The bound of the body that a plugin set, instead of `client_max_body_size`; 0 is any.
    pub body_bytes_max: Option<u64>,
    /// Variables that plugins set, by name.
    pub vars: Vec<SetVar>,
    /// What the router captured.
    pub params: Captures,
    /// The configuration this request sees from start to end.
    ///
    /// Behind an `Rc` of this worker, here and below: workers would fight for one counter.
    pub snapshot: Option<Rc<Arc<Snapshot>>>,
    /// Route, service, plugin_config and consumer put together.
    pub matched: Option<Rc<Matched>>,
    /// The global rules, if there are any.
    pub globals: Option<Rc<Arc<Runs>>>,
    /// The upstream side.
    pub upstream: UpstreamState,
    /// The response side.
    pub response: Response,
    /// The chunk in front of `body_filter`.
    pub chunk: Chunk,
    /// The Lua side.
    pub lua: LuaSlot,
    /// Bytes of request head and body received.
    pub request_length: u64,
    /// Whether the client went away.
    pub client_gone: bool,
    /// Routes whose `filter_func` said no, by number.
    pub refused_routes: Vec<u32>,
    /// Tells whether the client is still there while the upstream is silent.
    pub peer: Option<Rc<dyn Peer>>,
    /// Signatures that plugins look at.
    pub claims: Claims,
    /// What is known of it in a location of a snippet.
    pub inner: Option<Box<Inner>>,
    /// Whether the wait for the upstream's head has begun.
    pub waits: bool,
    /// When the last wait ended: the time of everything that follows without waiting.
    pub now: Instant,
    /// When the response was sent.
    pub ended: Option<Instant>,
}

/// What the request says about its signatures, each claim under a number that no other has.
///
/// It goes with its request; a plugin that asks again and again loses the oldest.
#[derive(Debug, Default)]
pub struct Claims(Vec<(u64, Claim)>);

impl Claims {
    /// Claims that one request keeps.
    const KEPT_MAX: usize = 16;

    /// Keeps `claim`; returns its number.
    pub fn keep(&mut self, claim: Claim) -> u64 {
        thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
        let number = LAST.get() + 1;
        LAST.set(number);
        if self.0.len() >= Self::KEPT_MAX {
            self.0.remove(0);
        }
        self.0.push((number, claim));
        number
    }

    /// The one that was kept last.
    #[must_use]
    pub fn last(&self) -> Option<&Claim> {
        self.0.last().map(|(_, claim)| claim)
    }

    /// The claim of that number, if it is one of this request and still kept.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Claim> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, claim)| claim)
    }
}

/// The client's end of the connection, as far as steps other than `accept` may look at it.
pub trait Peer {
    /// Ready when the client closed the connection.
    fn poll_gone(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()>;

    /// Sends the head of the answer that a plugin is still making, if it has not left, and what
    /// was printed since; with `last` the answer ends.
    fn send<'x>(self: Rc<Self>, x: &'x mut Exchange, last: bool) -> Leaving<'x>;

    /// The connection, for a plugin that goes on by itself, with what was read and belongs to no
    /// head. Why not, if its protocol knows no such thing.
    ///
    /// # Errors
    ///
    /// The reason, in OpenResty's words.
    fn take_over(&self) -> std::result::Result<(Rc<Conn>, BytesMut), &'static str>;
}

/// A part of an answer on its way.
pub type Leaving<'x> = Pin<Box<dyn Future<Output = Result<()>> + 'x>>;

/// Names and values in one piece of memory that requests after another reuse.
#[derive(Debug, Default)]
pub struct Captures {
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

impl Captures {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a pair.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len()));
    }

    /// All pairs, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, end)| {
            let pair = (&self.bytes[start..*name_end], &self.bytes[*name_end..*end]);
            start = *end;
            pair
        })
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// How many pairs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The piece of body that `body_filter` looks at: nginx's `ngx.arg`.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The bytes.
    pub data: bytes::Bytes,
    /// Whether this is the last piece.
    pub eof: bool,
    /// Whether a plugin changed it.
    pub changed: bool,
}

impl Default for Exchange {
    fn default() -> Self {
        let conn = Rc::new(ConnInfo::default());
        Self {
            serial: 0,
            remote: conn.peer,
            conn,
            conn_requests: 0,
            started: clock::now(),
            started_wall: Duration::ZERO,
            head: RequestHead::default(),
            method: Vec::new(),
            path: Vec::new(),
            args: Vec::new(),
            forward: Vec::new(),
            rewritten: false,
            host: Vec::new(),
            body: RequestBody::default(),
            body_bytes_max: None,
            vars: Vec::new(),
            params: Captures::default(),
            snapshot: None,
            matched: None,
            globals: None,
            upstream: UpstreamState::default(),
            response: Response::default(),
            chunk: Chunk::default(),
            lua: LuaSlot::default(),
            request_length: 0,
            client_gone: false,
            refused_routes: Vec::new(),
            peer: None,
            claims: Claims::default(),
            inner: None,
            waits: false,
            now: clock::now(),
            ended: None,
        }
    }
}

impl Exchange {
    /// Makes it ready for the next request, keeping its buffers.
    pub fn reset(&mut self, conn: &Rc<ConnInfo>) {
        self.conn = Rc::clone(conn);
        self.remote = conn.peer;
        self.started = clock::now();
        self.now = self.started;
        self.ended = None;
        self.started_wall = clock::wall_at(self.started);
        self.method.clear();
        self.path.clear();
        self.args.clear();
        self.forward.clear();
        self.rewritten = false;
        self.host.clear();
        self.body = RequestBody::default();
        self.body_bytes_max = None;
        self.vars.clear();
        self.params.clear();
        self.snapshot = None;
        self.matched = None;
        self.globals = None;
        self.reset_upstream();
        self.reset_response();
        self.chunk = Chunk::default();
        self.request_length = 0;
        self.client_gone = false;
        self.refused_routes.clear();
        self.peer = None;
        self.inner = None;
        self.waits = false;
    }

    /// Forgets the route, and what it made of the request for its upstream.
    pub fn forget_route(&mut self) {
        self.matched = None;
        self.params.clear();
        self.refused_routes.clear();
        self.reset_upstream();
    }

    /// How long the request took, or takes up to now.
    #[must_use]
    pub fn lasted(&self) -> Duration {
        self.ended
            .map_or_else(|| self.started.elapsed(), |ended| ended.duration_since(self.started))
    }

    /// The client's address as text.
    #[must_use]
    pub fn remote_text(&self) -> std::borrow::Cow<'_, str> {
        if self.remote == self.conn.peer {
            std::borrow::Cow::Borrowed(&self.conn.peer_text)
        } else {
            std::borrow::Cow::Owned(self.remote.ip().to_string())
        }
    }

    /// Id of the matched route.
    #[must_use]
    pub fn route_id(&self) -> Option<&Arc<str>> {
        self.matched.as_ref()?.runs.route_id.as_ref()
    }

    /// Whether the client has gone; registers the task otherwise.
    pub fn peer_is_gone(&mut self, cx: &mut std::task::Context<'_>) -> bool {
        let gone = self.peer.as_ref().is_some_and(|peer| peer.poll_gone(cx).is_ready());
        self.client_gone |= gone;
        gone
    }

    fn reset_upstream(&mut self) {
        let mut attempts = std::mem::take(&mut self.upstream.attempts);
        attempts.clear();
        let timer = std::mem::take(&mut self.upstream.timer);
        self.upstream = UpstreamState { attempts, timer, ..UpstreamState::default() };
    }

    fn reset_response(&mut self) {
        let mut fields = std::mem::take(&mut self.response.fields);
        fields.clear();
        let mut printed = std::mem::take(&mut self.response.printed);
        printed.clear();
        self.response = Response { fields, printed, ..Response::default() };
    }

    /// Sets a variable; `None` removes its value.
    pub fn set_var(&mut self, name: &[u8], value: Option<&[u8]>) {
        let value = value.map(Into::into);
        match self.vars.iter_mut().find(|(known, _)| **known == *name) {
            Some(known) => known.1 = value,
            None => self.vars.push((name.into(), value)),
        }
    }

    /// A variable that a plugin set: `None` if none did.
    #[must_use]
    pub fn set_value(&self, name: &[u8]) -> Option<Option<&[u8]>> {
        if self.vars.is_empty() {
            return None;
        }
        self.vars.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.as_deref())
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange(*{} {:?})", self.serial, String::from_utf8_lossy(&self.path))
    }
}
