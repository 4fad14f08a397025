//! Request heads.

use super::{HeadError, HeadLimits, Progress, RequestHead, parse_request, request};
use crate::http1::{Form, Framing};

/// A request of HTTP/1.1 with a Host and these header lines.
fn with(lines: &str) -> Vec<u8> {
    format!("POST /p?q HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes()
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, expected: HeadError) {
    let bytes = bytes.as_ref();
    match request(bytes) {
        Err(error) => assert_eq!(error, expected, "{}", bytes.escape_ascii()),
        Ok((head, _)) => panic!("taken: {} as {head:?}", bytes.escape_ascii()),
    }
}

#[track_caller]
fn framed(lines: &str, expected: Framing) {
    let (head, len) = request(&with(lines)).unwrap();
    assert_eq!((head.framing(), len), (expected, with(lines).len()), "{lines:?}");
}

#[test]
fn a_plain_request_comes_out_whole() {
    let text =
        b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nAccept:\t */* \t\r\nX-Empty:\r\n\
        x-empty: \r\n\r\nrest";
    let (head, len) = request(text).unwrap();
    assert_eq!(len, text.len() - 4);
    assert_eq!((head.method(), head.target()), (&b"GET"[..], &b"/a/b?c=d"[..]));
    assert_eq!((head.path_and_query(), head.form()), (&b"/a/b?c=d"[..], Form::Origin));
    assert_eq!((head.host(), head.minor()), (&b"example.com:8080"[..], 1));
    assert_eq!(head.raw(), &text[..len]);
    assert_eq!(head.line(), b"GET /a/b?c=d HTTP/1.1");
    assert!(
        head.raw_fields().starts_with(b"Host: example") && head.raw_fields().ends_with(b"\r\n\r\n")
    );
    assert_eq!(
        head.fields.iter().collect::<Vec<_>>(),
        [
            (&b"Host"[..], &b"example.com:8080"[..]),
            (b"Accept", b"*/*"),
            (b"X-Empty", b""),
            (b"x-empty", b""),
        ]
    );
    assert_eq!(head.framing(), Framing::None);
    assert!(head.keep_alive() && !head.expect_continue() && !head.upgrade());
}

#[test]
fn a_head_is_reusable_and_owns_its_bytes() {
    let mut head = RequestHead::new();
    for round in 0..3 {
        let text = format!("PUT /{round} HTTP/1.0\r\nN{round}: v{round}\r\n\r\n").into_bytes();
        let done = parse_request(&text, &HeadLimits::default(), &mut head);
        assert_eq!(done, Ok(Progress::Done(text.len())));
        drop(text);
        assert_eq!(head.target(), format!("/{round}").as_bytes());
        assert_eq!((head.fields.len(), head.host()), (1, &b""[..]));
        head.fields.set("Added", "later").unwrap();
    }
    let refused = parse_request(b"\n", &HeadLimits::default(), &mut head);
    assert_eq!(refused, Err(HeadError::BareLf));
    assert_eq!((head.method(), head.raw(), head.fields.len()), (&b""[..], &b""[..], 0));
}

#[test]
fn bodies_are_framed_by_one_field() {
    framed("", Framing::None);
    framed("Content-Length: 0\r\n", Framing::Length(0));
    framed("content-LENGTH:\t12 \r\n", Framing::Length(12));
    framed("Content-Length: 0012\r\n", Framing::Length(12));
    framed("Content-Length: 9223372036854775807\r\n", Framing::Length(i64::MAX as u64));
    framed("Transfer-Encoding: chunked\r\n", Framing::Chunked);
    framed("Transfer-Encoding: CHUNKED\r\n", Framing::Chunked);
    framed("Transfer_Encoding: chunked\r\nContent_Length: 5\r\n", Framing::None);
    framed("X-Content-Length: 5\r\n", Framing::None);
}

