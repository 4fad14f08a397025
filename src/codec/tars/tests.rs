//! Recorded packets of real servers, and whole calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Dialect,
    packet::{PACKET_BYTES_MAX, Packets, Request, Response},
};
use crate::codec::{
    Answer, Arguments, Broken, Call, Dialect as _, Framing as _, Input, Refusal, registry::Source,
};

const DEMO: &str = include_str!("../../../t/fixtures/Demo.tars");
const DEMO_GO: &str = include_str!("../../../t/fixtures/DemoGo.tars");
const SERVANT: &str = "Farm.HelloServer.HelloObj";

/// Name, request, and the answer if there was one.
fn frames(text: &str) -> Vec<(String, Vec<u8>, Option<Vec<u8>>)> {
    let recorded: Vec<Value> = serde_json::from_str(text).unwrap();
    let frames = recorded.iter().map(|frame| {
        let bytes = |name: &str| frame[name].as_str().map(unhex).filter(|bytes| !bytes.is_empty());
        (frame["name"].as_str().unwrap().to_owned(), bytes("request").unwrap(), bytes("response"))
    });
    frames.collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn all_frames() -> Vec<(String, Vec<u8>, Option<Vec<u8>>)> {
    let mut all = frames(include_str!("../../../t/fixtures/tars_frames.json"));
    all.extend(frames(include_str!("../../../t/fixtures/tars_frames_go.json")));
    assert_eq!(all.len(), 48);
    all
}

fn dialect(options: Value) -> Dialect {
    try_dialect(options).unwrap()
}

fn try_dialect(options: Value) -> Result<Dialect, String> {
    let sources = [Source { name: "Demo.tars", text: DEMO.as_bytes() }];
    Dialect::new(&options, &sources)
}

fn input<'a>(function: &'a str, arguments: Arguments<'a>) -> Input<'a> {
    Input {
        service: None,
        function: Some(function),
        arguments,
        metadata: &[],
        timeout: Duration::from_secs(3),
    }
}

fn call(dialect: &Dialect, function: &str, json: &str) -> Result<std::rc::Rc<dyn Call>, Refusal> {
    dialect.call(&input(function, Arguments::Json(json.as_bytes())))
}

fn frame(call: &dyn Call, id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    call.write(id, &mut out);
    out
}

#[test]
fn every_recorded_packet_is_read_and_written_again() {
    for (name, request, response) in all_frames() {
        assert_eq!(Packets.length(&request, usize::MAX), Ok(Some(request.len())), "{name}");
        let mut out = Vec::new();
        Request::read(&request).unwrap().write(&mut out);
        assert_eq!(out, request, "{name}");
        let Some(response) = response else { continue };
        let read = Response::read(&response).unwrap();
        assert_eq!(read.id, Request::read(&request).unwrap().id, "{name}");
        assert_eq!(Packets.id(&response), Ok(Some(read.id.cast_unsigned())), "{name}");
        let mut out = Vec::new();
        read.write(&mut out);
        assert_eq!(out, response, "{name}");
    }
}

#[test]
fn recorded_arguments_and_results_go_through_json() {
    let item = json!({
        "flag": true, "b": -1, "s": 300, "i": 70000, "l": 5_000_000_000_i64, "f": 1.5, "d": -2.25,
        "str": "\u{4f60}\u{597d}", "vi": [0, 1, 127, 128, -129, 32768, 2_147_483_647, i32::MIN],
        "vb": "AAH+/w==", "m": {"a": 1, "b": 0}, "p": {"x": 3, "y": 0}, "c": 6, "ub": 200,
        "us": 40000, "ui": 4_000_000_000_u32, "vp": [{"x": 1, "y": 2}], "vs": ["x", ""],
        "far": 9,
    });
    let dialect = dialect(json!({"servant": SERVANT}));
    let mut seen = 0;
    for (name, request, response) in frames(include_str!("../../../t/fixtures/tars_frames.json")) {
        let (function, arguments, results) = match name.as_str() {
            "v1 ping0" => ("ping0", json!({}), json!({"tars_ret": 42})),
            "v1 echo+context" => ("echo", json!({"msg": "bob"}), json!({"tars_ret": "hi bob"})),
            "v1 echo300" => {
                let text = "z".repeat(300);
                let hi = format!("hi {text}");
                ("echo", json!({ "msg": text }), json!({ "tars_ret": hi }))
            }
            "v1 getItem" => {
                let mut rsp = item.clone();
                rsp["i"] = json!(70005);
                let results = json!({"tars_ret": 0, "rsp": rsp, "note": "k=5"});
                ("getItem", json!({"req": item, "k": 5}), results)
            }
            "v1 nothing(void)" => ("nothing", json!({"a": 1}), json!({})),
            "v1 add" => {
                let sum = json!({"tars_ret": 4_294_967_297_i64});
                ("add", json!({"a": 1, "b": "4294967296"}), sum)
            }
            "v1 swap" => {
                ("swap", json!({"a": 41, "c": "abc"}), json!({"tars_ret": 0, "b": 42, "d": "ABC"}))
            }
            _ => continue,
        };
        seen += 1;
        let made = call(&dialect, function, &arguments.to_string()).unwrap();
        let (recorded, ours) = (Request::read(&request).unwrap(), frame(&*made, 1));
        let ours = Request::read(&ours).unwrap();
        assert_eq!(ours.body, recorded.body, "{name}");
        assert_eq!((ours.servant, ours.function), (recorded.servant, recorded.function));
        let answer = made.answer(response.as_deref()).unwrap();
        assert_eq!(answer.status, 200);
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(found, results, "{name}");
    }
    assert_eq!(seen, 7);
}

#[test]
fn a_whole_packet_is_what_the_real_client_writes() {
    let dialect = dialect(json!({"servant": SERVANT}));
    let (_, recorded, _) = all_frames().swap_remove(1);
    let metadata: [(&str, &[u8]); 1] = [("trace-id", b"abc")];
    let arguments = Arguments::Json(br#"{"msg":"bob"}"#);
    let made = dialect.call(&Input { metadata: &metadata, ..input("echo", arguments) }).unwrap();
    assert_eq!(frame(&*made, 3), recorded);
}

/// Answers of the Go server, which leaves out what is empty or default.
#[test]
fn answers_of_a_go_server_are_read() {
    let sources = [Source { name: "DemoGo.tars", text: DEMO_GO.as_bytes() }];
    for (mode, name, function, json, status, body) in [
        ("tars", "unknown servant", "echo", r#"{"msg":"x"}"#, 200, json!({"tars_ret": "hi x"})),
        (
            "tars",
            "unknown func",
            "ping0",
            "{}",
            502,
            json!({"tars_code": 1, "message": "func mismatch"}),
        ),
        ("tup", "TUP3 echo", "echo", r#"{"msg":"tup"}"#, 200, json!({"tars_ret": "hi tup"})),
        (
            "tup",
            "TUP3 swap",
            "swap",
            r#"{"a":1,"c":"x"}"#,
            200,
            json!({"tars_ret": 0, "b": 42, "d": "ABC"}),
        ),
        ("json", "JSON5 void", "nothing", r#"{"a":1}"#, 200, json!({})),
        (
            "json",
            "JSON5 fail",
            "fail",
            r#"{"code":77}"#,
            502,
            json!({
                "tars_code": 77, "message": "custom failure",
            }),
        ),
    ] {
        let options = json!({"servant": SERVANT, "mode": mode});
        let dialect = Dialect::new(&options, &sources).unwrap();
        let recorded = frames(include_str!("../../../t/fixtures/tars_frames_go.json"));
        let (_, _, response) = recorded.into_iter().find(|frame| frame.0 == name).unwrap();
        let answer = call(&dialect, function, json).unwrap().answer(response.as_deref()).unwrap();
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, found), (status, body), "{name}");
    }
}

#[test]
fn tup_bodies_are_what_the_real_client_writes() {
    for (mode, name, function, json) in [
        ("tup", "TUP3 echo", "echo", r#"{"msg":"tup"}"#),
        ("tup", "TUP3 swap", "swap", r#"{"a":41,"c":"abc"}"#),
        ("tup2", "TUP2 echo", "echo", r#"{"msg":"two"}"#),
    ] {
        let dialect = dialect(json!({"servant": SERVANT, "mode": mode}));
        let recorded = frames(include_str!("../../../t/fixtures/tars_frames.json"));
        let (_, request, response) = recorded.into_iter().find(|frame| frame.0 == name).unwrap();
        let recorded = Request::read(&request).unwrap();
        let made = call(&dialect, function, json).unwrap();
        let ours = frame(&*made, 9);
        let ours = Request::read(&ours).unwrap();
        let text = |body: &[u8]| body.escape_ascii().to_string();
        assert_eq!(ours.version, recorded.version);
        assert_eq!(text(ours.body), text(recorded.body), "{name}");
        assert_eq!(made.answer(response.as_deref()).unwrap().status, 200, "{name}");
    }
}

#[test]
fn json_bodies_are_passed_on() {
    let options = json!({"servant": SERVANT, "mode": "json"});
    let dialect = Dialect::new(&options, &[]).unwrap();
    let body = r#" {"a":[1,{"b":12345678901234567890}]} "#;
    let made = call(&dialect, "anything", body).unwrap();
    let written = frame(&*made, 7);
    let request = Request::read(&written).unwrap();
    assert_eq!((request.version, request.body), (5, body.trim().as_bytes()));
    for (body, message) in [
        ("[]", "expected an object with the arguments"),
        ("{", "no JSON: EOF while parsing an object at line 1 column 1"),
    ] {
        assert_eq!(call(&dialect, "f", body).err().unwrap().message, message);
    }
    let pairs = [("a", "1"), ("c", "x")];
    let made = dialect.call(&input("swap", Arguments::Pairs(&pairs))).unwrap();
    assert_eq!(Request::read(&frame(&*made, 1)).unwrap().body, br#"{"a":"1","c":"x"}"#);
    let sources = [Source { name: "Demo.tars", text: DEMO.as_bytes() }];
    let typed = Dialect::new(&options, &sources).unwrap();
    let made = typed.call(&input("swap", Arguments::Pairs(&pairs))).unwrap();
    assert_eq!(Request::read(&frame(&*made, 1)).unwrap().body, br#"{"a":1,"c":"x"}"#);
    assert_eq!(call(&typed, "none", "{}").err().unwrap().status, 404);
}

/// An answer with `ret`, `body`, and a context of one pair.
fn answer_frame(ret: i32, text: Option<&[u8]>, body: &[u8], context: (&str, &[u8])) -> Vec<u8> {
    let mut pairs = vec![0x98];
    pairs.extend_from_slice(&[0x00, 1, 0x06, context.0.len() as u8]);
    pairs.extend_from_slice(context.0.as_bytes());
    pairs.extend_from_slice(&[0x16, context.1.len() as u8]);
    pairs.extend_from_slice(context.1);
    let mut out = vec![0, 0, 0, 0];
    use super::wire::{write_bytes, write_integer, write_string};
    for (tag, number) in [(1, 1), (2, 0), (3, 7), (4, 0), (5, ret.into())] {
        write_integer(&mut out, tag, number);
    }
    write_bytes(&mut out, 6, body);
    out.extend_from_slice(&[0x78, 0x0c]);
    if let Some(text) = text {
        write_string(&mut out, 8, text);
    }
    out.extend_from_slice(&pairs);
    out
}

fn answered(options: Value, frame: &[u8]) -> Result<Answer, Broken> {
    call(&dialect(options), "add", r#"{"a":1,"b":2}"#).unwrap().answer(Some(frame))
}

#[test]
fn codes_become_statuses_and_a_json_error() {
    let options = json!({"servant": SERVANT, "status_map": {"77": 409, "-1": 400}});
    for (ret, status) in [
        (-1, 400),
        (-2, 502),
        (-3, 404),
        (-4, 404),
        (-6, 503),
        (-7, 504),
        (-8, 502),
        (-9, 503),
        (-10, 503),
        (-99, 502),
        (1, 502),
        (77, 409),
        (78, 502),
    ] {
        let frame = answer_frame(ret, Some(b"why \"so\""), b"", ("a", b"b"));
        let answer = answered(options.clone(), &frame).unwrap();
        assert_eq!(answer.status, status, "{ret}");
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body, json!({"tars_code": ret, "message": "why \"so\""}));
        let header = ("X-Tars-Ret".to_owned(), ret.to_string().into_bytes());
        assert!(answer.headers.contains(&header));
        let retry = answer.headers.iter().any(|(name, _)| name == "Retry-After");
        assert_eq!(retry, ret == -9);
    }
    let frame = answer_frame(-3, None, b"", ("a", b"b"));
    let body: Value = serde_json::from_slice(&answered(options, &frame).unwrap().body).unwrap();
    assert_eq!(body["message"], "there is no such function");
    let plain = json!({"servant": SERVANT});
    assert_eq!(answered(plain, &answer_frame(-1, None, b"", ("", b""))).unwrap().status, 502);
}

#[test]
fn results_can_be_unwrapped_and_choose_the_status() {
    let frame = answer_frame(0, None, &[0x00, 7], ("x-srv", b"node 1"));
    let check = |options: Value, status: u16, body: &str| {
        let mut all = json!({"servant": SERVANT});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = answered(all, &frame).unwrap();
        assert_eq!((answer.status, str::from_utf8(&answer.body).unwrap()), (status, body));
        answer
    };
    check(json!({}), 200, r#"{"tars_ret":7}"#);
    check(json!({"unwrap": true}), 200, "7");
    check(json!({"unwrap": "tars_ret", "ret_to_status": {"7": 409}}), 409, "7");
    let answer = check(json!({"response_headers": ["x-srv", "none"]}), 200, r#"{"tars_ret":7}"#);
    assert_eq!(answer.headers.last().unwrap(), &("x-srv".to_owned(), b"node 1".to_vec()));
    let answer = check(json!({"response_headers": {"x-srv": "X-Node"}}), 200, r#"{"tars_ret":7}"#);
    assert_eq!(answer.headers.last().unwrap(), &("X-Node".to_owned(), b"node 1".to_vec()));
    assert_eq!(answer.headers.len(), 2);
}

#[test]
fn a_context_that_would_end_a_header_early_is_left_out() {
    let frame = answer_frame(0, None, &[0x00, 7], ("x", b"a\r\nSet-Cookie: b"));
    let options = json!({"servant": SERVANT, "response_headers": ["x"]});
    assert_eq!(answered(options, &frame).unwrap().headers.len(), 1);
}

#[test]
fn metadata_travels_as_context_or_status() {
    let options = json!({"servant": SERVANT, "context": {"a": "1", "b": "2"}, "timeout": 500});
    let dialect = dialect(options);
    let metadata: [(&str, &[u8]); 2] = [("b", b"3"), ("STATUS_DYED_KEY", b"k")];
    let arguments = Arguments::Json(b"");
    let made = dialect.call(&Input { metadata: &metadata, ..input("ping0", arguments) }).unwrap();
    let written = frame(&*made, u32::MAX);
    let request = Request::read(&written).unwrap();
    let pairs = |pairs: &super::packet::Pairs<'_>| -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        pairs.iter().map(|(name, value)| (text(name), text(value))).collect()
    };
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(pairs(&request.context), own(&[("a", "1"), ("b", "3")]));
    assert_eq!(pairs(&request.status), own(&[("STATUS_DYED_KEY", "k")]));
    assert_eq!((request.message_type, request.timeout, request.id), (4, 500, -1));
}

#[test]
fn one_way_calls_are_marked_and_answered_at_once() {
    for (oneway, expected) in [
        (json!(true), true),
        (json!(["nothing"]), true),
        (json!(["x"]), false),
        (json!(false), false),
    ] {
        let dialect = dialect(json!({"servant": SERVANT, "oneway": oneway}));
        let made = call(&dialect, "nothing", r#"{"a":1}"#).unwrap();
        assert_eq!(made.one_way(), expected);
        let written = frame(&*made, 1);
        assert_eq!(Request::read(&written).unwrap().packet_type, i8::from(expected));
        if expected {
            assert_eq!(made.answer(None).unwrap().status, 202);
        }
    }
}

#[test]
fn servants_and_functions_are_looked_up() {
    let ask = |options: Value, service: Option<&str>, function: Option<&str>| {
        let asked = Input { service, function, ..input("", Arguments::Json(b"")) };
        dialect(options).call(&asked).map(drop).map_err(|refusal| (refusal.status, refusal.message))
    };
    let fixed = json!({"servant": SERVANT, "function": "ping0"});
    assert_eq!(ask(fixed.clone(), None, None), Ok(()));
    assert_eq!(ask(fixed.clone(), Some(SERVANT), Some("ping0")), Ok(()));
    let missing = |text: &str| Err((404, text.to_owned()));
    assert_eq!(ask(fixed.clone(), Some("X"), None), missing("there is no such servant"));
    let nope = missing("Farm.Hello has no function \"nope\"");
    assert_eq!(ask(fixed, None, Some("nope")), nope);
    assert_eq!(ask(json!({}), Some("Any.Obj"), Some("ping0")), Ok(()));
    assert_eq!(ask(json!({}), None, Some("ping0")), missing("the request names no servant"));
    assert_eq!(ask(json!({}), Some("A"), None), missing("the request names no function"));
    let some = json!({"servants": {"A.B.C": "Farm.Hello"}});
    assert_eq!(ask(some.clone(), Some("A.B.C"), Some("ping0")), Ok(()));
    assert_eq!(ask(some, Some("A.B.D"), Some("ping0")), missing("there is no such servant"));
}

#[test]
fn options_that_are_wrong_are_named() {
    for (options, expected) in [
        (json!({"mod": 1}), "option mod: there is no such option"),
        (json!({"mode": "x"}), "option mode: expected tars, tup, tup2, json, got \"x\""),
        (json!({"timeout": 0}), "option timeout: expected milliseconds, got 0"),
        (json!({"timeout": "1"}), "option timeout: invalid type: string \"1\", expected u32"),
        (json!({"servant": ""}), "option servant: expected 1 to 255 characters"),
        (json!({"charset": "latin1"}), "option charset: expected utf-8, gbk, got \"latin1\""),
        (json!({"status_map": {"a": 400}}), "option status_map: a is no integer that fits"),
        (
            json!({"status_map": {"1": 99}}),
            "option status_map: 1: expected a status from 200 to 599, got 99",
        ),
        (
            json!({"response_headers": ["a b"]}),
            "option response_headers: \"a b\" is no name of a header field",
        ),
        (
            json!({"response_headers": {"a": "Content-Length"}}),
            "option response_headers: \"Content-Length\" cannot come from a server",
        ),
        (json!({"context": {"a": 1}}), "option context: a: expected a string, got 1"),
        (json!({"interface": "Farm.Nope"}), "there is no interface \"Farm.Nope\" among Farm.Hello"),
        (json!({"unwrap": "nope"}), "option unwrap: no function has a result \"nope\""),
        (json!(1), "the options are no object"),
    ] {
        assert_eq!(try_dialect(options).err().unwrap(), expected);
    }
    let none = Dialect::new(&json!({}), &[]).err().unwrap();
    assert_eq!(none, "there is no interface, and only mode json needs none");
    let broken = [Source { name: "x.tars", text: b"module" }];
    let error = Dialect::new(&json!({}), &broken).err().unwrap();
    assert_eq!(error, "x.tars:1:7: expected the module's name, found the end of the file");
    assert!(try_dialect(json!([])).is_ok());
}

#[test]
fn broken_answers_are_told_and_never_panic() {
    let made = call(&dialect(json!({"servant": SERVANT})), "add", r#"{"a":1,"b":2}"#).unwrap();
    let good = answer_frame(0, None, &[0x00, 7], ("a", b"b"));
    assert!(made.answer(Some(&good)).is_ok());
    for cut in 0..good.len() - 12 {
        let broken = made.answer(Some(&good[..cut]));
        assert!(broken.is_err(), "{cut}");
    }
    for (body, expected) in [
        (&[][..], "the answer cannot be read: tars_ret: required, but missing"),
        (&[0x06, 1, b'a'], "the answer cannot be read: tars_ret: expected an integer, got"),
    ] {
        let frame = answer_frame(0, None, body, ("a", b"b"));
        let error = made.answer(Some(&frame)).unwrap_err();
        assert!(error.0.starts_with(expected), "{error}");
    }
}

#[test]
fn frames_are_told_apart() {
    let max = PACKET_BYTES_MAX;
    assert_eq!(Packets.length(&[0, 0, 0], max), Ok(None));
    assert_eq!(Packets.length(&[0, 0, 0, 5], max), Ok(Some(5)));
    assert!(Packets.length(&[0, 0, 0, 4], max).is_err());
    assert!(Packets.length(b"HTTP/1.1 400", max).is_err());
    assert!(Packets.length(&[0, 0, 1, 1], 256).is_err());
    assert!(Packets.length(&[0xff; 4], usize::MAX).is_err());
    let push = unhex("0000001410012c3c4c5c6d000c780c8600980c");
    assert_eq!(Packets.id(&push), Ok(None));
    assert!(Packets.id(&[0, 0, 0, 5, 0x1e]).is_err());
    let mut ping = Vec::new();
    assert!(Packets.ping(100, &mut ping));
    let request = Request::read(&ping).unwrap();
    assert_eq!((request.id, request.function), (100, &b"tars_ping"[..]));
}

#[test]
fn arguments_that_fit_into_no_packet_are_refused() {
    let dialect = dialect(json!({"servant": SERVANT}));
    let json = format!(r#"{{"msg":"{}"}}"#, "x".repeat(PACKET_BYTES_MAX));
    assert_eq!(call(&dialect, "echo", &json).err().unwrap().status, 413);
}
