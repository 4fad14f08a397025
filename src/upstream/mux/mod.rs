//! Nodes that are asked many things at once over few connections.
//!
//! [`Mux`] belongs to a worker. [`Mux::begin`] puts a call on the least busy connection to a
//! node and gives a [`Ticket`]; what [`Ticket::poll`] returns is the frame of the answer. There
//! are at most [`Limits::lines_max`] connections to a node, and another one is opened only while
//! those there are have enough to do. A connection that breaks fails its own calls and no others;
//! whether they are tried again is the pipeline's decision.
//!
//! What a frame is, a protocol's [`Framing`] says; nothing here knows a protocol.

mod line;
mod outbox;

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::HashMap;

use line::Line;

use super::{Node, pool};
use crate::{
    codec::{Call, Framing},
    error::{Error, Kind},
};

/// Bounds and times of connections that carry many calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections to a node.
    pub lines_max: usize,
    /// Calls in flight on a connection from which on another one is opened.
    pub busy: usize,
    /// Calls in flight on a connection.
    pub calls_max: usize,
    /// Bytes that may wait to be written before no more calls are put on a connection.
    pub queue_bytes_max: usize,
    /// Bytes of one frame, either way.
    pub frame_bytes_max: usize,
    /// An idle connection is pinged after so much silence.
    pub ping_after: Duration,
    /// It is closed if nothing comes within this time.
    pub ping_within: Duration,
    /// A call that times out after so much silence keeps others off its connection.
    pub silent_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lines_max: 4,
            busy: 32,
            calls_max: 8192,
            queue_bytes_max: 16 << 20,
            frame_bytes_max: 16 << 20,
            ping_after: Duration::from_secs(15),
            ping_within: Duration::from_secs(5),
            silent_max: Duration::from_secs(5),
        }
    }
}

/// Why a call got no answer.
#[derive(Debug)]
pub struct Failed {
    /// What broke.
    pub error: Error,
    /// Whether a part of the call's frame may have reached the node.
    pub sent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    protocol: &'static str,
    link: pool::Key,
}

impl Key {
    fn new(node: &Node, framing: &'static dyn Framing) -> Self {
        let tls = node.tls.as_ref().map(|(client, name)| (client.id(), Rc::clone(name)));
        Self { protocol: framing.name(), link: pool::Key { addr: node.addr, tls } }
    }
}

/// All connections of a worker that carry many calls. Cloning gives another handle to the same.
/// It must live in a `LocalSet`, where its tasks run.
#[derive(Debug, Clone)]
pub struct Mux(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    /// The connections to each node that has any.
    lines: RefCell<HashMap<Key, Vec<Rc<Line>>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.lines.get_mut().values().flatten().for_each(|line| line.retire());
    }
}

impl Mux {
    /// Without any connection yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Rc::new(Inner { limits, lines: RefCell::default() }))
    }

    /// Puts `call` on a connection to `node`. It has a place there even if the connection is
    /// not made yet.
    ///
    /// # Errors
    /// [`Kind::UpstreamBusy`] if there is no room on any connection, [`Kind::BodyTooLarge`] if
    /// the call's frame is longer than [`Limits::frame_bytes_max`].
    pub fn begin(
        &self,
        node: &Node,
        framing: &'static dyn Framing,
        call: &dyn Call,
        now: Instant,
    ) -> Result<Ticket, Failed> {
        let Some(line) = self.line(node, framing, now) else {
            let node = node.addr_text.to_string();
            return Err(Failed { error: Kind::UpstreamBusy { node }.into(), sent: false });
        };
        let (id, bytes) = line.begin(call, node.send_timeout, now)?;
        Ok(Ticket { line, id, bytes })
    }

    /// Number of connections, those being made among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lines.borrow().values().map(Vec::len).sum()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of calls in flight on all connections.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.0.lines.borrow().values().flatten().map(|line| line.in_flight()).sum()
    }

    /// Closes each connection as soon as no call is on it: the process is ending.
    pub fn drain(&self) {
        self.0.lines.borrow().values().flatten().for_each(|line| line.retire());
    }

    /// The connection for the next call. Those that are open come before those being made.
    fn line(&self, node: &Node, framing: &'static dyn Framing, now: Instant) -> Option<Rc<Line>> {
        let (limits, key) = (&self.0.limits, Key::new(node, framing));
        let mut all = self.0.lines.borrow_mut();
        let lines = match all.get_mut(&key) {
            Some(lines) => lines,
            None => all.entry(key.clone()).or_default(),
        };
        let least_busy = |connecting: bool| {
            let lines = lines.iter().filter(|line| line.is_connecting() == connecting);
            lines.filter(|line| line.has_room()).min_by_key(|line| line.in_flight()).cloned()
        };
        let open = least_busy(false);
        let connecting = least_busy(true);
        let grows = open.is_some() && connecting.is_some();
        let best = open.or(connecting);
        if grows || best.as_ref().is_some_and(|best| best.in_flight() < limits.busy) {
            return best;
        }
        if lines.len() >= limits.lines_max {
            if best.is_some() {
                return best;
            }
            // All are full, or said nothing for long. One of the latter has to make room.
            let silent = lines.iter().enumerate();
            let silent = silent.filter_map(|(at, line)| Some((line.retired_since()?, at)));
            let (_, at) = silent.min()?;
            lines.swap_remove(at).end_silent();
        }
        let made = Rc::new(Line::new(node, framing, *limits, now));
        lines.push(Rc::clone(&made));
        let driven = drive(Rc::downgrade(&self.0), key, Rc::clone(&made), node.clone());
        tokio::task::spawn_local(driven);
        // One that is open serves at once; the new one is for those who come later.
        match best {
            Some(best) if !best.is_connecting() => Some(best),
            _ => Some(made),
        }
    }
}

/// The task of a connection. It owns nothing of the [`Mux`], so that it never keeps it alive.
async fn drive(mux: Weak<Inner>, key: Key, line: Rc<Line>, node: Node) {
    line.drive(&node).await;
    let Some(mux) = mux.upgrade() else { return };
    let mut all = mux.lines.borrow_mut();
    let Some(lines) = all.get_mut(&key) else { return };
    lines.retain(|other| !Rc::ptr_eq(other, &line));
    if lines.is_empty() {
        all.remove(&key);
    }
}

/// A call in flight. Dropping it forgets the call.
#[derive(Debug)]
pub struct Ticket {
    line: Rc<Line>,
    id: u32,
    bytes: u64,
}

impl Ticket {
    /// The frame of the answer; `None` when a one-way call has left. Not to be asked again
    /// after it was ready.
    ///
    /// # Errors
    /// See [`Failed`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failed>> {
        self.line.poll(self.id, cx)
    }

    /// Gives up after `within`. A call that has not begun to leave never will.
    #[must_use]
    pub fn time_out(self, within: Duration, now: Instant) -> Failed {
        self.line.time_out(self.id, within, now)
    }

    /// When its connection was made, if it is.
    #[must_use]
    pub fn connected(&self) -> Option<Instant> {
        self.line.opened()
    }

    /// Bytes of its frame.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.line.forget(self.id);
    }
}

#[cfg(test)]
mod tests;
