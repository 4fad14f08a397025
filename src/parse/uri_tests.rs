//! Hostile targets by table, and the promises of the module header as properties.

use proptest::prelude::*;

use super::*;

/// Target, `path`, `forward`.
const ACCEPTED: &[(&str, &str, &str)] = &[
    ("/", "/", "/"),
    ("/a", "/a", "/a"),
    ("/a/", "/a/", "/a/"),
    ("/a//b", "/a/b", "/a/b"),
    ("//", "/", "/"),
    ("//a", "/a", "/a"),
    ("///a///b///", "/a/b/", "/a/b/"),
    ("/a/./b", "/a/b", "/a/b"),
    ("/./a", "/a", "/a"),
    ("/a/.", "/a/", "/a/"),
    ("/.", "/", "/"),
    ("/a/../b", "/b", "/b"),
    ("/a/..", "/", "/"),
    ("/a/../", "/", "/"),
    ("/a/b/..", "/a/", "/a/"),
    ("/a/b/../../c", "/c", "/c"),
    ("/a//../b", "/b", "/b"),
    ("/public/../admin", "/admin", "/admin"),
    ("/public/%2e%2e/admin", "/admin", "/admin"),
    ("/public/.%2e/admin", "/admin", "/admin"),
    ("/public/%2E./admin", "/admin", "/admin"),
    ("/a/%2e/b", "/a/b", "/a/b"),
    ("/x%2Fy/../..", "/", "/"),
    ("/a%2Fb/%2e%2e/%2e%2e", "/", "/"),
    // An ordinary escape stays as the client wrote it.
    ("/%61dmin", "/admin", "/%61dmin"),
    ("/a%20b", "/a b", "/a%20b"),
    ("/caf%C3%A9", "/café", "/caf%C3%A9"),
    ("/caf%c3%a9", "/café", "/caf%c3%a9"),
    ("/café", "/café", "/café"),
    ("/%E2%82%AC", "/€", "/%E2%82%AC"),
    ("/a%25b", "/a%b", "/a%25b"),
    ("/a%2Bb+c", "/a+b+c", "/a%2Bb+c"),
    ("/a%3Fb", "/a?b", "/a%3Fb"),
    ("/a%23b", "/a#b", "/a%23b"),
    ("/a%26b=c", "/a&b=c", "/a%26b=c"),
    ("/a%0d%0ab", "/a\r\nb", "/a%0d%0ab"),
    ("/ip%0AA", "/ip\nA", "/ip%0AA"),
    ("/a%7f", "/a\x7f", "/a%7f"),
    ("/~u/!$&'()*+,;=:@-._", "/~u/!$&'()*+,;=:@-._", "/~u/!$&'()*+,;=:@-._"),
    ("/{id}|\"<x>^`", "/{id}|\"<x>^`", "/{id}|\"<x>^`"),
    // An encoded slash is a slash to the router and stays encoded upstream.
    ("/a%2Fb", "/a/b", "/a%2Fb"),
    ("/a%2fb%2Fc", "/a/b/c", "/a%2fb%2Fc"),
    ("/a%2F", "/a/", "/a%2F"),
    ("/%2Fa", "/a", "/a"),
    ("/a/%2Fb", "/a/b", "/a/b"),
    ("/a%2F%2Fb", "/a/b", "/a/b"),
    ("/admin%2Fx//y", "/admin/x/y", "/admin/x/y"),
    // What is encoded twice is decoded once, here and upstream.
    ("/a%252Fb", "/a%2Fb", "/a%252Fb"),
    ("/%252e%252e%252fadmin", "/%2e%2e%2fadmin", "/%252e%252e%252fadmin"),
    ("//%252e%252e/x", "/%2e%2e/x", "/%252e%252e/x"),
    ("/a%255cb", "/a%5cb", "/a%255cb"),
    ("/a%2500", "/a%00", "/a%2500"),
    // Names that only look like dot-segments.
    ("/...", "/...", "/..."),
    ("/..a", "/..a", "/..a"),
    ("/a..", "/a..", "/a.."),
    ("/.hidden/.x", "/.hidden/.x", "/.hidden/.x"),
    ("/a/.../b", "/a/.../b", "/a/.../b"),
    ("/.%2e%2e", "/...", "/.%2e%2e"),
    ("/a%2F.b", "/a/.b", "/a%2F.b"),
    ("/.;a=1x/..b;c", "", ""),
    ("/a;b=c/d", "/a;b=c/d", "/a;b=c/d"),
    ("/;/a", "/;/a", "/;/a"),
    ("/a;..", "/a;..", "/a;.."),
    ("/a%3bb", "/a;b", "/a%3bb"),
    ("/DOMAIN%5Cuser", "/DOMAIN\\user", "/DOMAIN%5Cuser"),
    ("/a%5c%5cb//", "/a\\\\b/", "/a%5C%5Cb/"),
    ("//sp ace", "", ""),
    ("//a%20b%7f%C3%A9", "/a b\x7fé", "/a%20b%7F%C3%A9"),
    // Arguments and fragments are not the path's business.
    ("/a?b=/../c", "/a", "/a"),
    ("/a?b=%zz%00\\", "/a", "/a"),
    ("/a?", "/a", "/a"),
    ("/a#/../../x", "/a", "/a"),
    ("/a/..?x", "/", "/"),
    ("/?next=%2Fadmin", "/", "/"),
    ("http://example.com/a/../b", "/b", "/b"),
    ("http://example.com", "/", "/"),
    ("http://example.com?x=1", "/", "/"),
    ("HTTPS://[::1]:8443/x", "/x", "/x"),
    ("http://h:1//x", "/x", "/x"),
];

