//! Takes the body of a message out of a connection's buffer, without copying it.
//!
//! Chunked coding is read to the letter: sizes are plain hexadecimal, lines end in CR LF,
//! data ends where the size says. Lines, extensions and trailers are bounded.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::{
    BodyError, Framing, HeadLimits, head,
    scan::{Kind, Scan},
};
use crate::fields::Fields;

/// Longest first line of a chunk, its extensions included.
const CHUNK_LINE_MAX: usize = 1024;
/// How far extensions may outweigh the data they came with, in bytes.
const EXTENSION_EXCESS_MAX: u64 = 16 << 10;
/// Bounds of the trailer section.
const TRAILER_LIMITS: HeadLimits =
    HeadLimits { bytes_max: 8 << 10, fields_max: 100, line_max: 8 << 10 };

/// Reads one body, from the first byte behind the head to the last of the message.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// Whether blanks may follow a chunk size.
    patient: bool,
    data_bytes: u64,
    wire_bytes: u64,
    extension_excess: u64,
}

/// What the decoder found in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Some bytes of the body, never empty.
    Data(Bytes),
    /// The fields behind the last chunk, never empty; `End` follows.
    Trailers(Fields),
    /// The message is over; what is left in the buffer belongs to the next one.
    End,
    /// The buffer holds nothing that can be taken yet.
    NeedMore,
}

#[derive(Debug)]
enum State {
    /// So many bytes are left of a Content-Length.
    Length(u64),
    UntilClose,
    ChunkLine,
    /// So many bytes are left of this chunk.
    Chunk(u64),
    ChunkEnd,
    Trailers(Scan),
    Done,
}

impl BodyDecoder {
    /// Reads the body of a request.
    #[must_use]
    pub fn request(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine,
            Framing::Close => State::UntilClose,
        };
        Self { state, patient: false, data_bytes: 0, wire_bytes: 0, extension_excess: 0 }
    }

    /// Reads the body of an answer: blanks after a chunk size are forgiven, as some old
    /// servers pad it.
    #[must_use]
    pub fn response(framing: Framing) -> Self {
        Self { patient: true, ..Self::request(framing) }
    }

    /// Takes the next piece of the body from the front of `buf`. After `NeedMore`, `buf`
    /// must have grown before the next call makes sense; after `End`, every call gives it
    /// again and leaves `buf` alone.
    ///
    /// # Errors
    ///
    /// See [`BodyError`]; the decoder must not be used any further.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Decoded, BodyError> {
        loop {
            match &mut self.state {
                State::Done => return Ok(Decoded::End),
                State::Length(_) | State::Chunk(_) | State::UntilClose => {
                    return Ok(self.take_data(buf));
                }
                State::ChunkLine => {
                    if !self.take_chunk_line(buf)? {
                        return Ok(Decoded::NeedMore);
                    }
                }
                State::ChunkEnd => match buf[..] {
                    [b'\r', b'\n', ..] => {
                        self.skip(buf, 2);
                        self.state = State::ChunkLine;
                    }
                    [] | [b'\r'] => return Ok(Decoded::NeedMore),
                    _ => return Err(BodyError::ChunkEnd),
                },
                State::Trailers(_) => {
                    if let Some(found) = self.take_trailers(buf)? {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    ///
    /// [`BodyError::Truncated`] unless the body was complete or ends with the connection.
    pub fn close(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// Whether the whole body has been taken.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes of the body given out so far, without framing.
    #[inline]
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Bytes taken from the buffer so far, framing included.
    #[inline]
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.wire_bytes
    }

    /// What a Content-Length body still lacks.
    #[inline]
    #[must_use]
    pub fn length_left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    fn take_data(&mut self, buf: &mut BytesMut) -> Decoded {
        if buf.is_empty() {
            return Decoded::NeedMore;
        }
        let (left, next) = match &mut self.state {
            State::Length(left) => (left, State::Done),
            State::Chunk(left) => (left, State::ChunkEnd),
            _ => {
                let data = buf.split();
                self.count(data.len());
                return Decoded::Data(data.freeze());
            }
        };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
        *left -= taken as u64;
        if *left == 0 {
            self.state = next;
        }
        self.count(taken);
        Decoded::Data(buf.split_to(taken).freeze())
    }

    /// True if there was a whole line.
    fn take_chunk_line(&mut self, buf: &mut BytesMut) -> Result<bool, BodyError> {
        let end = memchr(b'\n', buf);
        if end.unwrap_or(buf.len()) > CHUNK_LINE_MAX {
            return Err(BodyError::ChunkOverhead);
        }
        let Some(end) = end else { return Ok(false) };
        let Some(line) = buf[..end].strip_suffix(b"\r") else { return Err(BodyError::BareLf) };
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (digits, extension) = line.split_at(digits);
        let size = parse_size(digits)?;
        check_extension(extension, self.patient)?;
        self.extension_excess =
            (self.extension_excess + extension.len() as u64).saturating_sub(size);
        if self.extension_excess > EXTENSION_EXCESS_MAX {
            return Err(BodyError::ChunkOverhead);
        }
        self.state = if size > 0 { State::Chunk(size) } else { State::Trailers(Scan::default()) };
        self.skip(buf, end + 1);
        Ok(true)
    }

    fn take_trailers(&mut self, buf: &mut BytesMut) -> Result<Option<Decoded>, BodyError> {
        let State::Trailers(scan) = &mut self.state else { return Ok(None) };
        let found = scan.run(buf, &TRAILER_LIMITS, Kind::Trailers).map_err(BodyError::Trailers)?;
        let Some(found) = found else { return Ok(Some(Decoded::NeedMore)) };
        let mut fields = Fields::new();
        if found.lines > 0 {
            head::load(buf, found, 0, &mut fields).map_err(BodyError::Trailers)?;
            fields.retain(|name, _| super::may_trail(name));
        }
        self.state = State::Done;
        self.skip(buf, found.end);
        Ok(if fields.is_empty() { None } else { Some(Decoded::Trailers(fields)) })
    }

    #[inline]
    fn count(&mut self, bytes: usize) {
        self.data_bytes += bytes as u64;
        self.wire_bytes += bytes as u64;
    }

    #[inline]
    fn skip(&mut self, buf: &mut BytesMut, bytes: usize) {
        buf.advance(bytes);
        self.wire_bytes += bytes as u64;
    }
}

fn parse_size(digits: &[u8]) -> Result<u64, BodyError> {
    if digits.is_empty() || digits.len() > 16 {
        return Err(BodyError::ChunkSize);
    }
    let size = digits.iter().fold(0_u64, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20) - b'a' + 10,
        };
        sum << 4 | u64::from(value)
    });
    if size > i64::MAX as u64 { Err(BodyError::ChunkSize) } else { Ok(size) }
}

/// What follows a chunk size, up to the line end.
fn check_extension(mut bytes: &[u8], patient: bool) -> Result<(), BodyError> {
    while let ([b' ' | b'\t', rest @ ..], true) = (bytes, patient) {
        bytes = rest;
    }
    match bytes {
        [] => Ok(()),
        [b';', rest @ ..] => {
            let bad = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
            if rest.iter().any(bad) { Err(BodyError::ChunkExtension) } else { Ok(()) }
        }
        [b' ' | b'\t', ..] => Err(BodyError::ChunkExtension),
        _ => Err(BodyError::ChunkSize),
    }
}
