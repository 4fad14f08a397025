//! What request and response heads have in common: bounds, fields, framing.

use httparse::{EMPTY_HEADER, Header, Status};

use super::{HeadError, scan::Found};
use crate::fields::{Fields, Span};

/// Fields that are parsed without an allocation.
const FIELDS_ON_STACK: usize = 32;

/// Bounds of one head, in bytes and lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head, first line to empty line.
    pub bytes_max: usize,
    /// Field lines.
    pub fields_max: usize,
    /// One line without its line end. Heads of responses have no such bound.
    pub line_max: usize,
}

impl Default for HeadLimits {
    /// `large_client_header_buffers 4 8k` and nginx's bound of 1000 header lines.
    fn default() -> Self {
        Self { bytes_max: 32 << 10, fields_max: 1000, line_max: 8 << 10 }
    }
}

/// How far a head has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed; the same buffer, grown, goes to the next call.
    Partial,
    /// The head is complete and takes this many bytes of the buffer.
    Done(usize),
}

/// Where a message's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// After this many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// When the connection ends. Responses only.
    Close,
}

/// What the fields say about the message that carries them.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) host: Option<Span>,
    pub(super) hosts: u32,
    length: Option<Result<u64, HeadError>>,
    lengths: u32,
    lengths_differ: bool,
    coding: Option<Result<(), HeadError>>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) connection_upgrade: bool,
    pub(super) upgrade: bool,
    pub(super) expect_continue: bool,
}

impl Facts {
    #[inline]
    fn note(&mut self, name: &[u8], value: &[u8], span: Span) {
        // The length of a name tells nearly all fields apart at no cost.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                self.host.get_or_insert(span);
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expect_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade |= !value.is_empty(),
            10 if name.eq_ignore_ascii_case(b"connection") => self.note_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(value);
                self.lengths += 1;
                self.lengths_differ |= self.length.is_some_and(|first| first != length);
                self.length = self.length.filter(Result::is_err).or(Some(length));
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.coding = Some(match self.coding {
                    None => parse_coding(value),
                    Some(_) => Err(HeadError::CodingMalformed),
                });
            }
            _ => {}
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        for token in list(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.connection_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Whether the connection may carry another message after this one.
    pub(super) fn persistent(&self, minor: u8) -> bool {
        !self.close && (minor == 1 || self.keep_alive)
    }

    /// Content-Length as such, and whether it came more than once.
    pub(super) fn length(&self, repeats_may_agree: bool) -> Result<Option<u64>, HeadError> {
        if self.lengths > 1 && (self.lengths_differ || !repeats_may_agree) {
            return Err(HeadError::LengthRepeated);
        }
        self.length.transpose()
    }

    pub(super) fn length_repeated(&self) -> bool {
        self.lengths > 1
    }

    /// Whether Transfer-Encoding says chunked.
    pub(super) fn chunked(&self) -> Result<bool, HeadError> {
        if self.coding.is_some() && self.lengths > 0 {
            return Err(HeadError::LengthAndCoding);
        }
        self.coding.transpose().map(|coding| coding.is_some())
    }
}

/// Copies a whole head into `fields` and takes its field lines apart; `first_line` is the
/// length of the first line with its line end, 0 if there is none.
pub(super) fn load(
    buf: &[u8],
    found: Found,
    first_line: usize,
    fields: &mut Fields,
) -> Result<Facts, HeadError> {
    let raw = buf.get(found.start..found.end).unwrap_or_default();
    let lines = raw.get(first_line..).unwrap_or_default();
    fields.load(raw).map_err(|_| HeadError::TooLarge)?;
    fields.reserve(found.lines);
    if found.lines <= FIELDS_ON_STACK {
        parse_fields(raw, lines, &mut [EMPTY_HEADER; FIELDS_ON_STACK], fields)
    } else {
        parse_fields(raw, lines, &mut vec![EMPTY_HEADER; found.lines], fields)
    }
}

fn parse_fields<'a>(
    raw: &'a [u8],
    lines: &'a [u8],
    slots: &mut [Header<'a>],
    fields: &mut Fields,
) -> Result<Facts, HeadError> {
    let Ok(Status::Complete((used, headers))) = httparse::parse_headers(lines, slots) else {
        return Err(diagnose(lines));
    };
    // Both looked for the end of the same head; never go on if they found two.
    if used != lines.len() {
        return Err(HeadError::BareLf);
    }
    let mut facts = Facts::default();
    for header in headers {
        let name = header.name.as_bytes();
        let value = span_of(raw, header.value);
        facts.note(name, header.value, value);
        fields.push(span_of(raw, name), value);
    }
    Ok(facts)
}

/// Where `part`, a slice of `whole`, lies in it.
#[inline]
fn span_of(whole: &[u8], part: &[u8]) -> Span {
    if part.is_empty() {
        return Span::default();
    }
    let at = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    Span { at: at as u32, len: part.len() as u32 }
}

/// What is wrong with field lines that the parser refused.
#[cold]
fn diagnose(lines: &[u8]) -> HeadError {
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.contains(&b'\r') {
            return HeadError::BareCr;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return HeadError::NoColon };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if let [.., b' ' | b'\t'] = name {
            return HeadError::SpaceBeforeColon;
        }
        if !crate::fields::is_token(name) {
            return HeadError::FieldName;
        }
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return HeadError::FieldValue;
        }
    }
    HeadError::FieldName
}

/// The members of a comma-separated list, without white space around them.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    if value.contains(&b',') {
        return Err(HeadError::LengthRepeated);
    }
    // 63 bits: what every program behind us can hold.
    let digits = 1..=19;
    if !digits.contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::LengthMalformed);
    }
    let length = value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if length > i64::MAX as u64 { Err(HeadError::LengthMalformed) } else { Ok(length) }
}

fn parse_coding(value: &[u8]) -> Result<(), HeadError> {
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if chunked(value) {
        return Ok(());
    }
    match (list(value).last(), list(value).filter(|coding| chunked(coding)).count()) {
        (Some(last), 1) if chunked(last) => Err(HeadError::CodingUnknown),
        (Some(_), 0) => Err(HeadError::CodingUnknown),
        _ => Err(HeadError::CodingMalformed),
    }
}
