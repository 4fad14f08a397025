//! The response of HTTP/1: head, framing, and the client that reads it, or does not.

use std::{cell::Cell, future::poll_fn, io::IoSlice, rc::Rc, time::Duration};

use bytes::Bytes;

use super::h1::Shared;
use crate::{
    clock,
    error::{Error, Kind, Result},
    exchange::Exchange,
    fields::Fields,
    http1,
    log::error_log::Level,
    lua::log_line,
    pipeline::Sink,
    sys::deadline::Deadline,
};

/// Pieces of body up to this size are copied behind the head and leave in one write.
const COPY_BYTES_MAX: usize = 16 << 10;

/// Bytes that one connection may write before others have a turn: an upstream and a client
/// that are both fast would else keep the worker to themselves.
const TURN_BYTES: usize = 512 << 10;

/// Where an answer stands that leaves in parts, each with a sink of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Begun {
    chunked: bool,
    bodiless: bool,
    left: Option<u64>,
    pub(super) keep: bool,
}

impl Begun {
    /// An answer of which nothing has left.
    pub(super) fn new(keep: bool) -> Self {
        Self { keep, ..Self::default() }
    }
}

/// Writes one response to the client.
pub(super) struct H1Sink<'s> {
    shared: &'s Rc<Shared>,
    /// Bytes written since others had a turn.
    turn_bytes: usize,
    out: Vec<u8>,
    chunked: bool,
    bodiless: bool,
    /// Bytes of body that the head announced and that are still to come.
    left: Option<u64>,
    /// Whether the connection may carry another request.
    pub(super) keep: bool,
}

impl<'s> H1Sink<'s> {
    pub(super) fn new(shared: &'s Rc<Shared>, keep: bool) -> Self {
        let mut out = OUT.take();
        out.clear();
        Self { shared, turn_bytes: 0, out, chunked: false, bodiless: false, left: None, keep }
    }

    /// Lets another sink go on where this one ends.
    pub(super) fn leave(self) {
        let Self { chunked, bodiless, left, keep, .. } = self;
        self.shared.begun.set(Begun { chunked, bodiless, left, keep });
    }

    /// Goes on where another sink has ended.
    fn go_on(&mut self) {
        Begun {
            chunked: self.chunked,
            bodiless: self.bodiless,
            left: self.left,
            keep: self.keep,
        } = self.shared.begun.get();
    }

    async fn write(&mut self, x: &mut Exchange, data: &[u8]) -> Result<()> {
        if self.turn_bytes > TURN_BYTES {
            self.turn_bytes = 0;
            tokio::task::yield_now().await;
        }
        self.turn_bytes += self.out.len() + data.len();
        let timeout = SEND_TIMEOUT.get();
        x.response.bytes_sent += (self.out.len() + data.len()) as u64;
        let mut parts = [IoSlice::new(&self.out), IoSlice::new(data)];
        let mut deadline = self.shared.deadline.take();
        let written = write_parts(self.shared, &mut deadline, &mut parts, timeout).await;
        self.shared.deadline.replace(deadline);
        self.out.clear();
        match written {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                x.client_gone = true;
                Err(Error::from(Kind::ClientGone).because(error))
            }
            None => {
                x.client_gone = true;
                Err(Kind::ClientTimeout(timeout).into())
            }
        }
    }
}

/// Writes all of `parts`; `None` if the client takes nothing for `timeout`. A slow client may
/// take as long as it likes.
async fn write_parts(
    shared: &Shared,
    deadline: &mut Deadline,
    mut parts: &mut [IoSlice<'_>],
    timeout: Duration,
) -> Option<std::io::Result<()>> {
    // Empty parts in front would look like a socket that takes nothing.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        let write = poll_fn(|cx| shared.conn.poll_write_vectored(cx, parts));
        match deadline.limit(timeout, write).await? {
            Ok(0) => return Some(Err(std::io::ErrorKind::WriteZero.into())),
            Ok(written) => IoSlice::advance_slices(&mut parts, written),
            Err(error) => return Some(Err(error)),
        }
    }
    deadline.limit(timeout, poll_fn(|cx| shared.conn.poll_flush(cx))).await
}

/// Sets `send_timeout` for all connections of this worker.
pub fn set_send_timeout(timeout: Duration) {
    SEND_TIMEOUT.set(timeout);
}

