//! What must hold of the HTTP/1 codec, and of targets, for any bytes.

use bytes::BytesMut;
use moongate::{
    http1::{
        BodyDecoder, BodyError, Decoded, Form, Framing, HeadLimits, Progress, RequestHead,
        ResponseHead, parse_request, parse_response, request_head as write_request,
        response_head as write_response,
    },
    parse::uri,
};

use super::{Check, LARGE, owned, repeated};

pub const CHECKS: &[Check] = &[
    Check {
        name: "request_head",
        run: request_head,
        samples: || owned(REQUESTS),
        large: large_heads,
        bytes_max: head_bytes,
    },
    Check {
        name: "request_body",
        run: request_body,
        samples: || owned(BODIES),
        large: large_bodies,
        bytes_max: body_bytes,
    },
    Check {
        name: "response_head",
        run: response_head,
        samples: || owned(RESPONSES),
        large: large_heads,
        bytes_max: head_bytes,
    },
    Check {
        name: "response_body",
        run: response_body,
        samples: || owned(BODIES),
        large: large_bodies,
        bytes_max: body_bytes,
    },
    Check {
        name: "uri",
        run: uri,
        samples: || owned(TARGETS),
        large: large_targets,
        // Bytes that must be escaped become three, in a buffer that doubles.
        bytes_max: |input| 20 * input + (4 << 10),
    },
];

const REQUESTS: &[&[u8]] = &[
        b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n",
        b"POST http://h:80?x HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"\r\nPUT / HTTP/1.1\r\nHost: [::1]:8\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        b"GET /\xff\xc0\xaf HTTP/1.0\r\nConnection: keep-alive\r\nX:\r\n\r\n",
];

const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    b"HTTP/1.0 404\nConnection: keep-alive\nContent-Length: 0\nContent-Length: 0\n\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n",
];

const BODIES: &[&[u8]] = &[
    b"\x03a\r\n0123456789\r\n5;x=\"y\"\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
    b"\x03001\r\nx\r\n000\r\nX-Sum: 1\r\nContent-Length: 2\r\n\r\n",
    b"\x031  \r\nx\r\n0\t\r\n\r\n",
    b"\x08hello world",
    b"\x01hello world",
];

const TARGETS: &[&[u8]] = &[
    b"/a/b/../c/./d//e?x=%2f&y=..#f",
    b"http://user.example:8080/a%20b/%C3%A9?q",
    b"/%2e%2e/%2E./;v=1/..;/a%5cb/%e0%80%af",
    b"/a%2Fb/..%2f/c",
    b"/",
];

/// Two heads, and one written anew. This and what follows is twice what large inputs take, since
/// whatever grows does so by doubling.
fn head_bytes(input: usize) -> usize {
    48 * input + (64 << 10)
}

/// What waits, what came out twice, and trailers.
fn body_bytes(input: usize) -> usize {
    8 * input + (64 << 10)
}

/// A head taken in one piece is taken in two, owns what it gives out, and reads back the
/// same when it is written again.
pub fn request_head(data: &[u8]) {
    let limits = HeadLimits::default();
    let (mut head, mut again) = (RequestHead::new(), RequestHead::new());
    let done = parse_request(data, &limits, &mut head);
    let half = parse_request(&data[..data.len() / 2], &limits, &mut again);
    if half == Ok(Progress::Partial) {
        assert_eq!(parse_request(data, &limits, &mut again), done);
        assert_eq!(again.raw(), head.raw());
    } else {
        assert_eq!(half, done);
    }
    let Ok(Progress::Done(len)) = done else { return };
    assert!(len <= data.len() && data[..len].ends_with(head.raw()));
    assert_ne!(head.framing(), Framing::Close);
    assert!(head.minor() == 0 || !head.host().is_empty());
    assert!(head.fields.count("host") <= 1 && head.fields.count("content-length") <= 1);
    let path = head.path_and_query();
    assert!(matches!(head.form(), Form::Authority | Form::Asterisk) || path.starts_with(b"/"));
    let mut out = Vec::new();
    let host = head.fields.get("host").is_none().then_some((&b"Host"[..], &b"h"[..]));
    let fields = head.fields.iter().chain(host);
    write_request(&mut out, head.method(), head.target(), fields).expect("written");
    match parse_request(&out, &HeadLimits { bytes_max: usize::MAX, ..limits }, &mut again) {
        Ok(Progress::Done(len)) => assert_eq!(len, out.len()),
        // A line may have grown past its bound by our longer version of it.
        other => assert!(data.len() > limits.line_max, "{other:?}"),
    }
    assert_eq!((again.target(), again.framing()), (head.target(), head.framing()));
}