#[test]
fn smuggled_framing_is_refused() {
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for both in [format!("{length}{chunked}"), format!("{chunked}{length}")] {
        refused(with(&both), HeadError::LengthAndCoding);
    }
    refused(
        with("Content-Length: 5\r\nTransfer-Encoding: identity\r\n"),
        HeadError::LengthAndCoding,
    );
    refused(
        with("Content-Length: x\r\nTransfer-Encoding: chunked\r\n"),
        HeadError::LengthAndCoding,
    );
    for repeated in ["5\r\nContent-Length: 5", "5\r\ncontent-length: 6", "5, 5", "5,5", "5,", ",5"]
    {
        refused(with(&format!("Content-Length: {repeated}\r\n")), HeadError::LengthRepeated);
    }
    for malformed in [
        "",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "5;",
        "5.0",
        "5e1",
        "\u{ff15}",
        "\"5\"",
        "5\t5",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999",
        "00000000000000000005",
    ] {
        refused(with(&format!("Content-Length: {malformed}\r\n")), HeadError::LengthMalformed);
    }
    for malformed in ["", "chunked, chunked", "chunked, gzip", "chunked, identity", ","] {
        refused(with(&format!("Transfer-Encoding: {malformed}\r\n")), HeadError::CodingMalformed);
    }
    for unknown in [
        "identity",
        "gzip, chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "chunk ed",
        "cow",
        "chunked\u{a0}",
    ] {
        refused(with(&format!("Transfer-Encoding: {unknown}\r\n")), HeadError::CodingUnknown);
    }
    refused(with(&chunked.repeat(2)), HeadError::CodingMalformed);
    refused(
        with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        HeadError::CodingMalformed,
    );
    refused(with("Transfer-Encoding: \x0bchunked\r\n"), HeadError::FieldValue);
    refused(with("Transfer-Encoding\x0b: chunked\r\n"), HeadError::FieldName);
    refused(with("Transfer-Encoding : chunked\r\n"), HeadError::SpaceBeforeColon);
    refused(with("Transfer-Encoding\t: chunked\r\n"), HeadError::SpaceBeforeColon);
    refused(with("Transfer-Encoding:\r\n chunked\r\n"), HeadError::ObsFold);
    refused(with("X: y\nTransfer-Encoding: chunked\r\n"), HeadError::BareLf);
    refused(with("X: y\rTransfer-Encoding: chunked\r\n"), HeadError::BareCr);
    refused(with("X: y\r\r\nTransfer-Encoding: chunked\r\n"), HeadError::BareCr);
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    refused(old, HeadError::CodingOnOldVersion);
}

