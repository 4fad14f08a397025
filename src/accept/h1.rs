//! The HTTP/1 server driver: one connection, request after request.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};

use super::{
    h1_sink::{Begun, H1Sink},
    next_request,
};
use crate::{
    error::{Error, Kind, Result},
    exchange::{Body, ConnInfo, Exchange, Frame, Leaving, Peer, RequestBody, Source},
    gate::Gate,
    http1::{self, BodyDecoder, Decoded, Framing, HeadError, HeadLimits, Progress},
    parse,
    pipeline::{self, After},
    sys::{
        conn::{self, Conn},
        deadline::Deadline,
    },
    upstream::Tunnel,
};

/// Bytes of a body that nobody wanted which are read so that the client sees the answer.
const LINGER_BYTES_MAX: u64 = 1 << 20;

/// How long that may take (nginx: `lingering_timeout`).
const LINGER: Duration = Duration::from_secs(5);

/// The preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the driver, the body of the request and the watch on the client share.
pub(super) struct Shared {
    gate: Rc<Gate>,
    pub(super) conn: Rc<Conn>,
    buf: RefCell<BytesMut>,
    decoder: RefCell<BodyDecoder>,
    pub(super) deadline: RefCell<Deadline>,
    /// Of the body: it may be read while the response is written.
    body_deadline: RefCell<Deadline>,
    waiting: Cell<bool>,
    /// The client waits for `100 Continue` before it sends the body.
    expects: Cell<bool>,
    /// Why the body broke off, if it did: where it would end is not known then.
    broken: Cell<Option<Broken>>,
    body_timeout: Duration,
    /// How the answer goes on that a plugin has begun to send.
    pub(super) begun: Cell<Begun>,
}

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// It is no body.
    Malformed,
    /// The client sent nothing for too long, or went away.
    Silent,
}

impl Shared {
    /// Whether the next request could not be found behind this one.
    pub(super) fn is_lost(&self) -> bool {
        self.broken.get().is_some() || self.expects.get() && !self.decoder.borrow().is_done()
    }
}

/// Why the wait for a head ended.
enum Arrived {
    Head,
    Preface,
    Closed,
    Bad(HeadError),
    TimedOut,
}

pub use super::h1_sink::set_send_timeout;

/// Serves `conn` until it ends. Gives it back if it turns out to speak HTTP/2.
pub(super) async fn serve(
    gate: &Rc<Gate>,
    conn: Conn,
    info: Rc<ConnInfo>,
) -> Option<(Conn, BytesMut)> {
    let body_timeout = gate.local.borrow().client_body_timeout;
    let shared = Rc::new(Shared {
        gate: Rc::clone(gate),
        conn: Rc::new(conn),
        buf: RefCell::default(),
        decoder: RefCell::new(BodyDecoder::request(Framing::None)),
        deadline: RefCell::default(),
        body_deadline: RefCell::default(),
        waiting: Cell::new(false),
        expects: Cell::new(false),
        broken: Cell::new(None),
        body_timeout,
        begun: Cell::default(),
    });
    let mut driver = Driver { gate: Rc::clone(gate), shared, info, requests: 0, ended: None };
    let serial = driver.info.serial;
    poll_fn(|cx| {
        gate.drain.wakers.borrow_mut().insert(serial, cx.waker().clone());
        Poll::Ready(())
    })
    .await;
    let next = driver.run().await;
    gate.drain.wakers.borrow_mut().remove(&serial);
    if next == Next::Http2 {
        let shared = Rc::try_unwrap(driver.shared).ok()?;
        return Some((Rc::try_unwrap(shared.conn).ok()?, shared.buf.into_inner()));
    }
    None
}

/// What to do with the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Again,
    Close,
    Http2,
}

struct Driver {
    gate: Rc<Gate>,
    shared: Rc<Shared>,
    info: Rc<ConnInfo>,
    requests: u32,
    /// When the last request ended, until the wait for the next one began.
    ended: Option<Instant>,
}

impl Driver {
    async fn run(&mut self) -> Next {
        loop {
            if !self.wait_for_bytes().await {
                return Next::Close;
            }
            let mut x = self.gate.exchange();
            x.reset(&self.info);
            let next = self.one(&mut x).await;
            self.ended = x.ended;
            crate::lua::Vm::detach(&mut x);
            x.head.clear();
            self.gate.recycle(x);
            if next != Next::Again {
                return next;
            }
        }
    }

