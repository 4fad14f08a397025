//! What must hold for any bytes that a TARS server, a client or an operator sends.

use std::{cell::OnceCell, rc::Rc, time::Duration};

use moongate::codec::{
    Arguments, Call, Dialect as _, Framing as _, Input,
    registry::Source,
    tars::{
        Dialect,
        idl::{Record, Schema},
        json::{Decoder, Encoder, JSON_BYTES_FREE, JSON_FACTOR_MAX, Style},
        packet::{Packets, Request, Response},
        wire::{self, Reader},
    },
};
use serde_json::{Value, json};

use super::{Check, LARGE, repeated};

pub const CHECKS: &[Check] = &[
    Check {
        name: "tars_packet",
        run: packet,
        samples: packets,
        large: large_packets,
        // An answer may grow into JSON, whose buffer doubles while the old half is copied.
        bytes_max: |input| 3 * json_bytes(input),
    },
    Check {
        name: "tars_value",
        run: value,
        samples: bodies,
        large: large_bodies,
        // JSON, and the items of it.
        bytes_max: |input| 8 * json_bytes(input),
    },
    Check {
        name: "tars_json",
        run: json,
        samples: texts,
        large: large_texts,
        bytes_max: |input| 24 * input + (64 << 10),
    },
    Check {
        name: "tars_idl",
        run: idl,
        samples: files,
        large: large_files,
        bytes_max: |input| 128 * input + (64 << 10),
    },
];

fn json_bytes(input: usize) -> usize {
    JSON_BYTES_FREE.max(input * JSON_FACTOR_MAX) + 6 * input
}

const DEMO: &str = include_str!("../fixtures/Demo.tars");
const NODES: &str = "module Tree {
    struct Node { 0 optional vector<Node> next; 1 optional map<Node, double> keys;
        2 optional map<vector<byte>, map<long, bool> > bytes; 3 optional float f;
        4 optional vector<double> numbers; };
    interface Trees { Node grow(Node node, vector<Node> all, out map<Farm::Point, Node> found); };
};";

thread_local! {
    static SCHEMA: OnceCell<Schema> = const { OnceCell::new() };
    static CALLS: OnceCell<Vec<Rc<dyn Call>>> = const { OnceCell::new() };
}

pub(super) fn sources() -> [Source<'static>; 2] {
    [
        Source { name: "Demo.tars", text: DEMO.as_bytes() },
        Source { name: "Tree.tars", text: NODES.as_bytes() },
    ]
}

fn with_schema<T>(run: impl Fn(&Schema, &Record) -> T) -> Vec<T> {
    SCHEMA.with(|schema| {
        let schema = schema.get_or_init(|| Schema::compile(&sources()).expect("compiles"));
        let functions = [("Hello", "getItem"), ("Trees", "grow")];
        let records = functions.iter().flat_map(|(interface, function)| {
            let found = schema.interface(interface).expect("is there");
            let function = found.functions.get(*function).expect("is there");
            [&function.input, &function.output]
        });
        records.map(|record| run(schema, record)).collect()
    })
}

fn calls() -> Vec<Rc<dyn Call>> {
    let modes = ["tars", "tup", "tup2", "json"].iter().map(|mode| {
        let options = json!({
            "mode": mode, "servant": "S", "interface": "Farm.Hello",
            "response_headers": ["x-srv"],
        });
        let dialect = Dialect::new(&options, &sources()).expect("made");
        let arguments = Arguments::Json(br#"{"a":1,"c":"x"}"#);
        let (service, function) = (None, Some("swap"));
        let timeout = Duration::from_secs(1);
        let input = Input { service, function, arguments, metadata: &[], timeout };
        dialect.call(&input).expect("is a call")
    });
    modes.collect()
}

/// What is read is written the same again, and whole answers are answers or errors.
pub fn packet(data: &[u8]) {
    let _ = Packets.length(data, usize::MAX);
    if let Ok(request) = Request::read(data) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        request.write(&mut once);
        Request::read(&once).expect("ours").write(&mut twice);
        assert_eq!(once, twice);
    }
    if let Ok(response) = Response::read(data) {
        let id = Packets.id(data).expect("read before");
        assert_eq!(id.unwrap_or(0), response.id.cast_unsigned());
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        response.write(&mut once);
        Response::read(&once).expect("ours").write(&mut twice);
        assert_eq!(once, twice);
    }
    CALLS.with(|known| {
        for call in known.get_or_init(calls) {
            if let Ok(answer) = call.answer(Some(data)) {
                assert!((200..600).contains(&answer.status));
                for (_, value) in &answer.headers {
                    assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
                }
            }
        }
    });
}

