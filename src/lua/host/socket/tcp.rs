//! TCP and Unix stream sockets: sending, receiving, giving back to the pool.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::AsRawFd as _,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    RECEIVE_BYTES_MAX, TIMEOUT, connect, count_of, downstream, failure,
    handles::{Owned, tcp_of},
    pool, read,
    read::{Got, Reading, Until, Want},
    success, timeout_of, tls, wait, words,
};
use crate::{
    lua::{
        core::Core,
        host::{NONE, ONE, push_failure},
        raw::{
            co::Value,
            frame::{Called, Frame, Kind, Outcome, Raise},
        },
    },
    sys::conn::{Conn, give_back},
};

const CLOSED: &str = "closed";

pub(super) fn register(core: &Rc<Core>, table: &mlua::Table) -> mlua::Result<()> {
    let state = core.state();
    state.host_function(table, "tcp_connect", connect::connect)?;
    state.host_function(table, "tcp_handshake", tls::handshake)?;
    state.host_function(table, "tcp_send", send)?;
    state.host_function(table, "tcp_receive", receive)?;
    state.host_function(table, "tcp_receive_any", receive_any)?;
    state.host_function(table, "tcp_receive_until", receive_until)?;
    state.host_function(table, "tcp_set_timeouts", set_timeouts)?;
    state.host_function(table, "tcp_set_keepalive", set_keepalive)?;
    state.host_function(table, "tcp_reused_times", reused_times)?;
    state.host_function(table, "tcp_downstream", downstream::take_over)?;
    state.host_function(table, "tcp_fd", fd)?;
    state.host_function(table, "tcp_close", close)
}

/// How long each kind of operation may take.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) send: Duration,
    pub(super) read: Duration,
}

/// A connection in use.
pub(super) struct Open {
    pub(super) conn: Rc<Conn>,
    /// The pool it would go back to.
    pub(super) pool: Rc<[u8]>,
    /// `pool_size`, `backlog` of `connect`.
    pub(super) pool_size: Option<usize>,
    pub(super) backlog: Option<usize>,
    /// Its place among those that the pool's backlog bounds.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// How often it came out of a pool.
    pub(super) reused: u64,
    /// What `connect` was called with.
    pub(super) host: Rc<str>,
}

/// One socket object.
pub(super) struct Tcp {
    pub(super) open: RefCell<Option<Open>>,
    /// Read, but not asked for yet.
    buf: RefCell<BytesMut>,
    /// The peer will send no more.
    ended: Cell<bool>,
    /// That was told to the reader.
    read_over: Cell<bool>,
    /// A write failed, so nobody knows what the peer got. Reading may go on.
    write_over: Cell<bool>,
    connecting: Cell<bool>,
    reading: Cell<bool>,
    writing: Cell<bool>,
    pub(super) timeouts: Cell<Timeouts>,
    /// Certificate chain and key for the next handshake, PEM.
    pub(super) identity: RefCell<Option<Rc<tls::Identity>>>,
    /// Where connections start from.
    pub(super) local: Cell<Option<std::net::IpAddr>>,
    owner: Cell<u64>,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            open: RefCell::default(),
            buf: RefCell::default(),
            ended: Cell::new(false),
            read_over: Cell::new(false),
            write_over: Cell::new(false),
            connecting: Cell::new(false),
            reading: Cell::new(false),
            writing: Cell::new(false),
            timeouts: Cell::new(Timeouts { connect: TIMEOUT, send: TIMEOUT, read: TIMEOUT }),
            identity: RefCell::default(),
            local: Cell::new(None),
            owner: Cell::new(0),
        }
    }
}

impl Owned for Tcp {
    fn owner(&self) -> &Cell<u64> {
        &self.owner
    }

    fn abandon(&self) {
        self.close();
    }
}

/// What somebody is doing with a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Connecting,
    Reading,
    Writing,
}

/// Keeps others from doing the same at the same time.
pub(super) struct Busy {
    tcp: Rc<Tcp>,
    doing: Doing,
}

impl Busy {
    pub(super) fn new(tcp: &Rc<Tcp>, doing: Doing) -> Self {
        tcp.flag(doing).set(true);
        Self { tcp: Rc::clone(tcp), doing }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.tcp.flag(self.doing).set(false);
    }
}

