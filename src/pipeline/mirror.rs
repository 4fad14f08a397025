//! The copy of a request that goes to a second server.
//!
//! A plugin marks the request and names the URL in `$upstream_mirror_uri`. The copy leaves as the
//! request does, body included, in a task of its own; its answer is dropped, and whatever happens
//! to it is told in the error log and to nobody else. How many copies a worker has on their way is
//! bounded; one that finds no room is not sent.

use std::{net::SocketAddr, rc::Rc, sync::atomic::Ordering, time::Duration};

use super::{
    proxy::{is_idempotent, told},
    target,
};
use crate::{
    clock,
    config::upstream::Timeout,
    error::{Error, Kind, Result},
    exchange::{Attempt, Body, Exchange, Frame, RequestBody},
    gate::Gate,
    log::error_log::Level,
    lua::log_line,
    parse::uri,
    sys::deadline::Deadline,
    upstream::{Answer, Node, Sending, request, tls::TlsClient},
};

/// Of the body of an answer so much is read, for the connection to carry another request.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long that may take.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// A second server.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    tls: bool,
    host: Box<str>,
    port: u16,
    /// Scheme, host and port, as they were given.
    text: Box<str>,
}

/// Sends a copy of `x`, whose body was read, to the server that its variables name, in a task of
/// its own; `host` is what goes into `Host` unless a plugin says otherwise.
pub(super) fn start(gate: &Rc<Gate>, x: &Exchange, host: Option<Rc<[u8]>>) {
    // As in nginx, a request inside of another one is nobody's traffic.
    if x.inner.as_ref().is_some_and(|inner| inner.depth > 0) {
        return;
    }
    let url = x.set_value(b"upstream_mirror_uri").flatten().unwrap_or_default();
    let (server, wanted) = match split(url) {
        Ok(parts) => parts,
        Err(why) => {
            let url = String::from_utf8_lossy(url);
            return log_line(Level::Error, x, &format!("mirror \"{url}\": {why}"));
        }
    };
    let bytes = x.body.held.as_ref().map_or(0, bytes::Bytes::len);
    let started = gate.mirrors.run(bytes, || {
        let (gate, copy) = (Rc::clone(gate), copy(gate, x, wanted));
        async move { carry(gate, copy, server, host).await }
    });
    if started {
        return;
    }
    gate.counts.mirrors_dropped.fetch_add(1, Ordering::Relaxed);
    if let Some(lost) = gate.mirrors_lost.note(x.now) {
        let running = gate.mirrors.len();
        let line = format!(
            "{lost} requests were not mirrored: this worker has {running} on their way already"
        );
        log_line(Level::Error, x, &line);
    }
}

/// The server of `url`, and the target behind it.
fn split(url: &[u8]) -> std::result::Result<(Server, &[u8]), &'static str> {
    let end = |from: usize| {
        let rest = url.get(from..).unwrap_or_default();
        rest.iter().position(|byte| b"/?#".contains(byte)).map_or(url.len(), |at| from + at)
    };
    let scheme = |name: &[u8]| url.get(..name.len()).is_some_and(|u| u.eq_ignore_ascii_case(name));
    let (tls, start) = match () {
        () if scheme(b"http://") => (false, 7),
        () if scheme(b"https://") => (true, 8),
        () if scheme(b"grpc://") || scheme(b"grpcs://") => {
            return Err("gRPC cannot be mirrored: upstreams are not spoken to in HTTP/2");
        }
        () => return Err("not a URL of http or https"),
    };
    let (server, wanted) = url.split_at(end(start));
    let text = std::str::from_utf8(server).map_err(|_| "not a URL of http or https")?;
    let authority = &text[start..];
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let port = port.parse().ok().filter(|port| *port > 0);
            (host, port.ok_or("the port is not one")?)
        }
        _ => (authority, if tls { 443 } else { 80 }),
    };
    if host.is_empty() {
        return Err("no host");
    }
    Ok((Server { tls, host: host.into(), port, text: text.into() }, wanted))
}