/// Target and the reason it is refused.
const REFUSED: &[(&[u8], UriError)] = &[
    (b"", UriError::NoPath),
    (b"*", UriError::NoPath),
    (b"a/b", UriError::NoPath),
    (b"?a", UriError::NoPath),
    (b"#", UriError::NoPath),
    (b"%2fadmin", UriError::NoPath),
    (b"\\admin", UriError::NoPath),
    (b"example.com:443", UriError::NoPath),
    (b"http:/x", UriError::NoPath),
    (b"1http://x/", UriError::NoPath),
    (b"http:///x", UriError::BadAuthority),
    (b"http://:80/", UriError::BadAuthority),
    (b"http://user@host/", UriError::BadAuthority),
    (b"http://ho\\st/", UriError::BadAuthority),
    (b"http://ho%20st/", UriError::BadAuthority),
    (b"/..", UriError::AboveRoot),
    (b"/../", UriError::AboveRoot),
    (b"/../etc/passwd", UriError::AboveRoot),
    (b"/a/../..", UriError::AboveRoot),
    (b"/a//../..", UriError::AboveRoot),
    (b"/%2e%2e/x", UriError::AboveRoot),
    (b"/./../x", UriError::AboveRoot),
    (b"/public/..%2fadmin", UriError::HiddenDotSegment),
    (b"/public/..%2Fadmin", UriError::HiddenDotSegment),
    (b"/public%2f../admin", UriError::HiddenDotSegment),
    (b"/public%2f..%2fadmin", UriError::HiddenDotSegment),
    (b"/public%2f%2e%2e%2fadmin", UriError::HiddenDotSegment),
    (b"/public%2f.%2fadmin", UriError::HiddenDotSegment),
    (b"/public/%2e%2e%2fadmin", UriError::HiddenDotSegment),
    (b"/a%2f..", UriError::HiddenDotSegment),
    (b"/.%2fa", UriError::HiddenDotSegment),
    (b"/public/..%5cadmin", UriError::HiddenDotSegment),
    (b"/public/..%5Cadmin", UriError::HiddenDotSegment),
    (b"/public%5c../admin", UriError::HiddenDotSegment),
    (b"/public%5c..%5cadmin", UriError::HiddenDotSegment),
    (b"/public%5c%2e%2e%5cadmin", UriError::HiddenDotSegment),
    (b"/a%5c.%5cb", UriError::HiddenDotSegment),
    (b"/a%5c..;x/b", UriError::HiddenDotSegment),
    (b"/public/..;/admin", UriError::HiddenDotSegment),
    (b"/public/..;a=b/admin", UriError::HiddenDotSegment),
    (b"/public/..%3b/admin", UriError::HiddenDotSegment),
    (b"/public/%2e%2e;/admin", UriError::HiddenDotSegment),
    (b"/public/.;/admin", UriError::HiddenDotSegment),
    (b"/..;", UriError::HiddenDotSegment),
    (b"/public\\..\\admin", UriError::Backslash),
    (b"/\\", UriError::Backslash),
    (b"/a\\b?x", UriError::Backslash),
    (b"/a%00", UriError::Nul),
    (b"/%00/../x", UriError::Nul),
    (b"/a%", UriError::BadEscape),
    (b"/a%2", UriError::BadEscape),
    (b"/a%zz", UriError::BadEscape),
    (b"/a%u002f", UriError::BadEscape),
    (b"/a%+1", UriError::BadEscape),
    (b"/a%2?f", UriError::BadEscape),
    (b"/a%%2f", UriError::BadEscape),
    (b"/a b", UriError::ControlByte),
    (b"/a\tb", UriError::ControlByte),
    (b"/a\0b", UriError::ControlByte),
    (b"/a\r\nb", UriError::ControlByte),
    (b"/a\x7f", UriError::ControlByte),
    (b"/a?b c", UriError::ControlByte),
    (b"/a?b\0", UriError::ControlByte),
    (b"/a#\n", UriError::ControlByte),
    (b"/%c0%af", UriError::Overlong),
    (b"/..%c0%af..%c0%afetc", UriError::Overlong),
    (b"/%c0%ae%c0%ae/x", UriError::Overlong),
    (b"/%C1%9C", UriError::Overlong),
    (b"/%e0%80%af", UriError::Overlong),
    (b"/%e0%9f%bf", UriError::Overlong),
    (b"/%f0%80%80%af", UriError::Overlong),
    (b"/%f8%80%80%80%af", UriError::Overlong),
    (b"/%fc%80%80%80%80%af", UriError::Overlong),
    (b"/\xc0\xaf", UriError::Overlong),
    (b"/\xc0%ae", UriError::Overlong),
];

