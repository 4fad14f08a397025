//! One try at one node: connect or reuse, send the request, read the head of the answer.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::IoSlice,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};

use super::{
    Client, Node, connect,
    pool::{Key, Link},
    request::{self, Sending, Upload},
    response::{Home, Tunnel, UpstreamBody},
};
use crate::{
    clock,
    error::{Error, Kind},
    exchange::{Body, Exchange},
    http1::{self, BodyDecoder, Framing, Progress, ResponseHead},
    sys::deadline::Deadline,
};

/// Bodies up to this size are copied when they came together with their head.
const WHOLE_BYTES_MAX: u64 = 8 << 10;

/// Interim answers (1xx) before the final one.
const INTERIM_MAX: u32 = 32;

/// The answer of a node: its head went into `x.response`.
#[derive(Debug)]
pub enum Answer {
    /// An ordinary response.
    Response(Body),
    /// The node switched protocols.
    Tunnel(Tunnel),
}

/// Why a try failed, with what the pipeline needs to decide on another one.
#[derive(Debug)]
pub struct Try {
    /// What broke.
    pub error: Error,
    /// Whether request bytes may have reached the node.
    pub sent: bool,
    /// Whether the connection came from the pool: then it may just have been too old.
    pub reused: bool,
}

thread_local! {
    /// Heads are written here; one per worker, never borrowed across an await.
    static HEAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Heads kept for the next answers.
const ANSWERS_MAX: usize = 64;

thread_local! {
    /// Heads of answers between two uses: their fields have the room that most answers need.
    static ANSWERS: RefCell<Vec<ResponseHead>> = const { RefCell::new(Vec::new()) };
}

fn give_back(mut head: ResponseHead) {
    head.clear();
    head.fields.shrink(16 << 10);
    ANSWERS.with_borrow_mut(|spare| {
        if spare.len() < ANSWERS_MAX {
            spare.push(head);
        }
    });
}

fn failed(error: impl Into<Error>, sent: bool, reused: bool) -> Try {
    Try { error: error.into(), sent, reused }
}

/// What one try holds.
struct Attempt<'a> {
    node: &'a Node,
    link: Link,
    reused: bool,
    deadline: Deadline,
    /// How far the body was when its node was waited for.
    seen: Option<(u64, usize, usize)>,
}

impl Client {
    /// Sends `x` to `node` and reads the head of the answer into `x.response`.
    ///
    /// # Errors
    ///
    /// See [`Try`].
    pub async fn send(
        &self,
        x: &mut Exchange,
        node: &Node,
        sending: &mut Sending,
        upgrade: bool,
    ) -> std::result::Result<Answer, Try> {
        let key = Key {
            addr: node.addr,
            tls: node.tls.as_ref().map(|(client, name)| (client.id(), name.clone())),
        };
        let (link, reused) = self.link(x, node, &key).await?;
        let deadline = std::mem::take(&mut x.upstream.timer);
        let mut attempt = Attempt { node, link, reused, deadline, seen: None };
        attempt.write_head(x, sending, upgrade).await?;
        let mut head = ANSWERS.with_borrow_mut(Vec::pop).unwrap_or_default();
        let mut buf = BytesMut::new();
        attempt.read_head(self, x, sending, (&mut head, &mut buf)).await?;
        x.upstream.timer = std::mem::take(&mut attempt.deadline);
        note_head(x);
        if head.status() == 101 {
            if !upgrade {
                let why = "a switch of protocols that nobody asked for";
                let kind = Kind::BadAnswer { node: attempt.node_name(), why };
                return Err(failed(kind, true, false));
            }
            take_fields(x, &mut head);
            return Ok(Answer::Tunnel(Tunnel { conn: attempt.link.conn, early: buf }));
        }
        let home = (head.keep_alive() && !sending.is_cut()).then(|| Home {
            pool: self.pool.clone(),
            key,
            keep: node.keep,
        });
        let decoder = BodyDecoder::response(head.framing());
        let length = decoder.length_left();
        let framing = head.framing();
        take_fields(x, &mut head);
        give_back(head);
        x.response.length = match framing {
            Framing::Length(length) => Some(length),
            // The length of a body that is not sent is news only to who asked for just that:
            // a plugin may have made HEAD of another method.
            Framing::None if x.method == x.head.method() => x.response.length,
            Framing::None => Some(0),
            _ => length,
        };
        if let Framing::Length(length @ 1..=WHOLE_BYTES_MAX) = framing
            && buf.len() as u64 == length
            && sending.is_done()
        {
            // The whole body came with the head: nothing to stream, nothing to allocate but it.
            let whole = Bytes::copy_from_slice(&buf);
            buf.clear();
            UpstreamBody::new(
                attempt.link,
                home,
                buf,
                BodyDecoder::response(Framing::None),
                node.read_timeout,
            )
            .finish_if_done(x.now);
            return Ok(Answer::Response(Body::Full(whole)));
        }
        let mut body = UpstreamBody::new(attempt.link, home, buf, decoder, node.read_timeout);
        if !sending.is_done() {
            body.still_sending(std::mem::take(sending));
        }
        if body.finish_if_done(x.now) {
            return Ok(Answer::Response(Body::Empty));
        }
        Ok(Answer::Response(body.into()))
    }

