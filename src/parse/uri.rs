//! The one normal form of a request target: the router, the plugins and the upstream all see it.
//!
//! nginx routes on the decoded `$uri` but forwards what the client typed, so the two ends can
//! read one request in two ways. Here every accepted target has **one** meaning:
//!
//! * [`Normalised::path`] is nginx's `$uri`: escapes decoded, `//` merged, `.` and `..` resolved.
//! * [`Normalised::forward`] is what goes upstream. It is the client's own spelling if decoding
//!   that spelling gives exactly `path` (so `%20`, UTF-8 and ids with `%2F` arrive as they were
//!   sent), and otherwise `path` encoded anew. Decoding `forward` once always gives `path`.
//!
//! What some upstream could still read differently is refused: a dot-segment whose border is an
//! encoded slash (`..%2f`), a backslash (`..%5c`) or a path parameter (`..;x`), overlong UTF-8,
//! `%00`, raw control bytes, raw backslashes, broken escapes, and paths that climb above `/`.
//! An encoded slash by itself is a slash to the router, as in nginx; see
//! [`Normalised::with_encoded_slashes`] for the mode that keeps it inside a path parameter.

use std::{borrow::Cow, error, fmt};

use memchr::{memchr, memchr2, memrchr};

use crate::error::{Error, Kind};

/// Stands for an encoded slash while a path is taken apart. Free to use, because neither a raw
/// NUL nor `%00` gets that far.
const ENCODED_SLASH: u8 = 0;

/// How to normalise; the defaults are nginx's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether `//` becomes `/`. If not, it stays for the router and for the upstream alike.
    pub merge_slashes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { merge_slashes: true }
    }
}

/// A request target in its normal form. Borrows from the target wherever nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised<'a> {
    /// The decoded path: starts with `/`, has no dot-segments. nginx's `$uri`.
    pub path: Cow<'a, [u8]>,
    /// The path to send upstream, without arguments. Decodes to `path`.
    pub forward: Cow<'a, [u8]>,
    /// What follows the first `?`, undecoded and without a fragment. `Some("")` for a bare `?`.
    pub args: Option<&'a [u8]>,
    /// Host and port of an absolute-form target such as `http://host:80/path`.
    pub host: Option<&'a [u8]>,
    /// The origin-form of the target as it was sent, with arguments and fragment: `$request_uri`.
    /// Empty if an absolute-form target ended after its host.
    pub raw: &'a [u8],
}

/// Why a target was refused. All of these are answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// Neither `/path` nor `scheme://host/path`.
    NoPath,
    /// A space, a control byte or DEL that is not percent-encoded.
    ControlByte,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// `%00`.
    Nul,
    /// A `\` in the path that is not percent-encoded.
    Backslash,
    /// `..` climbs above `/`.
    AboveRoot,
    /// A `.` or `..` whose border is `%2f`, `%5c` or `;`.
    HiddenDotSegment,
    /// A character written in more UTF-8 bytes than it needs.
    Overlong,
    /// The host of an absolute-form target is missing or has characters no host has.
    BadAuthority,
    /// A path parameter stands alone in a segment (only where parameters are stripped).
    EmptySegment,
}

/// Brings `target`, as it stands in the request line, into its one normal form.
///
/// # Errors
/// [`UriError`] says which rule the target breaks. The client is told 400.
pub fn normalise(target: &[u8]) -> Result<Normalised<'_>, UriError> {
    normalise_with(target, Options::default())
}

/// As [`normalise`], with `options`.
///
/// # Errors
/// As [`normalise`].
pub fn normalise_with(target: &[u8], options: Options) -> Result<Normalised<'_>, UriError> {
    let (host, raw) = split_authority(target)?;
    let scan = scan(raw, options)?;
    let raw_path = &raw[..scan.path_end];
    let args = args_of(&raw[scan.path_end..])?;
    let done = |path, forward| Normalised { path, forward, args, host, raw };
    if raw_path.is_empty() {
        return Ok(done(Cow::Borrowed(b"/"), Cow::Borrowed(b"/")));
    }
    if !scan.needs_work {
        return Ok(done(Cow::Borrowed(raw_path), Cow::Borrowed(raw_path)));
    }
    let plain = decode_path(raw_path)?;
    refuse_overlong(&plain)?;
    let path = resolve(&plain, options)?;
    let same = plain.len() == path.len()
        && plain.iter().zip(&path).all(|(&a, &b)| a == b || (a == ENCODED_SLASH && b == b'/'));
    let forward = if same { Cow::Borrowed(raw_path) } else { Cow::Owned(encode_path(&path)) };
    Ok(done(Cow::Owned(path), forward))
}

