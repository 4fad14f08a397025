//! The `$names` of a request, as nginx has them, in one list.
//!
//! [`Name::parse`] is for config time: the access log compiles its names once.
//! [`get`] is for names that come at run time, from Lua.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, RandomState},
    io::Write as _,
    sync::OnceLock,
    time::Duration,
};

use super::{Attempt, Exchange};
use crate::{clock, log::stamp};

/// A value: borrowed from the request, or made on the fly.
pub type Value<'x> = Option<Cow<'x, [u8]>>;

/// A name that takes its value from a family, such as `http_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `http_*`: a request header.
    Http,
    /// `arg_*`: a query argument, as sent.
    Arg,
    /// `cookie_*`: a cookie.
    Cookie,
    /// `sent_http_*`: a response header towards the client.
    SentHttp,
    /// `upstream_http_*`: a response header of the upstream.
    UpstreamHttp,
    /// `upstream_cookie_*`: a cookie that the upstream sets.
    UpstreamCookie,
}

const FAMILIES: [(&[u8], Family); 6] = [
    (b"http_", Family::Http),
    (b"arg_", Family::Arg),
    (b"cookie_", Family::Cookie),
    (b"sent_http_", Family::SentHttp),
    (b"upstream_http_", Family::UpstreamHttp),
    (b"upstream_cookie_", Family::UpstreamCookie),
];

macro_rules! names {
    ($($text:literal => $variant:ident: $doc:literal,)*) => {
        /// A variable with a fixed name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fixed { $(#[doc = $doc] $variant,)* }

        /// Every fixed name, for documentation and checks.
        pub const FIXED: &[&str] = &[$($text),*];

        fn fixed(name: &[u8]) -> Option<Fixed> {
            // One length switch and a compare: rustc makes a decision tree of it.
            match std::str::from_utf8(name).ok()? {
                $($text => Some(Fixed::$variant),)*
                _ => None,
            }
        }
    };
}

names! {
    "args" => Args: "The query string.",
    "binary_remote_addr" => BinaryRemoteAddr: "The client's address, 4 or 16 bytes.",
    "body_bytes_sent" => BodyBytesSent: "Bytes of body sent to the client.",
    "bytes_sent" => BytesSent: "Bytes sent to the client.",
    "connection" => Connection: "Serial number of the connection.",
    "connection_requests" => ConnectionRequests: "Requests on the connection, this one included.",
    "content_length" => ContentLength: "Request header `Content-Length`.",
    "content_type" => ContentType: "Request header `Content-Type`.",
    "document_uri" => DocumentUri: "Same as `uri`.",
    "host" => Host: "Host of the request, lower case, no port.",
    "hostname" => Hostname: "Name of this machine.",
    "http2" => Http2: "`h2` or `h2c` on HTTP/2, else empty.",
    "https" => Https: "`on` on TLS, else empty.",
    "is_args" => IsArgs: "`?` if there is a query string.",
    "limit_rate" => LimitRate: "Bytes a second that the client may get; 0 for any number.",
    "msec" => Msec: "Now, in seconds with milliseconds.",
    "nginx_version" => NginxVersion: "The nginx version plugins expect.",
    "pid" => Pid: "This process.",
    "pipe" => Pipe: "`p` if more requests wait on the connection, else `.`.",
    "proxy_add_x_forwarded_for" => ProxyAddXForwardedFor: "`X-Forwarded-For` with the client appended.",
    "query_string" => QueryString: "Same as `args`.",
    "realip_remote_addr" => RealipRemoteAddr: "The peer's address, whatever `real-ip` did.",
    "realip_remote_port" => RealipRemotePort: "The peer's port.",
    "real_request_uri" => RealRequestUri: "The target as it came, also where plugins see another `request_uri`.",
    "remote_addr" => RemoteAddr: "The client's address.",
    "remote_port" => RemotePort: "The client's port.",
    "remote_user" => RemoteUser: "User name of basic authentication.",
    "request" => Request: "The request line as it came.",
    "request_body" => RequestBody: "The body, if it is in memory.",
    "request_completion" => RequestCompletion: "`OK` if the response was sent whole.",
    "request_id" => RequestId: "A random name of the request, 32 hexadecimal digits.",
    "request_length" => RequestLength: "Bytes received for the request.",
    "request_method" => RequestMethod: "The method.",
    "request_time" => RequestTime: "Seconds since the first byte, with milliseconds.",
    "request_uri" => RequestUri: "The target as it came.",
    "scheme" => Scheme: "`http` or `https`.",
    "server_addr" => ServerAddr: "The address the client connected to.",
    "server_name" => ServerName: "Always `_`.",
    "server_port" => ServerPort: "The port the client connected to.",
    "server_protocol" => ServerProtocol: "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`.",
    "status" => Status: "Status of the response.",
    "time_iso8601" => TimeIso8601: "Now, in ISO 8601.",
    "time_local" => TimeLocal: "Now, as the access log writes it.",
    "upstream_addr" => UpstreamAddr: "Addresses of the nodes tried.",
    "upstream_bytes_received" => UpstreamBytesReceived: "Bytes received from them.",
    "upstream_bytes_sent" => UpstreamBytesSent: "Bytes sent to them.",
    "upstream_connect_time" => UpstreamConnectTime: "Seconds until connected.",
    "upstream_header_time" => UpstreamHeaderTime: "Seconds until the head of the answer.",
    "upstream_response_length" => UpstreamResponseLength: "Bytes of body received from them.",
    "upstream_response_time" => UpstreamResponseTime: "Seconds until the end of the answer.",
    "upstream_status" => UpstreamStatus: "Their status codes.",
    "uri" => Uri: "The decoded, normalised path.",
}