/// The request as it goes to the second server, on its own. `wanted` is what its variable says.
fn copy(gate: &Gate, x: &Exchange, wanted: &[u8]) -> Box<Exchange> {
    let mut copy = gate.exchange();
    copy.reset(&x.conn);
    copy.serial = x.serial;
    copy.remote = x.remote;
    copy.head = x.head.clone();
    copy.method.extend_from_slice(&x.method);
    copy.host.extend_from_slice(&x.host);
    copy.body = RequestBody {
        held: x.body.held.clone(),
        file: x.body.file.clone(),
        present: x.body.present,
        ..RequestBody::default()
    };
    let wanted = encoded(x, wanted);
    copy.set_var(b"upstream_uri", Some(&wanted));
    copy.forward.extend_from_slice(&wanted);
    if let Some(host) = x.set_value(b"upstream_host") {
        copy.set_var(b"upstream_host", host);
    }
    copy
}

/// What is written as the target. Plugins put it together from `$uri`, which is decoded: where it
/// ends in path and query of the request, they go out as they go to its upstream.
fn encoded(x: &Exchange, wanted: &[u8]) -> Vec<u8> {
    if wanted.is_empty() {
        return request::own_target(x).into_owned();
    }
    let now = decoded(&x.path, &x.args);
    let (path, args) = match memchr::memchr(b'?', &x.forward) {
        Some(at) => (&x.forward[..at], &x.forward[at + 1..]),
        None => (&x.forward[..], &b""[..]),
    };
    // A plugin may have changed the path after the variable was set.
    let came = decoded(&uri::decode_once(path), args);
    let strip = |own: &[u8]| wanted.strip_suffix(own).filter(|_| !own.is_empty());
    let (before, behind) = match (strip(&now), strip(&came)) {
        (Some(before), _) => (before, request::own_target(x)),
        (None, Some(before)) => (before, (&x.forward[..]).into()),
        (None, None) => (wanted, (&b""[..]).into()),
    };
    let mut out = Vec::with_capacity(wanted.len() + 16);
    if !before.is_empty() && !before.starts_with(b"/") {
        out.push(b'/');
    }
    for byte in before {
        match byte {
            0..=b' ' | b'#' | 0x7f.. => out.extend_from_slice(&uri::encode_path(&[*byte])),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(&behind);
    out
}

/// `$uri$is_args$args`.
fn decoded(path: &[u8], args: &[u8]) -> Vec<u8> {
    [path, if args.is_empty() { b"" } else { b"?" }, args].concat()
}

/// Brings the copy to its end.
async fn carry(gate: Rc<Gate>, mut copy: Box<Exchange>, server: Server, host: Option<Rc<[u8]>>) {
    if let Err(error) = send(&gate, &mut copy, &server, host).await {
        log_line(Level::Error, &copy, &format!("mirror {}: {}", server.text, told(&error)));
    }
    // The next request to have this exchange may come much later.
    copy.body = RequestBody::default();
    gate.recycle(copy);
}

async fn send(
    gate: &Gate,
    copy: &mut Exchange,
    server: &Server,
    host: Option<Rc<[u8]>>,
) -> Result<()> {
    let ip = gate.resolver.resolve(&server.host).await?;
    let node = node(gate, copy, server, (SocketAddr::new(ip, server.port), host))?;
    let mut sending = Sending::of(copy, 0, 0);
    loop {
        copy.now = clock::now();
        copy.upstream.attempts.push(Attempt::start(&node, copy.now));
        let failed = match gate.client.send(copy, &node, &mut sending, false).await {
            Ok(Answer::Response(body)) => {
                forget(body).await;
                return Ok(());
            }
            Ok(Answer::Tunnel(_)) => return Ok(()),
            Err(failed) => failed,
        };
        // A connection of the pool had died meanwhile.
        let again = failed.reused && failed.error.retryable();
        if !again || failed.sent && !(is_idempotent(&copy.method) && sending.repeatable()) {
            return Err(failed.error);
        }
        copy.upstream.attempts.pop();
        sending.restart();
    }
}

fn node(
    gate: &Gate,
    copy: &Exchange,
    server: &Server,
    (addr, host): (SocketAddr, Option<Rc<[u8]>>),
) -> Result<Node> {
    let tls = match server.tls {
        false => None,
        true => {
            let client = TlsClient::default_client().map_err(|error| {
                Error::from(Kind::Unsupported("TLS")).because(error.to_string())
            })?;
            let name = request::host(copy, host.as_deref());
            Some((Rc::new(client.clone()), name_of(&String::from_utf8_lossy(name)).into()))
        }
    };
    let Timeout { connect, send, read } = gate.local.borrow().mirror_timeout;
    Ok(Node {
        addr,
        addr_text: addr.to_string().into(),
        tls,
        host,
        keep: target::default_keepalive(gate),
        connect_timeout: connect,
        send_timeout: send,
        read_timeout: read,
    })
}

/// `host` without a port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Reads the rest of an answer and drops it.
async fn forget(mut body: Body) {
    let rest = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            if let Frame::Data(data) = frame {
                bytes += data.len();
            }
            if bytes > ANSWER_BYTES_MAX {
                break;
            }
        }
    };
    // What does not end closes its connection.
    let _ = Deadline::default().limit(ANSWER_TIME, rest).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, tls: bool, host: &str, port: u16, wanted: &str) {
        let (server, rest) = split(url.as_bytes()).unwrap();
        assert_eq!((server.tls, &*server.host, server.port), (tls, host, port), "{url}");
        assert_eq!(rest, wanted.as_bytes(), "{url}");
        assert_eq!(format!("{}{wanted}", server.text), url);
    }

    #[test]
    fn urls_that_the_plugin_makes_are_taken_apart() {
        check("http://127.0.0.1:1980/a?b=http://c:d", false, "127.0.0.1", 1980, "/a?b=http://c:d");
        check("http://mirror", false, "mirror", 80, "");
        check("https://mirror/", true, "mirror", 443, "/");
        check("HTTPS://[::1]:8443/x:1", true, "[::1]", 8443, "/x:1");
        check("http://[::1]?x", false, "[::1]", 80, "?x");
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused_by_its_reason() {
        for (url, why) in [
            ("", "not a URL of http or https"),
            ("/path", "not a URL of http or https"),
            ("ftp://a/", "not a URL of http or https"),
            ("http://\u{e9}/", ""),
            ("grpc://a:1/", "gRPC cannot be mirrored: upstreams are not spoken to in HTTP/2"),
            ("grpcs://a:1/", "gRPC cannot be mirrored: upstreams are not spoken to in HTTP/2"),
            ("http:///a", "no host"),
            ("http://:80/a", "no host"),
            ("http://a:/b", "the port is not one"),
            ("http://a:0/b", "the port is not one"),
            ("http://a:65536/b", "the port is not one"),
            ("http://a:b/b", "the port is not one"),
        ] {
            // A name that is none is the resolver's to refuse.
            assert_eq!(split(url.as_bytes()).err().unwrap_or_default(), why, "{url}");
        }
        assert!(split(b"http://\xff/").is_err());
    }

    #[test]
    fn a_target_goes_out_as_to_the_upstream_or_encoded() {
        let mut x = Exchange {
            path: b"/a b/50%".to_vec(),
            args: b"q=1%20".to_vec(),
            forward: b"/a%20b/50%25?q=1%20".to_vec(),
            ..Exchange::default()
        };
        for (wanted, target) in [
            (&b"/a b/50%?q=1%20"[..], &b"/a%20b/50%25?q=1%20"[..]),
            (b"/pre/fix/a b/50%?q=1%20", b"/pre/fix/a%20b/50%25?q=1%20"),
            (b"", b"/a%20b/50%25?q=1%20"),
            (b"/other path\xc3\xa9#?q=1%20", b"/other%20path%C3%A9%23?q=1%20"),
            (b"?q", b"/?q"),
            (b"/a\r\nX: y", b"/a%0D%0AX:%20y"),
        ] {
            let wanted = encoded(&x, wanted);
            assert_eq!(String::from_utf8_lossy(&wanted), String::from_utf8_lossy(target));
        }
        x.rewritten = true;
        x.path = b"/new one".to_vec();
        assert_eq!(encoded(&x, b"/new one?q=1%20"), b"/new%20one?q=1%20");
        // It was set before that.
        assert_eq!(encoded(&x, b"/pre/a b/50%?q=1%20"), b"/pre/a%20b/50%25?q=1%20");
    }

    #[test]
    fn a_port_is_no_part_of_a_name() {
        for (host, name) in [
            ("a:80", "a"),
            ("a", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("1.2.3.4:9", "1.2.3.4"),
        ] {
            assert_eq!(name_of(host), name);
        }
    }
}
