//! Values: what goes in, what comes out, what is refused and with which words.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use serde_json::{Value, json};

use super::{Bytes, Charset, Decoder, Encoder, Int64, Style};
use crate::codec::{
    registry::Source,
    tars::{
        idl::{Record, Schema},
        wire::Reader,
    },
};

const IDL: &str = r#"module M {
    enum Color { RED, GREEN = 5, BLUE };
    struct Point { 0 require int x; 1 require int y; };
    struct All {
        0 require bool flag; 1 require byte b = 7; 2 require short s; 3 require int i;
        4 require long l; 5 require float f; 6 require double d; 7 require string str;
        8 optional vector<int> vi; 9 optional vector<byte> vb; 10 optional map<string, int> m;
        11 optional Point p; 12 optional Color c = GREEN; 13 optional unsigned byte ub;
        14 optional unsigned short us; 15 optional unsigned int ui; 16 optional vector<Point> vp;
        17 optional vector<string> vs; 18 optional map<Point, vector<Point> > mp;
        19 optional map<int, string> mi; 20 optional map<Color, map<long, bool> > mc;
        21 optional vector<vector<byte> > vvb; 22 optional map<vector<byte>, double> mb;
        23 optional map<bool, float> mf; 200 optional int far = 3;
    };
    struct Node { 0 optional vector<Node> next; 1 optional string name = "n"; };
    interface I {
        All all(All a, out Point p); void node(Node n); void point(Point p);
        int scalars(bool b, byte y, long l, double d, string s, Color c, vector<byte> v, Point p);
    };
};"#;

fn schema() -> Schema {
    Schema::compile(&[Source { name: "m.tars", text: IDL.as_bytes() }]).unwrap()
}

fn input<'s>(schema: &'s Schema, function: &str) -> &'s Record {
    &schema.interface("I").unwrap().functions.get(function).unwrap().input
}

fn encode(function: &str, json: &str, style: &Style) -> Result<Vec<u8>, String> {
    let schema = schema();
    let record = input(&schema, function);
    Encoder::new(&schema, style).object(json.as_bytes(), record).map_err(|fail| fail.to_string())
}

fn decode(function: &str, items: &[u8], style: &Style) -> Result<Value, String> {
    let schema = schema();
    let mut decoder = Decoder::new(&schema, style, items.len());
    let record = input(&schema, function);
    decoder.object(&mut Reader::new(items), record).map_err(|fail| fail.to_string())?;
    Ok(serde_json::from_slice(&decoder.finish()).unwrap())
}

/// What comes back of `a`, with all members.
fn round(a: &Value, style: &Style) -> Value {
    let items = encode("all", &json!({ "a": a }).to_string(), style).unwrap();
    decode("all", &items, style).unwrap()["a"].take()
}