    async fn link(
        &self,
        x: &mut Exchange,
        node: &Node,
        key: &Key,
    ) -> std::result::Result<(Link, bool), Try> {
        if let Some(link) = self.pool.take(key, x.now) {
            note_connect(x, true);
            return Ok((link, true));
        }
        // On the heap, since every connection of a client would hold the room for a handshake.
        let connected = match &node.tls {
            None => Box::pin(connect::tcp(node.addr, node.connect_timeout)).await,
            Some((client, name)) => {
                Box::pin(connect::tls(node.addr, client, name, node.connect_timeout)).await
            }
        };
        let conn = connected.map_err(|error| failed(error, false, false))?;
        note_connect(x, false);
        Ok((conn.into(), false))
    }
}

impl Attempt<'_> {
    fn node_name(&self) -> String {
        self.node.addr.to_string()
    }

    /// Writes the head, and with it what there is of a small body.
    async fn write_head(
        &mut self,
        x: &mut Exchange,
        sending: &mut Sending,
        upgrade: bool,
    ) -> std::result::Result<(), Try> {
        let mut head = HEAD.take();
        head.clear();
        let written = request::write_head(&mut head, x, self.node.host.as_deref(), upgrade);
        if let Err(error) = written {
            HEAD.set(head);
            return Err(failed(error, false, self.reused));
        }
        let whole = sending.whole();
        if let (None, Upload::Length(length)) = (&whole, request::framing(x)) {
            let begun = poll_fn(|cx| Poll::Ready(sending.begin(length, cx))).await;
            begun.map_err(|error| failed(error, true, false))?;
        }
        let body = whole.as_slice();
        let body = if body.is_empty() { sending.early() } else { body };
        let body_bytes: usize = body.iter().map(Bytes::len).sum();
        if let Some(attempt) = x.upstream.attempts.last_mut() {
            attempt.bytes.0 += (head.len() + body_bytes) as u64;
        }
        let (timeout, conn) = (self.node.send_timeout, &self.link.conn);
        let sent = match body {
            [] => self.deadline.limit(timeout, conn.write_all(&head)).await,
            [body] => {
                let mut parts = [IoSlice::new(&head), IoSlice::new(body)];
                self.deadline.limit(timeout, conn.write_vectored_all(&mut parts)).await
            }
            // A small body in many pieces is rare.
            pieces => {
                let all = [&head, pieces.concat().as_slice()].concat();
                self.deadline.limit(timeout, conn.write_all(&all)).await
            }
        };
        sending.left_early();
        HEAD.set(head);
        match sent {
            Some(Ok(())) => Ok(()),
            // The answer may be there all the same, such as 413; reading will tell.
            Some(Err(_)) if !self.reused => Ok(()),
            Some(Err(error)) => {
                let kind = Kind::UpstreamClosed { node: self.node_name(), reused: true };
                Err(failed(Error::from(kind).because(error), true, true))
            }
            None => Err(self.timeout("send")),
        }
    }

    fn timeout(&self, what: &'static str) -> Try {
        failed(Kind::UpstreamTimeout { what, node: self.node_name() }, true, self.reused)
    }

    /// Reads until the head is complete, while the body of the request still goes out.
    async fn read_head(
        &mut self,
        client: &Client,
        x: &mut Exchange,
        sending: &mut Sending,
        (head, buf): (&mut ResponseHead, &mut BytesMut),
    ) -> std::result::Result<(), Try> {
        let mut broken = false;
        let mut interim = 0;
        loop {
            let read = poll_fn(|cx| self.poll_read(cx, x, sending, (buf, &mut broken))).await?;
            if read == 0 {
                let kind = Kind::UpstreamClosed { node: self.node_name(), reused: self.reused };
                return Err(failed(kind, true, self.reused));
            }
            if let Some(attempt) = x.upstream.attempts.last_mut() {
                attempt.bytes.1 += read as u64;
            }
            loop {
                let progress = http1::parse_response(buf, &client.limits, &x.method, head)
                    .map_err(|error| {
                        let kind = Kind::BadAnswer { node: self.node_name(), why: error.why() };
                        failed(kind, true, false)
                    })?;
                let Progress::Done(len) = progress else { break };
                bytes::Buf::advance(buf, len);
                if let Some(attempt) = x.upstream.attempts.last_mut() {
                    attempt.head_bytes += len as u64;
                }
                if head.is_interim() && head.status() != 101 {
                    // We answered `Expect` ourselves; the final head follows.
                    head.clear();
                    interim += 1;
                    if interim > INTERIM_MAX {
                        let why = "too many interim answers";
                        let kind = Kind::BadAnswer { node: self.node_name(), why };
                        return Err(failed(kind, true, false));
                    }
                    continue;
                }
                return self.prove(x, sending, broken).await;
            }
        }
    }

    /// Holds an answer back that came before the end of a body that must be checked. `broken`:
    /// the node takes no more of it.
    async fn prove(
        &mut self,
        x: &mut Exchange,
        sending: &mut Sending,
        mut broken: bool,
    ) -> std::result::Result<(), Try> {
        if !sending.is_unproven() {
            return Ok(());
        }
        let mut seen = None;
        poll_fn(|cx| self.poll_prove(cx, x, sending, (&mut broken, &mut seen))).await
    }

    /// Brings the body to its end; a node that reads no more of it is waited for as long as for
    /// any write.
    fn poll_prove(
        &mut self,
        cx: &mut Context<'_>,
        x: &mut Exchange,
        sending: &mut Sending,
        (broken, seen): (&mut bool, &mut Option<(u64, usize, usize)>),
    ) -> Poll<std::result::Result<(), Try>> {
        let tampered = |error| Poll::Ready(Err(failed(error, true, false)));
        if !*broken {
            match sending.poll(&self.link.conn, cx) {
                Poll::Ready(Err(error)) => return tampered(error),
                Poll::Ready(Ok(Some(()))) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(None)) => *broken = true,
                Poll::Pending => {}
            }
        }
        if *broken {
            match sending.poll_prove(cx) {
                Poll::Ready(Err(error)) => return tampered(error),
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
        }
        if x.peer_is_gone(cx) {
            return Poll::Ready(Err(failed(Kind::ClientGone, true, false)));
        }
        let progress = sending.progress();
        if seen.replace(progress) != Some(progress) {
            self.deadline.set(self.node.send_timeout.max(self.node.read_timeout));
        }
        if self.deadline.poll(cx).is_ready() {
            return Poll::Ready(Err(self.timeout("send")));
        }
        Poll::Pending
    }

    /// One read, with everything that may end the wait for it.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        x: &mut Exchange,
        sending: &mut Sending,
        (buf, broken): (&mut BytesMut, &mut bool),
    ) -> Poll<std::result::Result<usize, Try>> {
        let sending_now = !sending.is_done() && !*broken;
        if sending_now {
            match sending.poll(&self.link.conn, cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(error, true, false))),
                Poll::Ready(Ok(None)) => *broken = true,
                Poll::Ready(Ok(Some(()))) | Poll::Pending => {}
            }
        }
        match self.link.conn.poll_read_buf(cx, buf) {
            Poll::Ready(Ok(read)) => return Poll::Ready(Ok(read)),
            Poll::Ready(Err(error)) => {
                let kind = Kind::UpstreamClosed { node: self.node_name(), reused: self.reused };
                return Poll::Ready(Err(failed(
                    Error::from(kind).because(error),
                    true,
                    self.reused,
                )));
            }
            Poll::Pending => {}
        }
        if x.peer_is_gone(cx) {
            return Poll::Ready(Err(failed(Kind::ClientGone, true, false)));
        }
        // While the request is still coming in, silence of the node is no fault of its own; the
        // client's timeout bounds that time. But what is there it has to take.
        let out = !sending.is_done() && !*broken;
        if out {
            let progress = sending.progress();
            let moved = self.seen.replace(progress) != Some(progress);
            if moved || sending.early().is_empty() {
                self.deadline.set(self.node.send_timeout.max(self.node.read_timeout));
            }
        } else if !x.waits {
            self.deadline.set(self.node.read_timeout);
            x.waits = true;
        }
        if self.deadline.poll(cx).is_ready() {
            return Poll::Ready(Err(self.timeout(if out { "send" } else { "read" })));
        }
        Poll::Pending
    }
}

