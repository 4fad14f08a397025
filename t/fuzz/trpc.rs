//! What must hold of the tRPC codec for any bytes.

use std::{cell::OnceCell, rc::Rc, time::Duration};

use moongate::codec::{
    Answer, Arguments, Call, Dialect as _, Framing as _, Input,
    registry::Source,
    trpc::{
        Dialect,
        frame::{Frame, Frames},
        head::{Request, Response},
        json::{JSON_BYTES_MAX, Json, MEMORY_BYTES_MAX},
        schema::{self, Method, Schema},
        squeeze::Compress,
    },
};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{Check, LARGE, owned, repeated};

pub const CHECKS: &[Check] = &[
    Check {
        name: "trpc_frame",
        run: frame,
        samples: || owned(FRAMES),
        large: large_frames,
        bytes_max: |input| 96 * input + (64 << 10),
    },
    Check {
        name: "trpc_answer",
        run: answer,
        samples: || owned(ANSWERS),
        large: large_answers,
        // A short answer may be a long one, compressed.
        bytes_max: |_| MESSAGE_BYTES_MAX,
    },
    Check {
        name: "trpc_message",
        run: message,
        samples: || owned(MESSAGES),
        large: large_messages,
        // Two bytes may be a message. Its text has all of its fields, and what is read of that
        // again holds each of them: more than two kilobytes here.
        bytes_max: |input| MESSAGE_BYTES_MAX.min(2048 * input + (64 << 10)),
    },
    Check {
        name: "trpc_json_text",
        run: json_text,
        samples: || owned(TEXTS),
        large: large_texts,
        bytes_max: |input| MESSAGE_BYTES_MAX.min(256 * input + (64 << 10)),
    },
    Check {
        name: "trpc_description",
        run: description,
        samples: || owned(DESCRIPTIONS),
        large: large_descriptions,
        // The files of protobuf, and what `SOURCES_BYTES_MAX` says.
        bytes_max: |input| 320 * input + (4 << 20),
    },
];

/// What the codec says: the estimate with its error, and JSON in a buffer that doubles.
const MESSAGE_BYTES_MAX: usize = MEMORY_BYTES_MAX / 10 * 12 + 3 * JSON_BYTES_MAX;

const FRAMES: &[&[u8]] = &[
        b"\x09\x30\0\0\0\0\0\x1e\0\x0c\0\0\0\x07\x01\0\x18\x07\x20\xe8\x07\x2a\x01a\x4a\x02\x0a\0{}",
        b"\x09\x30\0\0\0\0\0\x19\0\x09\0\0\0\0\x01\0\x18\x0a\x28\x91\x4e\x32\x02no",
        b"\x18\x07\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x42\x06\x0a\x01a\x12\x01b\xa3\x06\xa4\x06",
];

const ANSWERS: &[&[u8]] = &[
        b"\x04\x18\x07\x48\x02{}",
        b"\x00",
        b"\x0b\x18\x07\x42\x05\x0a\x01a\x12\0\x60\x01\x08\x07\x5a\x02\x4a\0",
        b"\x10\x18\x07\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x32\x01!",
        b"\x06\x18\x07\x48\x02\x50\x01\x1f\x8b\x08\0\0\0\0\0\0\xff\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0",
        b"\x06\x18\x07\x48\x02\x50\x05\x02\x04{}",
];

const MESSAGES: &[&[u8]] = &[
        b"\x08\x01\x10\x03\x1d\x01\0\0\0\x21\0\0\0\0\0\0\xf0\x3f\x28\x01\x32\x01a\x3a\x01\0\x40\x01\x4a\0",
        b"\x52\x03\x01\x02\x03\x5a\0\x5a\x02\x08\x01\x62\x07\x0a\x01a\x12\x02\x08\x05\x6a\x04\x08\x07\x10\x01",
        b"\x72\x01x\x7a\0\x82\x01\x07\x0a\x03t/p.M\x12\0",
        b"\x21\0\0\0\0\0\0\0\x80",
    b"\x82\x01\x09\x0a\x05t/p.M\x12\0\x8a\x01\x0a\x0a\x08\x0a\x01a\x12\x03\x1a\x01b",
        b"\x92\x01\x06\x08\x80\x80\x80\x80\x06\x9a\x01\x02\x08\x05\xa5\x01\0\0\xc0\x7f\xf8\x3e\x01",
];

