//! The request as it goes upstream: its head, and its body on the way.

use std::{
    borrow::Cow,
    io::IoSlice,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::{
    error::{Error, Kind, Result},
    exchange::{Body, Exchange, Frame, body::Check, vars},
    fields::Fields,
    http1,
    parse::uri,
    sys::{conn::Conn, scratch::Scratch},
};

/// Fields that are written anew for the upstream.
const OWN_FIELDS: [&str; 5] = ["host", "content-length", "expect", "x-real-ip", "x-forwarded-for"];

/// Whether a field of the client's goes upstream as it is.
fn passes(name: &[u8]) -> bool {
    let own = match name.len() {
        4 | 6 | 9 | 14 | 15 => {
            OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
        }
        _ => false,
    };
    !own && !http1::is_hop_by_hop(name)
}

/// A body of up to so many bytes that is there already leaves together with the head.
const EARLY_BYTES_MAX: u64 = 16 << 10;

/// How the body of the request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upload {
    /// There is none.
    None,
    /// Of this many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// How the body of `x` goes upstream.
#[must_use]
pub fn framing(x: &Exchange) -> Upload {
    if !x.body.present {
        return Upload::None;
    }
    match (&x.body.held, &x.body.file, x.body.length) {
        (Some(held), ..) => Upload::Length(held.len() as u64),
        (None, Some(file), _) => Upload::Length(file.len()),
        (None, None, Some(length)) => Upload::Length(length),
        (None, None, None) => Upload::Chunked,
    }
}

/// Path and query for the upstream: what plugins made of them, or what the client sent.
#[must_use]
pub fn target(x: &Exchange) -> Cow<'_, [u8]> {
    if let Some(Some(set)) = x.set_value(b"upstream_uri")
        && !set.is_empty()
    {
        return set.into();
    }
    own_target(x)
}

/// Path and query of the request, whatever `$upstream_uri` says.
#[must_use]
pub fn own_target(x: &Exchange) -> Cow<'_, [u8]> {
    if !x.rewritten {
        return x.forward.as_slice().into();
    }
    let mut target = uri::encode_path(&x.path);
    if !x.args.is_empty() {
        target.push(b'?');
        target.extend_from_slice(&x.args);
    }
    target.into()
}

/// `Host` for the upstream: what a plugin says, or `host`, or what the client sent.
#[must_use]
pub fn host<'x>(x: &'x Exchange, host: Option<&'x [u8]>) -> &'x [u8] {
    let set = x.set_value(b"upstream_host").flatten().filter(|set| !set.is_empty());
    set.or(host).unwrap_or_else(|| x.head.fields.get("host").unwrap_or(&x.host))
}

/// Writes the head for the upstream into `out`.
///
/// # Errors
///
/// [`Kind::BadRequest`] when a plugin made something of it that is not a head.
pub fn write_head(
    out: &mut Vec<u8>,
    x: &Exchange,
    host: Option<&[u8]>,
    upgrade: bool,
) -> Result<()> {
    let host = self::host(x, host);
    let target = target(x);
    let remote = x.remote_text();
    let remote = remote.as_bytes();
    let forwarded_for;
    let known = x.head.fields.get("x-forwarded-for");
    let forwarded_for: &[u8] = if known.is_some() {
        forwarded_for = vars::forwarded_for(x);
        &forwarded_for
    } else {
        remote
    };
    let mut length = itoa::Buffer::new();
    let own: [(&[u8], &[u8]); 3] =
        [(b"Host", host), (b"X-Real-IP", remote), (b"X-Forwarded-For", forwarded_for)];
    let upload: Option<(&[u8], &[u8])> = match framing(x) {
        Upload::None => None,
        Upload::Length(bytes) => Some((b"Content-Length", length.format(bytes).as_bytes())),
        Upload::Chunked => Some((b"Transfer-Encoding", b"chunked")),
    };
    let switch: [(&[u8], &[u8]); 2] = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", x.head.fields.get("upgrade").unwrap_or_default()),
    ];
    let switch = if upgrade { &switch[..] } else { &[] };
    let theirs = x.head.fields.iter().filter(|(name, _)| passes(name));
    let fields = own
        .into_iter()
        .chain(upload)
        .chain(switch.iter().copied())
        .chain(theirs)
        .filter(|(_, value)| !value.is_empty());
    http1::request_head(out, &x.method, &target, fields).map_err(|error| {
        Error::from(Kind::BadRequest("a plugin made a request that cannot be written"))
            .because(format!("{error:?}"))
    })
}