#[test]
fn line_ends_are_cr_lf_and_nothing_else() {
    refused("GET / HTTP/1.1\nHost: h\r\n\r\n", HeadError::BareLf);
    refused("GET / HTTP/1.1\r\nHost: h\n\r\n", HeadError::BareLf);
    refused("GET / HTTP/1.1\r\nHost: h\r\n\n", HeadError::BareLf);
    refused("GET / HTTP/1.1\r\nHost: h\n\n", HeadError::BareLf);
    refused("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::BareLf);
    refused("\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::EmptyLine);
    refused("\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::EmptyLine);
    refused("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::BareCr);
    refused("GET / HTTP/1.1\rHost: h\r\n\r\n", HeadError::BareCr);
    refused("GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", HeadError::BareCr);
    refused("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", HeadError::BareCr);
    refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n", HeadError::ObsFold);
    refused("GET / HTTP/1.1\r\nHost: h\r\n\tx\r\n\r\n", HeadError::ObsFold);
    refused("GET / HTTP/1.1\r\nHost: h\r\n \r\n\r\n", HeadError::ObsFold);
    let text = b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let (head, len) = request(text).unwrap();
    assert_eq!((len, head.raw()), (text.len(), &text[2..]));
}

#[test]
fn the_request_line_has_three_parts_and_single_spaces() {
    for line in [
        "GET /",
        "GET",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / x HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/a.1",
        "GET / HTTPS/1.1",
        "GET /\tHTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "G\u{c9}T",
    ] {
        refused(format!("{line}\r\nHost: h\r\n\r\n"), HeadError::RequestLine);
    }
    for version in ["2.0", "1.2", "0.9", "3.1", "1.9"] {
        refused(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"), HeadError::Version);
    }
    refused("PRI * HTTP/2.0\r\n\r\n", HeadError::Version);
    for line in ["G@T / HTTP/1.1", "G\u{c9}T / HTTP/1.1", "GET\t/ / HTTP/1.1", "G\0T / HTTP/1.1"] {
        refused(format!("{line}\r\nHost: h\r\n\r\n"), HeadError::Method);
    }
    for first in [" ", "\t", "\0", "(", "\x16\x03\x01", "\u{feff}"] {
        refused(format!("{first}GET / HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::Method);
    }
    for target in ["/a\tb", "/a\0", "/\x7f", "/\x1b[0m", "/\x0c"] {
        refused(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::Target);
    }
    let (head, _) = request(b"M-SEARCH /\xff\xc0\xaf#\\\"<> HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    assert_eq!(head.target(), b"/\xff\xc0\xaf#\\\"<>");
    assert_eq!(head.method(), b"M-SEARCH");
}

#[test]
fn each_form_of_target_has_its_place() {
    for (line, host, path, form) in [
        ("GET http://a.b:81/c?d", "a.b:81", "/c?d", Form::Absolute),
        ("GET HTTPS://a/", "a", "/", Form::Absolute),
        ("GET http://a", "a", "/", Form::Absolute),
        ("GET http://a?q=/", "a", "/?q=/", Form::Absolute),
        ("GET http://a#f", "a", "/#f", Form::Absolute),
        ("GET http://[::1]:8/x", "[::1]:8", "/x", Form::Absolute),
        ("OPTIONS *", "h", "*", Form::Asterisk),
        ("OPTIONS /", "h", "/", Form::Origin),
        ("GET //a/b", "h", "//a/b", Form::Origin),
        ("GET /http://x/", "h", "/http://x/", Form::Origin),
        ("CONNECT a:443", "a:443", "", Form::Authority),
    ] {
        let text = format!("{line} HTTP/1.1\r\nA: 1\r\nHost: h\r\nB: 2\r\n\r\n");
        let (head, _) = request(text.as_bytes()).unwrap();
        assert_eq!(head.host().escape_ascii().to_string(), host, "{line}");
        assert_eq!(head.path_and_query().escape_ascii().to_string(), path, "{line}");
        assert_eq!(head.form(), form, "{line}");
        assert_eq!(head.fields.get("host"), Some(host.as_bytes()), "{line}");
        assert_eq!(head.fields.iter().nth(1), Some((&b"Host"[..], host.as_bytes())));
        assert_eq!(head.raw(), text.as_bytes());
    }
    for line in [
        "GET *",
        "OPTIONS **",
        "GET a",
        "GET a/b",
        "GET ?q",
        "GET #",
        "GET ftp://a/",
        "GET http:/a",
        "GET http:a",
        "GET ://a/",
        "GET a:443",
        "GET javascript:x",
        "GET \\a",
    ] {
        refused(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::Target);
    }
    for line in ["GET http:///x", "GET http://u@a/", "GET http://a:b/", "CONNECT /", "CONNECT a/b"]
    {
        refused(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"), HeadError::HostMalformed);
    }
    refused("GET http://a/ HTTP/1.1\r\n\r\n", HeadError::HostMissing);
    refused("GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", HeadError::HostMalformed);
    let (head, _) = request(b"GET http://a/ HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.host(), head.fields.get("host")), (&b"a"[..], Some(&b"a"[..])));
}

#[test]
fn host_is_one_and_well_formed() {
    refused("GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing);
    refused("GET / HTTP/1.1\r\nX-Host: h\r\n\r\n", HeadError::HostMissing);
    refused("GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n", HeadError::HostRepeated);
    refused("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", HeadError::HostRepeated);
    for host in [
        "",
        " ",
        "a b",
        "a/b",
        "a@b",
        "a\\b",
        "a?b",
        "a#b",
        "a\tb",
        "\u{e9}",
        "a..b",
        "..",
        ".",
        ":80",
        "a:b",
        "a:80:80",
        "a:65536",
        "a:000080",
        "a:-1",
        "a:+1",
        "[::1",
        "::1",
        "[]",
        "[a]",
        "[::1]x",
        "[::1]:x",
        "[::g]",
        "x[::1]",
        "<a>",
        "a|b",
        "a\"b",
        "{a}",
        "a^b",
        "[1.2.3.4]",
    ] {
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), HeadError::HostMalformed);
    }
    for host in [
        "a",
        "A.b-c_d~e",
        "a.",
        "a.:80",
        "1.2.3.4:65535",
        "[::1]",
        "[2001:db8::1]:80",
        "[::ffff:1.2.3.4]",
        "a:",
        "xn--bcher-kva.example",
        "a%20b",
        "a:0",
        "*.a",
        "a,b",
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(request(text.as_bytes()).unwrap().0.host(), host.as_bytes());
    }
}

#[test]
fn field_lines_are_names_and_values_without_control_bytes() {
    for name in ["", "a b", " a", "a\0", "a(", "\u{e9}", "a/b", "\"a\"", "a\x7f"] {
        let line = format!("{name}: v\r\n");
        let expected =
            if name.starts_with(' ') { HeadError::ObsFold } else { HeadError::FieldName };
        refused(with(&line), expected);
    }
    for byte in (0..=8).chain(11..=12).chain(14..=31).chain([127_u8]) {
        let mut text = with("X: a?b\r\n");
        let at = text.iter().rposition(|b| *b == b'?').unwrap();
        text[at] = byte;
        refused(&text, HeadError::FieldValue);
    }
    refused(with("colonless\r\n"), HeadError::NoColon);
    let (head, _) = request(&with("!#$%&'*+-.^_`|~09azAZ: :\u{e9}\t\"\r\n")).unwrap();
    assert_eq!(head.fields.get("!#$%&'*+-.^_`|~09azAZ"), Some(":\u{e9}\t\"".as_bytes()));
    let (head, _) = request(b"GET / HTTP/1.1\r\nHost: h\r\nX: \xff\x80\r\n\r\n").unwrap();
    assert_eq!(head.fields.get("x"), Some(&b"\xff\x80"[..]));
}

#[test]
fn persistence_follows_version_and_connection() {
    for (minor, lines, expected) in [
        (1, "", true),
        (0, "", false),
        (1, "Connection: close\r\n", false),
        (1, "Connection: CLOSE , x\r\n", false),
        (1, "Connection: x,close\r\n", false),
        (1, "Connection: x\r\nConnection: close\r\n", false),
        (1, "Connection: closed\r\n", true),
        (1, "Connection: keep-alive, close\r\n", false),
        (0, "Connection: Keep-Alive\r\n", true),
        (0, "Connection: close, keep-alive\r\n", false),
        (0, "Proxy-Connection: keep-alive\r\n", false),
        (1, "X-Connection: close\r\n", true),
    ] {
        let text = format!("GET / HTTP/1.{minor}\r\nHost: h\r\n{lines}\r\n");
        let (head, _) = request(text.as_bytes()).unwrap();
        assert_eq!((head.keep_alive(), head.minor()), (expected, minor), "{lines:?}");
    }
}

#[test]
fn expectations_and_upgrades_need_http_1_1() {
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    for (minor, lines, expect, upgrades) in [
        (1, "Expect: 100-Continue\r\n", true, false),
        (0, "Expect: 100-continue\r\n", false, false),
        (1, "Expect: 200-ok\r\n", false, false),
        (1, upgrade, false, true),
        (0, upgrade, false, false),
        (1, "Upgrade: websocket\r\n", false, false),
        (1, "Connection: upgrade\r\n", false, false),
        (1, "Connection: upgrade\r\nUpgrade:\r\n", false, false),
    ] {
        let text = format!("GET / HTTP/1.{minor}\r\nHost: h\r\n{lines}\r\n");
        let (head, _) = request(text.as_bytes()).unwrap();
        assert_eq!((head.expect_continue(), head.upgrade()), (expect, upgrades), "{lines:?}");
    }
}

#[test]
fn every_bound_holds_to_the_byte() {
    let limits = HeadLimits { bytes_max: 200, fields_max: 4, line_max: 60 };
    let run = |text: &[u8]| parse_request(text, &limits, &mut RequestHead::new());
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(len - 14));
    assert!(run(line(60).as_bytes()).is_ok());
    assert_eq!(run(line(61).as_bytes()), Err(HeadError::StartLineTooLong));
    let field =
        |len: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nN: {}\r\n\r\n", "x".repeat(len - 3));
    assert!(run(field(60).as_bytes()).is_ok());
    assert_eq!(run(field(61).as_bytes()), Err(HeadError::FieldTooLong));
    let count =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert!(run(count(4).as_bytes()).is_ok());
    assert_eq!(run(count(5).as_bytes()), Err(HeadError::TooManyFields));
    let whole = |len: usize| {
        let lines = format!("A: {}\r\n", "x".repeat(50)).repeat(3);
        let rest = len - 2 - 16 - 9 - lines.len();
        format!("GET / HTTP/1.0\r\n{lines}Z{}: \r\n\r\n", "z".repeat(rest + 4))
    };
    assert_eq!(whole(200).len(), 200);
    assert!(run(whole(200).as_bytes()).is_ok());
    assert_eq!(run(whole(201).as_bytes()), Err(HeadError::TooLarge));
    // Without a line end, the bound is noticed as soon as it is passed.
    assert_eq!(run(&b"G".repeat(61)), Ok(Progress::Partial));
    assert_eq!(run(&b"G".repeat(62)), Err(HeadError::StartLineTooLong));
}

#[test]
fn many_fields_parse_as_few_do() {
    for count in [1, 31, 32, 33, 1000] {
        let text = format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert_eq!(request(text.as_bytes()).unwrap().0.fields.count("a"), count);
    }
}

#[test]
fn parts_of_http_2_are_held_to_the_same_rules() {
    let mut head = RequestHead::new();
    let mut run = |method: &str, target: &str, host: Option<&str>, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let host = host.map(str::as_bytes);
        head.assemble(method.as_bytes(), target.as_bytes(), host, fields).map(|()| head.clone())
    };
    let fields = [("a", "1"), ("cookie", "x=1"), ("host", "other"), ("Cookie", "y=2"), ("b", "")];
    let head = run("GET", "/p?q", Some("h:80"), &fields).unwrap();
    let all = [(&b"host"[..], &b"h:80"[..]), (b"a", b"1"), (b"b", b""), (b"cookie", b"x=1; y=2")];
    assert_eq!(head.fields.iter().collect::<Vec<_>>(), all);
    assert_eq!((head.host(), head.target(), head.keep_alive()), (&b"h:80"[..], &b"/p?q"[..], true));
    let host = run("GET", "/", None, &[("host", "h")]).unwrap();
    assert_eq!((host.host(), host.framing()), (&b"h"[..], Framing::None));
    for (method, target, name, value, expected) in [
        ("G T", "/", "a", "b", HeadError::Method),
        ("GET", "/ HTTP/1.1\r\nX: y", "a", "b", HeadError::Target),
        ("GET", "nothing", "a", "b", HeadError::Target),
        ("GET", "/", "a", "b\r\nc: d", HeadError::FieldValue),
        ("GET", "/", "a", "b\0", HeadError::FieldValue),
        ("GET", "/", "a b", "c", HeadError::FieldName),
        ("GET", "/", "", "c", HeadError::FieldName),
        ("GET", "/", "a:b", "c", HeadError::FieldName),
        ("GET", "/", ":path", "c", HeadError::FieldName),
        ("GET", "/", "content-length", "x", HeadError::LengthMalformed),
    ] {
        assert_eq!(run(method, target, Some("h"), &[(name, value)]).err(), Some(expected));
    }
    assert_eq!(run("GET", "/", None, &[]).err(), Some(HeadError::HostMissing));
    let many: Vec<_> = (0..2000).map(|_| ("a", "b")).collect();
    assert_eq!(run("GET", "/", Some("h"), &many).unwrap().fields.len(), 2001);
}

#[test]
fn refusals_know_their_status() {
    for (error, status) in [
        (HeadError::StartLineTooLong, 414),
        (HeadError::TooLarge, 431),
        (HeadError::TooManyFields, 431),
        (HeadError::Version, 505),
        (HeadError::CodingUnknown, 501),
        (HeadError::BareLf, 400),
    ] {
        assert_eq!(error.status(), status);
        assert_eq!(error.to_string(), error.why());
    }
}
