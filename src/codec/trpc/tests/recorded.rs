//! Frames of a real trpc-go server and what it was sent: `t/fixtures/trpc_frames.json`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::Value;

use super::{dialect, hex};
use crate::codec::{
    Arguments, Dialect as _, Framing as _, Input,
    trpc::{
        frame::{Frame, Frames},
        head::{Request, Response},
        squeeze,
    },
};

const FRAMES: &str = include_str!("../../../../t/fixtures/trpc_frames.json");
const MAX: usize = 10 << 20;

/// Frames of the recording that no one may accept, and why.
const WRONG: &[(&str, &str)] = &[
    ("bad magic", "the bytes begin no tRPC frame"),
    ("header len 0", "the frame has no head"),
    ("huge total", "allowed"),
];

struct Pair {
    request: Vec<u8>,
    response: Option<Vec<u8>>,
}

static PAIRS: LazyLock<BTreeMap<String, Pair>> = LazyLock::new(|| {
    let list: Vec<Value> = serde_json::from_str(FRAMES).expect("JSON");
    let bytes = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).map(hex);
    list.iter()
        .map(|item| {
            let name = item["name"].as_str().expect("name").to_owned();
            let request = bytes(item, "request").expect("request");
            (name, Pair { request, response: bytes(item, "response") })
        })
        .collect()
});

#[test]
fn every_recorded_call_is_read_and_written_again_byte_for_byte() {
    assert_eq!(PAIRS.len(), 17);
    for (name, pair) in PAIRS.iter() {
        let bytes = &pair.request;
        if let Some((_, why)) = WRONG.iter().find(|(wrong, _)| wrong == name) {
            let length = Frames.length(bytes, MAX);
            let error = match length {
                Ok(_) => Frame::parse(bytes).expect_err(name),
                Err(error) => error,
            };
            assert!(error.0.contains(why), "{name}: {error}");
            continue;
        }
        assert_eq!(Frames.length(bytes, MAX), Ok(Some(bytes.len())), "{name}");
        let frame = Frame::parse(bytes).expect(name);
        let head = Request::decode(frame.head).expect(name);
        assert_eq!(head.request_id, frame.id, "{name}");
        assert_eq!(head.caller, b"trpc.gw.edge.proxy", "{name}");
        let mut again = Vec::new();
        head.encode(&mut again);
        assert_eq!(again, frame.head, "{name}");
        let mut out = Vec::new();
        Frame { head: &again, ..frame }.write(&mut out);
        assert_eq!(&out, bytes, "{name}");
    }
}

#[test]
fn every_recorded_answer_is_read_and_written_again_byte_for_byte() {
    let answers = PAIRS.iter().filter_map(|(name, pair)| Some((name, pair.response.as_ref()?)));
    let mut count = 0;
    for (name, bytes) in answers {
        count += 1;
        let frame = Frame::parse(bytes).expect(name);
        let head = Response::decode(frame.head).expect(name);
        assert_eq!(Frames.id(bytes).expect(name), Some(frame.id), "{name}");
        let mut again = Vec::new();
        head.encode(&mut again);
        assert_eq!(again, frame.head, "{name}");
        let mut out = Vec::new();
        Frame { head: &again, ..frame }.write(&mut out);
        assert_eq!(&out, bytes, "{name}");
    }
    assert_eq!(count, 13);
}

