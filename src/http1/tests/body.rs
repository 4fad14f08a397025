//! Bodies.

use bytes::{BufMut, BytesMut};

use super::{Body, BodyDecoder, BodyError, Decoded, HeadError, decode};
use crate::http1::Framing;

fn chunked(text: &[u8]) -> Result<Body, BodyError> {
    decode(BodyDecoder::request(Framing::Chunked), text, &[])
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>, expected: BodyError) {
    let text = text.as_ref();
    assert_eq!(chunked(text), Err(expected), "{}", text.escape_ascii());
}

#[track_caller]
fn taken(text: &str, data: &str, rest: &str) {
    let body = chunked(text.as_bytes()).unwrap();
    assert_eq!(
        (&body.data[..], body.rest.as_deref()),
        (data.as_bytes(), Some(rest.as_bytes())),
        "{text:?}"
    );
}

#[test]
fn each_framing_ends_where_it_should() {
    let run = |framing| decode(BodyDecoder::request(framing), b"hello world", &[3]).unwrap();
    assert_eq!(run(Framing::None).rest, Some(b"hello world".to_vec()));
    assert_eq!(run(Framing::Length(0)).rest, Some(b"hello world".to_vec()));
    let body = run(Framing::Length(5));
    assert_eq!((body.data, body.rest), (b"hello".to_vec(), Some(b" world".to_vec())));
    assert_eq!(run(Framing::Length(12)).rest, None);
    let body = run(Framing::Close);
    assert_eq!((body.data, body.rest), (b"hello world".to_vec(), None));
}

#[test]
fn the_end_of_the_connection_ends_only_what_it_may() {
    let mut decoder = BodyDecoder::response(Framing::Close);
    assert!(!decoder.is_done());
    assert_eq!((decoder.close(), decoder.is_done()), (Ok(()), true));
    let mut decoder = BodyDecoder::response(Framing::Length(2));
    assert_eq!(decoder.length_left(), Some(2));
    assert_eq!(decoder.decode(&mut BytesMut::from("a")).map(|_| ()), Ok(()));
    assert_eq!((decoder.length_left(), decoder.close()), (Some(1), Err(BodyError::Truncated)));
    for part in ["", "1", "1\r\n", "1\r\na", "1\r\na\r\n", "0\r\n", "0\r\nA: b\r\n", "0\r\n\r"] {
        let mut decoder = BodyDecoder::response(Framing::Chunked);
        let mut buf = BytesMut::from(part);
        while let Decoded::Data(_) = decoder.decode(&mut buf).unwrap() {}
        assert_eq!(decoder.close(), Err(BodyError::Truncated), "{part:?}");
    }
}

#[test]
fn data_shares_the_buffers_memory() {
    let mut buf = BytesMut::from("5\r\nhello\r\n");
    let at = buf.as_ptr().wrapping_add(3);
    let mut decoder = BodyDecoder::request(Framing::Chunked);
    let Ok(Decoded::Data(data)) = decoder.decode(&mut buf) else { panic!("no data") };
    assert_eq!((&data[..], data.as_ptr()), (&b"hello"[..], at));
}

#[test]
fn chunks_are_taken() {
    taken("0\r\n\r\n", "", "");
    taken("5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /");
    taken("A\r\n0123456789\r\n1\r\nx\r\n00\r\n\r\n", "0123456789x", "");
    taken("000000000000000a\r\n0123456789\r\n0\r\n\r\n", "0123456789", "");
    taken("1;a=b;c=\"d e\"\t\r\nx\r\n0;e\r\n\r\n", "x", "");
    taken("2;\r\n\r\n\r\n0\r\n\r\n", "\r\n", "");
}