/// Moves the fields of the answer into the response, without those of one hop.
fn take_fields(x: &mut Exchange, head: &mut ResponseHead) {
    x.response.status = head.status();
    x.response.length = head
        .fields
        .get("content-length")
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok());
    // What plugins set before the answer came stands over what the upstream says.
    std::mem::swap(&mut x.response.fields, &mut head.fields);
    let preset = &head.fields;
    let fields = &mut x.response.fields;
    if fields.get("connection").is_some_and(|value| !is_plain_connection(value)) {
        http1::remove_hop_by_hop(fields);
    }
    fields.retain(|name, _| {
        !stays_here(name)
            && (preset.is_empty()
                || name.eq_ignore_ascii_case(b"set-cookie")
                || !preset.contains(name))
    });
    for (name, value) in preset.iter() {
        // Checked when the plugin set it; only a table that is full refuses.
        let _ = fields.add(name, value);
    }
    if let Some(attempt) = x.upstream.attempts.last_mut() {
        attempt.status = x.response.status;
    }
}

/// Whether `Connection` names nothing but the usual.
fn is_plain_connection(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
}

/// Whether a field of the upstream's is of one hop, or written by us.
pub(super) fn stays_here(name: &[u8]) -> bool {
    let own = match name.len() {
        4 => name.eq_ignore_ascii_case(b"date"),
        6 => name.eq_ignore_ascii_case(b"server"),
        14 => name.eq_ignore_ascii_case(b"content-length"),
        _ => false,
    };
    own || http1::is_hop_by_hop(name)
}

fn note_connect(x: &mut Exchange, reused: bool) {
    if !reused {
        x.now = clock::now();
    }
    if let Some(attempt) = x.upstream.attempts.last_mut() {
        attempt.connect_time = Some(x.now.duration_since(attempt.started));
    }
    x.waits = false;
}

fn note_head(x: &mut Exchange) {
    x.now = clock::now();
    if let Some(attempt) = x.upstream.attempts.last_mut() {
        attempt.header_time = Some(x.now.duration_since(attempt.started));
    }
}