#[test]
fn a_call_has_the_bytes_of_the_recorded_one() {
    let options = serde_json::json!({
        "service": "trpc.helloworld.Greeter", "function": "Hello", "caller": "trpc.gw.edge.proxy",
    });
    let dialect = dialect(options);
    let input = Input {
        service: None,
        function: None,
        arguments: Arguments::Json(br#"{"msg":"bob"}"#),
        metadata: &[],
        timeout: std::time::Duration::from_secs(1),
    };
    let call = dialect.call(&input).expect("a call");
    let mut out = Vec::new();
    call.write(7, &mut out);
    let pair = &PAIRS["json"];
    assert_eq!(out, pair.request);
    let answer = call.answer(pair.response.as_deref()).expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &br#"{"msg":"Hello bob"}"#[..]));
}

#[test]
fn recorded_errors_get_their_status_and_header_fields() {
    check_error("biz error", 200, ("trpc-func-ret", "10001"), "business says no");
    check_error("unknown func", 404, ("trpc-ret", "12"), "service handle: rpc name");
    check_error("bad json", 400, ("trpc-ret", "1"), "service codec Unmarshal");
    check_error("noop ct4", 400, ("trpc-ret", "1"), "body type invalid");
    check_error("header len 0", 400, ("trpc-ret", "1"), "");
}

#[track_caller]
fn check_error(name: &str, status: u16, field: (&str, &str), message: &str) {
    let dialect = dialect(serde_json::json!({ "service": "s", "function": "f" }));
    let input = Input {
        service: None,
        function: None,
        arguments: Arguments::Json(b""),
        metadata: &[],
        timeout: std::time::Duration::from_secs(1),
    };
    let call = dialect.call(&input).expect("a call");
    let answer = call.answer(PAIRS[name].response.as_deref()).expect(name);
    assert_eq!(answer.status, status, "{name}");
    let found = |wanted: &str| {
        let field = answer.headers.iter().find(|(name, _)| name == wanted);
        field.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(found(field.0).as_deref(), Some(field.1), "{name}");
    assert!(found("trpc-error-msg").expect(name).contains(message), "{name}");
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(body["code"].to_string(), field.1, "{name}");
    assert!(body["message"].as_str().expect(name).contains(message), "{name}");
}

#[test]
fn the_recorded_gzip_body_is_unpacked() {
    let frame = Frame::parse(&PAIRS["gzip"].request).expect("a frame");
    let head = Request::decode(frame.head).expect("a head");
    assert_eq!(head.content_encoding, 1);
    let body = squeeze::decompress(1, frame.rest, MAX).expect("gzip");
    assert!(body.starts_with(br#"{"msg":"#), "{body:?}");
}

#[test]
fn the_recorded_attachment_is_split_off() {
    let frame = Frame::parse(&PAIRS["attachment"].request).expect("a frame");
    let head = Request::decode(frame.head).expect("a head");
    let (body, attachment) = frame.split(head.attachment_size).expect("split");
    assert!(head.attachment_size > 0 && attachment.len() == head.attachment_size as usize);
    assert!(body.ends_with(b"}"), "{body:?}");
}

#[test]
fn recorded_metadata_is_read() {
    let frame = Frame::parse(&PAIRS["metadata"].request).expect("a frame");
    let head = Request::decode(frame.head).expect("a head");
    assert_eq!(head.trans_info, [("uid", &b"42"[..])]);
    let answer = Frame::parse(PAIRS["metadata"].response.as_deref().expect("answer")).expect("f");
    let head = Response::decode(answer.head).expect("a head");
    assert!(head.trans_info.contains(&("uid", b"42")), "{head:?}");
}

/// Heads written by Python's protobuf library, `t/trpc/heads.py`.
const HEADS: &str = include_str!("../../../../t/fixtures/trpc_heads.json");

#[test]
fn heads_have_the_bytes_that_the_protobuf_library_writes() {
    let heads: Vec<Value> = serde_json::from_str(HEADS).expect("JSON");
    assert_eq!(heads.len(), 100);
    for head in &heads {
        let bytes = hex(head["bytes"].as_str().expect("bytes"));
        let fields = &head["fields"];
        let mut again = Vec::new();
        let found = match head["message"].as_str() {
            Some("RequestProtocol") => {
                let head = Request::decode(&bytes).expect("a head");
                head.encode(&mut again);
                (head.request_id.into(), Value::from(head.timeout_ms), head.func, head.trans_info)
            }
            _ => {
                let head = Response::decode(&bytes).expect("a head");
                head.encode(&mut again);
                (Value::from(head.ret), head.func_ret.into(), head.error_msg, head.trans_info)
            }
        };
        assert_eq!(again, bytes, "{head}");
        let request = head["message"] == "RequestProtocol";
        let names = if request {
            ["request_id", "timeout", "func"]
        } else {
            ["ret", "func_ret", "error_msg"]
        };
        assert_eq!((&found.0, &found.1), (&fields[names[0]], &fields[names[1]]), "{head}");
        assert_eq!(found.2, hex(fields[names[2]].as_str().expect("bytes")), "{head}");
        let info = fields["trans_info"].as_array().expect("a list");
        let info: Vec<(&str, Vec<u8>)> = info
            .iter()
            .map(|pair| (pair[0].as_str().expect("key"), hex(pair[1].as_str().expect("value"))))
            .collect();
        let mut found: Vec<(&str, Vec<u8>)> =
            found.3.iter().map(|(name, value)| (*name, value.to_vec())).collect();
        found.sort();
        assert_eq!(found, info, "{head}");
    }
}
