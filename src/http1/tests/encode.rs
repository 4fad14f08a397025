//! What is written, and hop-by-hop fields.

use crate::{
    fields::Fields,
    http1::{
        EncodeError, chunk_head, is_hop_by_hop, last_chunk, reason, remove_hop_by_hop,
        request_head, response_head,
    },
};

#[test]
fn heads_are_written_as_they_are_read() {
    let fields = Fields::from_parts([("Host", "h"), ("x-Y", ""), ("x-y", "\u{e9}")]).unwrap();
    let mut out = b"before".to_vec();
    request_head(&mut out, b"GET", b"/a?b", fields.iter()).unwrap();
    assert_eq!(
        out,
        "beforeGET /a?b HTTP/1.1\r\nHost: h\r\nx-Y: \r\nx-y: \u{e9}\r\n\r\n".as_bytes()
    );
    out.clear();
    response_head(&mut out, 404, b"", 1, []).unwrap();
    response_head(&mut out, 299, b"", 0, []).unwrap();
    response_head(&mut out, 200, b"Fine", 1, [(&b"A"[..], &b"b"[..])]).unwrap();
    let expected =
        "HTTP/1.1 404 Not Found\r\n\r\nHTTP/1.0 299 \r\n\r\nHTTP/1.1 200 Fine\r\nA: b\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn nothing_that_splits_a_message_is_written() {
    let mut out = b"before".to_vec();
    for method in ["", "G T", "GET\r\n", "\u{e9}"] {
        assert_eq!(request_head(&mut out, method.as_bytes(), b"/", []), Err(EncodeError::Method));
    }
    for target in ["", "/a b", "/\r\n", "/\n", "/\0", "/\x7f", "/\t"] {
        assert_eq!(request_head(&mut out, b"GET", target.as_bytes(), []), Err(EncodeError::Target));
    }
    for value in ["a\r\nB: c", "\n", "\r", "a\r\n\r\nGET"] {
        let field = [(&b"A"[..], value.as_bytes())];
        assert_eq!(request_head(&mut out, b"GET", b"/", field), Err(EncodeError::Split));
        assert_eq!(response_head(&mut out, 200, b"", 1, field), Err(EncodeError::Split));
        assert_eq!(response_head(&mut out, 200, value.as_bytes(), 1, []), Err(EncodeError::Split));
    }
    assert_eq!(out, b"before");
}

#[test]
fn chunks_are_written() {
    let mut out = Vec::new();
    for len in [1, 9, 10, 15, 16, 255, 4096, 0xdead_beef, usize::MAX] {
        out.clear();
        chunk_head(&mut out, len);
        assert_eq!(String::from_utf8_lossy(&out), format!("{len:x}\r\n"));
    }
    out.clear();
    last_chunk(&mut out, None);
    last_chunk(&mut out, Some(&Fields::from_parts([("A", "b"), ("C", "d")]).unwrap()));
    assert_eq!(out, b"0\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n");
}

#[test]
fn reasons_are_the_registered_ones() {
    for (status, expected) in [
        (100, "Continue"),
        (200, "OK"),
        (418, "I'm a teapot"),
        (511, "Network Authentication Required"),
    ] {
        assert_eq!(reason(status), expected);
    }
    for status in [0, 99, 199, 299, 306, 399, 499, 599, 600, 999, u16::MAX] {
        assert_eq!(reason(status), "", "{status}");
    }
    let known = (100..600).filter(|status| !reason(*status).is_empty()).count();
    assert_eq!(known, 62);
}

#[test]
fn fields_of_one_hop_are_removed() {
    for name in
        ["Connection", "KEEP-ALIVE", "te", "Upgrade", "transfer-encoding", "Proxy-Connection"]
    {
        assert!(is_hop_by_hop(name), "{name}");
    }
    assert!(!is_hop_by_hop("Trailer") && !is_hop_by_hop("TEA"));
    let mut fields = Fields::from_parts([
        ("Host", "h"),
        ("Connection", "close, X-Mine, host , X-Forwarded-For,authorization"),
        ("connection", "Other"),
        ("x-mine", "1"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("Authorization", "x"),
        ("OTHER", "2"),
        ("Close", "stays"),
        ("TE", "trailers"),
    ])
    .unwrap();
    remove_hop_by_hop(&mut fields);
    let left: Vec<_> = fields.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(left, ["Host", "X-Forwarded-For", "Authorization", "Close"]);
    let mut plain = Fields::from_parts([("A", "b"), ("Upgrade", "x")]).unwrap();
    remove_hop_by_hop(&mut plain);
    assert_eq!(plain.len(), 1);
}