const TEXTS: &[&[u8]] = &[
        br#"{"i":-1,"s":"5","f":1.0,"d":1e3,"b":true,"t":"a\u0000","y":"AA==","e":"ONE","m":{}}"#,
        br#"{"ri":["1",2],"rm":[{},{"m":null}],"mm":{"":{"i":1}},"me":{"-1":2},"ot":""}"#,
        br#"{"any":{"@type":"t/p.M","i":1},"free":{"a":[1,null,{"b":"c"}]},"boxed":7}"#,
        br#"{"at":"2024-02-29T12:30:00.5Z","fl":"NaN","any":{"value":{},"@type":"t/google.protobuf.Struct"}}"#,
];

const DESCRIPTIONS: &[&[u8]] = &[
    b"syntax='proto3'; package p; message M { int32 i = 1 [deprecated=true]; map<int32, M> m = 2; }
      service S { rpc F(M) returns (stream M) { option deprecated = true; } }",
    b"message A { optional group G = 1 { required string s = 2 [default = \"x\\n\"]; }
      extensions 10 to max; reserved 3, 5 to 7; enum E { X = 0; } oneof o { E e = 4; } }
      extend A { repeated bytes b = 11 [packed=false]; } service S { rpc F(A) returns (A); }",
    b"import 'google/protobuf/descriptor.proto'; import 'trpc.proto';
      extend google.protobuf.FieldOptions { optional A a = 1234; } message A { optional A b = 1; }
      message B { optional int32 c = 1 [(a) = { b { b: {} } }]; }
      service S { rpc F(B) returns (A) { option (trpc.alias) = '/x'; } }",
    // A descriptor set: M with a field and a map, S with a method.
    b"\x0an\x0a\x01a\x12\x01p\"H\x0a\x01M\x12\x09\x0a\x01i\x18\x01\x20\x01(\x05\x12\x12\
      \x0a\x01m\x18\x02\x20\x03(\x0b2\x07.p.M.ME\x1a$\x0a\x02ME\x12\x0b\x0a\x03key\x18\x01\
      \x20\x01(\x05\x12\x0d\x0a\x05value\x18\x02\x20\x01(\x05:\x028\x012\x14\x0a\x01S\x12\
      \x0f\x0a\x01F\x12\x04.p.M\x1a\x04.p.Mb\x06proto3",
];

/// A description with every kind of field.
const DESCRIPTION: &str = r#"syntax = "proto3"; package p;
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

/// [`DESCRIPTION`] as a file.
pub(super) fn description_source() -> Source<'static> {
    source(DESCRIPTION.as_bytes())
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
            assert!(serde_json::from_slice::<IgnoredAny>(&answer.body).is_ok());
        }
    });
}

fn call(mode: &str) -> Rc<dyn Call> {
    let options = json!({
        "service": "p.S", "function": "F", "mode": mode, "response_headers": ["a"],
        "max_frame": 1 << 20,
    });
    let dialect = Dialect::new(&options, &[description_source()]).expect("a dialect");
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
    let bytes = match choices.encode(input, &text) {
        Ok(bytes) => bytes,
        // What is short as a message may be long as a text.
        Err(why) => return assert!(why.contains("too many values") && text.len() > UNCHECKED),
    };
    let again = choices.decode(input, &bytes).expect("what we wrote can be written");
    drop(bytes);
    // The entries of a map come in any order.
    assert_eq!(letters(&again), letters(&text));
    if text.len() <= COMPARED {
        let value = |text: &[u8]| serde_json::from_slice::<Value>(text).expect("JSON");
        assert_eq!(value(&again), value(&text));
    }
}

/// Bytes of JSON that are compared as values, which take many times as much.
const COMPARED: usize = 8192;