impl Tcp {
    fn flag(&self, doing: Doing) -> &Cell<bool> {
        match doing {
            Doing::Connecting => &self.connecting,
            Doing::Reading => &self.reading,
            Doing::Writing => &self.writing,
        }
    }

    /// What stands against any of `kinds` now.
    pub(super) fn busy(&self, kinds: &[Doing]) -> Option<&'static str> {
        kinds.iter().find(|doing| self.flag(**doing).get()).map(|doing| match doing {
            Doing::Connecting => "socket busy connecting",
            Doing::Reading => "socket busy reading",
            Doing::Writing => "socket busy writing",
        })
    }

    pub(super) fn conn(&self) -> Option<Rc<Conn>> {
        self.open.borrow().as_ref().map(|open| Rc::clone(&open.conn))
    }

    /// Starts over with a connection.
    pub(super) fn start(&self, open: Open) {
        self.ended.set(false);
        self.read_over.set(false);
        self.write_over.set(false);
        self.buf.borrow_mut().clear();
        *self.open.borrow_mut() = Some(open);
    }

    /// Puts bytes before all that is still to be read.
    pub(super) fn unread(&self, bytes: &[u8]) {
        self.buf.borrow_mut().extend_from_slice(bytes);
    }

    /// Ends the connection, if there is one.
    pub(super) fn close(&self) -> bool {
        self.clear_buffer();
        let open = self.open.borrow_mut().take();
        if let Some(open) = &open {
            open.conn.goodbye();
        }
        open.is_some()
    }

    fn clear_buffer(&self) {
        let mut buf = self.buf.borrow_mut();
        buf.clear();
        give_back(&mut buf);
    }

    /// Whether bytes wait in the buffer.
    pub(super) fn has_unread(&self) -> bool {
        !self.buf.borrow().is_empty()
    }

    /// Reads until `reading` is complete.
    ///
    /// # Errors
    ///
    /// The words for Lua; what came so far stays in the buffer.
    async fn read(&self, conn: &Conn, reading: &mut Reading) -> Result<Got, String> {
        loop {
            if let Some(got) = reading.take(&mut self.buf.borrow_mut()) {
                return Ok(got);
            }
            if self.buf.borrow().len() > RECEIVE_BYTES_MAX {
                return Err("too much data for one receive".to_owned());
            }
            if !self.ended.get() && self.fill(conn).await? > 0 {
                continue;
            }
            self.ended.set(true);
            let got = reading.take_at_end(&mut self.buf.borrow_mut());
            return got.ok_or_else(|| CLOSED.to_owned());
        }
    }

    async fn fill(&self, conn: &Conn) -> Result<usize, String> {
        let read = poll_fn(|cx| conn.poll_read_buf(cx, &mut self.buf.borrow_mut()));
        match timeout(self.timeouts.get().read, read).await {
            Err(_) => Err("timeout".to_owned()),
            Ok(Ok(count)) => Ok(count),
            Ok(Err(error)) => {
                self.ended.set(true);
                Err(words(&error))
            }
        }
    }

    /// Everything that has come, as the partial result of a failed call.
    fn partial(&self) -> Vec<u8> {
        let mut buf = self.buf.borrow_mut();
        let partial = buf.to_vec();
        buf.clear();
        partial
    }
}

/// Whether a connection writes all of `data` without waiting; how much it took otherwise.
fn write_now(conn: &Conn, data: &[u8]) -> Result<usize, String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut sent = 0;
    while let Some(rest) = data.get(sent..)
        && !rest.is_empty()
    {
        match conn.poll_write(&mut cx, rest) {
            Poll::Ready(Ok(0)) => return Err(CLOSED.to_owned()),
            Poll::Ready(Ok(count)) => sent += count,
            Poll::Ready(Err(error)) => return Err(words(&error)),
            Poll::Pending => break,
        }
    }
    Ok(sent)
}

