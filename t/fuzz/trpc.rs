//! What must hold of the tRPC codec for any bytes.

use std::{cell::OnceCell, rc::Rc, time::Duration};

use moongate::codec::{
    Answer, Arguments, Call, Dialect as _, Framing as _, Input,
    registry::Source,
    trpc::{
        Dialect,
        frame::{Frame, Frames},
        head::{Request, Response},
        json::Json,
        schema::{self, Method, Schema},
    },
};
use serde_json::{Value, json};

/// A description with every kind of field.
pub const DESCRIPTION: &str = r#"syntax = "proto3"; package p;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum E { ZERO = 0; ONE = 1; MINUS = -1; }
message M {
  int32 i = 1; sint64 s = 2; fixed32 f = 3; double d = 4; bool b = 5; string t = 6; bytes y = 7;
  E e = 8; M m = 9; repeated int32 ri = 10; repeated M rm = 11; map<string, M> mm = 12;
  map<int64, E> me = 13; oneof o { string ot = 14; M om = 15; }
  google.protobuf.Any any = 16; google.protobuf.Struct free = 17;
  google.protobuf.Timestamp at = 18; google.protobuf.Int64Value boxed = 19; float fl = 20;
}
service S { rpc F(M) returns (M); }
"#;

thread_local! {
    static SCHEMA: OnceCell<Schema> = const { OnceCell::new() };
    static CALLS: OnceCell<[Rc<dyn Call>; 2]> = const { OnceCell::new() };
}

fn source(text: &[u8]) -> Source<'_> {
    Source { name: "a.proto", text }
}

/// A head comes back from its own bytes, a length depends on the first 16 bytes only.
pub fn frame(data: &[u8]) {
    let length = Frames.length(data, 1 << 20);
    for end in 0..data.len().min(16) {
        // What is wrong may show early or late, but what is right never looks wrong.
        let early = Frames.length(&data[..end], 1 << 20);
        assert!(early == Ok(None) || early.is_err() && length.is_err());
    }
    let id = Frames.id(data);
    if let Ok(frame) = Frame::parse(data) {
        assert!(id.is_ok() || frame.id == 0);
        let mut out = Vec::new();
        frame.write(&mut out);
        assert_eq!(Frame::parse(&out), Ok(frame));
        head(frame.head);
    }
    head(data);
}

fn head(data: &[u8]) {
    let mut out = Vec::new();
    if let Ok(head) = Request::decode(data) {
        head.encode(&mut out);
        assert_eq!(Request::decode(&out), Ok(head));
    }
    out.clear();
    if let Ok(head) = Response::decode(data) {
        head.encode(&mut out);
        assert_eq!(Response::decode(&out), Ok(head));
    }
}

/// Whatever a server answers becomes an HTTP answer or an error. The first byte says where
/// the head ends, so that mutations reach what is behind it.
pub fn answer(data: &[u8]) {
    CALLS.with(|calls| {
        let calls = calls.get_or_init(|| [call("passthrough"), call("protobuf")]);
        let mut framed = Vec::new();
        if let Some((split, rest)) = data.split_first() {
            let (head, rest) = rest.split_at(rest.len().min(usize::from(*split)));
            Frame { id: 7, version: 1, head, rest }.write(&mut framed);
        }
        for call in calls {
            for frame in [data, &framed] {
                if let Ok(answer) = call.answer(Some(frame)) {
                    check_answer(&answer);
                }
            }
        }
        if let Ok(answer) = calls[1].answer(Some(&framed)) {
            assert!(serde_json::from_slice::<Value>(&answer.body).is_ok());
        }
    });
}

fn call(mode: &str) -> Rc<dyn Call> {
    let options = json!({
        "service": "p.S", "function": "F", "mode": mode, "response_headers": ["a"],
        "max_frame": 1 << 20,
    });
    let dialect = Dialect::new(&options, &[source(DESCRIPTION.as_bytes())]).expect("a dialect");
    let input = Input {
        service: None,
        function: None,
        arguments: Arguments::Json(b""),
        metadata: &[],
        timeout: Duration::from_secs(1),
    };
    dialect.call(&input).expect("a call")
}

fn check_answer(answer: &Answer) {
    assert!((200..600).contains(&answer.status));
    for (name, value) in &answer.headers {
        assert!(!name.is_empty() && !value.iter().any(|byte| *byte < 0x20 || *byte == 0x7f));
    }
}

/// A message that can be written as JSON can be read from it, and says the same.
pub fn message(data: &[u8]) {
    let method = method();
    let (choices, input) = (Json::default(), &method.input);
    let Ok(text) = choices.decode(input, data) else { return };
    let value: Value = serde_json::from_slice(&text).expect("JSON");
    let bytes = choices.encode(input, &text).expect("what we wrote can be read");
    let again = choices.decode(input, &bytes).expect("what we wrote can be written");
    assert_eq!(serde_json::from_slice::<Value>(&again).expect("JSON"), value);
}

/// A JSON text is a message that can be read, or is refused.
pub fn json_text(data: &[u8]) {
    let method = method();
    let (choices, input) = (Json::default(), &method.input);
    match choices.encode(input, data) {
        Ok(bytes) => drop(choices.decode(input, &bytes).expect("what we wrote can be read")),
        Err(why) => assert!(!why.is_empty() && why.len() < 4096),
    }
}

fn method() -> Rc<Method> {
    SCHEMA.with(|schema| {
        let compile = || Schema::compile(&[source(DESCRIPTION.as_bytes())]).expect("compiles");
        schema.get_or_init(compile).method("/p.S/F").expect("F").clone()
    })
}

/// A description compiles or is refused, and what compiles reads and writes messages.
pub fn description(data: &[u8]) {
    let source = source(data);
    let checked = schema::check(&source);
    let Ok(schema) = Schema::compile(&[source]) else { return };
    assert_eq!(checked, Ok(()));
    for method in schema.methods() {
        let choices = Json::default();
        if let Ok(bytes) = choices.encode(&method.input, b"{}") {
            let _ = choices.decode(&method.output, &bytes);
        }
        let _ = choices.decode(&method.output, data);
    }
}