impl Normalised<'_> {
    /// Appends `forward`, and `?` with the arguments if there was one, to `out`.
    pub fn write_forward(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.forward);
        if let Some(args) = self.args {
            out.push(b'?');
            out.extend_from_slice(args);
        }
    }

    /// The path with encoded slashes left as `%2F` (upper case however they were sent), for
    /// matching routes under `match_uri_encoded_slash`. `None` if there is no encoded slash, or
    /// if the path needed more than decoding: then `path` is what to match.
    #[must_use]
    pub fn with_encoded_slashes(&self) -> Option<Vec<u8>> {
        let Cow::Borrowed(sent) = self.forward else { return None };
        let plain = decode_path(sent).ok()?;
        memchr(ENCODED_SLASH, &plain)?;
        let mut out = Vec::with_capacity(sent.len());
        for byte in plain {
            match byte {
                ENCODED_SLASH => out.extend_from_slice(b"%2F"),
                byte => out.push(byte),
            }
        }
        Some(out)
    }
}

impl UriError {
    /// The reason in a few words, for the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoPath => "the request target is not a path",
            Self::ControlByte => "control byte or space in the request target",
            Self::BadEscape => "malformed percent-encoding in the path",
            Self::Nul => "%00 in the path",
            Self::Backslash => "backslash in the path",
            Self::AboveRoot => "the path climbs above the root",
            Self::HiddenDotSegment => "dot-segment behind %2f, a backslash or ';'",
            Self::Overlong => "overlong UTF-8 in the path",
            Self::BadAuthority => "bad host in the request target",
            Self::EmptySegment => "empty segment with parameters",
        }
    }
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl error::Error for UriError {}

impl From<UriError> for Error {
    fn from(why: UriError) -> Self {
        Self::from(Kind::BadRequest(why.reason()))
    }
}

/// Encodes a decoded path so that it can stand in a request line: what nginx escapes in `$uri`,
/// with upper-case digits. Never ambiguous: decoding the result gives `path` again.
#[must_use]
pub fn encode_path(path: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(path.len() + 16);
    for &byte in path {
        let escape = matches!(byte, 0..=b' ' | b'"' | b'#' | b'%' | b'<' | b'>' | b'?')
            || matches!(byte, b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x7f..);
        if escape {
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        } else {
            out.push(byte);
        }
    }
    out
}

/// Decodes every escape once, encoded slashes included: what [`encode_path`] made becomes what it
/// was made of. What is no escape stays.
#[must_use]
pub fn decode_once(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        match escaped(behind).filter(|_| *byte == b'%') {
            Some(decoded) => {
                out.push(decoded);
                rest = &behind[2..];
            }
            None => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
    out
}

/// Drops path parameters (`;x=1`) from a normalised path, as a servlet container will, for
/// `normalize_uri_like_servlet`. The upstream still gets the path with its parameters.
///
/// # Errors
/// [`UriError::EmptySegment`] if a segment before the last is nothing but parameters,
/// [`UriError::HiddenDotSegment`] if a segment would become a dot-segment, also after one more
/// decoding.
pub fn strip_path_params(path: &[u8]) -> Result<Cow<'_, [u8]>, UriError> {
    if memchr(b';', path).is_none() {
        return Ok(Cow::Borrowed(path));
    }
    let mut out = Vec::with_capacity(path.len());
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let kept = memchr(b';', segment).map_or(segment, |at| &segment[..at]);
        if kept.len() < segment.len() {
            let dots = matches!(kept, b"." | b"..")
                || kept.eq_ignore_ascii_case(b"%2e")
                || kept.eq_ignore_ascii_case(b"%2e%2e");
            if dots {
                return Err(UriError::HiddenDotSegment);
            }
            if kept.is_empty() && segments.peek().is_some() {
                return Err(UriError::EmptySegment);
            }
        }
        out.extend_from_slice(kept);
        if segments.peek().is_some() {
            out.push(b'/');
        }
    }
    Ok(Cow::Owned(out))
}

/// The `name[=value]` pairs of a query, undecoded and in order. Empty pairs are skipped.
pub fn split_args(args: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    args.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        match memchr(b'=', pair) {
            Some(at) => (&pair[..at], Some(&pair[at + 1..])),
            None => (pair, None),
        }
    })
}