/// A variable's name, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// A fixed name.
    Fixed(Fixed),
    /// A member of a family; the rest of the name, as written.
    Of(Family, Box<[u8]>),
    /// A name that only plugins can set.
    Set(Box<[u8]>),
}

impl Name {
    /// Compiles `name`, which comes without `$`.
    #[must_use]
    pub fn parse(name: &[u8]) -> Self {
        if let Some(fixed) = fixed(name) {
            return Self::Fixed(fixed);
        }
        match family(name) {
            Some((family, rest)) => Self::Of(family, rest.into()),
            None => Self::Set(name.into()),
        }
    }
}

fn family(name: &[u8]) -> Option<(Family, &[u8])> {
    FAMILIES.iter().find_map(|(prefix, family)| {
        let rest = name.strip_prefix(*prefix)?;
        (!rest.is_empty()).then_some((*family, rest))
    })
}

/// Whether `ngx.var` may set a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// It is one of the plugins' own.
    Yes,
    /// It has a fixed name and shows the request.
    Shown,
    /// It belongs to a family that shows the request.
    Derived,
}

/// What nginx lets plugins set, and nothing here looks at.
const WITHOUT_EFFECT: [&[u8]; 1] = [b"limit_rate_after"];

/// Whether `ngx.var` may set `name`. nginx keeps most of these from being set by mistake, and
/// a value that hides what the request says misleads every plugin behind.
#[must_use]
pub fn writable(name: &[u8]) -> Writable {
    if fixed(name).is_some() || WITHOUT_EFFECT.contains(&name) {
        return Writable::Shown;
    }
    if family(name).is_some() { Writable::Derived } else { Writable::Yes }
}

/// Reads a rate as nginx writes one: a number, or one of kilobytes or megabytes.
#[must_use]
pub fn rate(text: &[u8]) -> Option<u64> {
    let (digits, unit) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 1 << 10),
        (b'm' | b'M', digits) => (digits, 1 << 20),
        _ => (text, 1),
    };
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    number.checked_mul(unit)
}

/// The value of `name`: what a plugin set, or what the request says. Names have any case.
#[must_use]
pub fn get<'x>(x: &'x Exchange, name: &[u8]) -> Value<'x> {
    if name.iter().any(u8::is_ascii_uppercase) {
        return get_as_written(x, name)
            .or_else(|| get_as_written(x, &name.to_ascii_lowercase()).map(into_owned));
    }
    get_as_written(x, name)
}

fn into_owned(value: Cow<'_, [u8]>) -> Cow<'static, [u8]> {
    Cow::Owned(value.into_owned())
}

fn get_as_written<'x>(x: &'x Exchange, name: &[u8]) -> Value<'x> {
    if let Some(set) = x.set_value(name) {
        return set.map(Cow::Borrowed);
    }
    if let Some(fixed) = fixed(name) {
        return of_request(x, fixed);
    }
    let (family, rest) = family(name)?;
    member(x, family, rest)
}

