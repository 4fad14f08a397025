//! What `receive` and its relatives want, taken out of the bytes that have come so far.
//!
//! Nothing is taken before it is complete, so a call that times out hands over all of it
//! as its partial result, and one that is dropped loses nothing.

use bytes::{Buf, BytesMut};
use memchr::{memchr, memmem};

/// What a call waits for.
pub(in crate::lua::host) enum Want {
    /// `"*l"`: up to a line feed, which is dropped with every carriage return before it.
    Line,
    /// `"*a"`: everything until the peer closes.
    All,
    /// That many bytes.
    Exactly(usize),
    /// What there is, at most so many bytes.
    Any(usize),
    /// Up to a pattern.
    Until(Until),
}

/// What `receiveuntil`'s iterator waits for.
pub(in crate::lua::host) struct Until {
    /// Where to stop.
    pub(in crate::lua::host) pattern: Vec<u8>,
    /// Whether the pattern is part of the result.
    pub(in crate::lua::host) inclusive: bool,
    /// At most so many bytes in one call.
    pub(in crate::lua::host) max: Option<usize>,
}

/// A complete result.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::lua::host) struct Got {
    pub(in crate::lua::host) data: Vec<u8>,
    /// Whether it ends where the pattern begins.
    pub(in crate::lua::host) matched: bool,
}

impl Got {
    fn data(data: Vec<u8>) -> Self {
        Self { data, matched: false }
    }
}

/// A read under way.
pub(in crate::lua::host) struct Reading {
    pub(in crate::lua::host) want: Want,
    /// Bytes that were looked at and need no second look.
    seen: usize,
}

impl Reading {
    pub(in crate::lua::host) fn new(want: Want) -> Self {
        Self { want, seen: 0 }
    }

    /// The result, if `buf` has all of it.
    pub(in crate::lua::host) fn take(&mut self, buf: &mut BytesMut) -> Option<Got> {
        match &self.want {
            Want::All => None,
            Want::Exactly(size) => (buf.len() >= *size).then(|| Got::data(cut(buf, *size))),
            Want::Any(max) => {
                let size = buf.len().min(*max);
                (size > 0).then(|| Got::data(cut(buf, size)))
            }
            Want::Line => {
                let Some(at) = memchr(b'\n', buf.get(self.seen..)?) else {
                    self.seen = buf.len();
                    return None;
                };
                let at = self.seen + at;
                let line = without_returns(buf.get(..at)?);
                buf.advance(at + 1);
                Some(Got::data(line))
            }
            Want::Until(until) => take_until(until, &mut self.seen, buf),
        }
    }

    /// The result when the peer closed, if that is how it ends.
    pub(in crate::lua::host) fn take_at_end(&self, buf: &mut BytesMut) -> Option<Got> {
        let len = buf.len();
        matches!(self.want, Want::All).then(|| Got::data(cut(buf, len)))
    }
}

fn take_until(until: &Until, seen: &mut usize, buf: &mut BytesMut) -> Option<Got> {
    let max = until.max.unwrap_or(usize::MAX);
    // The pattern may have begun in what was seen before.
    let from = seen.saturating_sub(until.pattern.len().saturating_sub(1));
    match memmem::find(buf.get(from..)?, &until.pattern) {
        Some(at) if from + at <= max => {
            let at = from + at;
            let mut data = cut(buf, at);
            buf.advance(until.pattern.len());
            if until.inclusive {
                data.extend_from_slice(&until.pattern);
            }
            Some(Got { data, matched: true })
        }
        Some(_) => Some(Got::data(cut(buf, max))),
        None => {
            *seen = buf.len();
            // What may turn out to be the pattern's beginning stays.
            let sure = (buf.len() + 1).saturating_sub(until.pattern.len());
            (sure >= max).then(|| Got::data(cut(buf, max)))
        }
    }
}

fn cut(buf: &mut BytesMut, size: usize) -> Vec<u8> {
    let data = buf.get(..size).unwrap_or_default().to_vec();
    buf.advance(data.len());
    data
}

/// OpenResty drops carriage returns wherever in the line they are.
fn without_returns(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if memchr(b'\r', line).is_none() {
        return line.to_vec();
    }
    line.iter().copied().filter(|byte| *byte != b'\r').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `chunks` one after the other and gives all results.
    fn all(make: impl Fn() -> Want, chunks: &[&str]) -> Vec<(String, bool)> {
        let mut buf = BytesMut::new();
        let mut reading = Reading::new(make());
        let mut results = Vec::new();
        for chunk in chunks {
            buf.extend_from_slice(chunk.as_bytes());
            while let Some(got) = reading.take(&mut buf) {
                results.push((String::from_utf8(got.data).unwrap(), got.matched));
                reading = Reading::new(make());
            }
        }
        results
    }

    fn until(pattern: &str, inclusive: bool, max: Option<usize>) -> Want {
        Want::Until(Until { pattern: pattern.into(), inclusive, max })
    }

    #[track_caller]
    fn check(found: &[(String, bool)], expected: &[(&str, bool)]) {
        let found: Vec<_> = found.iter().map(|(text, end)| (text.as_str(), *end)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_line_loses_its_end_and_every_carriage_return() {
        let found = all(|| Want::Line, &["a", "b\r", "\n\r\nc\rd\n", "e"]);
        check(&found, &[("ab", false), ("", false), ("cd", false)]);
    }

    #[test]
    fn sizes_are_exact_and_any_takes_what_there_is() {
        let found = all(|| Want::Exactly(3), &["ab", "cd", "ef", "g"]);
        check(&found, &[("abc", false), ("def", false)]);
        let found = all(|| Want::Any(3), &["ab", "cdefg"]);
        check(&found, &[("ab", false), ("cde", false), ("fg", false)]);
    }

    #[test]
    fn a_pattern_is_found_across_chunks() {
        let found = all(|| until("--abc", false, None), &["hello-", "-a", "-", "-abcx--ab", "c"]);
        check(&found, &[("hello--a", true), ("x", true)]);
        let found = all(|| until("--", true, None), &["a-", "-b"]);
        check(&found, &[("a--", true)]);
    }

    #[test]
    fn a_pattern_with_a_size_never_gives_away_its_own_beginning() {
        let text = "hello, world! -agentzh\r\n--abcedhb";
        let found = all(|| until("\r\n--abcedhb", false, Some(4)), &[text]);
        let expected =
            [("hell", false), ("o, w", false), ("orld", false), ("! -a", false), ("gent", false)];
        check(&found[..5], &expected);
        check(&found[5..], &[("zh", true)]);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(all(|| until("\r\n--abcedhb", false, Some(4)), &bytes), found);
    }

    #[test]
    fn an_end_completes_only_who_wants_everything() {
        let mut buf = BytesMut::from("rest");
        assert_eq!(Reading::new(Want::Line).take_at_end(&mut buf), None);
        let got = Reading::new(Want::All).take_at_end(&mut buf).unwrap();
        assert_eq!(got.data, b"rest");
        assert!(buf.is_empty());
    }
}