/// Items that can be read make JSON, whose items make the same JSON again.
pub fn value(data: &[u8]) {
    with_schema(|schema, record| {
        let Some(once) = decoded(schema, record, data) else { return };
        assert!(once.len() <= json_bytes(data.len()));
        // What is no number was written as null: that is absent, which not every member may be.
        let null = once.windows(4).any(|window| window == b"null");
        let Ok(items) = Encoder::new(schema, &Style::default()).object(&once, record) else {
            assert!(null);
            return;
        };
        if null {
            return;
        }
        let twice = decoded(schema, record, &items).expect("ours");
        let again = Encoder::new(schema, &Style::default()).object(&twice, record);
        assert_eq!(again.as_deref(), Ok(&items[..]));
    });
}

fn decoded(schema: &Schema, record: &Record, items: &[u8]) -> Option<Vec<u8>> {
    let style = Style::default();
    let mut decoder = Decoder::new(schema, &style, items.len());
    decoder.object(&mut Reader::new(items), record).ok()?;
    Some(decoder.finish())
}

/// JSON that is taken makes items that can be read.
pub fn json(data: &[u8]) {
    with_schema(|schema, record| {
        let style = Style { reject_unknown: data.len().is_multiple_of(2), ..Style::default() };
        match Encoder::new(schema, &style).object(data, record) {
            Ok(items) => {
                let mut reader = Reader::new(&items);
                for field in &record.fields {
                    if let Some(kind) = reader.find(field.tag).expect("ours") {
                        reader.skip(kind).expect("ours");
                    }
                }
                assert!(reader.rest().is_empty());
            }
            // A message repeats little of what was sent.
            Err(fail) => assert!(fail.to_string().len() < 4096),
        }
    });
}

/// A file compiles or is refused with a place in it.
pub fn idl(data: &[u8]) {
    let source = Source { name: "f.tars", text: data };
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    match Schema::compile(&[source]) {
        Ok(_) => assert_eq!(Schema::check(&source), Ok(())),
        Err(errors) => {
            assert!(!errors.is_empty() && errors.len() <= 50);
            for error in errors {
                assert!((1..=lines).contains(&(error.line as usize)), "{error}");
                assert!(error.column >= 1 && error.message.len() < 2048, "{error}");
            }
        }
    }
}