/// How often each byte is there, but for minus: the library takes a negative zero for a default,
/// and writes no defaults.
fn letters(text: &[u8]) -> [usize; 256] {
    let mut all = [0; 256];
    text.iter().for_each(|byte| all[usize::from(*byte)] += usize::from(*byte != b'-'));
    all
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
        let compile = || Schema::compile(&[description_source()]).expect("compiles");
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

fn large_frames() -> Vec<Vec<u8>> {
    let head = |rest: &[u8]| [b"\x18\x07", rest].concat();
    vec![
        head(&repeated(b"\x42\x06\x0a\x01a\x12\x01b")),
        head(&repeated(b"\x42\0")),
        repeated(b"\xa3\x06"),
        repeated(b"\x09\x30\0\0"),
    ]
}

/// Messages in answers, and as much of them as is read without an estimate, compressed.
fn large_answers() -> Vec<Vec<u8>> {
    let bodies = large_messages();
    let squeezed = bodies.iter().flat_map(|body| {
        [Compress::Gzip, Compress::Zlib, Compress::SnappyBlock].map(|way| {
            let body = way.compress(body.clone()).expect("compressed");
            let encoding = way.encoding() as u8;
            [b"\x04\x18\x07\x50", &[encoding][..], &body].concat()
        })
    });
    squeezed.chain(bodies.iter().map(|body| [b"\x02\x18\x07", &body[..]].concat())).collect()
}

/// Less is read without an estimate of what it will cost: that is what can deceive.
const UNCHECKED: usize = 200 << 10;

/// What becomes much: empty messages, also in maps, and packed numbers.
fn large_messages() -> Vec<Vec<u8>> {
    let packed = [b"\x52\x80\x80\x0c", &repeated(b"\x01")[..192 << 10]].concat();
    let pieces: [&[u8]; 6] =
        [b"\x5a\0", b"\x62\0", b"\x6a\x02\x08\x07", b"\x8a\x01\0", b"\xf8\x3e\x01", b"\x50\0"];
    let whole = pieces.iter().map(|piece| repeated(piece));
    let cut = pieces.iter().map(|piece| piece.repeat(UNCHECKED / piece.len()));
    // Keys that differ, so that all stay.
    let map = (0..UNCHECKED / 6).flat_map(|n| {
        let [.., a, b, c] = n.to_be_bytes().map(|byte| byte & 0x7f);
        [0x62, 5, 0x0a, 3, a, b, c]
    });
    // Two bytes each, which stand for a text with all fields of a message.
    let defaults = [41, 410, 4100].map(|count| b"\x5a\0".repeat(count));
    whole.chain(cut).chain([packed, map.collect()]).chain(defaults).collect()
}

fn large_texts() -> Vec<Vec<u8>> {
    let list = |name: &str, one: &str, bytes: usize| {
        let all = one.repeat(bytes / one.len());
        format!("{{\"{name}\":[{}]}}", all.trim_end_matches(',')).into_bytes()
    };
    let map = |name: &str, count: usize| {
        let all: String = (0..count).map(|n| format!("\"{n}\":{{}},")).collect();
        format!("{{\"{name}\":{{{}}}}}", all.trim_end_matches(',')).into_bytes()
    };
    let mut all = vec![repeated(b"{\"m\":")];
    for bytes in [UNCHECKED, LARGE] {
        all.extend([
            list("rm", "{},", bytes),
            list("ri", "1,", bytes),
            list("rm", "{\"i\":1},", bytes),
        ]);
        all.extend([map("mm", bytes / 12), map("free", bytes / 12)]);
    }
    all
}

/// Files of very many small definitions of a kind.
fn large_descriptions() -> Vec<Vec<u8>> {
    let many = |before: &str, one: fn(usize) -> String, after: &str| {
        let mut text = format!("syntax='proto3'; package p; {before}");
        for n in 0.. {
            if text.len() >= LARGE - 128 {
                break;
            }
            text += &one(n);
        }
        (text + after).into_bytes()
    };
    vec![
        many("", |n| format!("message m{n:x}{{}}"), ""),
        many("", |n| format!("message m{n:x}{{int32 a=1;}}"), ""),
        many("", |n| format!("enum e{n:x}{{z{n:x}=0;}}"), ""),
        many("message A{}", |n| format!("service s{n:x}{{rpc f(A)returns(A);}}"), ""),
        many("message M{", |n| format!("message m{n:x}{{}}"), "}"),
        repeated(b"message a{"),
        repeated(b"option a="),
        repeated(b"\""),
        repeated(b"{[(<"),
        repeated(b"\x0a\x02\x0a\0"),
    ]
}