/// As [`request_head`], for answers to GET, HEAD and CONNECT.
pub fn response_head(data: &[u8]) {
    let limits = HeadLimits::default();
    for method in [&b"GET"[..], b"HEAD", b"CONNECT"] {
        let (mut head, mut again) = (ResponseHead::new(), ResponseHead::new());
        let done = parse_response(data, &limits, method, &mut head);
        let half = parse_response(&data[..data.len() / 2], &limits, method, &mut again);
        if half == Ok(Progress::Partial) {
            assert_eq!(parse_response(data, &limits, method, &mut again), done);
            assert_eq!(again.fields, head.fields);
        } else {
            assert_eq!(half, done);
        }
        let Ok(Progress::Done(len)) = done else { continue };
        assert!(len <= data.len() && (100..1000).contains(&head.status()));
        assert!(!head.keep_alive() || head.framing() != Framing::Close);
        let mut out = Vec::new();
        let (status, minor) = (head.status(), head.minor());
        write_response(&mut out, status, head.reason(), minor, head.fields.iter())
            .expect("written");
        let limits = HeadLimits { bytes_max: usize::MAX, ..limits };
        let done = parse_response(&out, &limits, method, &mut again);
        assert_eq!(done, Ok(Progress::Done(out.len())));
        assert_eq!((&again.fields, again.framing()), (&head.fields, head.framing()));
    }
}

/// The body of a request comes out the same in one piece and byte by byte, and is never
/// longer than what went in.
pub fn request_body(data: &[u8]) {
    body(data, BodyDecoder::request);
}

/// As [`request_body`], for answers.
pub fn response_body(data: &[u8]) {
    body(data, BodyDecoder::response);
}

fn body(data: &[u8], decoder: fn(Framing) -> BodyDecoder) {
    let Some((choice, data)) = data.split_first() else { return };
    let framing = match choice % 4 {
        0 => Framing::Length(u64::from(*choice)),
        1 => Framing::Close,
        _ => Framing::Chunked,
    };
    let whole = run(decoder(framing), data, data.len().max(1));
    assert_eq!(run(decoder(framing), data, 1), whole);
    assert!(whole.is_none_or(|(taken, rest)| taken.len() + rest <= data.len()));
}

/// The data that came out and what was left over, or nothing if the body was refused.
fn run(mut decoder: BodyDecoder, data: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let (mut buf, mut taken) = (BytesMut::new(), Vec::new());
    for piece in data.chunks(piece) {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Decoded::Data(data)) => taken.extend_from_slice(&data),
                Ok(Decoded::Trailers(fields)) => assert!(!fields.is_empty()),
                Ok(Decoded::End | Decoded::NeedMore) => break,
                Err(error) => {
                    assert_ne!(error, BodyError::Truncated);
                    return None;
                }
            }
        }
    }
    assert_eq!(decoder.data_bytes(), taken.len() as u64);
    assert_eq!(decoder.wire_bytes(), (data.len() - buf.len()) as u64);
    Some((taken, buf.len()))
}

/// A target's normal form decodes to the path that the router sees.
pub fn uri(data: &[u8]) {
    let Ok(normal) = uri::normalise(data) else { return };
    assert!(normal.path.starts_with(b"/") && normal.forward.starts_with(b"/"));
    let mut forward = Vec::new();
    normal.write_forward(&mut forward);
    let again = uri::normalise(&forward).expect("what we forward is normal");
    assert_eq!((&again.path, again.args), (&normal.path, normal.args));
}

fn large_heads() -> Vec<Vec<u8>> {
    let request = |rest: &[u8]| [b"GET / HTTP/1.1\r\nHost: h\r\n", rest, b"\r\n"].concat();
    let response = |rest: &[u8]| [b"HTTP/1.1 200 OK\r\n", rest, b"\r\n"].concat();
    let fields = [b"a:\r\n".repeat(990), repeated(b"a:\r\n"), repeated(b"a")];
    let heads = fields.iter().flat_map(|fields| [request(fields), response(fields)]);
    heads.chain([repeated(b"\r\n"), repeated(b"GET ")]).collect()
}

fn large_bodies() -> Vec<Vec<u8>> {
    let chunked = |rest: &[u8]| [&b"\x03"[..], rest].concat();
    vec![
        chunked(&repeated(b"1\r\nx\r\n")),
        chunked(&repeated(b"0")),
        chunked(&[&b"0\r\n"[..], &repeated(b"a:\r\n")].concat()),
        chunked(&repeated(b"1;a=b\r\nx\r\n")),
        [&b"\x01"[..], &repeated(b"x")].concat(),
    ]
}

fn large_targets() -> Vec<Vec<u8>> {
    let pieces: [&[u8]; 7] = [b"\xff", b"/a", b"/../a", b"%2f", b"//", b";/", b"?a=%20&"];
    pieces.iter().map(|piece| [b"//", &repeated(piece)[..LARGE / 2]].concat()).collect()
}