fn send(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let data = frame.need_str(2, "send")?;
    if let Some(busy) = tcp.busy(&[Doing::Connecting, Doing::Writing]) {
        return push_failure(frame, busy);
    }
    let conn = tcp.conn().filter(|_| !tcp.write_over.get());
    let Some(conn) = conn else { return push_failure(frame, CLOSED) };
    #[allow(clippy::cast_precision_loss)] // No string is that long.
    let count = data.len() as f64;
    let sent = match write_now(&conn, data) {
        Ok(sent) => sent,
        Err(error) => {
            tcp.write_over.set(true);
            return push_failure(frame, &error);
        }
    };
    let mut cx = Context::from_waker(Waker::noop());
    if sent == data.len() && matches!(conn.poll_flush(&mut cx), Poll::Ready(Ok(()))) {
        frame.push_num(count);
        return ONE;
    }
    let rest = data.get(sent..).unwrap_or_default().to_vec();
    let sending = Sending { busy: Busy::new(&tcp, Doing::Writing), over: false };
    wait(frame, async move { sending.run(&conn, &rest, count).await })
}

/// A write under way. Without its end nobody knows what the peer got.
struct Sending {
    busy: Busy,
    over: bool,
}

impl Sending {
    async fn run(mut self, conn: &Conn, rest: &[u8], count: f64) -> Vec<Value> {
        let limit = self.busy.tcp.timeouts.get().send;
        let error = match timeout(limit, conn.write_all(rest)).await {
            Ok(Ok(())) => {
                self.over = true;
                return vec![Value::Num(count)];
            }
            Ok(Err(error)) => words(&error),
            Err(_) => "timeout".to_owned(),
        };
        failure(error)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.over {
            self.busy.tcp.write_over.set(true);
        }
    }
}

fn receive(frame: &mut Frame<'_>) -> Called {
    let want = match frame.kind(2) {
        Kind::None | Kind::Nil => Want::Line,
        Kind::Number | Kind::String => match (frame.num(2), frame.str(2)) {
            (Some(_), _) => Want::Exactly(count_of(frame, 2, 0.0).ok_or_else(bad_pattern)?),
            (None, Some(b"*l" | b"l")) => Want::Line,
            (None, Some(b"*a" | b"a")) => Want::All,
            (None, Some([b'*', ..])) => return Err(bad_pattern()),
            (None, pattern) => {
                let pattern = String::from_utf8_lossy(pattern.unwrap_or_default());
                return Err(Raise(format!(
                    "bad argument #2 to 'receive' (bad pattern argument: {pattern})"
                )));
            }
        },
        _ => return Err(bad_pattern()),
    };
    start(frame, want)
}

fn bad_pattern() -> Raise {
    Raise::new("bad argument #2 to 'receive' (bad pattern argument)")
}

fn receive_any(frame: &mut Frame<'_>) -> Called {
    let max = count_of(frame, 2, 1.0)
        .ok_or_else(|| Raise::new("bad argument #2 to 'receiveany' (bad max argument)"))?;
    start(frame, Want::Any(max))
}

/// `(handle, pattern, inclusive, size)` -> data, nil, nil, whether the pattern follows.
fn receive_until(frame: &mut Frame<'_>) -> Called {
    let pattern = frame.need_str(2, "receiveuntil")?;
    let max = match frame.num(4) {
        None | Some(0.0) => None,
        Some(_) => Some(count_of(frame, 4, 1.0).ok_or_else(bad_pattern)?),
    };
    let until = Until { pattern: pattern.to_vec(), inclusive: frame.truth(3), max };
    start(frame, Want::Until(until))
}

fn start(frame: &mut Frame<'_>, want: Want) -> Called {
    let tcp = tcp_of(frame)?;
    if let Some(busy) = tcp.busy(&[Doing::Connecting, Doing::Reading]) {
        return push_failure(frame, busy);
    }
    let Some(conn) = tcp.conn() else { return push_failure(frame, CLOSED) };
    let mut reading = Reading::new(want);
    let ready = reading.take(&mut tcp.buf.borrow_mut());
    if tcp.read_over.get() {
        return push_failure(frame, CLOSED);
    }
    if let Some(got) = ready {
        give_back(&mut tcp.buf.borrow_mut());
        frame.push_str(&got.data);
        if !got.matched {
            return ONE;
        }
        frame.push_nil();
        frame.push_nil();
        frame.push_bool(true);
        return Ok(Outcome::Return(4));
    }
    let busy = Busy::new(&tcp, Doing::Reading);
    wait(frame, async move {
        let got = tcp.read(&conn, &mut reading).await;
        drop(busy);
        let values = answer(&tcp, got);
        give_back(&mut tcp.buf.borrow_mut());
        values
    })
}