/// The value of a compiled name.
#[must_use]
pub fn value<'x>(x: &'x Exchange, name: &Name) -> Value<'x> {
    match name {
        Name::Fixed(fixed) if x.vars.is_empty() => of_request(x, *fixed),
        Name::Of(family, rest) if x.vars.is_empty() => member(x, *family, rest),
        Name::Fixed(fixed) => get(x, FIXED[*fixed as usize].as_bytes()),
        Name::Of(family, rest) => {
            let prefix =
                FAMILIES.iter().find(|(_, known)| known == family).map_or(&b""[..], |f| f.0);
            get(x, &[prefix, rest].concat())
        }
        Name::Set(name) => x.set_value(name).flatten().map(Cow::Borrowed),
    }
}

fn member<'x>(x: &'x Exchange, family: Family, rest: &[u8]) -> Value<'x> {
    match family {
        Family::Http => field(&x.head.fields, rest),
        Family::Arg => arg(&x.args, rest).map(Cow::Borrowed),
        Family::Cookie => cookie(x, rest).map(Cow::Borrowed),
        Family::SentHttp => sent_field(x, rest),
        Family::UpstreamHttp => match &x.upstream.original {
            Some(original) => field(original, rest),
            None => sent_field(x, rest),
        },
        Family::UpstreamCookie => {
            let fields = x.upstream.original.as_deref().unwrap_or(&x.response.fields);
            set_cookie(fields, rest).map(Cow::Borrowed)
        }
    }
}

/// Whether header `name` is what variable suffix `rest` means: `-` is `_`, any case.
fn same_name(name: &[u8], rest: &[u8]) -> bool {
    name.len() == rest.len()
        && name.iter().zip(rest).all(|(a, b)| {
            let a = if *a == b'-' { b'_' } else { a.to_ascii_lowercase() };
            a == b.to_ascii_lowercase() || (*b == b'-' && a == b'_')
        })
}

/// All values of one header, joined by `, ` (cookies by `; `) as nginx joins them.
fn field<'x>(fields: &'x crate::fields::Fields, rest: &[u8]) -> Value<'x> {
    let mut values =
        fields.iter().filter(|(name, _)| same_name(name, rest)).map(|(_, value)| value);
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
    let glue: &[u8] = if rest.eq_ignore_ascii_case(b"cookie") { b"; " } else { b", " };
    let mut joined = [first, second].join(glue);
    for value in values {
        joined.extend_from_slice(glue);
        joined.extend_from_slice(value);
    }
    Some(Cow::Owned(joined))
}

fn sent_field<'x>(x: &'x Exchange, rest: &[u8]) -> Value<'x> {
    if rest == b"content_length" && x.response.fields.get("content-length").is_none() {
        return x.response.length.map(number);
    }
    field(&x.response.fields, rest)
}

/// The first argument `name` of a query string, as sent; names match in any case, as nginx has it.
#[must_use]
pub fn arg<'a>(args: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    args.split(|byte| *byte == b'&').find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        pair[..at].eq_ignore_ascii_case(name).then(|| &pair[at + 1..])
    })
}

/// The first cookie `name`.
#[must_use]
pub fn cookie<'x>(x: &'x Exchange, name: &[u8]) -> Option<&'x [u8]> {
    x.head.fields.get_all("cookie").find_map(|line| {
        line.split(|byte| *byte == b';').find_map(|pair| {
            let pair = pair.trim_ascii_start();
            let at = memchr::memchr(b'=', pair)?;
            (&pair[..at] == name).then(|| &pair[at + 1..])
        })
    })
}

/// The value that the first `Set-Cookie` of this name gives.
fn set_cookie<'x>(fields: &'x crate::fields::Fields, name: &[u8]) -> Option<&'x [u8]> {
    fields.get_all("set-cookie").find_map(|line| {
        let pair = line.split(|byte| *byte == b';').next()?;
        let at = memchr::memchr(b'=', pair)?;
        (pair[..at].trim_ascii() == name).then(|| &pair[at + 1..])
    })
}

fn stamped(write: fn(&mut Vec<u8>, u64)) -> Vec<u8> {
    let mut text = Vec::with_capacity(32);
    write(&mut text, clock::wall().as_secs());
    text
}

fn number(value: u64) -> Cow<'static, [u8]> {
    Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec())
}

/// Seconds with milliseconds, as nginx writes times.
#[must_use]
pub fn seconds(time: Duration) -> Vec<u8> {
    let mut text = Vec::with_capacity(16);
    write_seconds(&mut text, time);
    text
}

