//! Options, calls and answers.

use std::{rc::Rc, time::Duration};

use serde_json::{Value, json};

use super::{PROTO, dialect, source};
use crate::codec::{
    Answer, Arguments, Call, Dialect as _, Input, Refusal,
    registry::{self, Source},
    trpc::{
        Dialect,
        frame::Frame,
        head::{Request, Response},
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn input(body: &[u8]) -> Input<'_> {
    Input {
        service: None,
        function: None,
        arguments: Arguments::Json(body),
        metadata: &[],
        timeout: SECOND,
    }
}

fn typed(options: Value) -> Dialect {
    let mut all = json!({ "mode": "protobuf", "service": "trpc.app.demo.Demo" });
    all.as_object_mut().expect("object").extend(options.as_object().expect("object").clone());
    Dialect::new(&all, &[source(PROTO)]).expect("a dialect")
}

#[track_caller]
fn check_options(options: Value, why: &str) {
    let error = Dialect::new(&options, &[source(PROTO)]).err().expect("refused");
    assert!(error.contains(why), "{error}");
}

/// The frame of a call.
fn sent(call: &Rc<dyn Call>) -> Vec<u8> {
    let mut out = Vec::new();
    call.write(7, &mut out);
    out
}

fn refused(dialect: &Dialect, input: &Input<'_>) -> Refusal {
    dialect.call(input).err().expect("refused")
}

/// What becomes of an answer with this head and body.
fn answered(call: &Rc<dyn Call>, head: &Response<'_>, body: &[u8]) -> Result<Answer, String> {
    let (mut bytes, mut frame) = (Vec::new(), Vec::new());
    Response { request_id: 7, ..head.clone() }.encode(&mut bytes);
    Frame { id: 7, version: 1, head: &bytes, rest: body }.write(&mut frame);
    call.answer(Some(&frame)).map_err(|broken| broken.0)
}

fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a [u8]> {
    let mut fields = answer.headers.iter();
    fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

#[test]
fn options_are_refused_by_name() {
    check_options(json!({ "servise": "x" }), "servise");
    check_options(json!({ "service": "" }), "service: \"\" is no name");
    check_options(json!({ "caller": "a b" }), "caller: ");
    check_options(json!({ "timeout_ms": -1 }), "timeout_ms: ");
    check_options(json!({ "mode": "json" }), "mode: unknown variant `json`");
    check_options(json!({ "compress": "lz4" }), "compress: unknown variant `lz4`");
    check_options(json!({ "json": { "int64": "hex" } }), "json.int64: ");
    check_options(json!({ "status_map": { "x": 500 } }), "status_map: \"x\" is neither");
    check_options(json!({ "status_map": { "1": 100 } }), "status_map: 1: 100 is no final");
    check_options(json!({ "max_frame": 100 }), "max_frame: 100 is not in");
    check_options(json!({ "response_headers": ["a b"] }), "response_headers: \"a b\"");
    check_options(json!({ "response_headers": ["Content-Length"] }), "cannot come from a server");
    check_options(json!({ "service": "trpc.app.demo.Other" }), "but trpc.app.demo.Demo");
    check_options(json!({ "function": "Nope" }), "no function /trpc.app.demo.Demo/Nope");
    check_options(json!({ "function": "Watch" }), "streams");
    check_options(json!({ "response_headers": { "a": "b\n" } }), "response_headers: \"b\\n\"");
    check_options(json!({ "response_headers": 1 }), "expected a list of names or an object");
    check_options(json!(1), "invalid type");
    let error = Dialect::new(&json!({ "mode": "protobuf" }), &[]).err();
    assert!(error.expect("refused").contains("needs a description"));
    let empty = Dialect::new(&json!({}), &[source("message A {}")]).err();
    assert_eq!(empty.as_deref(), Some("the description has no service"));
    assert!(Dialect::new(&json!([]), &[]).is_ok() && Dialect::new(&Value::Null, &[]).is_ok());
}

#[test]
fn it_is_found_among_the_protocols() {
    let protocol = registry::find(registry::PROTOCOLS, "trpc").expect("there");
    let made = (protocol.dialect)(&json!({}), &[source(PROTO)]).expect("a dialect");
    assert_eq!(made.framing().name(), "trpc");
    assert!(registry::check(registry::PROTOCOLS, &source("message {")).is_err());
}

#[test]
fn a_description_without_a_telling_name_is_right_in_one_of_the_languages() {
    let check = |text: &str| {
        registry::check(registry::PROTOCOLS, &Source { name: "1", text: text.as_bytes() })
    };
    assert_eq!(check(PROTO), Ok(()));
    assert_eq!(check("module A { struct B { 0 require int c; }; };"), Ok(()));
    let why = check("syntax = \"proto3\"; nonsense").expect_err("neither");
    assert!(why.contains("as .tars: ") && why.contains("as .proto: "), "{why}");
    assert_eq!(registry::check(&[], &Source { name: "1", text: b"?" }), Ok(()));
}

#[test]
fn passthrough_leaves_bodies_as_they_are() {
    let dialect = dialect(json!({ "service": "a.b", "function": "F" }));
    for (body, sent_body) in [(&b"{ \"a\" : 1}\n"[..], &b"{ \"a\" : 1}\n"[..]), (b"", b"{}")] {
        let call = dialect.call(&input(body)).expect("a call");
        let frame = sent(&call);
        let frame = Frame::parse(&frame).expect("a frame");
        let head = Request::decode(frame.head).expect("a head");
        assert_eq!((head.func, head.callee), (&b"/a.b/F"[..], &b"a.b"[..]));
        assert_eq!((head.content_type, head.timeout_ms), (2, 1000));
        assert_eq!(head.caller, b"trpc.gateway.moongate.http");
        assert_eq!(frame.rest, sent_body);
        let json = Response { content_type: 2, ..Response::default() };
        let answer = answered(&call, &json, b"{ } ").expect("an answer");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"{ } "[..]));
        assert_eq!(field(&answer, "Content-Type"), Some(&b"application/json"[..]));
        assert_eq!(field(&answer, "trpc-ret"), None);
    }
    let pairs = Input { arguments: Arguments::Pairs(&[("a", "1"), ("a", "2")]), ..input(b"") };
    let frame = sent(&dialect.call(&pairs).expect("a call"));
    assert_eq!(Frame::parse(&frame).expect("a frame").rest, br#"{"a":["1","2"]}"#);
}

#[test]
fn a_request_may_name_service_and_function() {
    let dialect = dialect(json!({ "service": "a.b", "function": "F" }));
    for (service, function, callee, func) in [
        (None, Some("G"), "a.b", "/a.b/G"),
        (Some("c.d"), None, "c.d", "/c.d/F"),
        (Some("c.d"), Some("/x.y/H"), "c.d", "/x.y/H"),
    ] {
        let call = dialect.call(&Input { service, function, ..input(b"") }).expect("a call");
        let frame = sent(&call);
        let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
        assert_eq!((head.callee, head.func), (callee.as_bytes(), func.as_bytes()));
    }
    for function in ["", "a b", "a\u{0}", &"x".repeat(2000)] {
        let input = Input { function: Some(function), ..input(b"") };
        assert_eq!(refused(&dialect, &input).status, 404, "{function:?}");
    }
    let nothing = super::dialect(json!({}));
    assert_eq!(refused(&nothing, &input(b"")).message, "no function is named");
    let bare = Input { function: Some("F"), ..input(b"") };
    assert_eq!(refused(&nothing, &bare).message, "no service is named for function F");
    let full = Input { function: Some("/a.b/F"), ..input(b"") };
    let frame = sent(&nothing.call(&full).expect("a call"));
    let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
    assert_eq!(head.callee, b"a.b");
}

#[test]
fn protobuf_goes_out_and_json_comes_back() {
    let dialect = typed(json!({ "function": "Named", "json": { "defaults": "omit" } }));
    let call = dialect.call(&input(br#"{"name":"x","weight":"-1"}"#)).expect("a call");
    let frame = sent(&call);
    let frame = Frame::parse(&frame).expect("a frame");
    let head = Request::decode(frame.head).expect("a head");
    // The alias is what goes into the head.
    assert_eq!((head.func, head.content_type), (&b"/v1/named"[..], 0));
    assert_eq!(frame.rest, b"\x0a\x01x\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    let answer = answered(&call, &Response::default(), frame.rest).expect("an answer");
    assert_eq!(answer.body, br#"{"name":"x","weight":"-1"}"#);
    assert_eq!(answered(&call, &Response::default(), b"").expect("an answer").body, b"{}");
    let error = answered(&call, &Response::default(), b"\x0a\x05x").expect_err("broken");
    assert!(error.starts_with("the body is no trpc.app.demo.Inner: "), "{error}");
    let refusal = refused(&dialect, &input(br#"{"name":5}"#));
    assert_eq!(refusal.status, 400);
    assert!(refusal.message.starts_with("body.name: "), "{refusal}");
    let unknown = Input { function: Some("Nope"), ..input(b"") };
    assert_eq!(refused(&dialect, &unknown).status, 404);
    let pairs = Input { arguments: Arguments::Pairs(&[("weight", "2")]), ..input(b"") };
    let frame = sent(&dialect.call(&pairs).expect("a call"));
    assert_eq!(Frame::parse(&frame).expect("a frame").rest, b"\x18\x02");
}

#[test]
fn a_description_makes_the_mode_protobuf_unless_another_is_asked_for() {
    for (options, content_type, func) in [
        (json!({ "function": "Named" }), 0, &b"/v1/named"[..]),
        (json!({ "function": "Named", "mode": "passthrough" }), 2, b"/v1/named"),
    ] {
        let dialect = Dialect::new(&options, &[source(PROTO)]).expect("a dialect");
        let frame = sent(&dialect.call(&input(b"{}")).expect("a call"));
        let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
        assert_eq!((head.content_type, head.func), (content_type, func));
        let unknown = Input { function: Some("Nope"), ..input(b"") };
        assert_eq!(refused(&dialect, &unknown).status, 404);
    }
}

#[test]
fn an_answer_of_another_kind_is_broken() {
    let dialect = dialect(json!({ "service": "a", "function": "F" }));
    let call = dialect.call(&input(b"")).expect("a call");
    let error = answered(&call, &Response::default(), b"x").expect_err("broken");
    assert_eq!(error, "the answer has content type 0, 2 was asked for");
    let head = Response { content_type: 2, attachment_size: 2, ..Response::default() };
    assert!(answered(&call, &head, b"x").expect_err("broken").contains("attachment of 2"));
    assert_eq!(answered(&call, &head, b"{}xx").expect("an answer").body, b"{}");
    assert!(call.answer(None).is_err() && call.answer(Some(b"")).is_err());
}

#[test]
fn bodies_are_compressed_both_ways() {
    for (name, encoding) in [("gzip", 1), ("zlib", 3), ("snappy-stream", 4), ("snappy-block", 5)] {
        let dialect = dialect(json!({ "service": "a", "function": "F", "compress": name }));
        let call = dialect.call(&input(b"{\"a\":1}")).expect("a call");
        let frame = sent(&call);
        let frame = Frame::parse(&frame).expect("a frame");
        let head = Request::decode(frame.head).expect("a head");
        assert_eq!(head.content_encoding, encoding);
        let same = Response { content_type: 2, content_encoding: encoding, ..Response::default() };
        assert_eq!(answered(&call, &same, frame.rest).expect("an answer").body, b"{\"a\":1}");
        assert!(answered(&call, &same, b"nonsense").is_err());
    }
}

#[test]
fn codes_become_statuses() {
    let dialect = dialect(json!({
        "service": "a", "function": "F", "status_map": { "31": 503, "default": 599 },
        "business_status_map": { "10001": 409 },
    }));
    let usual = super::dialect(json!({ "service": "a", "function": "F" }));
    for (ret, func_ret, mapped, plain) in [
        (1, 0, 599, 400),
        (2, 0, 599, 500),
        (11, 0, 599, 404),
        (12, 0, 599, 404),
        (21, 0, 599, 504),
        (22, 0, 599, 429),
        (23, 0, 599, 429),
        (24, 0, 599, 504),
        (31, 0, 503, 500),
        (41, 0, 599, 401),
        (51, 0, 599, 400),
        (101, 0, 599, 504),
        (102, 0, 599, 504),
        (111, 0, 599, 502),
        (122, 0, 599, 502),
        (123, 0, 599, 429),
        (124, 0, 599, 429),
        (131, 0, 599, 502),
        (141, 0, 599, 502),
        (161, 0, 599, 499),
        (171, 0, 599, 502),
        (999, 0, 599, 500),
        (-5, 0, 599, 500),
        (i32::MIN, 1, 599, 500),
        (0, 10001, 409, 200),
        (0, -1, 200, 200),
    ] {
        let head = Response { ret, func_ret, error_msg: b"no", ..Response::default() };
        for (dialect, status) in [(&dialect, mapped), (&usual, plain)] {
            let call = dialect.call(&input(b"")).expect("a call");
            let answer = answered(&call, &head, b"").expect("an answer");
            assert_eq!(answer.status, status, "{ret} {func_ret}");
            let code = if ret == 0 { func_ret } else { ret };
            assert_eq!(answer.body, format!(r#"{{"code":{code},"message":"no"}}"#).as_bytes());
        }
    }
}

#[test]
fn a_business_error_may_have_a_body_of_its_own() {
    let dialect = typed(json!({ "function": "Named", "json": { "defaults": "omit" } }));
    let call = dialect.call(&input(b"")).expect("a call");
    let head = Response { func_ret: 5, ..Response::default() };
    let answer = answered(&call, &head, b"\x0a\x01x").expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &br#"{"name":"x"}"#[..]));
    assert_eq!(field(&answer, "trpc-func-ret"), Some(&b"5"[..]));
}

#[test]
fn a_message_cannot_break_the_head_of_an_answer() {
    let dialect = dialect(json!({ "service": "a", "function": "F", "error_body": "empty" }));
    let call = dialect.call(&input(b"")).expect("a call");
    let text = format!("\r\nSet-Cookie: a=b\0{}", "\u{e9}".repeat(2000));
    let head = Response { ret: 31, error_msg: text.as_bytes(), ..Response::default() };
    let answer = answered(&call, &head, b"ignored").expect("an answer");
    let line = field(&answer, "trpc-error-msg").expect("a message");
    assert!(line.starts_with(b"Set-Cookie: a=b ") && line.len() <= 1024);
    assert!(!line.iter().any(u8::is_ascii_control) && std::str::from_utf8(line).is_ok());
    assert!(answer.body.is_empty() && field(&answer, "Content-Type").is_none());
    let head = Response { ret: 31, error_msg: b"\xff\xfe", ..Response::default() };
    assert!(answered(&call, &head, b"").is_ok());
}

#[test]
fn metadata_travels_by_the_lists() {
    let dialect = dialect(json!({
        "service": "a", "function": "F", "metadata": ["uid", "trpc-dyeing-key"],
        "response_headers": ["Uid", "x"],
    }));
    let metadata: [(&str, &[u8]); 3] =
        [("UID", b"\x00\xff"), ("other", b"1"), ("trpc-dyeing-key", b"k")];
    let call = dialect.call(&Input { metadata: &metadata, ..input(b"") }).expect("a call");
    let frame = sent(&call);
    let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
    assert_eq!(head.trans_info, [("UID", &b"\x00\xff"[..]), ("trpc-dyeing-key", b"k")]);
    assert_eq!(head.message_type, 1);
    let head = Response {
        content_type: 2,
        trans_info: vec![("uid", b"42"), ("secret", b"s"), ("x", b"a\r\nb: c"), ("x", b"\xc3\xa9")],
        ..Response::default()
    };
    let answer = answered(&call, &head, b"{}").expect("an answer");
    let found: Vec<(&str, &[u8])> =
        answer.headers[2..].iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
    assert_eq!(found, [("Uid", &b"42"[..]), ("x", b"\xc3\xa9")]);
}

#[test]
fn metadata_may_become_a_field_of_another_name() {
    let options =
        json!({ "service": "a", "function": "F", "response_headers": { "uid": "X-Uid" } });
    let call = dialect(options).call(&input(b"")).expect("a call");
    let info = vec![("UID", &b"1"[..])];
    let head = Response { content_type: 2, trans_info: info, ..Response::default() };
    let answer = answered(&call, &head, b"{}").expect("an answer");
    assert_eq!(field(&answer, "X-Uid"), Some(&b"1"[..]));
}

#[test]
fn a_service_may_have_another_name_in_the_description() {
    let dialect = typed(json!({ "service": "trpc.x.y.z", "proto_service": "trpc.app.demo.Demo" }));
    let input = Input { service: Some("other"), function: Some("Named"), ..input(b"") };
    let frame = sent(&dialect.call(&input).expect("a call"));
    let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
    assert_eq!((head.callee, head.func), (&b"other"[..], &b"/v1/named"[..]));
}

#[test]
fn calls_that_are_too_large_are_refused() {
    let dialect = dialect(json!({ "service": "a", "function": "F", "max_frame": 65551 }));
    assert_eq!(refused(&dialect, &input(&[b' '; 65551])).status, 413);
    assert!(dialect.call(&input(&[b' '; 65000])).is_ok());
    let long = [b'x'; 0xffff];
    let metadata: [(&str, &[u8]); 1] = [("a", &long)];
    assert_eq!(refused(&dialect, &Input { metadata: &metadata, ..input(b"") }).status, 431);
}

#[test]
fn the_shorter_timeout_counts_and_is_never_zero() {
    let dialect = dialect(json!({ "service": "a", "function": "F", "timeout_ms": 500 }));
    for (given, sent_ms) in
        [(SECOND, 500), (SECOND / 5, 200), (Duration::ZERO, 1), (Duration::MAX, 500)]
    {
        let call = dialect.call(&Input { timeout: given, ..input(b"") }).expect("a call");
        let frame = sent(&call);
        let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
        assert_eq!(head.timeout_ms, sent_ms);
    }
}

#[test]
fn a_one_way_call_has_an_answer_of_its_own() {
    let dialect = dialect(json!({ "service": "a", "function": "F", "oneway": true }));
    let call = dialect.call(&input(b"")).expect("a call");
    assert!(call.one_way());
    let frame = sent(&call);
    let head = Request::decode(Frame::parse(&frame).expect("a frame").head).expect("a head");
    assert_eq!(head.call_type, 1);
    assert_eq!(call.answer(None).map(|answer| answer.status), Ok(202));
}

#[test]
fn the_same_call_can_be_written_under_another_id() {
    let dialect = dialect(json!({ "service": "a", "function": "F" }));
    let call = dialect.call(&input(b"")).expect("a call");
    let mut out = sent(&call);
    let first = out.len();
    call.write(u32::MAX, &mut out);
    let frame = Frame::parse(&out[first..]).expect("a frame");
    assert_eq!(frame.id, u32::MAX);
    assert_eq!(Request::decode(frame.head).expect("a head").request_id, u32::MAX);
}