    /// Waits without holding any buffer until the client sends something.
    async fn wait_for_bytes(&mut self) -> bool {
        let shared = &self.shared;
        if !shared.buf.borrow().is_empty() {
            return true;
        }
        conn::give_back(&mut shared.buf.borrow_mut());
        let local = Rc::clone(&self.gate.local.borrow());
        let patience =
            if self.requests == 0 { local.client_header_timeout } else { local.keepalive_timeout };
        let fresh = self.requests == 0;
        let now = self.ended.take();
        if patience.is_zero() && !fresh {
            return false;
        }
        let mut deadline = shared.deadline.take();
        let gate = &self.gate;
        let arrived = deadline
            .limit_from(
                now,
                patience,
                poll_fn(|cx| {
                    // What has arrived is answered, also on the way out.
                    if let Poll::Ready(readable) = shared.conn.poll_readable(cx) {
                        return Poll::Ready(readable.is_ok());
                    }
                    let drain = &gate.drain;
                    let over = if fresh { &drain.closing_fresh } else { &drain.closing };
                    if over.get() { Poll::Ready(false) } else { Poll::Pending }
                }),
            )
            .await;
        shared.deadline.replace(deadline);
        arrived.unwrap_or(false)
    }

    async fn one(&mut self, x: &mut Exchange) -> Next {
        let limits = head_limits(&self.gate);
        let arrived = self.read_head(x, &limits).await;
        x.serial = next_request();
        self.requests += 1;
        x.conn_requests = self.requests;
        match arrived {
            Arrived::Closed => Next::Close,
            Arrived::Preface => Next::Http2,
            Arrived::Head => self.request(x).await,
            Arrived::TimedOut => {
                let timeout = self.gate.local.borrow().client_header_timeout;
                self.shared.broken.set(Some(Broken::Silent));
                self.refuse(x, &Kind::ClientTimeout(timeout).into()).await
            }
            Arrived::Bad(error) => self.refuse(x, &bad_head(error, &limits)).await,
        }
    }

