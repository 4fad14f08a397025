//! The body of an upstream's answer, and what becomes of its connection.

use std::{
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{
    pool::{KeepAlive, Key, Link, Pool},
    request::Sending,
};
use crate::{
    clock,
    error::{Error, Kind, Result},
    exchange::{Body, Frame, Source},
    http1::{BodyDecoder, Decoded},
    sys::{
        conn::{self, Conn},
        deadline::Deadline,
    },
};

/// Where a connection goes when its answer was read to the end.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) pool: Pool,
    pub(super) key: Key,
    pub(super) keep: KeepAlive,
}

/// A connection that switched protocols.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection to the node.
    pub conn: Rc<Conn>,
    /// Bytes that came right behind the head.
    pub early: BytesMut,
}

/// The body of an answer as it streams in. The rest of the request's body still goes out
/// meanwhile, if the node answers before it has read all of it.
pub struct UpstreamBody {
    link: Option<Link>,
    home: Option<Home>,
    buf: BytesMut,
    decoder: BodyDecoder,
    sending: Option<Sending>,
    deadline: Deadline,
    read_timeout: Duration,
    waiting: bool,
}

impl UpstreamBody {
    pub(super) fn new(
        link: Link,
        home: Option<Home>,
        buf: BytesMut,
        decoder: BodyDecoder,
        read_timeout: Duration,
    ) -> Self {
        Self {
            link: Some(link),
            home,
            buf,
            decoder,
            sending: None,
            deadline: Deadline::default(),
            read_timeout,
            waiting: false,
        }
    }

    /// The request's body is still on its way: a connection answered early is not kept.
    pub(super) fn still_sending(&mut self, sending: Sending) {
        self.sending = Some(sending);
        self.home = None;
    }

    /// Whether nothing is left to read; the connection goes home then.
    pub(super) fn finish_if_done(&mut self, now: Instant) -> bool {
        let done = self.decoder.is_done();
        if done {
            self.release(now);
        }
        done
    }

    fn release(&mut self, now: Instant) {
        let Some(link) = self.link.take() else { return };
        match self.home.take() {
            // Bytes behind the end of an answer belong to nobody: not to be reused.
            Some(home) if self.buf.is_empty() => {
                conn::give_back(&mut self.buf);
                home.pool.put(&home.key, link, &home.keep, now);
            }
            _ => link.conn.goodbye(),
        }
    }

    fn node(&self) -> String {
        let addr = self.link.as_ref().and_then(|link| link.conn.peer_addr());
        addr.map_or_else(|| "upstream".to_owned(), |addr| addr.to_string())
    }

    fn poll_decode(&mut self) -> std::result::Result<Option<Frame>, Error> {
        match self.decoder.decode(&mut self.buf) {
            Ok(Decoded::Data(data)) => Ok(Some(Frame::Data(data))),
            Ok(Decoded::Trailers(fields)) => Ok(Some(Frame::Trailers(fields))),
            Ok(Decoded::End | Decoded::NeedMore) => Ok(None),
            Err(error) => {
                self.link = None;
                Err(Kind::BadAnswer { node: self.node(), why: error.why() }.into())
            }
        }
    }

    fn closed(&mut self) -> Option<Result<Frame>> {
        let node = self.node();
        self.link = None;
        match self.decoder.close() {
            Ok(()) => None,
            Err(error) => Some(Err(Kind::BadAnswer { node, why: error.why() }.into())),
        }
    }

    fn poll_sending(&mut self, cx: &mut Context<'_>) {
        let (Some(sending), Some(link)) = (&mut self.sending, &self.link) else { return };
        // Whatever comes of it, the answer is what counts from here on.
        if sending.poll(&link.conn, cx).is_ready() {
            self.sending = None;
        }
    }
}

impl Source for UpstreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        self.poll_sending(cx);
        loop {
            match self.poll_decode() {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.decoder.is_done() => {
                    self.release(clock::now());
                    return Poll::Ready(None);
                }
                Ok(None) => {}
            }
            let Some(link) = &self.link else { return Poll::Ready(None) };
            match link.conn.poll_read_buf(cx, &mut self.buf) {
                Poll::Ready(Ok(0)) => return Poll::Ready(self.closed()),
                Poll::Ready(Ok(_)) => self.waiting = false,
                Poll::Ready(Err(error)) => {
                    let node = self.node();
                    self.link = None;
                    let kind = Kind::UpstreamClosed { node, reused: false };
                    return Poll::Ready(Some(Err(Error::from(kind).because(error))));
                }
                Poll::Pending => {
                    if !self.waiting {
                        self.waiting = true;
                        self.deadline.set(self.read_timeout);
                    }
                    if self.deadline.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    let node = self.node();
                    self.link = None;
                    return Poll::Ready(Some(Err(
                        Kind::UpstreamTimeout { what: "read", node }.into()
                    )));
                }
            }
        }
    }

    fn abandon(&mut self) {
        self.link = None;
    }
}

impl From<UpstreamBody> for Body {
    fn from(body: UpstreamBody) -> Self {
        Self::Stream(Box::new(body))
    }
}