/// What happened to the body of a request so far, kept over retries.
#[derive(Debug, Default)]
pub struct Sending {
    /// What comes from the client, or out of `file`.
    incoming: Body,
    /// The whole body, if it was read before and is too large for memory.
    file: Option<Rc<Scratch>>,
    /// Bytes sent and kept for a repeat.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    kept_bytes_max: usize,
    /// More was sent than is kept: the request cannot be repeated.
    overflowed: bool,
    /// Index into `kept` while a repeat sends it again.
    repeat: usize,
    chunked: bool,
    /// Encoded, not yet written.
    pending: Vec<Bytes>,
    written: usize,
    ended: bool,
    /// What follows the body; kept for a repeat.
    trailers: Option<Fields>,
    /// Fields that the client said are for its own connection only.
    nominated: Vec<Vec<u8>>,
    /// Body bytes taken from the client.
    pub received: u64,
    length_max: u64,
    /// Digests that are made of the body on its way. Until they are known to be right, its last
    /// byte and the end of its framing stay here.
    check: Option<Box<Check>>,
    /// Whether there is, or was, such a check.
    checked: bool,
    /// The byte that stays here.
    withheld: Option<Bytes>,
    /// The node did not get all of it.
    cut: bool,
}

impl Sending {
    /// Takes the body of `x`; `kept_bytes_max` of it are kept for a repeat.
    pub fn of(x: &mut Exchange, kept_bytes_max: usize, length_max: u64) -> Self {
        let chunked = framing(x) == Upload::Chunked;
        let nominated = if chunked { http1::nominated(&x.head.fields) } else { Vec::new() };
        let mut sending =
            Self { kept_bytes_max, chunked, length_max, nominated, ..Self::default() };
        if !x.body.present {
            sending.ended = true;
        } else if let Some(held) = &x.body.held {
            // In memory anyway: kept whole, whatever the bound.
            sending.kept.push(held.clone());
            sending.kept_bytes_max = usize::MAX;
        } else if let Some(file) = &x.body.file {
            sending.incoming = Body::from(&**file);
            sending.file = Some(Rc::clone(file));
        } else {
            sending.incoming = std::mem::take(&mut x.body.incoming);
            sending.check = x.body.check.take();
            sending.checked = sending.check.is_some();
        }
        sending
    }

    /// Whether the body may still turn out to be another than the one that was signed.
    #[must_use]
    pub fn is_unproven(&self) -> bool {
        self.check.is_some()
    }