/// What a spare write buffer may hold.
const SPARE_BYTES_MAX: usize = 64 << 10;

impl Drop for H1Sink<'_> {
    fn drop(&mut self) {
        // An idle connection holds no write buffer; the next response takes this one.
        if self.out.capacity() <= SPARE_BYTES_MAX {
            OUT.set(std::mem::take(&mut self.out));
        }
    }
}

thread_local! {
    static OUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SEND_TIMEOUT: Cell<Duration> = const { Cell::new(Duration::from_secs(10)) };
}

impl Sink for H1Sink<'_> {
    async fn head(&mut self, x: &mut Exchange, bodiless: bool) -> Result<()> {
        if x.response.head_sent {
            self.go_on();
            return Ok(());
        }
        self.bodiless = bodiless;
        let minor = x.head.minor();
        let status = x.response.status;
        let interim = status == 101;
        let length = match (interim || matches!(status, 100..=199 | 204), x.response.length) {
            (true, _) => None,
            (false, length) => length,
        };
        let no_body = bodiless && length.is_none();
        self.chunked = !no_body && length.is_none() && minor >= 1;
        if !no_body && length.is_none() && minor == 0 || self.shared.is_lost() {
            self.keep = false;
        }
        self.left = length.filter(|_| !bodiless);
        let mut digits = itoa::Buffer::new();
        let framing: Option<(&[u8], &[u8])> = match (length, self.chunked) {
            (Some(length), _) => Some((b"Content-Length", digits.format(length).as_bytes())),
            (None, true) => Some((b"Transfer-Encoding", b"chunked")),
            (None, false) => None,
        };
        let connection: (&[u8], &[u8]) = match (interim, self.keep) {
            (true, _) => (b"Connection", b"upgrade"),
            (false, true) => (b"Connection", b"keep-alive"),
            (false, false) => (b"Connection", b"close"),
        };
        let upgrade: Option<(&[u8], &[u8])> = match interim {
            true if x.response.fields.get("upgrade").is_none() => {
                x.head.fields.get("upgrade").map(|value| (&b"Upgrade"[..], value))
            }
            _ => None,
        };
        let date = date(x);
        let own = [(&b"Date"[..], &date[..])];
        let fields = own
            .into_iter()
            .chain(x.response.fields.iter())
            .chain(framing)
            .chain(upgrade)
            .chain([connection]);
        http1::response_head(&mut self.out, status, b"", 1, fields)
            .map_err(|_| Error::from(Kind::Plugin))?;
        x.response.head_sent = true;
        Ok(())
    }

    async fn data(&mut self, x: &mut Exchange, data: Bytes) -> Result<()> {
        if self.bodiless {
            return Ok(());
        }
        if let Some(left) = &mut self.left {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return Err(wrong_length(x)),
            }
        }
        x.response.body_bytes_sent += data.len() as u64;
        if self.chunked {
            http1::chunk_head(&mut self.out, data.len());
        }
        if self.out.len() + data.len() <= COPY_BYTES_MAX {
            self.out.extend_from_slice(&data);
        } else {
            self.write(x, &data).await?;
        }
        if self.chunked {
            self.out.extend_from_slice(http1::CHUNK_END);
        }
        Ok(())
    }

    async fn flush(&mut self, x: &mut Exchange) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.write(x, &[]).await
    }

    async fn end(&mut self, x: &mut Exchange, trailers: Option<Fields>) -> Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(wrong_length(x));
        }
        if self.chunked && !self.bodiless {
            http1::last_chunk(&mut self.out, trailers.as_ref());
        }
        self.flush(x).await
    }
}

/// More or less body than announced would be read as the next response, or hide it.
fn wrong_length(x: &Exchange) -> Error {
    let line = "[lua] a plugin announced another length than the body has: clear Content-Length in \
                header_filter";
    log_line(Level::Error, x, line);
    Kind::Plugin.into()
}

/// The `Date` field, made once per second and thread.
fn date(x: &Exchange) -> [u8; 29] {
    thread_local! {
        static DATE: Cell<(u64, [u8; 29])> = const { Cell::new((0, [0; 29])) };
    }
    let now = clock::wall_at(x.now).as_secs();
    let (at, date) = DATE.get();
    if at == now {
        return date;
    }
    let date = clock::http_date(now);
    DATE.set((now, date));
    date
}