/// Appends what [`seconds`] returns.
pub fn write_seconds(out: &mut Vec<u8>, time: Duration) {
    out.extend_from_slice(itoa::Buffer::new().format(time.as_secs()).as_bytes());
    let millis = time.subsec_millis();
    let digit = |unit: u32| b'0' + u8::try_from(millis / unit % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

fn ip(address: std::net::IpAddr) -> Cow<'static, [u8]> {
    let mut text = Vec::with_capacity(16);
    // Writing to a Vec cannot fail.
    let _ = write!(text, "{address}");
    Cow::Owned(text)
}

fn of_request(x: &Exchange, name: Fixed) -> Value<'_> {
    match name {
        Fixed::Uri | Fixed::DocumentUri => Some(Cow::Borrowed(&x.path)),
        Fixed::Args | Fixed::QueryString => {
            (!x.args.is_empty()).then_some(Cow::Borrowed(&x.args[..]))
        }
        Fixed::IsArgs => Some(Cow::Borrowed(if x.args.is_empty() { b"" } else { b"?" })),
        Fixed::Host => Some(Cow::Borrowed(&x.host)),
        Fixed::RequestMethod => Some(Cow::Borrowed(match &x.inner {
            Some(inner) if inner.depth > 0 => inner.method.as_slice(),
            _ => x.method.as_slice(),
        })),
        Fixed::RequestUri | Fixed::RealRequestUri => Some(Cow::Borrowed(x.head.target())),
        Fixed::Request => Some(Cow::Owned(request_line(x))),
        Fixed::ContentLength => match (x.head.fields.get("content-length"), &x.body.held) {
            (Some(length), _) => Some(Cow::Borrowed(length)),
            // It came in chunks.
            (None, Some(body)) if x.body.present => Some(number(body.len() as u64)),
            _ => None,
        },
        Fixed::ContentType => x.head.fields.get("content-type").map(Cow::Borrowed),
        Fixed::RequestBody => x.body.held.as_ref().map(|body| Cow::Borrowed(&body[..])),
        Fixed::RequestId => Some(Cow::Owned(request_id(x))),
        Fixed::RequestLength => Some(number(x.request_length)),
        Fixed::RequestTime => Some(Cow::Owned(seconds(x.lasted()))),
        Fixed::RequestCompletion => {
            let whole = x.ended.is_some() && !x.client_gone;
            Some(Cow::Borrowed(if whole { b"OK" } else { b"" }))
        }
        Fixed::RemoteUser => remote_user(x).map(Cow::Owned),
        Fixed::ProxyAddXForwardedFor => Some(Cow::Owned(forwarded_for(x))),
        Fixed::Status => Some(match x.response.status {
            0 => Cow::Borrowed(b"000"),
            status => number(u64::from(status)),
        }),
        Fixed::LimitRate => Some(number(x.response.rate)),
        Fixed::BytesSent => Some(number(x.response.bytes_sent)),
        Fixed::BodyBytesSent => Some(number(x.response.body_bytes_sent)),
        _ => of_connection(x, name).or_else(|| of_upstream(x, name)).or_else(|| of_process(name)),
    }
}

fn of_connection(x: &Exchange, name: Fixed) -> Value<'_> {
    Some(match name {
        Fixed::RemoteAddr => match x.remote_text() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        Fixed::RemotePort => number(u64::from(x.remote.port())),
        Fixed::RealipRemoteAddr => ip(x.conn.peer.ip()),
        Fixed::RealipRemotePort => number(u64::from(x.conn.peer.port())),
        Fixed::BinaryRemoteAddr => match x.remote.ip() {
            std::net::IpAddr::V4(ip) => Cow::Owned(ip.octets().to_vec()),
            std::net::IpAddr::V6(ip) => Cow::Owned(ip.octets().to_vec()),
        },
        Fixed::ServerAddr => ip(x.conn.local.ip()),
        Fixed::ServerPort => number(u64::from(x.conn.local.port())),
        Fixed::ServerName => Cow::Borrowed(b"_"),
        Fixed::ServerProtocol => Cow::Borrowed(protocol(x).as_bytes()),
        Fixed::Scheme => Cow::Borrowed(if x.conn.tls { b"https" } else { b"http" }),
        Fixed::Https => Cow::Borrowed(if x.conn.tls { b"on" } else { b"" }),
        Fixed::Http2 => Cow::Borrowed(match (x.conn.http2, x.conn.tls) {
            (true, true) => b"h2",
            (true, false) => b"h2c",
            _ => b"",
        }),
        Fixed::Connection => number(x.conn.serial),
        Fixed::ConnectionRequests => number(u64::from(x.conn_requests)),
        Fixed::Pipe => Cow::Borrowed(b"."),
        _ => return None,
    })
}