    /// Reads one head; the time for all of it is bounded, not for each byte.
    async fn read_head(&mut self, x: &mut Exchange, limits: &HeadLimits) -> Arrived {
        let shared = Rc::clone(&self.shared);
        let timeout = self.gate.local.borrow().client_header_timeout;
        let started = x.started;
        x.head.clear();
        let mut first = true;
        loop {
            let parsed = {
                let buf = shared.buf.borrow();
                if self.requests == 0
                    && buf.first() == Some(&b'P')
                    && PREFACE.starts_with(&buf[..buf.len().min(PREFACE.len())])
                {
                    if buf.len() >= PREFACE.len() {
                        return Arrived::Preface;
                    }
                    Ok(Progress::Partial)
                } else if buf.is_empty() {
                    Ok(Progress::Partial)
                } else {
                    http1::parse_request(&buf, limits, &mut x.head)
                }
            };
            match parsed {
                Ok(Progress::Done(len)) => {
                    shared.buf.borrow_mut().advance(len);
                    x.request_length = len as u64;
                    return Arrived::Head;
                }
                Err(error) => return Arrived::Bad(error),
                Ok(Progress::Partial) => {}
            }
            let waited = if first { Duration::ZERO } else { started.elapsed() };
            let left = timeout.saturating_sub(waited);
            first = false;
            let mut buf = shared.buf.take();
            let mut deadline = shared.deadline.take();
            let read = deadline.limit(left, read_more(&shared.conn, &mut buf)).await;
            let empty = buf.is_empty();
            shared.deadline.replace(deadline);
            shared.buf.replace(buf);
            match read {
                None if empty => return Arrived::Closed,
                None => return Arrived::TimedOut,
                Some(Ok(0) | Err(_)) => return Arrived::Closed,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn refuse(&mut self, x: &mut Exchange, error: &Error) -> Next {
        let mut sink = H1Sink::new(&self.shared, false);
        pipeline::refuse(&self.gate, x, error, &mut sink).await;
        self.linger().await;
        Next::Close
    }

    async fn request(&mut self, x: &mut Exchange) -> Next {
        self.prepare_body(x);
        let local = Rc::clone(&self.gate.local.borrow());
        let client = Rc::clone(&self.gate.client_addr.borrow());
        if let Err(error) = parse::prepare(x, &local, &client) {
            return self.refuse(x, &error).await;
        }
        if let Some(length) = x.body.length
            && local.client_max_body_size > 0
            && length > local.client_max_body_size
        {
            let error = Kind::BodyTooLarge { bytes_max: local.client_max_body_size }.into();
            return self.refuse(x, &error).await;
        }
        let keep = x.head.keep_alive()
            && u64::from(self.requests) < local.keepalive_requests
            && !local.keepalive_timeout.is_zero()
            && !self.gate.drain.announced.get();
        x.peer = Some(Rc::clone(&self.shared) as Rc<dyn Peer>);
        self.shared.begun.set(Begun::new(keep));
        let mut sink = H1Sink::new(&self.shared, keep);
        let after = pipeline::serve(&Rc::clone(&self.gate), x, &mut sink).await;
        let keep = sink.keep;
        drop(sink);
        x.peer = None;
        x.body = RequestBody::default();
        match after {
            After::Broken => Next::Close,
            After::Tunnel(tunnel) => {
                self.tunnel(x, tunnel).await;
                Next::Close
            }
            After::Done if keep && self.drain_body().await => Next::Again,
            After::Done => {
                self.linger().await;
                Next::Close
            }
        }
    }

    fn prepare_body(&self, x: &mut Exchange) {
        let framing = x.head.framing();
        self.shared.decoder.replace(BodyDecoder::request(framing));
        self.shared.expects.set(x.head.expect_continue());
        self.shared.waiting.set(false);
        x.body.present = !matches!(framing, Framing::None);
        x.body.length = match framing {
            Framing::Length(length) => Some(length),
            _ => None,
        };
        if x.body.present {
            x.body.bytes_max = self.gate.local.borrow().client_max_body_size;
            x.body.incoming = Body::Stream(Box::new(ClientBody(Rc::clone(&self.shared))));
        }
    }

    /// Reads what is left of the request's body so that the next request can be found.
    /// False if that would take too long: the connection closes then.
    async fn drain_body(&self) -> bool {
        if self.shared.decoder.borrow().is_done() {
            return true;
        }
        // A client that was promised nothing sends nothing: there is no body to wait for.
        if self.shared.is_lost() {
            return false;
        }
        let mut rest = ClientBody(Rc::clone(&self.shared));
        let mut read = 0_u64;
        let mut deadline = Deadline::default();
        let done = deadline.limit(LINGER, async {
            while let Some(frame) = poll_fn(|cx| rest.poll_frame(cx)).await {
                match frame {
                    Ok(Frame::Data(data)) => read += data.len() as u64,
                    Ok(Frame::Trailers(_)) => {}
                    Err(_) => return false,
                }
                if read > LINGER_BYTES_MAX {
                    return false;
                }
            }
            true
        });
        done.await.unwrap_or(false)
    }

    /// Says goodbye, then reads for a moment: closing with unread bytes would reset the
    /// connection and could destroy the answer on its way.
    async fn linger(&self) {
        let conn = &self.shared.conn;
        // From a client that was silent for too long nothing is on its way.
        if conn.shutdown().await.is_err() || self.shared.broken.get() == Some(Broken::Silent) {
            return;
        }
        let mut buf = BytesMut::new();
        let mut total = 0_u64;
        let mut deadline = Deadline::default();
        let _ = deadline
            .limit(LINGER, async {
                while let Ok(read @ 1..) = conn.read_buf(&mut buf).await {
                    total += read as u64;
                    buf.clear();
                    if total > LINGER_BYTES_MAX {
                        break;
                    }
                }
            })
            .await;
    }

    /// Copies bytes both ways until one side ends.
    async fn tunnel(&mut self, x: &mut Exchange, tunnel: Tunnel) {
        let early = self.shared.buf.take();
        let client = &self.shared.conn;
        let up = copy(client, &tunnel.conn, early);
        let down = copy(&tunnel.conn, client, tunnel.early);
        let closing = self.gate.drain.notify.notified();
        let evicted = crate::lua::Vm::evicted(x);
        tokio::select! {
            (sent, received) = async { tokio::join!(up, down) } => {
                x.request_length += sent;
                x.response.bytes_sent += received;
                x.response.body_bytes_sent += received;
            }
            () = closing => {}
            () = evicted => {
                // RFC 6455, section 7.4.1, and its registry: 1012, the service restarts.
                let _ = client.write_all(&[0x88, 2, 0x03, 0xF4]).await;
                let _ = client.shutdown().await;
            }
        }
        pipeline::finish(&self.gate, x).await;
    }
}

/// Copies until the end of `from`, then tells `to`. Returns the bytes copied.
async fn copy(from: &Conn, to: &Conn, mut buf: BytesMut) -> u64 {
    let mut total = 0;
    loop {
        if !buf.is_empty() {
            total += buf.len() as u64;
            if to.write_all(&buf).await.is_err() {
                return total;
            }
            buf.clear();
        }
        conn::give_back(&mut buf);
        match from.read_buf(&mut buf).await {
            Ok(0) | Err(_) => {
                let _ = to.shutdown().await;
                return total;
            }
            Ok(_) => {}
        }
    }
}

/// Reads on behind half a head. Who sends one slowly holds no more than what came of it.
async fn read_more(conn: &Conn, buf: &mut BytesMut) -> std::io::Result<usize> {
    if !buf.is_empty() {
        conn::park(buf);
        conn.readable().await?;
        conn::unpark(buf);
    }
    conn.read_buf(buf).await
}

fn head_limits(gate: &Gate) -> HeadLimits {
    let (count, bytes) = gate.local.borrow().large_client_header_buffers;
    HeadLimits { bytes_max: count.saturating_mul(bytes), line_max: bytes, ..HeadLimits::default() }
}

fn bad_head(error: HeadError, limits: &HeadLimits) -> Error {
    match error.status() {
        431 => Kind::HeadTooLarge { bytes_max: limits.bytes_max }.into(),
        status => Kind::BadHead { status, why: error.why() }.into(),
    }
}

impl Peer for Shared {
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buf = self.buf.borrow_mut();
        // A pipelined request lies there, or the body is still coming: no look beyond it.
        if !buf.is_empty() || !self.decoder.borrow().is_done() {
            return Poll::Pending;
        }
        match self.conn.poll_read_buf(cx, &mut buf) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    fn send<'x>(self: Rc<Self>, x: &'x mut Exchange, last: bool) -> Leaving<'x> {
        Box::pin(async move {
            let mut sink = H1Sink::new(&self, self.begun.get().keep);
            let sent = pipeline::stream::send(&self.gate, x, &mut sink, last).await;
            sink.leave();
            sent
        })
    }

    fn take_over(&self) -> std::result::Result<(Rc<Conn>, BytesMut), &'static str> {
        Ok((Rc::clone(&self.conn), self.buf.take()))
    }
}

