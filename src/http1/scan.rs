//! Finds the end of a head, line by line, and remembers how far it got.
//!
//! Every byte is looked at once, however small the pieces are in which a head arrives.

use memchr::memchr_iter;

use super::{HeadError, HeadLimits};

/// Whose head it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// First line and fields, every line with CR LF; one empty line before is forgiven.
    Request,
    /// First line and fields; a bare LF ends a line too.
    Response,
    /// Fields only, every line with CR LF.
    Trailers,
}

/// Where the scan of one head stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    /// Where the head starts: 2 behind a forgiven empty line.
    start: usize,
    /// Bytes looked at.
    seen: usize,
    /// Where the line at hand starts.
    line: usize,
    /// Complete lines so far, the empty one not counted.
    lines: usize,
}

/// A whole head within the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// First byte of the head.
    pub(super) start: usize,
    /// First byte behind it.
    pub(super) end: usize,
    /// Lines without the empty one.
    pub(super) lines: usize,
}

impl Scan {
    /// Looks on from where the last call ended; `None` if the head is not complete.
    pub(super) fn run(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        kind: Kind,
    ) -> Result<Option<Found>, HeadError> {
        if self.seen <= self.start && !self.begin(buf, kind)? {
            return Ok(None);
        }
        for at in memchr_iter(b'\n', buf.get(self.seen..).unwrap_or_default()) {
            let at = self.seen + at;
            self.check_bounds(at, limits, kind)?;
            if self.end_line(&buf[..at], limits, kind)? {
                return Ok(Some(Found { start: self.start, end: at + 1, lines: self.lines }));
            }
            self.line = at + 1;
        }
        self.seen = buf.len();
        self.check_bounds(self.seen, limits, kind)?;
        Ok(None)
    }

    /// The first bytes: what is plainly no HTTP is refused without waiting for a line end.
    fn begin(&mut self, buf: &[u8], kind: Kind) -> Result<bool, HeadError> {
        if kind == Kind::Request && self.start == 0 {
            match buf {
                [] | [b'\r'] => return Ok(false),
                [b'\n', ..] => return Err(HeadError::BareLf),
                [b'\r', b'\n', ..] => self.start = 2,
                [b'\r', ..] => return Err(HeadError::BareCr),
                _ => {}
            }
            (self.seen, self.line) = (self.start, self.start);
        }
        match (kind, buf.get(self.start)) {
            (_, None) => Ok(false),
            (Kind::Request, Some(b'\r' | b'\n')) => Err(HeadError::EmptyLine),
            (Kind::Request, Some(byte)) if !crate::fields::is_token(&[*byte]) => {
                Err(HeadError::Method)
            }
            (Kind::Response, Some(byte)) if *byte != b'H' => Err(HeadError::StatusLine),
            _ => Ok(true),
        }
    }

    /// No line end before `at`: which bound, if any, was passed first?
    fn check_bounds(&self, at: usize, limits: &HeadLimits, kind: Kind) -> Result<(), HeadError> {
        let line_end_max = match kind {
            Kind::Response => usize::MAX,
            _ => self.line.saturating_add(limits.line_max).saturating_add(1),
        };
        let head_end_max = self.start.saturating_add(limits.bytes_max.saturating_sub(1));
        if at <= line_end_max && at <= head_end_max {
            Ok(())
        } else if line_end_max > head_end_max {
            Err(HeadError::TooLarge)
        } else if self.lines == 0 && kind == Kind::Request {
            Err(HeadError::StartLineTooLong)
        } else {
            Err(HeadError::FieldTooLong)
        }
    }

    /// The line that ends with `before` (its LF cut off) is complete; true if it is the
    /// empty one.
    fn end_line(
        &mut self,
        before: &[u8],
        limits: &HeadLimits,
        kind: Kind,
    ) -> Result<bool, HeadError> {
        let line = match before.get(self.line..).unwrap_or_default() {
            [line @ .., b'\r'] => line,
            line if kind == Kind::Response => line,
            _ => return Err(HeadError::BareLf),
        };
        let first_field = usize::from(kind != Kind::Trailers);
        match line.first() {
            None => return Ok(true),
            Some(b' ' | b'\t') if self.lines >= first_field => return Err(HeadError::ObsFold),
            Some(_) => self.lines += 1,
        }
        if self.lines > limits.fields_max.saturating_add(first_field) {
            return Err(HeadError::TooManyFields);
        }
        Ok(false)
    }
}