    /// Reads and checks the rest of the body without sending it: the node takes no more.
    ///
    /// # Errors
    ///
    /// As [`Sending::poll`].
    pub fn poll_prove(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while self.is_unproven() {
            ready!(self.poll_fill(cx))?;
            self.pending.clear();
            self.written = 0;
            self.overflowed = true;
            self.cut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a part was left out: the connection cannot carry another request.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Changes whenever the body gets on, from the client or to the node.
    #[must_use]
    pub fn progress(&self) -> (u64, usize, usize) {
        (self.received, self.written, self.pending.len())
    }

    /// Whether the request could be sent once more.
    #[must_use]
    pub fn repeatable(&self) -> bool {
        !self.overflowed
    }

    /// Starts over, for the next try.
    pub fn restart(&mut self) {
        self.repeat = 0;
        self.pending.clear();
        self.written = 0;
        self.withheld = None;
        if let Some(file) = &self.file {
            self.incoming = Body::from(&**file);
            self.received = 0;
        }
        if !self.kept.is_empty() || !self.incoming.is_empty() {
            self.ended = false;
        }
    }

    /// Whether everything was written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended && self.pending.is_empty()
    }

    /// Gives back what the client has not sent yet, so that the connection can be drained.
    pub fn into_incoming(self) -> Body {
        self.incoming
    }

    /// A body that lies in memory and needs no framing: it can leave together with the head.
    #[must_use]
    pub fn whole(&mut self) -> Option<Bytes> {
        if self.check.is_none()
            && self.kept.len() == 1
            && self.incoming.is_empty()
            && self.repeat == 0
            && !self.chunked
        {
            self.repeat = 1;
            self.ended = true;
            return self.kept.first().cloned();
        }
        None
    }

    /// Takes what is there of a small body of `length` bytes, without waiting, so that it leaves
    /// together with the head: see [`Sending::early`]. Only what can be repeated.
    ///
    /// # Errors
    ///
    /// As [`Sending::poll`].
    pub fn begin(&mut self, length: u64, cx: &mut Context<'_>) -> Result<()> {
        let small = EARLY_BYTES_MAX.min(self.kept_bytes_max as u64);
        if self.checked || self.file.is_some() || length > small {
            return Ok(());
        }
        while !self.ended {
            match self.poll_fill(cx) {
                Poll::Ready(filled) => filled?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// What is to be written next.
    #[must_use]
    pub fn early(&self) -> &[Bytes] {
        &self.pending
    }

    /// All of [`Sending::early`] has left.
    pub fn left_early(&mut self) {
        self.pending.clear();
    }

    /// Writes to `conn` what can be written now; ready when all of it left.
    ///
    /// # Errors
    ///
    /// [`Side::Downstream`](crate::error::Side) when the client broke off. Failing writes to
    /// the upstream are not errors here: `None` says that nothing more can be written, and
    /// what the upstream answered decides.
    pub fn poll(&mut self, conn: &Conn, cx: &mut Context<'_>) -> Poll<Result<Option<()>>> {
        loop {
            while !self.pending.is_empty() {
                match ready!(self.poll_write(conn, cx)) {
                    Ok(()) => {}
                    Err(_broken) => return Poll::Ready(Ok(None)),
                }
            }
            if self.ended {
                return match ready!(conn.poll_flush(cx)) {
                    Ok(()) => Poll::Ready(Ok(Some(()))),
                    Err(_broken) => Poll::Ready(Ok(None)),
                };
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    fn poll_write(&mut self, conn: &Conn, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut parts = [IoSlice::new(&[]); 4];
        let count = self.pending.len().min(parts.len());
        for (n, (part, bytes)) in parts.iter_mut().zip(&self.pending).enumerate() {
            *part = IoSlice::new(if n == 0 { &bytes[self.written..] } else { bytes });
        }
        let mut sent = ready!(conn.poll_write_vectored(cx, &parts[..count]))?;
        if sent == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
        }
        sent += self.written;
        while let Some(first) = self.pending.first() {
            if sent < first.len() {
                break;
            }
            sent -= first.len();
            self.pending.remove(0);
        }
        self.written = sent;
        Poll::Ready(Ok(()))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(kept) = self.kept.get(self.repeat) {
            let kept = kept.clone();
            self.repeat += 1;
            self.encode(kept);
            return Poll::Ready(Ok(()));
        }
        match ready!(self.incoming.poll_frame(cx)).transpose()? {
            Some(Frame::Data(data)) => {
                self.received += data.len() as u64;
                if self.length_max > 0 && self.received > self.length_max {
                    let bytes_max = self.length_max;
                    return Poll::Ready(Err(Kind::BodyTooLarge { bytes_max }.into()));
                }
                if let Some(check) = &mut self.check {
                    check.hashing.update(&data);
                }
                self.keep(&data);
                self.encode(data);
            }
            // Behind a body of announced length there is no place for them.
            Some(Frame::Trailers(mut fields)) => {
                let named = |name: &[u8]| self.nominated.contains(&name.to_ascii_lowercase());
                fields.retain(|name, _| !named(name));
                self.trailers = Some(fields);
            }
            None => {
                if let Some(check) = self.check.take() {
                    check.finish()?;
                }
                if let Some(last) = self.withheld.take() {
                    self.frame(last);
                }
                self.ended = true;
                if self.chunked {
                    let mut end = Vec::with_capacity(8);
                    http1::last_chunk(&mut end, self.trailers.as_ref());
                    self.pending.push(end.into());
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, data: &Bytes) {
        if self.overflowed || self.file.is_some() {
            return;
        }
        if self.kept_bytes + data.len() > self.kept_bytes_max {
            self.overflowed = true;
            self.kept.clear();
            self.repeat = 0;
            return;
        }
        self.kept_bytes += data.len();
        self.kept.push(data.clone());
        self.repeat = self.kept.len();
    }

    /// Queues `data`, but for its last byte if that must wait for the end.
    fn encode(&mut self, mut data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.checked {
            let last = data.split_off(data.len() - 1);
            if let Some(before) = self.withheld.replace(last) {
                self.frame(before);
            }
        }
        self.frame(data);
    }

    fn frame(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.chunked {
            let mut head = Vec::with_capacity(20);
            http1::chunk_head(&mut head, data.len());
            self.pending.push(head.into());
            self.pending.push(data);
            self.pending.push(Bytes::from_static(http1::CHUNK_END));
        } else {
            self.pending.push(data);
        }
    }
}