/// Decodes a name or a value of a query: `%XX`, and `+` as a space. A broken escape stays as it is.
#[must_use]
pub fn decode_arg(arg: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr2(b'%', b'+', arg) else { return Cow::Borrowed(arg) };
    let mut out = Vec::with_capacity(arg.len());
    out.extend_from_slice(&arg[..first]);
    let mut at = first;
    while let Some(&byte) = arg.get(at) {
        at += 1;
        match (byte, escaped(&arg[at..])) {
            (b'+', _) => out.push(b' '),
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// Takes `scheme://host` off an absolute-form target.
fn split_authority(target: &[u8]) -> Result<(Option<&[u8]>, &[u8]), UriError> {
    if target.first() == Some(&b'/') {
        return Ok((None, target));
    }
    let scheme = target
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
        .unwrap_or(target.len());
    if !target.first().is_some_and(u8::is_ascii_alphabetic) {
        return Err(UriError::NoPath);
    }
    let rest = target[scheme..].strip_prefix(b"://").ok_or(UriError::NoPath)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (host, raw) = rest.split_at(end);
    let ok = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(byte);
    if host.first().is_none_or(|&byte| byte == b':') || !host.iter().all(ok) {
        return Err(UriError::BadAuthority);
    }
    Ok((Some(host), raw))
}

/// What one look at a raw target finds.
struct Scan {
    /// Where `?` or `#` ends the path.
    path_end: usize,
    /// Whether the path is anything but its own normal form.
    needs_work: bool,
}

fn scan(raw: &[u8], options: Options) -> Result<Scan, UriError> {
    let mut needs_work = false;
    let mut last = 0;
    let mut path_end = raw.len();
    for (at, &byte) in raw.iter().enumerate() {
        match byte {
            b'?' | b'#' => {
                path_end = at;
                break;
            }
            0..=b' ' | 0x7f => return Err(UriError::ControlByte),
            b'\\' => return Err(UriError::Backslash),
            b'%' | 0x80.. => needs_work = true,
            b'.' => needs_work |= last == b'/',
            b'/' => needs_work |= options.merge_slashes && last == b'/',
            _ => {}
        }
        last = byte;
    }
    Ok(Scan { path_end, needs_work })
}

/// The arguments in what follows the path.
fn args_of(rest: &[u8]) -> Result<Option<&[u8]>, UriError> {
    if rest.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(UriError::ControlByte);
    }
    Ok(rest.strip_prefix(b"?").map(|args| match memchr(b'#', args) {
        Some(fragment) => &args[..fragment],
        None => args,
    }))
}

/// Decodes every escape of a raw path. Encoded slashes become [`ENCODED_SLASH`].
fn decode_path(raw: &[u8]) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr(b'%', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match escaped(rest).ok_or(UriError::BadEscape)? {
            0 => return Err(UriError::Nul),
            b'/' => out.push(ENCODED_SLASH),
            byte => out.push(byte),
        }
        rest = &rest[2..];
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// The byte that two hexadecimal digits at the front of `digits` stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// A lenient decoder reads `C0 AF` as `/` and `E0 80 AE` as `.`; a strict one does not. A lead
/// byte alone may be Latin-1 and is nobody's slash, so only lead and continuation are refused.
fn refuse_overlong(plain: &[u8]) -> Result<(), UriError> {
    let overlong = plain.windows(2).any(|pair| {
        matches!(
            (pair[0], pair[1]),
            (0xc0 | 0xc1, 0x80..=0xbf)
                | (0xe0, 0x80..=0x9f)
                | (0xf0, 0x80..=0x8f)
                | (0xf8, 0x80..=0x87)
                | (0xfc, 0x80..=0x83)
        )
    });
    if overlong { Err(UriError::Overlong) } else { Ok(()) }
}

/// Merges slashes and resolves dot-segments of a decoded path.
fn resolve(plain: &[u8], options: Options) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(plain.len());
    out.push(b'/');
    let mut rest = &plain[1..];
    let mut left = plain[0];
    loop {
        let end = memchr2(b'/', ENCODED_SLASH, rest);
        let segment = &rest[..end.unwrap_or(rest.len())];
        let right = end.map(|at| rest[at]);
        refuse_hidden_dots(segment, left == ENCODED_SLASH || right == Some(ENCODED_SLASH))?;
        match segment {
            b"." => {}
            b".." => climb(&mut out)?,
            b"" if options.merge_slashes => {}
            _ => {
                out.extend_from_slice(segment);
                out.extend(right.map(|_| b'/'));
            }
        }
        let Some(end) = end else { return Ok(out) };
        left = rest[end];
        rest = &rest[end + 1..];
    }
}

/// Drops the last segment; `out` ends with a slash before and after.
fn climb(out: &mut Vec<u8>) -> Result<(), UriError> {
    let inner = out.len() - 1;
    let slash = memrchr(b'/', &out[..inner]).ok_or(UriError::AboveRoot)?;
    out.truncate(slash + 1);
    Ok(())
}

/// Refuses a segment that is a dot-segment only to some: to those that take `%2f` or `\` for a
/// slash, or that cut a segment at `;`.
fn refuse_hidden_dots(segment: &[u8], at_encoded_slash: bool) -> Result<(), UriError> {
    let dots = |part: &[u8]| matches!(part, b"." | b"..");
    let hidden = match memchr2(b'\\', b';', segment) {
        None => at_encoded_slash && dots(segment),
        Some(_) => segment
            .split(|&byte| byte == b'\\')
            .any(|part| dots(memchr(b';', part).map_or(part, |at| &part[..at]))),
    };
    if hidden { Err(UriError::HiddenDotSegment) } else { Ok(()) }
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
