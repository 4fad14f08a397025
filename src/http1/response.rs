//! The head of an upstream's answer.
//!
//! Read with more patience than a request, where only one reading exists: lines may end in
//! a bare LF, the reason may be missing, equal Content-Length fields may repeat (one is
//! kept), HTTP/1.0 may be chunked (the connection is then not kept). Refused is what leaves
//! the end of the body in doubt, and what we could not pass on: Content-Length with
//! Transfer-Encoding, different Content-Lengths, codings other than chunked, folded lines,
//! control bytes, unknown versions.

use memchr::memchr;

use super::{
    Framing, HeadError, HeadLimits, Progress,
    head::{self, Facts},
    request::parse_version,
    scan::{Found, Kind, Scan},
};
use crate::fields::{Fields, Span};

/// The head of one response. Reusable: a parse overwrites all of it and keeps the memory.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// The header fields. The reason lies in the same arena, so replacing or clearing this
    /// value empties it too.
    pub fields: Fields,
    status: u16,
    reason: Span,
    minor: u8,
    framing: Framing,
    keep_alive: bool,
    scan: Scan,
}

/// Reads the head of a response to a request with this `method` from the front of `buf`.
///
/// Interim answers (1xx) come out like any other; the caller asks again for the final one,
/// except after 101. [`Progress::Partial`] means what it means for
/// [`parse_request`](super::parse_request).
///
/// # Errors
///
/// Everything that leaves the end of the message in doubt; see [`HeadError`].
pub fn parse_response(
    buf: &[u8],
    limits: &HeadLimits,
    method: &[u8],
    head: &mut ResponseHead,
) -> Result<Progress, HeadError> {
    let found = match head.scan.run(buf, limits, Kind::Response) {
        Ok(None) => return Ok(Progress::Partial),
        Ok(Some(found)) => found,
        Err(error) => {
            head.clear();
            return Err(error);
        }
    };
    head.scan = Scan::default();
    if let Err(error) = head.load(buf, found, method) {
        head.clear();
        return Err(error);
    }
    Ok(Progress::Done(found.end))
}

impl ResponseHead {
    /// An empty head; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, a half-read head included, and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// The status, 100 to 999.
    #[inline]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason as sent, empty if there was none.
    #[inline]
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.fields.slice(self.reason)
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    #[inline]
    #[must_use]
    pub fn minor(&self) -> u8 {
        self.minor
    }

    /// Where the body ends.
    #[inline]
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection may be used again once the body has ended.
    #[inline]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether another head follows for the same request.
    #[inline]
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    fn load(&mut self, buf: &[u8], found: Found, method: &[u8]) -> Result<(), HeadError> {
        let raw = buf.get(found.start..found.end).unwrap_or_default();
        let line_end = memchr(b'\n', raw).unwrap_or_default();
        let line = &raw[..line_end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.load_line(line)?;
        let facts = head::load(buf, found, line_end + 1, &mut self.fields)?;
        self.load_framing(&facts, method)
    }

    fn load_line(&mut self, line: &[u8]) -> Result<(), HeadError> {
        let version = line.get(..8).ok_or(HeadError::StatusLine)?;
        self.minor = parse_version(version).map_err(|known| match known {
            true => HeadError::Version,
            false => HeadError::StatusLine,
        })?;
        let (status, reason) = match &line[8..] {
            [b' ', status @ ..] if status.len() == 3 => (status, 0),
            [b' ', a, b, c, b' ', reason @ ..] => (&[*a, *b, *c][..], reason.len()),
            _ => return Err(HeadError::StatusLine),
        };
        if !status.iter().all(u8::is_ascii_digit) || status[0] == b'0' {
            return Err(HeadError::StatusLine);
        }
        let at = line.len() - reason;
        if line[at..].iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(HeadError::StatusLine);
        }
        self.status = status.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        self.reason = Span { at: at as u32, len: reason as u32 };
        Ok(())
    }

    /// RFC 9112, 6.3.
    fn load_framing(&mut self, facts: &Facts, method: &[u8]) -> Result<(), HeadError> {
        let chunked = facts.chunked()?;
        let length = facts.length(true)?;
        if facts.length_repeated() {
            let mut seen = false;
            self.fields.retain(|name, _| {
                !name.eq_ignore_ascii_case(b"content-length") || !std::mem::replace(&mut seen, true)
            });
        }
        // These have no body, whatever their fields say; a body sent nonetheless would be
        // read as the next answer, so the connection ends with them.
        let bodyless = self.status < 200 || self.status == 204;
        let lying = bodyless && (chunked || length.is_some_and(|length| length > 0));
        let tunnel = self.status == 101 || method == b"CONNECT" && self.status / 100 == 2;
        self.framing = if bodyless || self.status == 304 || method == b"HEAD" || tunnel {
            Framing::None
        } else if chunked {
            Framing::Chunked
        } else {
            length.map_or(Framing::Close, Framing::Length)
        };
        let doubtful = lying || tunnel || chunked && self.minor == 0;
        let ends = self.framing == Framing::Close || !facts.persistent(self.minor);
        self.keep_alive = !doubtful && !ends;
        Ok(())
    }
}
