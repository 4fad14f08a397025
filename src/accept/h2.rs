//! The HTTP/2 server driver: one connection, many streams at a time.
//!
//! Hyper speaks the protocol; each stream is one task, which polls hyper's half (frames)
//! and ours (the pipeline) in turns. What a client may make us hold is bounded here: streams
//! at a time, requests that go on after their streams were reset, bytes of windows and
//! buffers. Floods of resets, settings, pings and continuations end in h2 itself.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use http::{
    Request, Response,
    request::Parts,
    uri::{Authority, PathAndQuery},
};
use hyper::{
    body::{Body as _, Incoming},
    rt::Executor,
    server::conn::http2::{self, Connection},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

use super::{
    next_request,
    stage::{Answer, BrokenOff, H2Sink, Pick, Stage, fields_of},
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    exchange::{Body, ConnInfo, Exchange, Frame, RequestBody, Source},
    gate::Gate,
    http1::{Framing, HeadError, HeadLimits},
    log::error_log::Level,
    log_at, parse,
    pipeline::{self, After},
    sys::{conn::Conn, deadline::Deadline},
};

/// Streams a client may have open at a time (nginx: `http2_max_concurrent_streams`).
const STREAMS_MAX: u32 = 128;

/// Requests of one connection that may run at a time: those whose stream was reset count
/// until they notice.
const RUNNING_MAX: usize = 2 * STREAMS_MAX as usize;

/// Bytes of body that a client may send before we read them, per stream and in all: as many
/// streams as there can be do not block each other.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONN_WINDOW_BYTES: u32 = STREAMS_MAX * STREAM_WINDOW_BYTES;

/// Bytes of response that one stream may hold while the client does not read.
const SEND_BYTES_MAX: usize = 64 << 10;

/// Streams that the client reset before we looked at them; more end the connection.
const RESETS_MAX: usize = 20;

/// Streams that we reset because of the client's errors; more end the connection.
const ERRORS_MAX: usize = 256;

/// A connection that is silent for this long is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long it has for the answer.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of a body that nobody wanted which are read before the stream ends. Older clients
/// take the reset that comes instead for a failure, although the answer was sent.
const REST_BYTES_MAX: u64 = 1 << 20;

/// How long a client that was told to leave may stay without a stream.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection and its streams share.
struct Shared {
    gate: Rc<Gate>,
    info: Rc<ConnInfo>,
    limits: HeadLimits,
    requests: Cell<u32>,
    running: Cell<usize>,
    /// When the last stream ended, or the connection began.
    quiet_since: Cell<Instant>,
    /// Too many requests run: the connection is to be cut.
    overrun: Cell<bool>,
    /// The request whose stream hyper is about to start.
    next: RefCell<Option<Job>>,
    idle: Notify,
}

/// A request that was received.
struct Job {
    request: Request<Incoming>,
    stage: Rc<Stage>,
    serial: u32,
}

/// Serves `conn`, whose first bytes are in `early`, until it ends.
pub(super) async fn serve(gate: &Rc<Gate>, conn: Conn, early: BytesMut, info: ConnInfo) {
    let local = Rc::clone(&gate.local.borrow());
    let (count, bytes) = local.large_client_header_buffers;
    let bytes_max = count.saturating_mul(bytes);
    let shared = Rc::new(Shared {
        gate: Rc::clone(gate),
        info: Rc::new(info),
        limits: HeadLimits { bytes_max, line_max: bytes, ..HeadLimits::default() },
        requests: Cell::new(0),
        running: Cell::new(0),
        quiet_since: Cell::new(clock::now()),
        overrun: Cell::new(false),
        next: RefCell::default(),
        idle: Notify::new(),
    });
    let mut builder = http2::Builder::new(Streams(Rc::clone(&shared)));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONN_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(ERRORS_MAX)
        .max_header_list_size(u32::try_from(bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let io = TokioIo::new(Early { bytes: early, io: conn.into_io() });
    let serving = builder.serve_connection(io, Streams(Rc::clone(&shared)));
    drive(&shared, serving).await;
    // Requests whose streams went with the connection still have to be logged.
    while shared.running.get() > 0 {
        shared.idle.notified().await;
    }
}

/// Polls the connection until it ends by itself, or has to.
async fn drive<I>(shared: &Shared, serving: Connection<I, Streams, Streams>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut serving = pin!(serving);
    let mut patience = Patience::new(shared);
    let drain = &shared.gate.drain;
    let serial = shared.info.serial;
    let mut registered = false;
    poll_fn(|cx| {
        if !registered {
            drain.wakers.borrow_mut().insert(serial, cx.waker().clone());
            registered = true;
        }
        loop {
            // What an ended connection says is of no use to anybody: it is the client's doing.
            if serving.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if shared.overrun.get() {
                log_at!(
                    Level::Info,
                    "client {} reset streams faster than requests end: connection cut",
                    shared.info.peer
                );
                return Poll::Ready(());
            }
            match patience.poll(cx, shared) {
                Wait::Stay => return Poll::Pending,
                Wait::Leave => serving.as_mut().graceful_shutdown(),
                Wait::Cut => return Poll::Ready(()),
            }
        }
    })
    .await;
    drain.wakers.borrow_mut().remove(&serial);
}

/// How much longer a connection may stay.
struct Patience {
    deadline: Deadline,
    /// Whether the wait for the first request is over.
    begun: bool,
    leaving: bool,
}

enum Wait {
    Stay,
    /// Tell the client to go, and poll again.
    Leave,
    Cut,
}

impl Patience {
    fn new(shared: &Shared) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(shared.gate.local.borrow().client_header_timeout);
        Self { deadline, begun: false, leaving: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Wait {
        if !self.leaving && shared.must_leave() {
            return self.leave();
        }
        if !self.begun && shared.requests.get() > 0 {
            self.begun = true;
            if !self.leaving {
                self.deadline.set(shared.idle_timeout());
            }
        }
        while self.deadline.poll(cx).is_ready() {
            let allowed = if self.leaving { LINGER } else { shared.idle_timeout() };
            let left = match shared.running.get() {
                0 => allowed.saturating_sub(shared.quiet_since.get().elapsed()),
                _ => allowed,
            };
            if !left.is_zero() {
                self.deadline.set(left);
            } else if self.leaving {
                return Wait::Cut;
            } else {
                return self.leave();
            }
        }
        Wait::Stay
    }

    fn leave(&mut self) -> Wait {
        self.leaving = true;
        self.deadline.set(LINGER);
        Wait::Leave
    }
}

impl Shared {
    /// How long the connection may have no stream.
    fn idle_timeout(&self) -> Duration {
        let local = self.gate.local.borrow();
        if self.requests.get() == 0 { local.client_header_timeout } else { local.keepalive_timeout }
    }

    /// Whether the client is to be told to open its next stream elsewhere.
    fn must_leave(&self) -> bool {
        let drain = &self.gate.drain;
        if drain.closing.get() {
            return true;
        }
        let requests = self.requests.get();
        let local = self.gate.local.borrow();
        // One connection stands for as many of HTTP/1 as it may have streams.
        let requests_max = local.keepalive_requests.saturating_mul(u64::from(STREAMS_MAX));
        requests > 0
            && (drain.announced.get()
                || u64::from(requests) >= requests_max
                || local.keepalive_timeout.is_zero())
    }
}

/// Takes requests from hyper, and the futures of their streams.
#[derive(Clone)]
struct Streams(Rc<Shared>);

impl Service<Request<Incoming>> for Streams {
    type Response = Response<Pick>;
    type Error = BrokenOff;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let shared = &self.0;
        if shared.running.get() >= RUNNING_MAX {
            shared.overrun.set(true);
            return Answer(Stage::refused());
        }
        shared.requests.set(shared.requests.get().saturating_add(1));
        let stage = Stage::new(&shared.gate);
        let job = Job { request, stage: Rc::clone(&stage), serial: shared.requests.get() };
        shared.next.replace(Some(job));
        Answer(stage)
    }
}

/// Hyper hands the stream's future over right after the request.
impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, wire: F) {
        match self.0.next.take() {
            None => tokio::task::spawn_local(wire),
            Some(job) => {
                let running = Running::start(&self.0);
                tokio::task::spawn_local(async move { stream(&running.0, wire, job).await })
            }
        };
    }
}

/// Counts a running request until dropped.
struct Running(Rc<Shared>);

impl Running {
    fn start(shared: &Rc<Shared>) -> Self {
        shared.running.update(|running| running + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let shared = &self.0;
        shared.running.update(|running| running - 1);
        if shared.running.get() == 0 {
            shared.quiet_since.set(clock::now());
            shared.idle.notify_one();
        }
    }
}

/// One stream: the pipeline makes the response, hyper's `wire` sends it.
async fn stream<F: Future<Output = ()>>(shared: &Shared, wire: F, job: Job) {
    let stage = Rc::clone(&job.stage);
    let mut x = shared.gate.exchange();
    x.reset(&shared.info);
    {
        let mut wire = pin!(Some(wire));
        let mut request = pin!(request(shared, &mut x, job));
        let mut served = false;
        poll_fn(|cx| {
            loop {
                if !served && let Poll::Ready(broken) = request.as_mut().poll(cx) {
                    served = true;
                    stage.close(broken);
                }
                stage.take_moved();
                if let Some(running) = wire.as_mut().as_pin_mut() {
                    // A wire that goes on although all is said does not get its bytes out:
                    // dropping it resets the stream.
                    if running.poll(cx).is_ready() || served {
                        wire.set(None);
                        stage.leave();
                    }
                }
                if served {
                    return Poll::Ready(());
                }
                if !stage.take_moved() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
    crate::lua::Vm::detach(&mut x);
    x.peer = None;
    x.body = RequestBody::default();
    x.head.clear();
    let status = x.response.status;
    shared.gate.recycle(x);
    // After an error a client stops sending. Curl 7.88 goes on after a success whose stream
    // has ended, and never stops: there the reset is the better end, as nginx has it.
    if status >= 400
        && let Some(rest) = stage.take_rest()
    {
        discard(rest).await;
    }
}

/// Reads what is left of a request's body, within bounds.
async fn discard(mut rest: Incoming) {
    let mut bytes = 0;
    let read = async {
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > REST_BYTES_MAX {
                break;
            }
        }
    };
    // Too late or too much: the stream is reset when `rest` goes.
    let _ = Deadline::default().limit(LINGER, read).await;
}

/// Serves one request; whether the response broke off.
async fn request(shared: &Shared, x: &mut Exchange, job: Job) -> bool {
    let gate = &shared.gate;
    let local = Rc::clone(&gate.local.borrow());
    x.serial = next_request();
    x.conn_requests = job.serial;
    let mut sink = H2Sink::new(Rc::clone(&job.stage), local.send_timeout);
    let (parts, incoming) = job.request.into_parts();
    let upload = Upload::new(Rc::clone(&job.stage), incoming, local.client_body_timeout);
    if let Err(error) = prepare(shared, x, &parts, upload) {
        pipeline::refuse(gate, x, &error, &mut sink).await;
        return false;
    }
    x.peer = Some(job.stage);
    match pipeline::serve(gate, x, &mut sink).await {
        After::Done => false,
        After::Broken => {
            // What was made so far gets its turn on the wire; the reset would overtake it.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            true
        }
        After::Tunnel(_) => {
            // The sink has refused to send such a head, so this cannot come.
            pipeline::finish(gate, x).await;
            true
        }
    }
}

/// Fills in head and body of `x`.
fn prepare(shared: &Shared, x: &mut Exchange, parts: &Parts, upload: Upload) -> Result<()> {
    let local = shared.gate.local.borrow();
    load(x, parts, &shared.limits).map_err(|error| match error.status() {
        431 => Error::from(Kind::HeadTooLarge { bytes_max: shared.limits.bytes_max }),
        status => Kind::BadHead { status, why: error.why() }.into(),
    })?;
    x.request_length = x.head.raw().len() as u64;
    x.body.length = match x.head.framing() {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    x.body.present = x.body.length.is_some() || !upload.is_end();
    if x.body.present {
        x.body.bytes_max = local.client_max_body_size;
        x.body.incoming = Body::Stream(Box::new(upload));
    }
    let client = Rc::clone(&shared.gate.client_addr.borrow());
    parse::prepare(x, &local, &client)?;
    match x.body.length {
        Some(length) if local.client_max_body_size > 0 && length > local.client_max_body_size => {
            Err(Kind::BodyTooLarge { bytes_max: local.client_max_body_size }.into())
        }
        _ => Ok(()),
    }
}

/// Reads the head by the same rules and bounds as one of HTTP/1.
fn load(
    x: &mut Exchange,
    parts: &Parts,
    limits: &HeadLimits,
) -> std::result::Result<(), HeadError> {
    let authority = parts.uri.authority().map(Authority::as_str);
    // CONNECT has no path; its target is the authority.
    let target = parts.uri.path_and_query().map(PathAndQuery::as_str).or(authority);
    let target = target.unwrap_or_default().as_bytes();
    if target.len() > limits.line_max {
        return Err(HeadError::StartLineTooLong);
    }
    if parts.headers.len() > limits.fields_max {
        return Err(HeadError::TooManyFields);
    }
    let fields = || {
        let pairs = parts.headers.iter();
        pairs.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    };
    if fields().any(|(name, value)| name.len() + 2 + value.len() > limits.line_max) {
        return Err(HeadError::FieldTooLong);
    }
    let method = parts.method.as_str().as_bytes();
    x.head.assemble(method, target, authority.map(str::as_bytes), fields())
}

/// The body of a request; its flow control opens as it is read.
struct Upload {
    stage: Rc<Stage>,
    /// Taken only by `drop`.
    incoming: Option<Incoming>,
    deadline: Deadline,
    waiting: bool,
    timeout: Duration,
}

impl Upload {
    fn new(stage: Rc<Stage>, incoming: Incoming, timeout: Duration) -> Self {
        let (incoming, deadline) = (Some(incoming), Deadline::default());
        Self { stage, incoming, deadline, waiting: false, timeout }
    }

    fn is_end(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(rest) = self.incoming.take() {
            self.stage.put_rest(rest);
        }
    }
}

impl Source for Upload {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        loop {
            let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Error::from(Kind::ClientGone).because(error))));
                }
                Poll::Pending => {
                    if !std::mem::replace(&mut self.waiting, true) {
                        self.deadline.set(self.timeout);
                    }
                    if self.deadline.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.waiting = false;
                    return Poll::Ready(Some(Err(Kind::ClientTimeout(self.timeout).into())));
                }
            };
            self.waiting = false;
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return Poll::Ready(Some(fields_of(&trailers).map(Frame::Trailers)));
                    }
                }
            }
        }
    }
}

/// A stream whose first bytes were read already.
struct Early<T> {
    bytes: BytesMut,
    io: T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Early<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.bytes.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let len = this.bytes.len().min(buf.remaining());
        buf.put_slice(&this.bytes[..len]);
        this.bytes.advance(len);
        if this.bytes.is_empty() {
            this.bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Early<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