fn of_process(name: Fixed) -> Value<'static> {
    Some(match name {
        Fixed::Pid => number(u64::from(std::process::id())),
        Fixed::Msec => Cow::Owned(seconds(clock::wall())),
        Fixed::Hostname => Cow::Owned(clock::hostname().as_bytes().to_vec()),
        Fixed::NginxVersion => Cow::Borrowed(crate::NGINX_VERSION.as_bytes()),
        Fixed::TimeLocal => Cow::Owned(stamped(stamp::time_local)),
        Fixed::TimeIso8601 => Cow::Owned(stamped(stamp::time_iso8601)),
        _ => return None,
    })
}

/// One value for each try, joined as nginx joins them.
fn of_upstream(x: &Exchange, name: Fixed) -> Value<'_> {
    let attempts = &x.upstream.attempts;
    let each = |value: &dyn Fn(&Attempt, &mut Vec<u8>)| {
        let mut text = Vec::new();
        for (n, attempt) in attempts.iter().enumerate() {
            if n > 0 {
                text.extend_from_slice(b", ");
            }
            value(attempt, &mut text);
        }
        (!text.is_empty()).then_some(Cow::Owned(text))
    };
    let time = |pick: fn(&Attempt) -> Option<Duration>| {
        each(&move |attempt, text| match pick(attempt) {
            Some(time) => write_seconds(text, time),
            None => text.push(b'-'),
        })
    };
    let count = |pick: fn(&Attempt) -> u64| {
        each(&move |attempt, text| {
            text.extend_from_slice(itoa::Buffer::new().format(pick(attempt)).as_bytes());
        })
    };
    match name {
        Fixed::UpstreamAddr => each(&|attempt, text| {
            text.extend_from_slice(attempt.addr_text.as_bytes());
        }),
        Fixed::UpstreamStatus => count(|attempt| u64::from(attempt.status)),
        Fixed::UpstreamConnectTime => time(|attempt| attempt.connect_time),
        Fixed::UpstreamHeaderTime => time(|attempt| attempt.header_time),
        Fixed::UpstreamResponseTime => time(|attempt| attempt.response_time),
        Fixed::UpstreamBytesSent => count(|attempt| attempt.bytes.0),
        Fixed::UpstreamBytesReceived => count(|attempt| attempt.bytes.1),
        Fixed::UpstreamResponseLength => {
            count(|attempt| attempt.bytes.1.saturating_sub(attempt.head_bytes))
        }
        _ => None,
    }
}

/// `HTTP/1.1` and its siblings.
#[must_use]
pub fn protocol(x: &Exchange) -> &'static str {
    match (x.conn.http2, x.head.minor()) {
        (true, _) => "HTTP/2.0",
        (_, 0) => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

/// The request line as it came.
#[must_use]
pub fn request_line(x: &Exchange) -> Vec<u8> {
    [x.head.method(), x.head.target(), protocol(x).as_bytes()].join(&b' ')
}

/// A name that no other request has, the same whenever it is asked for: nothing is kept.
fn request_id(x: &Exchange) -> Vec<u8> {
    static KEYS: OnceLock<[RandomState; 2]> = OnceLock::new();
    let keys = KEYS.get_or_init(|| [RandomState::new(), RandomState::new()]);
    let what = (x.serial, x.conn.serial, x.conn_requests, x.started_wall);
    let [high, low] = [0, 1].map(|at| keys[at].hash_one(what));
    format!("{high:016x}{low:016x}").into_bytes()
}

/// `X-Forwarded-For` with the client's address appended.
#[must_use]
pub fn forwarded_for(x: &Exchange) -> Vec<u8> {
    let mut value = match field(&x.head.fields, b"x_forwarded_for") {
        Some(known) if !known.is_empty() => [&known[..], b", "].concat(),
        _ => Vec::new(),
    };
    value.extend_from_slice(x.remote_text().as_bytes());
    value
}

fn remote_user(x: &Exchange) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let value = x.head.fields.get("authorization")?;
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let plain = base64::engine::general_purpose::STANDARD.decode(rest.trim_ascii()).ok()?;
    let end = memchr::memchr(b':', &plain)?;
    (end > 0).then(|| plain[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_written_as_nginx_has_them() {
        assert_eq!(rate(b"1000"), Some(1000));
        assert_eq!(rate(b"4k"), Some(4096));
        assert_eq!(rate(b"1M"), Some(1 << 20));
        for bad in [&b""[..], b"k", b"x", b"-1", b"99999999999999999m"] {
            assert_eq!(rate(bad), None, "{bad:?}");
        }
    }
}
