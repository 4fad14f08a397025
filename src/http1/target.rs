//! The target of a request: its four forms, and what a host may look like.

use super::HeadError;

/// The form of a request target (RFC 9112, 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `host:port`, with CONNECT only
    Authority,
    /// `*`, with OPTIONS only
    Asterisk,
}

/// A target taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) form: Form,
    /// Host and port, if the target has them.
    pub(super) authority: Option<&'a [u8]>,
    /// Path and query. Without the leading slash if the target is absolute and has no path.
    pub(super) path: &'a [u8],
}

/// Takes `target` apart; it has no blank and no control byte.
pub(super) fn parse<'a>(method: &[u8], target: &'a [u8]) -> Result<Target<'a>, HeadError> {
    if method == b"CONNECT" {
        check_host(target)?;
        return Ok(Target { form: Form::Authority, authority: Some(target), path: b"" });
    }
    match target {
        [b'/', ..] => Ok(Target { form: Form::Origin, authority: None, path: target }),
        b"*" if method == b"OPTIONS" => {
            Ok(Target { form: Form::Asterisk, authority: None, path: target })
        }
        _ => parse_absolute(target),
    }
}

fn parse_absolute(target: &[u8]) -> Result<Target<'_>, HeadError> {
    let scheme = memchr::memchr(b':', target).ok_or(HeadError::Target)?;
    let known = [&b"http"[..], b"https"];
    if !known.iter().any(|known| target[..scheme].eq_ignore_ascii_case(known)) {
        return Err(HeadError::Target);
    }
    let rest = target[scheme + 1..].strip_prefix(b"//").ok_or(HeadError::Target)?;
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    check_host(authority)?;
    Ok(Target { form: Form::Absolute, authority: Some(authority), path })
}

/// Whether this is a host with an optional port, as in Host: a registered name (RFC 3986)
/// without empty labels inside, an IPv4 address, or an IPv6 address in brackets.
pub(super) fn check_host(host: &[u8]) -> Result<(), HeadError> {
    let (name, port) = if let Some(rest) = host.strip_prefix(b"[") {
        let end = memchr::memchr(b']', rest).ok_or(HeadError::HostMalformed)?;
        let address = &rest[..end];
        let hex = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        if !address.contains(&b':') || !address.iter().all(hex) {
            return Err(HeadError::HostMalformed);
        }
        (&host[..end + 2], &rest[end + 1..])
    } else {
        let end = memchr::memchr(b':', host).unwrap_or(host.len());
        let name = &host[..end];
        if !name.iter().all(|byte| HOST[*byte as usize])
            || memchr::memmem::find(name, b"..").is_some()
        {
            return Err(HeadError::HostMalformed);
        }
        host.split_at(end)
    };
    if name.is_empty() || name == b"." {
        return Err(HeadError::HostMalformed);
    }
    match port {
        [] | [b':'] => Ok(()),
        [b':', digits @ ..] if is_port(digits) => Ok(()),
        _ => Err(HeadError::HostMalformed),
    }
}

fn is_port(digits: &[u8]) -> bool {
    let sum = |sum: u32, digit: &u8| sum * 10 + u32::from(digit - b'0');
    digits.len() <= 5
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0, sum) <= u32::from(u16::MAX)
}

/// Bytes of a registered name: unreserved, sub-delims and the percent sign.
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~%!$&'()*+,;=";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};