/// What an upstream does that decodes a path once and knows no other rules.
fn strict_decode(path: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = path.to_vec();
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if text[at] == b'%' {
            let digits = std::str::from_utf8(&text[at + 1..at + 3]).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
            at += 3;
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}

#[track_caller]
fn check_promises(target: &[u8], options: Options) {
    let Ok(done) = normalise_with(target, options) else { return };
    let shown = String::from_utf8_lossy(target).into_owned();
    assert_eq!(strict_decode(&done.forward), *done.path, "upstream disagrees about {shown}");
    assert_eq!(done.path[0], b'/', "{shown}");
    assert!(!done.forward.iter().any(|&byte| byte <= b' ' || byte == 0x7f), "{shown}");
    assert!(memchr2(b'?', b'#', &done.forward).is_none(), "{shown}");
    for hide in [&b"/"[..], b"/\\"] {
        let parts = done.path.split(|byte| hide.contains(byte));
        for part in parts.map(|part| part.split(|&byte| byte == b';').next().unwrap()) {
            assert!(!matches!(part, b"." | b".."), "a dot-segment is left in {shown}");
        }
    }
    if options.merge_slashes {
        assert!(!done.path.windows(2).any(|pair| pair == b"//"), "{shown}");
    }
    for form in [encode_path(&done.path), done.forward.to_vec()] {
        let again = normalise_with(&form, options).unwrap();
        assert_eq!(again.path, done.path, "not stable: {shown}");
        assert_eq!(again.forward, form, "not stable: {shown}");
        assert_eq!(again.args, None);
    }
}

#[test]
fn decoding_once_takes_encoding_back_and_leaves_what_is_no_escape() {
    for path in [&b"/a b/%41/\xff?#"[..], b"/", b"", b"%", b"%4", b"/%zz%"] {
        assert_eq!(decode_once(&encode_path(path)), path);
    }
    assert_eq!(decode_once(b"/%2f%2F%252f%4%g0%"), b"///%2f%4%g0%");
}

#[test]
fn accepted_targets_have_one_path_and_one_forward() {
    for &(target, path, forward) in ACCEPTED {
        check_promises(target.as_bytes(), Options::default());
        if path.is_empty() {
            assert!(normalise(target.as_bytes()).is_err(), "{target}");
            continue;
        }
        let done = normalise(target.as_bytes()).unwrap_or_else(|e| panic!("{target}: {e}"));
        assert_eq!(String::from_utf8_lossy(&done.path), path, "path of {target}");
        assert_eq!(String::from_utf8_lossy(&done.forward), forward, "forward of {target}");
    }
}

#[test]
fn ambiguous_targets_are_refused() {
    for &(target, why) in REFUSED {
        let shown = String::from_utf8_lossy(target);
        assert_eq!(normalise(target).err(), Some(why), "{shown}");
    }
    assert!(ACCEPTED.len() + REFUSED.len() >= 150);
}

#[test]
fn latin_1_is_not_taken_for_overlong_utf_8() {
    for target in ["/voil%e0", "/%c0/x", "/%C1pex", "/%fc%62er", "/%e0%a0%80", "/%f0%90%80%80"] {
        let done = normalise(target.as_bytes()).unwrap();
        assert_eq!(done.forward, target.as_bytes());
    }
}

#[test]
fn a_normal_target_is_not_copied() {
    let done = normalise(b"/orders/17;v=2/.well-known?a=b").unwrap();
    assert!(matches!(done.path, Cow::Owned(_)), "a dot after a slash is looked at");
    let done = normalise(b"/orders/17;v=2?a=b#c").unwrap();
    assert!(matches!(done.path, Cow::Borrowed(b"/orders/17;v=2")));
    assert!(matches!(done.forward, Cow::Borrowed(b"/orders/17;v=2")));
}

#[test]
fn arguments_host_and_raw_form_are_told_apart() {
    let done = normalise(b"http://Example.com:80/a/../b?x=1?y#z?").unwrap();
    assert_eq!(done.host, Some(&b"Example.com:80"[..]));
    assert_eq!(done.args, Some(&b"x=1?y"[..]));
    assert_eq!(done.raw, b"/a/../b?x=1?y#z?");
    let mut out = Vec::new();
    done.write_forward(&mut out);
    assert_eq!(out, b"/b?x=1?y");
    assert_eq!(normalise(b"/a?").unwrap().args, Some(&b""[..]));
    assert_eq!(normalise(b"/a#?b").unwrap().args, None);
    assert_eq!(normalise(b"/a").unwrap().args, None);
}

#[test]
fn slashes_stay_where_merging_is_off() {
    let options = Options { merge_slashes: false };
    for (target, path) in [
        ("/proxy/http://a.b/c", "/proxy/http://a.b/c"),
        ("//", "//"),
        ("/a//../b", "/a/b"),
        ("/a/%2F/b", "/a///b"),
    ] {
        let done = normalise_with(target.as_bytes(), options).unwrap();
        assert_eq!(String::from_utf8_lossy(&done.path), path);
        check_promises(target.as_bytes(), options);
    }
}

#[test]
fn encoded_slashes_can_be_kept_for_matching() {
    let kept = |target: &'static str| normalise(target.as_bytes()).unwrap().with_encoded_slashes();
    assert_eq!(kept("/v1/te%2fst/list").as_deref(), Some(&b"/v1/te%2Fst/list"[..]));
    assert_eq!(kept("/v1/te%41%2Fst").as_deref(), Some(&b"/v1/teA%2Fst"[..]));
    assert_eq!(kept("/trailing/a%2Fb/").as_deref(), Some(&b"/trailing/a%2Fb/"[..]));
    assert_eq!(kept("/v1/test"), None);
    assert_eq!(kept("/x%2Fy/../.."), None);
    assert_eq!(kept("//x%2Fy"), None);
}

#[test]
fn path_parameters_are_stripped_as_a_servlet_container_does() {
    let strip = |path: &'static str| strip_path_params(path.as_bytes());
    assert_eq!(strip("/hello;world").unwrap(), &b"/hello"[..]);
    assert_eq!(strip("/hello;a=b/world;a/;").unwrap(), &b"/hello/world/"[..]);
    assert_eq!(strip("/hello").unwrap(), &b"/hello"[..]);
    for path in ["/;/a", "/b/;/c"] {
        assert_eq!(strip(path), Err(UriError::EmptySegment), "{path}");
    }
    for path in ["/.;", "/..;", "/%2e;", "/%2E%2E;/x", "/%2E%2e;"] {
        assert_eq!(strip(path), Err(UriError::HiddenDotSegment), "{path}");
    }
}

#[test]
fn queries_are_split_and_decoded() {
    let pairs: Vec<_> = split_args(b"a=1&&b&c=&=d&e=f=g").collect();
    let want: [(&[u8], Option<&[u8]>); 5] = [
        (b"a", Some(b"1")),
        (b"b", None),
        (b"c", Some(b"")),
        (b"", Some(b"d")),
        (b"e", Some(b"f=g")),
    ];
    assert_eq!(pairs, want);
    for (arg, want) in [("a+b%20c", "a b c"), ("%zz%4", "%zz%4"), ("%41%", "A%"), ("ab", "ab")] {
        assert_eq!(decode_arg(arg.as_bytes()), want.as_bytes());
    }
}

#[test]
fn every_byte_survives_encoding() {
    for byte in 1..=255u8 {
        if byte == b'/' {
            continue;
        }
        let path = [b'/', byte, b'x'];
        assert_eq!(strict_decode(&encode_path(&path)), path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_for_hostile_pieces(
        pieces in prop::collection::vec(prop::sample::select(&[
            "/", "/", "/", ".", "..", "%2e", "%2E%2e", "%2f", "%2F", "%5c", ";", "%3b", "a", "b%20",
            "%25", "%252f", "%c3%a9", "%c0", "%af", "%80", "é", "?", "#", "//", "%7f", "%0a", "%3f",
        ][..]), 0..12),
        merge_slashes: bool,
    ) {
        check_promises(format!("/{}", pieces.concat()).as_bytes(), Options { merge_slashes });
    }

    #[test]
    fn promises_hold_for_any_bytes(mut target in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = normalise(&target);
        target.insert(0, b'/');
        check_promises(&target, Options::default());
    }
}
