//! What must hold for any bytes: one function per fuzz target.
//!
//! Each panics if it does not hold. They are run by the fuzz targets beside this file, and
//! over mutated samples by `mod.rs` in every test run.

#![allow(unreachable_pub, reason = "the fuzz targets see them through the library")]

#[path = "tars.rs"]
pub mod tars;
#[path = "trpc.rs"]
pub mod trpc;

use bytes::BytesMut;
use moongate::{
    codec::sign::{Message, Scheme, Select, claim, structured},
    http1::{
        BodyDecoder, BodyError, Decoded, Form, Framing, HeadLimits, Progress, RequestHead,
        ResponseHead, parse_request, parse_response, request_head as write_request,
        response_head as write_response,
    },
    parse::uri,
    route::expr::Expr,
};

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

/// A target's normal form decodes to the path that the router sees.
pub fn uri(data: &[u8]) {
    let Ok(normal) = uri::normalise(data) else { return };
    assert!(normal.path.starts_with(b"/") && normal.forward.starts_with(b"/"));
    let mut forward = Vec::new();
    normal.write_forward(&mut forward);
    let again = uri::normalise(&forward).expect("what we forward is normal");
    assert_eq!((&again.path, again.args), (&normal.path, normal.args));
}

/// Whatever JSON stands in `vars`, it is compiled or refused.
pub fn expr(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice(data) {
        let _ = Expr::compile(&value);
    }
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

/// A claim is read or refused, the same way each time, and is of what the message says; what a
/// structured field means survives being written again.
pub fn signature(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (target, first, second, more) = (part(), part(), part(), part());
    for (name, value) in [("signature-input", first), ("x", second)] {
        let Ok(members) = structured::dictionary(value) else { continue };
        let mut written = String::new();
        structured::write_dictionary(&mut written, &members);
        assert_eq!(structured::dictionary(written.as_bytes()), Ok(members), "{name}");
    }
    let fields: [(&[u8], &[u8]); 9] = [
        (b"Host", b"h"),
        (b"Authorization", first),
        (b"Signature-Input", first),
        (b"Signature", second),
        (b"X-Amz-Date", second),
        (b"X-TC-Timestamp", second),
        (b"Date", second),
        (b"Content-Type", more),
        (b"Content-Digest", more),
    ];
    let message = Message {
        method: b"POST",
        scheme: "http",
        authority: b"h",
        target,
        fields: &fields,
        status: None,
        request: None,
    };
    for scheme in Scheme::ALL {
        let Ok(found) = claim(scheme, &message, Select::default()) else { continue };
        let again = claim(scheme, &message, Select::default()).unwrap();
        assert_eq!(found.canonical(), again.canonical());
        // Each line of it comes from a part of the message, with its name or a little around it.
        assert!(found.canonical().len() < 64 * (data.len() + 512));
        assert!(!found.canonical().contains(&b'\r'));
    }
}
