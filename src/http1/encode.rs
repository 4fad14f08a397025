//! Writes heads and chunks.
//!
//! Whatever the caller passes, one call writes one head: pieces that would split it are
//! refused and nothing is written.

use super::EncodeError;
use crate::fields::{Fields, is_token};

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Writes the head of an HTTP/1.1 request, empty line included.
///
/// # Errors
///
/// [`EncodeError`] if a piece cannot stand where it would; `out` is unchanged then.
pub fn request_head<'a>(
    out: &mut Vec<u8>,
    method: &[u8],
    target: &[u8],
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), EncodeError> {
    if !is_token(method) {
        return Err(EncodeError::Method);
    }
    // One pass without an early end, which the compiler can do 16 bytes at a time.
    let bad = target.iter().fold(false, |bad, byte| bad | (*byte <= b' ') | (*byte == 0x7f));
    if bad || target.is_empty() {
        return Err(EncodeError::Target);
    }
    let start = out.len();
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    finish(out, start, fields)
}

/// Writes the head of a response, empty line included. An empty `reason` means the
/// registered one. `minor` is 0 or 1.
///
/// # Errors
///
/// [`EncodeError::Split`]; `out` is unchanged then.
pub fn response_head<'a>(
    out: &mut Vec<u8>,
    status: u16,
    reason: &[u8],
    minor: u8,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(if minor == 0 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    let reason = if reason.is_empty() { self::reason(status).as_bytes() } else { reason };
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
    finish(out, start, fields)
}

/// Writes the first line of a chunk of `len` bytes, which must not be 0: that would be the
/// end of the body. The data follows, then [`CHUNK_END`].
pub fn chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert_ne!(len, 0);
    let mut line = [0; 2 * size_of::<usize>() + 2];
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut left = len;
    while left > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[left & 15];
        left >>= 4;
    }
    out.extend_from_slice(&line[at..]);
}

/// Writes the end of a chunked body, with trailer fields if there are any.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flat_map(Fields::iter) {
        field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the fields and the empty line, then makes sure that what began at `start` is as
/// many lines as it should be: cheaper than a look at every piece.
fn finish<'a>(
    out: &mut Vec<u8>,
    start: usize,
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), EncodeError> {
    let mut lines = 2;
    for (name, value) in fields {
        field(out, name, value);
        lines += 1;
    }
    out.extend_from_slice(b"\r\n");
    // Each line that is meant has two of them; a piece that splits one has more.
    if line_ends(&out[start..]) == 2 * lines {
        Ok(())
    } else {
        out.truncate(start);
        Err(EncodeError::Split)
    }
}

/// How many bytes are CR or LF. Counted in bytes as long as they cannot overflow, so that many are
/// compared at once.
fn line_ends(text: &[u8]) -> usize {
    let is_end = |byte: &u8| u8::from(*byte == b'\r' || *byte == b'\n');
    let of_chunk = |chunk: &[u8]| usize::from(chunk.iter().map(is_end).sum::<u8>());
    text.chunks(usize::from(u8::MAX)).map(of_chunk).sum()
}

/// The registered reason phrase of a status; empty if there is none.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400..500 => client_error(status),
        500..600 => server_error(status),
        _ => "",
    }
}

fn client_error(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        _ => "",
    }
}

fn server_error(status: u16) -> &'static str {
    match status {
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}