fn least() -> Value {
    json!({
        "flag": false, "b": 0, "s": 0, "i": 0, "l": 0, "f": 0.0, "d": 0.0, "str": "",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut all = least();
    all[name] = value;
    all
}

#[test]
fn absent_members_get_their_defaults() {
    assert_eq!(
        round(&least(), &Style::default()),
        json!({
            "flag": false, "b": 0, "s": 0, "i": 0, "l": 0, "f": 0.0, "d": 0.0, "str": "",
            "vi": [], "vb": "", "m": {}, "p": {"x": 0, "y": 0}, "c": 5, "ub": 0, "us": 0, "ui": 0,
            "vp": [], "vs": [], "mp": {}, "mi": {}, "mc": {}, "vvb": [], "mb": {}, "mf": {}, "far": 3,
        })
    );
    let null = with("far", Value::Null);
    assert_eq!(round(&null, &Style::default())["far"], 3);
}

#[test]
fn values_come_back_as_they_went() {
    let style = Style::default();
    for (name, value) in [
        ("flag", json!(true)),
        ("b", json!(-128)),
        ("b", json!(127)),
        ("s", json!(-32768)),
        ("i", json!(2_147_483_647)),
        ("i", json!(-2_147_483_648_i64)),
        ("l", json!(9_007_199_254_740_991_i64)),
        ("l", json!("9007199254740992")),
        ("l", json!("-9223372036854775808")),
        ("l", json!("9223372036854775807")),
        ("f", json!(-1.5)),
        ("f", json!(3.402_823_5e38)),
        ("d", json!(1.797_693_134_862_315_7e308)),
        ("d", json!(5e-324)),
        ("str", json!("\u{4f60}\u{597d} \"\\ \n\0 \u{1f600}")),
        ("str", json!("x".repeat(300))),
        ("vi", json!([0, 1, -1, 127, 128, 32768, 2_147_483_647])),
        ("vi", json!(vec![7; 200])),
        ("vb", json!("AAEC/w==")),
        ("m", json!({"": 0, "a": -1, "\u{e9}\"": 2})),
        ("p", json!({"x": 1, "y": -2})),
        ("c", json!(6)),
        ("c", json!(99)),
        ("ub", json!(255)),
        ("us", json!(65535)),
        ("ui", json!(4_294_967_295_u32)),
        ("vp", json!([{"x": 1, "y": 2}, {"x": 3, "y": 4}])),
        ("vs", json!(["", "a"])),
        ("mp", json!({"{\"x\":1,\"y\":2}": [{"x": 3, "y": 4}], "{\"x\":0,\"y\":0}": []})),
        ("mi", json!({"-1": "a", "0": "", "2147483647": "b"})),
        ("mc", json!({"0": {"-5": true}, "6": {"9223372036854775807": false}})),
        ("vvb", json!(["", "AA==", "//8="])),
        ("mb", json!({"AA==": 1.5, "": 2.0})),
        ("mf", json!({"true": 1.5, "false": 0.25})),
        ("far", json!(0)),
    ] {
        assert_eq!(round(&with(name, value.clone()), &style)[name], value, "{name}");
    }
}

#[test]
fn other_ways_to_write_a_value_are_taken() {
    let style = Style::default();
    for (name, value, expected) in [
        ("flag", json!(1), json!(true)),
        ("i", json!(2.0), json!(2)),
        ("i", json!(1e3), json!(1000)),
        ("l", json!("42"), json!(42)),
        ("d", json!(3), json!(3.0)),
        ("c", json!("BLUE"), json!(6)),
        ("c", json!("5"), json!(5)),
        ("vb", json!([0, 255, -1, 7]), json!("AP//Bw==")),
        ("vb", json!({"type": "Buffer", "data": [1, 2]}), json!("AQI=")),
        ("vb", json!("-_8"), json!("+/8=")),
        ("mc", json!({"GREEN": {"1": 1}}), json!({"5": {"1": true}})),
        ("mp", json!({" {\"y\":2, \"x\":1} ": []}), json!({"{\"x\":1,\"y\":2}": []})),
        ("m", json!({"a": 1, "b": null}), json!({"a": 1})),
    ] {
        assert_eq!(round(&with(name, value), &style)[name], expected, "{name}");
    }
}

#[test]
fn options_choose_how_values_look() {
    let style =
        Style { int64: Int64::Always, bytes: Bytes::Array, enum_names: true, ..Style::default() };
    let all = json!({
        "flag": true, "b": 1, "s": 1, "i": 1, "l": 1, "f": 1, "d": 1, "str": "",
        "vb": [0, 200], "c": "RED", "mc": {"BLUE": {"7": true}},
    });
    let found = round(&all, &style);
    assert_eq!(found["l"], "1");
    assert_eq!(found["vb"], json!([0, 200]));
    assert_eq!(found["c"], "RED");
    assert_eq!(found["mc"], json!({"BLUE": {"7": true}}));
    assert_eq!(found["vvb"], json!([]));
    let style = Style { int64: Int64::Never, ..Style::default() };
    let found = round(&with("l", json!(i64::MAX)), &style);
    assert_eq!(found["l"], json!(i64::MAX));
}

#[test]
fn members_may_come_in_any_order() {
    let style = Style::default();
    let one = encode("point", r#"{"p":{"x":1,"y":2}}"#, &style).unwrap();
    assert_eq!(one, encode("point", r#" {"p" : {"y":2,"z":[{}],"x":1}} "#, &style).unwrap());
    assert_eq!(one, [0x1a, 0x00, 1, 0x10, 2, 0x0b]);
}

#[test]
fn refusals_name_the_path_and_what_was_expected() {
    let int = "int (-2147483648 to 2147483647)";
    for (name, value, expected) in [
        ("i", json!("1"), format!("a.i: expected {int}, got \"1\"")),
        ("i", json!(2_147_483_648_i64), format!("a.i: expected {int}, got 2147483648")),
        ("i", json!(1.5), format!("a.i: expected {int}, got 1.5")),
        ("i", json!(1e300), format!("a.i: expected {int}, got 1e300")),
        ("i", json!(true), format!("a.i: expected {int}, got true")),
        ("i", json!([]), format!("a.i: expected {int}, got an array")),
        ("i", json!({}), format!("a.i: expected {int}, got an object")),
        ("i", Value::Null, format!("a.i: required, expected {int}")),
        ("b", json!(128), "a.b: expected byte (-128 to 127), got 128".to_owned()),
        ("ub", json!(-1), "a.ub: expected unsigned byte (0 to 255), got -1".to_owned()),
        (
            "ui",
            json!(4_294_967_296_i64),
            "a.ui: expected unsigned int (0 to 4294967295), got 4294967296".to_owned(),
        ),
        (
            "l",
            json!(9_223_372_036_854_775_808_u64),
            "a.l: expected long (-9223372036854775808 to 9223372036854775807), \
             got 9223372036854775808"
                .to_owned(),
        ),
        (
            "l",
            json!("9x"),
            "a.l: expected long (-9223372036854775808 to 9223372036854775807), got \"9x\""
                .to_owned(),
        ),
        ("f", json!(1e300), "a.f: expected float, got 1e300".to_owned()),
        ("flag", json!(2), "a.flag: expected bool, got 2".to_owned()),
        ("str", json!(1), "a.str: expected string, got 1".to_owned()),
        (
            "c",
            json!("PINK"),
            "a.c: expected enum M.Color (RED, GREEN, BLUE, or a number), got \"PINK\"".to_owned(),
        ),
        ("vi", json!([1, "x"]), format!("a.vi[1]: expected {int}, got \"x\"")),
        ("vi", json!([null]), format!("a.vi[0]: expected {int}, got null")),
        ("vb", json!("?"), "a.vb: expected bytes as base64, got other text".to_owned()),
        ("vb", json!([1, 256]), "a.vb[1]: expected a byte (-128 to 255)".to_owned()),
        ("vb", json!({"data": 1}), "invalid type".to_owned()),
        ("vp", json!([{"x": 1, "y": 2}, {"x": 1}]), format!("a.vp[1].y: required, expected {int}")),
        ("m", json!({"k 1": "x"}), format!("a.m[\"k 1\"]: expected {int}, got \"x\"")),
        ("mi", json!({"x": "y"}), format!("a.mi.x: expected {int}, got \"x\"")),
        ("mi", json!({"7": 1}), "a.mi.7: expected string, got 1".to_owned()),
        (
            "mp",
            json!({"{\"x\":1}": []}),
            format!("a.mp[\"{{\\\"x\\\":1}}\"].y: required, expected {int}"),
        ),
        ("p", json!(1), "a.p: expected M.Point, got 1".to_owned()),
    ] {
        let body = json!({ "a": with(name, value) }).to_string();
        let error = encode("all", &body, &Style::default()).unwrap_err();
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
}

#[test]
fn bodies_that_are_no_objects_of_arguments_are_refused() {
    let reject = Style { reject_unknown: true, ..Style::default() };
    for (body, style, expected) in [
        ("", &reject, "p: required, expected M.Point"),
        ("{", &reject, "no JSON: EOF while parsing an object at line 1 column 1"),
        ("[]", &reject, "invalid type: sequence, expected an object with the arguments"),
        (r#"{"p":{"x":1,"y":2}}x"#, &reject, "no JSON: trailing characters at line 1"),
        (r#"{"p":{"x":1,"y":2},"q":1}"#, &reject, "q: there is no such field"),
        (r#"{"p":{"x":1,"y":2,"z":1}}"#, &reject, "p.z: there is no such field"),
        (r#"{"p":{"x":1,"y":2,"x":1}}"#, &reject, "p.x: given twice"),
        (r#"{"p":{"x":1,"y":2},"p":{"x":1,"y":2}}"#, &reject, "p: given twice"),
    ] {
        let error = encode("point", body, style).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(encode("point", r#"{"q":[{}],"p":{"x":1,"y":2}}"#, &Style::default()).is_ok());
}

#[test]
fn query_values_become_scalars() {
    let (schema, style) = (schema(), Style::default());
    let record = input(&schema, "scalars");
    let encode = |pairs: &[(&str, &str)]| {
        Encoder::new(&schema, &style).pairs(pairs, record).map_err(|fail| fail.to_string())
    };
    let pairs = [
        ("p", r#"{"x":1,"y":2}"#),
        ("b", "true"),
        ("y", "-5"),
        ("l", "9223372036854775807"),
        ("d", "1e3"),
        ("s", "a b"),
        ("c", "GREEN"),
        ("v", "AQ"),
        ("other", "x"),
    ];
    let items = encode(&pairs).unwrap();
    let mut decoder = Decoder::new(&schema, &style, items.len());
    decoder.object(&mut Reader::new(&items), record).unwrap();
    let found: Value = serde_json::from_slice(&decoder.finish()).unwrap();
    assert_eq!(
        found,
        json!({
            "b": true, "y": -5, "l": "9223372036854775807", "d": 1000.0, "s": "a b", "c": 5,
            "v": "AQ==", "p": {"x": 1, "y": 2},
        })
    );
    for (name, value, expected) in [
        ("b", "yes", "b: expected bool, got \"yes\""),
        ("y", "128", "y: expected byte (-128 to 127), got 128"),
        ("d", "inf", "d: expected double, got \"inf\""),
        ("d", "NaN", "d: expected double, got \"NaN\""),
        ("p", "{", "p: no JSON: EOF while parsing an object at line 1 column 1"),
        ("p", "null", "p: expected M.Point, got null"),
    ] {
        let error = encode(&[(name, value)]).unwrap_err();
        assert_eq!(error, expected);
    }
    assert_eq!(encode(&[("s", "a"), ("s", "b")]).unwrap_err(), "s: given twice");
}

#[test]
fn gbk_strings_are_translated_both_ways() {
    let style = Style { charset: Charset::Gbk, ..Style::default() };
    let all = with("str", json!("\u{4f60}\u{597d}"));
    let items = encode("all", &json!({ "a": all }).to_string(), &style).unwrap();
    let gbk = b"\x76\x04\xc4\xe3\xba\xc3";
    assert!(items.windows(gbk.len()).any(|window| window == gbk));
    assert_eq!(round(&all, &style)["str"], "\u{4f60}\u{597d}");
    let error = decode("all", &items, &Style::default()).unwrap_err();
    assert_eq!(error, "a.str: the text is not in the expected character set");
    let replace = Style { replace_invalid: true, ..Style::default() };
    let text = decode("all", &items, &replace).unwrap();
    assert!(text["a"]["str"].as_str().unwrap().contains('\u{fffd}'));
    let lacking = json!({ "a": with("str", json!("\u{1f600}")) }).to_string();
    let error = encode("all", &lacking, &style).unwrap_err();
    assert_eq!(error, "a.str: expected string, got a character that GBK lacks");
}

#[test]
fn depth_is_bounded_both_ways() {
    let nested = |levels: usize| {
        format!(r#"{{"n":{}{}}}"#, r#"{"next":["#.repeat(levels), "]}".repeat(levels))
    };
    let items = encode("node", &nested(32), &Style::default()).unwrap();
    assert!(decode("node", &items, &Style::default()).is_ok());
    let error = encode("node", &nested(33), &Style::default()).unwrap_err();
    assert!(error.ends_with("more than 64 levels"), "{error}");
    // Every list has one struct in it, in which the next list is.
    let hostile = [&[0x1a][..], &[0x09, 0x00, 1, 0x0a].repeat(1000)].concat();
    let error = decode("node", &hostile, &Style::default()).unwrap_err();
    assert!(error.ends_with("more than 64 levels"), "{error}");
}

#[test]
fn what_a_server_sends_is_not_trusted() {
    let style = Style::default();
    for (items, expected) in [
        (&[][..], "p: required, but missing"),
        (&[0x1c], "p: expected a struct, got an item of type zero"),
        (&[0x1a, 0x0c], "p.y: required, but missing"),
        (&[0x1a, 0x0c, 0x1c], "p: the bytes end within an item"),
        (&[0x1a, 0x03, 0, 0, 0, 0, 0, 0, 0, 1], "p.x: expected an integer of 32 bits, got"),
        (&[0x1a, 0x06, 1, b'a', 0x1c, 0x0b], "p.x: expected an integer of 32 bits, got"),
        (&[0x1a, 0x0e], "p.x: an item has the unknown type 14"),
    ] {
        let error = decode("point", items, &style).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    let mut items = encode("all", &json!({ "a": least() }).to_string(), &style).unwrap();
    items.pop();
    items.extend_from_slice(&[0xd0, 0xff, 0x0b]);
    assert_eq!(decode("all", &items, &style).unwrap_err(), "a.ub: -1 is out of range");
    // Tens of thousands of empty structs, each of which would be written with all its defaults.
    let empty = [&[0x1a, 0x09, 0x02, 0, 0, 0x80, 0][..], &[0x0a, 0x0b].repeat(32768), &[0x0b]];
    let found = decode("node", &empty.concat(), &style).unwrap();
    assert_eq!(found["n"]["next"].as_array().unwrap().len(), 32768);
}

#[test]
fn an_answer_grows_only_so_far() {
    let names: Vec<String> =
        (0..200).map(|tag| format!("{tag} optional int {}{tag};", "x".repeat(200))).collect();
    let text = format!(
        "module M {{ struct Wide {{ {} }}; interface I {{ void f(vector<Wide> v); }}; }};",
        names.join("\n")
    );
    let schema = Schema::compile(&[Source { name: "w.tars", text: text.as_bytes() }]).unwrap();
    let style = Style::default();
    let items = [&[0x19, 0x02, 0, 0, 0x80, 0][..], &[0x0a, 0x0b].repeat(32768)].concat();
    let mut decoder = Decoder::new(&schema, &style, items.len());
    let record = input(&schema, "f");
    let error = decoder.object(&mut Reader::new(&items), record).unwrap_err().to_string();
    assert!(error.ends_with("the result would have more than 4194688 bytes"), "{error}");
    assert!(decoder.finish().len() < 5 << 20);
}

#[test]
fn what_is_no_number_in_json_is_null() {
    let all = json!({ "a": least() }).to_string();
    let items = encode("all", &all, &Style::default()).unwrap();
    let zero = [0x54, 0, 0, 0, 0];
    let at = items.windows(5).position(|window| window == zero).unwrap();
    let mut hostile = items;
    hostile[at + 1..at + 5].copy_from_slice(&f32::NAN.to_be_bytes());
    assert_eq!(decode("all", &hostile, &Style::default()).unwrap()["a"]["f"], Value::Null);
}

fn point() -> impl Strategy<Value = Value> {
    (any::<i32>(), any::<i32>()).prop_map(|(x, y)| json!({"x": x, "y": y}))
}

fn long() -> impl Strategy<Value = Value> {
    any::<i64>().prop_map(|number| {
        let safe = number.unsigned_abs() <= super::SAFE_MAX;
        if safe { json!(number) } else { json!(number.to_string()) }
    })
}

fn finite() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("finite", |number| number.is_finite())
}

fn member() -> impl Strategy<Value = (&'static str, Value)> {
    let of =
        |name: &'static str, value: proptest::strategy::BoxedStrategy<Value>| (Just(name), value);
    prop_oneof![
        of("flag", any::<bool>().prop_map(Value::from).boxed()),
        of("b", any::<i8>().prop_map(Value::from).boxed()),
        of("s", any::<i16>().prop_map(Value::from).boxed()),
        of("i", any::<i32>().prop_map(Value::from).boxed()),
        of("l", long().boxed()),
        of("d", finite().prop_map(Value::from).boxed()),
        of("str", any::<String>().prop_map(Value::from).boxed()),
        of("vi", prop::collection::vec(any::<i32>(), 0..300).prop_map(Value::from).boxed()),
        of(
            "m",
            prop::collection::hash_map(any::<String>(), any::<i32>(), 0..20)
                .prop_map(|map| json!(map))
                .boxed()
        ),
        of("p", point().boxed()),
        of("ub", any::<u8>().prop_map(Value::from).boxed()),
        of("us", any::<u16>().prop_map(Value::from).boxed()),
        of("ui", any::<u32>().prop_map(Value::from).boxed()),
        of("vp", prop::collection::vec(point(), 0..200).prop_map(Value::from).boxed()),
        of("vs", prop::collection::vec(any::<String>(), 0..9).prop_map(Value::from).boxed()),
        of(
            "mp",
            prop::collection::hash_map(
                point().prop_map(|key| key.to_string()),
                prop::collection::vec(point(), 0..3),
                0..4
            )
            .prop_map(|map| json!(map))
            .boxed()
        ),
        of("far", any::<i32>().prop_map(Value::from).boxed()),
    ]
}

proptest! {
    #[test]
    fn any_value_comes_back(members in prop::collection::vec(member(), 0..20)) {
        let mut all = least();
        for (name, value) in &members {
            all[name] = value.clone();
        }
        let found = round(&all, &Style::default());
        for (name, value) in all.as_object().unwrap() {
            assert_eq!(&found[name], value, "{name}");
        }
    }

    #[test]
    fn order_does_not_matter(members in prop::collection::vec(member(), 0..20)) {
        let mut all = least();
        for (name, value) in members {
            all[name] = value;
        }
        let back: serde_json::Map<String, Value> =
            all.as_object().unwrap().clone().into_iter().rev().collect();
        let encode = |all: Value| encode("all", &json!({ "a": all }).to_string(), &Style::default());
        assert_eq!(encode(all).unwrap(), encode(Value::Object(back)).unwrap());
    }

    #[test]
    fn floats_come_back_to_the_last_bit(number in any::<f32>()) {
        if number.is_finite() {
            let found = round(&with("f", json!(number)), &Style::default());
            assert_eq!(found["f"].as_f64().unwrap() as f32, number);
        }
    }
}
