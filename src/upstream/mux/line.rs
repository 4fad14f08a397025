//! One connection that carries many calls at once.
//!
//! Callers put frames into its [`Outbox`] and wait for their id; one task per connection writes
//! what has gathered, reads frames and wakes whom they are for. A call that nobody waits for any
//! more is forgotten: its frame is taken back if it has not begun to leave, its answer is
//! dropped.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::{Future as _, poll_fn},
    io,
    ops::Range,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use foldhash::HashMap;

use super::{Failed, Limits, outbox::Outbox};
use crate::{
    clock,
    codec::{Broken, Call, Framing},
    error::{Error, Kind},
    sys::{
        conn::{self, Conn},
        deadline::Deadline,
    },
    upstream::{Node, connect},
};

/// Ids go up to here: they are signed numbers in some protocols.
const ID_MAX: u32 = i32::MAX as u32;

/// Frames up to this size are copied out of the read buffer.
const COPIED_BYTES_MAX: usize = 8 << 10;

/// A connection with calls on it is not looked at more often, however short its idle time is.
const LOOK_MIN: Duration = Duration::from_millis(20);

/// Reads after one another before others on the worker get their turn.
const READS_MAX: usize = 16;

/// Why a connection is over, for each of its calls.
#[derive(Debug, Clone)]
pub(super) struct End {
    kind: Kind,
    cause: Option<Rc<str>>,
}

impl End {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, cause: None }
    }

    fn because(kind: Kind, cause: &dyn std::fmt::Display) -> Self {
        Self { kind, cause: Some(cause.to_string().into()) }
    }

    fn error(&self) -> Error {
        let error = Error::from(self.kind.clone());
        match &self.cause {
            Some(cause) => error.because(&**cause),
            None => error,
        }
    }
}

#[derive(Debug)]
enum Phase {
    Connecting,
    Open,
    Ended(End),
}

/// What came of a call so far.
#[derive(Debug)]
enum Got {
    Nothing,
    /// The frame left, and no answer will come.
    Written,
    Frame(Bytes),
}

#[derive(Debug)]
struct Waiting {
    place: Range<u64>,
    one_way: bool,
    waker: Option<Waker>,
    got: Got,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    out: Outbox,
    calls: HashMap<u32, Waiting>,
    /// Where the frames of one-way calls end, and their ids.
    one_way: VecDeque<(u64, u32)>,
    next_id: u32,
    driver: Option<Waker>,
    opened: Option<Instant>,
    /// When the node was last heard, or something was first asked of it after a pause.
    heard: Instant,
    /// When a call last began or ended.
    used: Instant,
    /// When bytes last left, or began to wait.
    moved: Instant,
    send_timeout: Duration,
    pinged: Option<Instant>,
    /// No new calls: closed when the last one is over.
    retired: bool,
}

/// A connection and the calls on it.
pub(super) struct Line {
    node: Rc<str>,
    framing: &'static dyn Framing,
    limits: Limits,
    state: RefCell<State>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Line({} to {})", self.framing.name(), self.node)
    }
}

impl Line {
    pub(super) fn new(
        node: &Node,
        framing: &'static dyn Framing,
        limits: Limits,
        now: Instant,
    ) -> Self {
        Self {
            node: Rc::clone(&node.addr_text),
            framing,
            limits,
            state: RefCell::new(State {
                phase: Phase::Connecting,
                out: Outbox::default(),
                calls: HashMap::default(),
                one_way: VecDeque::new(),
                next_id: 1,
                driver: None,
                opened: None,
                heard: now,
                used: now,
                moved: now,
                send_timeout: node.send_timeout,
                pinged: None,
                retired: false,
            }),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state.borrow().calls.len()
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.state.borrow().phase, Phase::Connecting)
    }

