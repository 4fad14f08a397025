//! The head of a request, read by the letter.

use memchr::{memchr, memrchr};

use super::{
    EncodeError, Form, Framing, HeadError, HeadLimits, Progress,
    encode::request_head,
    head::{self, Facts},
    scan::{Found, Kind, Scan},
    target,
};
use crate::fields::{BYTES_MAX, COUNT_MAX, Fields, Span, is_token};

/// The head of one request. Reusable: a parse overwrites all of it and keeps the memory.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// The header fields. Method, target and raw head lie in the same arena, so replacing
    /// or clearing this value empties them too.
    pub fields: Fields,
    method: Span,
    target: Span,
    path: Span,
    authority: Option<Span>,
    form: Form,
    raw_len: u32,
    line_len: u32,
    minor: u8,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
    upgrade: bool,
    scan: Scan,
}

/// Reads the head of a request from the front of `buf`.
///
/// After [`Progress::Partial`] the next call must get the same bytes again, and more;
/// bytes seen once are not looked at again. To turn to another connection in between,
/// call [`RequestHead::clear`]. After [`Progress::Done`] the head is complete in `head`,
/// which needs `buf` no longer.
///
/// # Errors
///
/// Everything that is not exactly one reading of a request; see [`HeadError`].
pub fn parse_request(
    buf: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Progress, HeadError> {
    let found = match head.scan.run(buf, limits, Kind::Request) {
        Ok(None) => return Ok(Progress::Partial),
        Ok(Some(found)) => found,
        Err(error) => {
            head.clear();
            return Err(error);
        }
    };
    head.scan = Scan::default();
    if let Err(error) = head.load(buf, found) {
        head.clear();
        return Err(error);
    }
    Ok(Progress::Done(found.end))
}

impl RequestHead {
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

    /// Fills the head from parts that came another way, such as HTTP/2: they are written
    /// as a head of HTTP/1.1 and read by the same rules, so that no part means more than
    /// it says. `host` (`:authority`) stands for any Host among `fields`; Cookie fields
    /// become one (RFC 9113, 8.2.3). The framing tells only of a Content-Length.
    ///
    /// # Errors
    ///
    /// As [`parse_request`], but without bounds other than those of [`Fields`].
    pub fn assemble<'a>(
        &mut self,
        method: &[u8],
        target: &[u8],
        host: Option<&'a [u8]>,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), HeadError> {
        self.clear();
        let mut cookie = Vec::new();
        let mut all: Vec<(&[u8], &[u8])> = Vec::new();
        all.extend(host.map(|host| (&b"host"[..], host)));
        for (name, value) in fields {
            if !is_token(name) {
                return Err(HeadError::FieldName);
            } else if name.eq_ignore_ascii_case(b"cookie") {
                if !cookie.is_empty() {
                    cookie.extend_from_slice(b"; ");
                }
                cookie.extend_from_slice(value);
            } else if host.is_none() || !name.eq_ignore_ascii_case(b"host") {
                all.push((name, value));
            }
        }
        if !cookie.is_empty() {
            all.push((b"cookie", &cookie));
        }
        let mut text = Vec::new();
        request_head(&mut text, method, target, all).map_err(|error| match error {
            EncodeError::Method => HeadError::Method,
            EncodeError::Target => HeadError::Target,
            EncodeError::Split => HeadError::FieldValue,
        })?;
        let limits =
            HeadLimits { bytes_max: BYTES_MAX, fields_max: COUNT_MAX, line_max: BYTES_MAX };
        match parse_request(&text, &limits, self)? {
            Progress::Done(_) => Ok(()),
            Progress::Partial => Err(HeadError::RequestLine),
        }
    }

    /// The method, as sent.
    #[inline]
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.fields.slice(self.method)
    }

    /// The target, as sent.
    #[inline]
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.fields.slice(self.target)
    }

    /// Path and query of the target, whatever its form: starts with a slash, except `*`
    /// for the asterisk form and nothing for the authority form. Not normalised.
    #[inline]
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        self.fields.slice(self.path)
    }

    /// The form of the target.
    #[inline]
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Host and port the request is for: of the target if it names them, else of Host;
    /// empty only in a request of HTTP/1.0.
    #[inline]
    #[must_use]
    pub fn host(&self) -> &[u8] {
        self.authority.map_or_else(Default::default, |authority| self.fields.slice(authority))
    }

    /// The head as received, first line to empty line.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        self.fields.slice(Span { at: 0, len: self.raw_len })
    }

    /// The head as received, without the request line.
    #[must_use]
    pub fn raw_fields(&self) -> &[u8] {
        self.raw().get(self.line_len as usize..).unwrap_or_default()
    }

    /// The request line as received, without its line end.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.raw().get(..(self.line_len as usize).saturating_sub(2)).unwrap_or_default()
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    #[inline]
    #[must_use]
    pub fn minor(&self) -> u8 {
        self.minor
    }

    /// Where the body ends; never [`Framing::Close`].
    #[inline]
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client wants to send another request on this connection.
    #[inline]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for `100 Continue`.
    #[inline]
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// Whether the client asks for another protocol: Upgrade, and Connection names it.
    #[inline]
    #[must_use]
    pub fn upgrade(&self) -> bool {
        self.upgrade
    }

    fn load(&mut self, buf: &[u8], found: Found) -> Result<(), HeadError> {
        let raw = buf.get(found.start..found.end).unwrap_or_default();
        let line_end = memchr(b'\r', raw).unwrap_or_default();
        if raw.get(line_end + 1) != Some(&b'\n') {
            return Err(HeadError::BareCr);
        }
        let (method_len, target_len) = self.load_line(&raw[..line_end])?;
        let (line, target) = (&raw[..line_end], method_len + 1..method_len + 1 + target_len);
        let target = target::parse(&line[..method_len], &line[target])?;
        let facts = head::load(buf, found, line_end + 2, &mut self.fields)?;
        self.raw_len = raw.len() as u32;
        self.line_len = line_end as u32 + 2;
        self.method = Span { at: 0, len: method_len as u32 };
        self.target = Span { at: method_len as u32 + 1, len: target_len as u32 };
        let authority = self.load_target(target);
        self.load_facts(&facts, authority)
    }

    /// Lengths of method and target.
    fn load_line(&mut self, line: &[u8]) -> Result<(usize, usize), HeadError> {
        let method_len = memchr(b' ', line).ok_or(HeadError::RequestLine)?;
        let target_end = memrchr(b' ', line).ok_or(HeadError::RequestLine)?;
        let target = line.get(method_len + 1..target_end).ok_or(HeadError::RequestLine)?;
        if !is_token(&line[..method_len]) {
            return Err(HeadError::Method);
        }
        if target.is_empty() || target.contains(&b' ') {
            return Err(HeadError::RequestLine);
        }
        if target.iter().any(u8::is_ascii_control) {
            return Err(HeadError::Target);
        }
        self.minor = parse_version(&line[target_end + 1..]).map_err(|known| match known {
            true => HeadError::Version,
            false => HeadError::RequestLine,
        })?;
        Ok((method_len, target.len()))
    }

    /// Where the target's host lies, if it names one.
    fn load_target(&mut self, target: target::Target<'_>) -> Option<Span> {
        self.form = target.form;
        let len = target.path.len() as u32;
        let at = self.target.at + self.target.len - len;
        self.path = match (target.form, target.path) {
            (Form::Authority, _) | (_, [b'/' | b'*', ..]) => Span { at, len },
            // `http://host?query` means the path `/`.
            (_, path) => self.fields.pin([b"/", path]),
        };
        target.authority.map(|authority| {
            let len = authority.len() as u32;
            Span { at: at - len, len }
        })
    }

    fn load_facts(&mut self, facts: &Facts, authority: Option<Span>) -> Result<(), HeadError> {
        if facts.hosts > 1 {
            return Err(HeadError::HostRepeated);
        }
        match facts.host {
            Some(host) => target::check_host(self.fields.slice(host))?,
            None if self.minor == 1 => return Err(HeadError::HostMissing),
            None => {}
        }
        self.authority = facts.host;
        if let Some(authority) = authority {
            // RFC 9112, 3.2.2: the target's host counts, and what we pass on must say so.
            self.authority = Some(authority);
            let host = self.fields.slice(authority).to_vec();
            self.fields.set("Host", host).map_err(|_| HeadError::HostMalformed)?;
        }
        let chunked = facts.chunked()?;
        let length = facts.length(false)?;
        if chunked && self.minor == 0 {
            return Err(HeadError::CodingOnOldVersion);
        }
        self.framing = match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        self.keep_alive = facts.persistent(self.minor);
        self.expect_continue = facts.expect_continue && self.minor == 1;
        self.upgrade = facts.upgrade && facts.connection_upgrade && self.minor == 1;
        Ok(())
    }
}

/// The minor version; on failure whether it was a version at all.
pub(super) fn parse_version(version: &[u8]) -> Result<u8, bool> {
    match version {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] => {
            Err(major.is_ascii_digit() && minor.is_ascii_digit())
        }
        _ => Err(false),
    }
}