/// All recorded packets.
fn packets() -> Vec<Vec<u8>> {
    let texts = [
        include_str!("../fixtures/tars_frames.json"),
        include_str!("../fixtures/tars_frames_go.json"),
    ];
    let mut all = Vec::new();
    for text in texts {
        let recorded: Vec<Value> = serde_json::from_str(text).expect("JSON");
        for frame in &recorded {
            let sides = [&frame["request"], &frame["response"]];
            all.extend(sides.iter().filter_map(|side| side.as_str()).map(unhex));
        }
    }
    all
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("hex") as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

/// The bodies of recorded packets, and trees.
fn bodies() -> Vec<Vec<u8>> {
    let packets = packets();
    let mut all: Vec<Vec<u8>> = packets
        .iter()
        .flat_map(|packet| {
            let request = Request::read(packet).map(|request| request.body.to_vec());
            request.into_iter().chain(Response::read(packet).map(|found| found.body.to_vec()))
        })
        .collect();
    for text in texts() {
        all.extend(with_schema(|schema, record| {
            Encoder::new(schema, &Style::default()).object(&text, record).unwrap_or_default()
        }));
    }
    all
}

fn texts() -> Vec<Vec<u8>> {
    let item = r#"{"flag":true,"b":-1,"s":300,"i":70000,"l":"5000000000","f":1.5,"d":-2.25,
        "str":"\u4f60","vi":[0,1,-129,32768],"vb":"AAH+","m":{"a":1},"p":{"x":3,"y":0},"c":"BLUE",
        "ub":200,"us":40000,"ui":4000000000,"vp":[{"x":1,"y":2}],"vs":["x",""],"far":9}"#;
    let node = r#"{"next":[{"next":[{}],"f":1e3}],"keys":{"{\"f\":1}":0.5},
        "bytes":{"AQ==":{"-5":true}}}"#;
    [
        format!(r#"{{"req":{item},"k":5}}"#),
        format!(r#"{{"tars_ret":0,"rsp":{item},"note":"n"}}"#),
        format!(r#"{{"node":{node},"all":[{node}]}}"#),
        format!(r#"{{"tars_ret":{node},"found":{{"{{\"x\":1,\"y\":2}}":{node}}}}}"#),
    ]
    .map(String::into_bytes)
    .to_vec()
}

fn files() -> Vec<Vec<u8>> {
    let more = "#include \"a.tars\"\n/* c */ module A { const string S = \"a\\x41\"; // d
        enum E { X = 0x1f, Y = -017, Z, };
        struct P { 0 require E e = Z; 255 optional double d = -1.5e+3f; 3 optional string s = S;
            4 optional byte b[8]; 5 optional int:3 c; 6 optional map<P, vector<vector<byte>>> m; };
        key[P, e, d]; interface I { void f(routekey P p, out vector<A::P> q); }; };";
    vec![DEMO.into(), NODES.into(), more.into()]
}

/// Answers with a large body, in all versions, and with a large context.
fn large_packets() -> Vec<Vec<u8>> {
    let packet = |version: u8, body: &[u8], context: &[u8]| {
        let mut out = vec![0, 0, 0, 0, 0x10, version, 0x2c, 0x30, 1, 0x4c, 0x5c];
        wire::write_bytes(&mut out, 6, body);
        out.extend_from_slice(&[0x78, 0x0c, 0x86, 0]);
        out.extend_from_slice(context);
        out
    };
    let count = (LARGE / 4) as u32;
    let pairs = [&[0x98, 0x02][..], &count.to_be_bytes(), &repeated(&[0x06, 0, 0x16, 0])].concat();
    let mut text = b"\x0c\x20\x01\x47\0\x10\0\0".to_vec();
    text.extend_from_slice(&repeated(b"\x01"));
    let many = (LARGE / 6) as u32;
    let map = [&[0x08, 0x02][..], &many.to_be_bytes(), &repeated(b"\x06\0\x1d\0\x0c\x0c")].concat();
    let json = [&b"{\"a\":0"[..], &repeated(b",\"\":0"), b"}"].concat();
    vec![packet(1, b"", &pairs), packet(1, &text, b""), packet(3, &map, b""), packet(5, &json, b"")]
}

/// Long lists of what is short on the wire.
fn large_bodies() -> Vec<Vec<u8>> {
    let list = |element: &[u8], least: &[u8]| {
        let count = (LARGE / element.len()) as u32;
        [least, &[0x29, 0x02], &count.to_be_bytes(), &repeated(element)].concat()
    };
    // The node that must stand before the list.
    let node = [0x1a, 0x0b];
    vec![list(&[0x0a, 0x0b], &node), list(&[0x0c], &node), list(&[0x0a, 0x38, 0x0c, 0x0b], &node)]
}

fn large_texts() -> Vec<Vec<u8>> {
    let list = |element: &str| {
        let list = element.repeat(LARGE / element.len());
        format!("{{\"node\":{{}},\"all\":[{}]}}", list.trim_end_matches(',')).into_bytes()
    };
    let unknown = format!("{{{}\"node\":{{}},\"all\":[]}}", "\"u\":[],".repeat(LARGE / 7));
    let map = format!(
        "{{\"node\":{{\"bytes\":{{{}\"\":{{}}}}}},\"all\":[]}}",
        "\"\":{},".repeat(LARGE / 6)
    );
    let floats = "{\"f\":0},".to_owned();
    let zeros = "0,".repeat(LARGE / 2);
    let numbers = format!("{{\"node\":{{\"numbers\":[{zeros}0]}},\"all\":[]}}");
    vec![
        numbers.into(),
        list("{},"),
        list(&floats),
        list("{\"next\":[{}]},"),
        unknown.into(),
        map.into(),
    ]
}

/// Files of very many small definitions of a kind.
fn large_files() -> Vec<Vec<u8>> {
    let many = |before: &str, one: fn(usize) -> String, after: &str| {
        let mut text = before.to_owned();
        for n in 0.. {
            // What is written behind must fit, too.
            if text.len() >= LARGE - 128 {
                break;
            }
            text += &one(n);
        }
        (text + after).into_bytes()
    };
    vec![
        many("module M{enum E{", |n| format!("a{n:x},"), "};};"),
        many("module M{", |n| format!("enum e{n:x}{{a}};"), "};"),
        many("module M{", |n| format!("struct s{n:x}{{0 require int a;}};"), "};"),
        many("module M{interface I{", |n| format!("int f{n:x}();"), "};};"),
        many("module M{", |n| format!("interface i{n:x}{{}};"), "};"),
        many("module M{", |n| format!("const int c{n:x}=0;"), "};"),
        many(
            "module M{interface I{",
            |n| format!("int f{n:x}(int a,int b,int c,out int d);"),
            "};};",
        ),
        many("", |n| format!("#include \"{n:x}\"\n"), ""),
        many("", |n| format!("module m{n:x}{{}};"), ""),
        many("module M{struct S{", |n| format!("{} require int {n:x};", n % 256), "};};"),
        repeated(b"@"),
        repeated(b"\""),
        repeated(b"vector<"),
        many("module M{struct S{0 require int a;};", |_| "key[S,a];".to_owned(), "};"),
        many("module M{interface I{void f(", |n| format!("map<int,S{n:x}>a,"), "int b);};};"),
    ]
}