#[test]
fn chunks_that_can_be_read_twice_are_refused() {
    for size in [
        "",
        "x",
        "+1",
        "-1",
        "0x1",
        "1x",
        "g",
        "1,1",
        "1.",
        "\"1\"",
        "\u{e9}",
        ";a",
        "\0",
        "8000000000000000",
        "ffffffffffffffff",
        "00000000000000001",
        "fffffffffffffffff",
    ] {
        refused(format!("{size}\r\na\r\n"), BodyError::ChunkSize);
    }
    for size in ["1 ", "1\t", "1 ;a", " 1"] {
        let expected = if size == " 1" { BodyError::ChunkSize } else { BodyError::ChunkExtension };
        refused(format!("{size}\r\na\r\n"), expected);
    }
    for extension in ["\0", "\r", "a\rb", "\x7f", "\x1b"] {
        refused(format!("1;{extension}\r\na\r\n"), BodyError::ChunkExtension);
    }
    refused("1\na\r\n", BodyError::BareLf);
    refused("1;a\na\r\n", BodyError::BareLf);
    refused("\n", BodyError::BareLf);
    for end in ["ab", "a\n", "a\rb", "ab\r\n", "a0\r\n\r\n", "a\r\r\n", "a\n\r"] {
        refused(format!("1\r\n{end}"), BodyError::ChunkEnd);
    }
    refused("0\r\n\n", BodyError::Trailers(HeadError::BareLf));
    refused("0\r\nA: b\n\r\n", BodyError::Trailers(HeadError::BareLf));
    refused("0\r\n A: b\r\n\r\n", BodyError::Trailers(HeadError::ObsFold));
    refused("0\r\nA : b\r\n\r\n", BodyError::Trailers(HeadError::SpaceBeforeColon));
    refused("0\r\nGET / HTTP/1.1\r\n\r\n", BodyError::Trailers(HeadError::NoColon));
}

#[test]
fn an_answers_chunk_size_may_be_padded() {
    let text = b"5  \r\nhello\r\n0 \t;x\r\n\r\n";
    let body = decode(BodyDecoder::response(Framing::Chunked), text, &[]).unwrap();
    assert_eq!((&body.data[..], body.rest), (&b"hello"[..], Some(Vec::new())));
    for text in [" 5\r\nhello\r\n", "5 5\r\n", "5\x0b\r\n", "5\n"] {
        assert!(decode(BodyDecoder::response(Framing::Chunked), text.as_bytes(), &[]).is_err());
    }
}

#[test]
fn trailers_come_before_the_end_without_what_may_not_come_late() {
    let text = b"1\r\nx\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\nTRANSFER-encoding: chunked\r\nHost: h\r\n\
        x-sum: 2\r\n\r\nnext";
    let body = chunked(text).unwrap();
    let expected = [(&b"X-Sum"[..], &b"1"[..]), (b"x-sum", b"2")];
    assert!(body.trailers.iter().map(|(n, v)| (&n[..], &v[..])).eq(expected));
    assert_eq!(body.rest, Some(b"next".to_vec()));
    let body = chunked(b"0\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(body, Body { rest: Some(Vec::new()), ..Body::default() });
}

#[test]
fn lines_extensions_and_trailers_are_bounded() {
    let line = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(len - 3));
    assert!(chunked(line(1024).as_bytes()).is_ok());
    refused(line(1025), BodyError::ChunkOverhead);
    refused("1".repeat(1025), BodyError::ChunkOverhead);
    // Extensions that outweigh the data add up …
    let greedy = format!("1;{}\r\nx\r\n", "e".repeat(999));
    assert!(chunked(greedy.repeat(16).as_bytes()).is_ok());
    refused(greedy.repeat(17), BodyError::ChunkOverhead);
    // … those that do not may go on for ever.
    let fair = format!("64;{}\r\n{}\r\n", "e".repeat(90), "x".repeat(100));
    assert_eq!(chunked(fair.repeat(10_000).as_bytes()).unwrap().data.len(), 1_000_000);
    let field = format!("A: {}\r\n", "x".repeat(95));
    assert!(chunked(format!("0\r\n{}\r\n", field.repeat(81)).as_bytes()).is_ok());
    let large = format!("0\r\n{}\r\n", field.repeat(82));
    refused(large, BodyError::Trailers(HeadError::TooLarge));
    let many = format!("0\r\n{}\r\n", "A:\r\n".repeat(101));
    refused(many, BodyError::Trailers(HeadError::TooManyFields));
}

#[test]
fn a_body_of_any_length_counts_without_overflow() {
    let mut decoder = BodyDecoder::request(Framing::Length(i64::MAX as u64));
    let mut buf = BytesMut::new();
    buf.put_bytes(b'x', 100_000);
    assert!(matches!(decoder.decode(&mut buf), Ok(Decoded::Data(data)) if data.len() == 100_000));
    assert_eq!(decoder.decode(&mut buf), Ok(Decoded::NeedMore));
    assert_eq!(decoder.length_left(), Some(i64::MAX as u64 - 100_000));
    let mut decoder = BodyDecoder::request(Framing::Chunked);
    let mut buf = BytesMut::from("7fffffffffffffff\r\nx");
    assert!(matches!(decoder.decode(&mut buf), Ok(Decoded::Data(_))));
}