fn answer(tcp: &Tcp, got: Result<read::Got, String>) -> Vec<Value> {
    match got {
        Ok(Got { data, matched: false }) => vec![Value::Str(data)],
        Ok(Got { data, .. }) => {
            vec![Value::Str(data), Value::Nil, Value::Nil, Value::Bool(true)]
        }
        Err(error) => {
            // What is closed for reading has told so, with what came last.
            tcp.read_over.set(tcp.ended.get());
            let mut values = failure(error);
            values.push(Value::Str(tcp.partial()));
            values
        }
    }
}

fn set_timeouts(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let connect = timeout_of(frame, 2, "settimeouts")?;
    let send = timeout_of(frame, 3, "settimeouts")?;
    let read = timeout_of(frame, 4, "settimeouts")?;
    tcp.timeouts.set(Timeouts { connect, send, read });
    NONE
}

/// Whether the peer has said all it had to say, or the connection is broken.
fn has_ended(conn: &Conn) -> bool {
    conn.with_socket(|socket| {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match socket.peek(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    })
}

fn set_keepalive(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let core = frame.core()?;
    let time = match frame.num(2) {
        None => pool::IDLE_TIME,
        Some(time) if (0.0..=f64::from(i32::MAX)).contains(&time) => {
            Duration::from_secs_f64(time / 1000.0)
        }
        Some(_) => return Err(Raise::new("bad timeout value")),
    };
    if let Some(busy) = tcp.busy(&[Doing::Connecting, Doing::Reading, Doing::Writing]) {
        return push_failure(frame, busy);
    }
    let Some(conn) = tcp.conn() else { return push_failure(frame, CLOSED) };
    let size = match frame.num(3) {
        None => None,
        Some(_) => Some(count_of(frame, 3, 0.0).ok_or_else(|| Raise::new("bad pool size"))?),
    };
    // What cannot be kept stays open for its owner to close.
    if tcp.ended.get() || tcp.write_over.get() {
        return push_failure(frame, CLOSED);
    }
    if tcp.has_unread() {
        return push_failure(frame, "unread data in buffer");
    }
    if has_ended(&conn) {
        return push_failure(frame, CLOSED);
    }
    if !conn.is_alive() {
        return push_failure(frame, "connection in dubious state");
    }
    drop(conn);
    let open = tcp.open.borrow_mut().take();
    if let Some(open) = open
        && size != Some(0)
        && !core.env.exiting.get()
    {
        let size = size.or(open.pool_size).unwrap_or(pool::SIZE);
        let pool = core.env.network.pools.find_or_make(&open.pool, size, open.backlog);
        pool.put(open.conn, open.reused, time);
        // Only now: who waits for the place shall find the connection.
        drop(open.permit);
    }
    success(frame)
}

fn reused_times(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let reused = tcp.open.borrow().as_ref().map(|open| open.reused);
    let Some(reused) = reused else { return push_failure(frame, CLOSED) };
    #[allow(clippy::cast_precision_loss)] // Nobody lives that long.
    frame.push_num(reused as f64);
    ONE
}

/// The number of the connection's file: only good for telling connections apart, and for `ffi`.
fn fd(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    let Some(conn) = tcp.conn() else { return push_failure(frame, CLOSED) };
    frame.push_num(f64::from(conn.with_socket(|socket| socket.as_raw_fd())));
    ONE
}

fn close(frame: &mut Frame<'_>) -> Called {
    let tcp = tcp_of(frame)?;
    if let Some(busy) = tcp.busy(&[Doing::Connecting, Doing::Reading, Doing::Writing]) {
        return push_failure(frame, busy);
    }
    let over = tcp.read_over.get() && tcp.write_over.get();
    if tcp.close() && !over { success(frame) } else { push_failure(frame, CLOSED) }
}
