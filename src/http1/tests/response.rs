//! Heads of answers.

use super::{HeadError, HeadLimits, Progress, ResponseHead, parse_response, response};
use crate::http1::Framing;

#[track_caller]
fn check(method: &str, text: &str, framing: Framing, keep_alive: bool) {
    let head = response(method, text.as_bytes()).unwrap();
    assert_eq!((head.framing(), head.keep_alive()), (framing, keep_alive), "{method} {text:?}");
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, expected: HeadError) {
    let text = text.as_ref();
    match response("GET", text) {
        Err(error) => assert_eq!(error, expected, "{}", text.escape_ascii()),
        Ok(head) => panic!("taken: {} as {head:?}", text.escape_ascii()),
    }
}

#[test]
fn a_plain_answer_comes_out_whole() {
    let text = b"HTTP/1.1 404 Not  Found\xe9\r\nContent-Length: 3\r\nServer:x\r\n\r\nabc";
    let mut head = ResponseHead::new();
    let done = parse_response(text, &HeadLimits::default(), b"GET", &mut head);
    assert_eq!(done, Ok(Progress::Done(text.len() - 3)));
    assert_eq!((head.status(), head.reason(), head.minor()), (404, &b"Not  Found\xe9"[..], 1));
    assert_eq!(head.fields.get("server"), Some(&b"x"[..]));
    assert!(head.keep_alive() && !head.is_interim());
    assert_eq!(head.framing(), Framing::Length(3));
}

#[test]
fn framing_follows_status_method_and_fields() {
    let ok = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    check("GET", &ok("Content-Length: 5\r\n"), Framing::Length(5), true);
    check("GET", &ok("Content-Length: 5\r\nConnection: close\r\n"), Framing::Length(5), false);
    check("GET", &ok("Transfer-Encoding: Chunked\r\n"), Framing::Chunked, true);
    check("GET", &ok(""), Framing::Close, false);
    check("GET", &ok("Connection: keep-alive\r\n"), Framing::Close, false);
    check("HEAD", &ok("Content-Length: 5\r\n"), Framing::None, true);
    check("HEAD", &ok("Transfer-Encoding: chunked\r\n"), Framing::None, true);
    check("HEAD", &ok(""), Framing::None, true);
    check("head", &ok("Content-Length: 5\r\n"), Framing::Length(5), true);
    check("CONNECT", &ok("Content-Length: 5\r\n"), Framing::None, false);
    check("GET", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", Framing::None, true);
    check("GET", "HTTP/1.1 204 x\r\n\r\n", Framing::None, true);
    check("GET", "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", Framing::None, true);
    check("GET", "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", Framing::None, false);
    check(
        "GET",
        "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        Framing::None,
        false,
    );
    check("GET", "HTTP/1.1 101 x\r\n\r\n", Framing::None, false);
    check("CONNECT", "HTTP/1.1 403 x\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false);
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n";
    check("GET", &format!("{old}Content-Length: 5\r\n\r\n"), Framing::Length(5), true);
    check("GET", &format!("{old}Transfer-Encoding: chunked\r\n\r\n"), Framing::Chunked, false);
}

#[test]
fn interim_answers_are_told_from_final_ones() {
    for (status, interim) in [(100, true), (101, false), (103, true), (199, true), (200, false)] {
        let head = response("GET", format!("HTTP/1.1 {status} x\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(head.is_interim(), interim, "{status}");
    }
}

#[test]
fn sloppy_but_clear_answers_are_taken() {
    check("GET", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check("GET", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check("GET", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", Framing::Length(5), true);
    check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\n", Framing::Length(5), true);
    let repeated = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nA: b\r\nContent-Length: 5\r\n\r\n";
    let head = response("GET", repeated).unwrap();
    assert_eq!((head.framing(), head.fields.count("content-length")), (Framing::Length(5), 1));
    assert_eq!(head.fields.len(), 2);
    let long = format!("HTTP/1.1 200 OK\r\nSet-Cookie: {}\r\n\r\n", "x".repeat(20_000));
    assert!(response("GET", long.as_bytes()).is_ok());
}

#[test]
fn answers_that_can_be_read_twice_are_refused() {
    let ok = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    refused(ok(both), HeadError::LengthAndCoding);
    refused(ok("Content-Length: 5\r\nContent-Length: 6\r\n"), HeadError::LengthRepeated);
    refused(ok("Content-Length: 5\r\nContent-Length: x\r\n"), HeadError::LengthRepeated);
    refused(ok("Content-Length: x\r\nContent-Length: x\r\n"), HeadError::LengthMalformed);
    refused(ok("Content-Length: 5, 5\r\n"), HeadError::LengthRepeated);
    refused(ok("Content-Length: +5\r\n"), HeadError::LengthMalformed);
    refused(ok("Content-Length:\r\n"), HeadError::LengthMalformed);
    refused(ok("Transfer-Encoding: gzip, chunked\r\n"), HeadError::CodingUnknown);
    refused(ok("Transfer-Encoding: identity\r\n"), HeadError::CodingUnknown);
    refused(
        ok("Transfer-Encoding: chunked\r\n").replace("chunked", "chunked, gzip"),
        HeadError::CodingMalformed,
    );
    refused(ok("A: b\r\n c\r\n"), HeadError::ObsFold);
    refused(ok("A : b\r\n"), HeadError::SpaceBeforeColon);
    refused(ok("A: b\rc\r\n"), HeadError::BareCr);
    refused(ok("A: b\0\r\n"), HeadError::FieldValue);
    refused(ok("nothing\r\n"), HeadError::NoColon);
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1 099 x",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1\t200 OK",
        "HTTP/11 200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP",
        "ICY 200 OK",
        "200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 200 \x1b",
        "\u{feff}HTTP/1.1 200 OK",
    ] {
        refused(format!("{line}\r\nContent-Length: 0\r\n\r\n"), HeadError::StatusLine);
    }
    refused("\r\nHTTP/1.1 200 OK\r\n\r\n", HeadError::StatusLine);
    refused("HTTP/2.0 200 OK\r\n\r\n", HeadError::Version);
    refused("HTTP/0.9 200 OK\r\n\r\n", HeadError::Version);
}

#[test]
fn a_head_that_never_ends_is_refused_at_its_bounds() {
    let limits = HeadLimits { bytes_max: 100, fields_max: 3, line_max: 10 };
    let run =
        |text: &str| parse_response(text.as_bytes(), &limits, b"GET", &mut ResponseHead::new());
    assert_eq!(run(&format!("HTTP/1.1 200 {}", "x".repeat(86))), Ok(Progress::Partial));
    assert_eq!(run(&format!("HTTP/1.1 200 {}", "x".repeat(87))), Err(HeadError::TooLarge));
    assert_eq!(
        run(&format!("HTTP/1.1 200\r\n{}", "A: b\r\n".repeat(4))),
        Err(HeadError::TooManyFields)
    );
}