/// The body of the request as it comes from the client.
struct ClientBody(Rc<Shared>);

impl ClientBody {
    fn broken(&self, why: Broken, error: Error) -> Poll<Option<Result<Frame>>> {
        self.0.broken.set(Some(why));
        Poll::Ready(Some(Err(error)))
    }

    fn poll_silence(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut deadline = self.0.body_deadline.borrow_mut();
        if !self.0.waiting.replace(true) {
            deadline.set(self.0.body_timeout);
        }
        deadline.poll(cx)
    }
}

impl Source for ClientBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        let shared = &*self.0;
        if shared.broken.get().is_some() {
            return Poll::Ready(Some(Err(Kind::ClientGone.into())));
        }
        let mut buf = shared.buf.borrow_mut();
        let mut decoder = shared.decoder.borrow_mut();
        if shared.expects.replace(false) && buf.is_empty() && !decoder.is_done() {
            // Short enough for an empty socket buffer; if it does not fit, the client's own
            // timeout makes it send the body anyway.
            let _ = shared.conn.poll_write(cx, http1::CONTINUE);
        }
        loop {
            match decoder.decode(&mut buf) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Ok(Decoded::Trailers(fields)) => {
                    return Poll::Ready(Some(Ok(Frame::Trailers(fields))));
                }
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::NeedMore) => {}
                Err(error) => {
                    return self.broken(Broken::Malformed, Kind::BadRequest(error.why()).into());
                }
            }
            match shared.conn.poll_read_buf(cx, &mut buf) {
                Poll::Ready(Ok(0)) => return self.broken(Broken::Silent, Kind::ClientGone.into()),
                Poll::Ready(Ok(_)) => shared.waiting.set(false),
                Poll::Ready(Err(error)) => {
                    let error = Error::from(Kind::ClientGone).because(error);
                    return self.broken(Broken::Silent, error);
                }
                Poll::Pending if self.poll_silence(cx).is_pending() => return Poll::Pending,
                Poll::Pending => {
                    let error = Kind::ClientTimeout(shared.body_timeout).into();
                    return self.broken(Broken::Silent, error);
                }
            }
        }
    }
}