    /// Whether another call may be put on it.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state.borrow();
        !state.retired
            && !matches!(state.phase, Phase::Ended(_))
            && state.calls.len() < self.limits.calls_max
            && state.out.len() < self.limits.queue_bytes_max
    }

    /// Since when nothing was heard on it, if it takes no calls any more.
    pub(super) fn retired_since(&self) -> Option<Instant> {
        let state = self.state.borrow();
        state.retired.then_some(state.heard)
    }

    /// When it was connected.
    pub(super) fn opened(&self) -> Option<Instant> {
        self.state.borrow().opened
    }

    /// Queues a call and gives its id and the bytes of its frame.
    pub(super) fn begin(
        &self,
        call: &dyn Call,
        send_timeout: Duration,
        now: Instant,
    ) -> Result<(u32, u64), Failed> {
        let state = &mut *self.state.borrow_mut();
        let bytes_max = self.limits.frame_bytes_max;
        let id = state.free_id();
        let Some(place) = state.out.put(bytes_max, |out| call.write(id, out)) else {
            let bytes_max = bytes_max as u64;
            return Err(Failed { error: Kind::BodyTooLarge { bytes_max }.into(), sent: false });
        };
        if state.calls.is_empty() {
            state.heard = now;
        }
        if state.out.len() as u64 == place.end - place.start {
            state.moved = now;
        }
        state.used = now;
        state.send_timeout = send_timeout;
        let bytes = place.end - place.start;
        let one_way = call.one_way();
        if one_way {
            state.one_way.push_back((place.end, id));
        }
        state.calls.insert(id, Waiting { place, one_way, waker: None, got: Got::Nothing });
        state.wake_driver();
        Ok((id, bytes))
    }

    /// What came of call `id`: the frame of its answer, or `None` when a one-way call has left.
    pub(super) fn poll(
        &self,
        id: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, Failed>> {
        let state = &mut *self.state.borrow_mut();
        let Some(waiting) = state.calls.get_mut(&id) else {
            let node = self.node.to_string();
            return Poll::Ready(Err(Failed {
                error: Kind::UpstreamClosed { node, reused: false }.into(),
                sent: true,
            }));
        };
        match (std::mem::replace(&mut waiting.got, Got::Nothing), &state.phase) {
            (Got::Frame(frame), _) => Poll::Ready(Ok(Some(frame))),
            (Got::Written, _) => Poll::Ready(Ok(None)),
            (Got::Nothing, Phase::Ended(end)) => {
                let sent = waiting.place.start < state.out.left();
                Poll::Ready(Err(Failed { error: end.error(), sent }))
            }
            (Got::Nothing, _) => {
                match &mut waiting.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// Gives call `id` up after it took `within`.
    pub(super) fn time_out(&self, id: u32, within: Duration, now: Instant) -> Failed {
        let state = &mut *self.state.borrow_mut();
        let unsent = state.calls.get(&id).is_some_and(|call| call.place.start >= state.out.left());
        let what = match (unsent, &state.phase) {
            (true, Phase::Connecting) => "connect",
            (true, _) => "send",
            (false, _) => "read",
        };
        // Not one byte for this long, though something was asked: others should not be put on
        // it. Those that are may still be lucky.
        if now.saturating_duration_since(state.heard) >= within.max(self.limits.silent_max) {
            state.retired = true;
        }
        let kind = Kind::UpstreamTimeout { what, node: self.node.to_string() };
        Failed { error: kind.into(), sent: !unsent }
    }

    /// Nobody waits for call `id` any more.
    pub(super) fn forget(&self, id: u32) {
        let state = &mut *self.state.borrow_mut();
        let Some(waiting) = state.calls.remove(&id) else { return };
        if !matches!(state.phase, Phase::Ended(_)) {
            state.out.take_back(&waiting.place);
        }
        if state.retired && state.calls.is_empty() {
            state.wake_driver();
        }
    }

    /// Takes no more calls, and ends when the last one is over.
    pub(super) fn retire(&self) {
        let state = &mut *self.state.borrow_mut();
        state.retired = true;
        state.wake_driver();
    }

    /// Is over; the first reason counts. Every call that waits learns it.
    pub(super) fn end(&self, end: End) {
        let state = &mut *self.state.borrow_mut();
        if matches!(state.phase, Phase::Ended(_)) {
            return;
        }
        state.phase = Phase::Ended(end);
        state.out.clear();
        state.one_way.clear();
        for waiting in state.calls.values_mut() {
            if let Some(waker) = waiting.waker.take() {
                waker.wake();
            }
        }
        state.wake_driver();
    }

    /// Ends it as a node that said nothing for too long.
    pub(super) fn end_silent(&self) {
        let kind = Kind::UpstreamTimeout { what: "read", node: self.node.to_string() };
        self.end(End::new(kind));
    }

    /// Connects and serves the calls until the connection is over.
    pub(super) async fn drive(&self, node: &Node) {
        let mut connecting = pin!(connect(node));
        let connected = poll_fn(|cx| match self.look(cx) {
            Some(_) => Poll::Ready(None),
            None => connecting.as_mut().poll(cx).map(Some),
        });
        let Some(connected) = connected.await else { return };
        let end = match connected {
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                End { kind: error.kind().clone(), cause: cause.map(Into::into) }
            }
            Ok(conn) => {
                self.state.borrow_mut().open(clock::now());
                let mut driver = Driver {
                    line: self,
                    conn,
                    buf: BytesMut::new(),
                    timer: Deadline::default(),
                    unflushed: false,
                    idle_timeout: node.keep.idle_timeout,
                };
                let end = poll_fn(|cx| driver.poll(cx)).await;
                driver.conn.goodbye();
                end
            }
        };
        self.end(end);
    }

    /// How it ended, if it did; has the driver's task woken for news otherwise.
    fn look(&self, cx: &mut Context<'_>) -> Option<End> {
        let state = &mut *self.state.borrow_mut();
        if let Phase::Ended(end) = &state.phase {
            return Some(end.clone());
        }
        match &mut state.driver {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        None
    }

    fn closed(&self, cause: Option<&io::Error>) -> End {
        let kind = Kind::UpstreamClosed { node: self.node.to_string(), reused: false };
        match cause {
            Some(cause) => End::because(kind, cause),
            None => End::new(kind),
        }
    }

    fn broken(&self, why: &Broken) -> End {
        let why_here = "a frame that breaks the protocol";
        End::because(Kind::BadAnswer { node: self.node.to_string(), why: why_here }, why)
    }

    #[cfg(test)]
    pub(super) fn set_next_id(&self, id: u32) {
        self.state.borrow_mut().next_id = id;
    }
}

/// Takes the first `length` bytes of `buf`. Few are copied, so that the buffer can be used again
/// at once.
fn take(buf: &mut BytesMut, length: usize) -> Bytes {
    match buf.get(..length) {
        Some(few) if length <= COPIED_BYTES_MAX => {
            let frame = Bytes::copy_from_slice(few);
            buf.advance(length);
            frame
        }
        _ => buf.split_to(length).freeze(),
    }
}

async fn connect(node: &Node) -> Result<Conn, Error> {
    match &node.tls {
        None => connect::tcp(node.addr, node.connect_timeout).await,
        Some((client, name)) => connect::tls(node.addr, client, name, node.connect_timeout).await,
    }
}

impl State {
    /// An id that no living call has.
    fn free_id(&mut self) -> u32 {
        loop {
            let id = self.next_id;
            self.next_id = if id >= ID_MAX { 1 } else { id + 1 };
            if !self.calls.contains_key(&id) {
                return id;
            }
        }
    }

    fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn open(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Connecting) {
            self.phase = Phase::Open;
        }
        (self.opened, self.heard, self.moved) = (Some(now), now, now);
    }

    /// Bytes have left: tells the one-way calls that are among them.
    fn wrote(&mut self, now: Instant) {
        self.moved = now;
        while let Some(&(end, id)) = self.one_way.front()
            && end <= self.out.left()
        {
            self.one_way.pop_front();
            self.tell(id, Got::Written, now);
        }
    }

    fn tell(&mut self, id: u32, got: Got, now: Instant) {
        let Some(waiting) = self.calls.get_mut(&id) else { return };
        let asked = matches!(waiting.got, Got::Nothing);
        if !asked || (waiting.one_way && matches!(got, Got::Frame(_))) {
            return;
        }
        waiting.got = got;
        self.used = now;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

/// What is to be done about a connection as time goes by.
enum Due {
    /// Look again then.
    In(Duration),
    Ping,
    End(End),
}

/// The task of a connection.
struct Driver<'l> {
    line: &'l Line,
    conn: Conn,
    buf: BytesMut,
    timer: Deadline,
    /// TLS holds bytes that have not left.
    unflushed: bool,
    idle_timeout: Duration,
}

impl Driver<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Some(end) = self.line.look(cx) {
            return Poll::Ready(end);
        }
        loop {
            if let Err(error) = self.write(cx) {
                return Poll::Ready(self.line.closed(Some(&error)));
            }
            if let Some(end) = self.read(cx) {
                return Poll::Ready(end);
            }
            let now = clock::now();
            match self.due(now) {
                Due::End(end) => return Poll::Ready(end),
                Due::Ping => {}
                Due::In(wait) => {
                    self.timer.set_from(now, wait);
                    if self.timer.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Writes what waits, as far as the socket takes it.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let state = &mut *self.line.state.borrow_mut();
        let mut moved = false;
        while !state.out.next().is_empty() {
            match self.conn.poll_write(cx, state.out.next()) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => state.out.wrote(count),
                Poll::Ready(Err(error)) => return Err(error),
            }
            moved = true;
        }
        if moved {
            state.wrote(clock::now());
        }
        if moved || self.unflushed {
            self.unflushed = match self.conn.poll_flush(cx) {
                Poll::Pending => true,
                Poll::Ready(flushed) => flushed.map(|()| false)?,
            };
        }
        Ok(())
    }

    /// Reads what there is and hands it out.
    fn read(&mut self, cx: &mut Context<'_>) -> Option<End> {
        for _ in 0..READS_MAX {
            match self.conn.poll_read_buf(cx, &mut self.buf) {
                Poll::Pending => {
                    conn::give_back(&mut self.buf);
                    return None;
                }
                Poll::Ready(Ok(0)) => return Some(self.line.closed(None)),
                Poll::Ready(Err(error)) => return Some(self.line.closed(Some(&error))),
                Poll::Ready(Ok(_)) => {
                    if let Err(why) = self.hand_out() {
                        return Some(self.line.broken(&why));
                    }
                }
            }
        }
        // There is more, but others are waiting too.
        cx.waker().wake_by_ref();
        None
    }

    /// Hands out the whole frames that were read.
    fn hand_out(&mut self) -> Result<(), Broken> {
        let bytes_max = self.line.limits.frame_bytes_max;
        let state = &mut *self.line.state.borrow_mut();
        let now = clock::now();
        (state.heard, state.pinged) = (now, None);
        while let Some(length) = self.line.framing.length(&self.buf, bytes_max)? {
            if length == 0 || length > bytes_max {
                return Err(Broken(format!("a frame of {length} bytes")));
            }
            if self.buf.len() < length {
                break;
            }
            let frame = take(&mut self.buf, length);
            // What is no answer, or one that nobody waits for, goes no further.
            if let Some(id) = self.line.framing.id(&frame)? {
                state.tell(id, Got::Frame(frame), now);
            }
        }
        Ok(())
    }

    fn due(&self, now: Instant) -> Due {
        let (line, limits) = (self.line, &self.line.limits);
        let state = &mut *line.state.borrow_mut();
        let left = |since: Instant, within: Duration| {
            (since + within).checked_duration_since(now).filter(|left| !left.is_zero())
        };
        if !state.out.next().is_empty() || self.unflushed {
            return match left(state.moved, state.send_timeout) {
                Some(wait) => Due::In(wait),
                None => {
                    let node = line.node.to_string();
                    Due::End(End::new(Kind::UpstreamTimeout { what: "send", node }))
                }
            };
        }
        if !state.calls.is_empty() {
            return Due::In(limits.ping_after.min(self.idle_timeout).max(LOOK_MIN));
        }
        let idle = if state.retired { None } else { left(state.used, self.idle_timeout) };
        let Some(idle) = idle else { return Due::End(line.closed(None)) };
        if let Some(pinged) = state.pinged {
            let wait = left(pinged, limits.ping_within);
            return wait
                .map_or_else(|| Due::End(line.closed(None)), |wait| Due::In(wait.min(idle)));
        }
        if let Some(wait) = left(state.heard, limits.ping_after) {
            return Due::In(wait.min(idle));
        }
        let id = state.free_id();
        let mut pings = false;
        state.out.put(limits.frame_bytes_max, |out| pings = line.framing.ping(id, out));
        state.heard = now;
        if !pings {
            return Due::In(limits.ping_after.min(idle));
        }
        (state.pinged, state.moved) = (Some(now), now);
        Due::Ping
    }
}
