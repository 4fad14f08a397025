//! JSON to protobuf and back.

use proptest::prelude::{any, prop_assert_eq, proptest};
use prost_reflect::MessageDescriptor;
use serde_json::{Value, json};

use super::compiled;
use crate::codec::trpc::{
    json::{Json, MEMORY_BYTES_MAX},
    pairs,
};

fn message() -> MessageDescriptor {
    compiled().method("/trpc.app.demo.Demo/Echo").expect("Echo").input.clone()
}

fn choices(options: Value) -> Json {
    serde_json::from_value(options).expect("choices")
}

/// `text` as protobuf, and back without default values.
fn there_and_back(text: &str) -> Result<Value, String> {
    let choices = choices(json!({ "defaults": "omit" }));
    let bytes = choices.encode(&message(), text.as_bytes())?;
    let back = choices.decode(&message(), &bytes).expect("what we wrote can be read");
    Ok(serde_json::from_slice(&back).expect("JSON"))
}

#[track_caller]
fn check_same(value: Value) {
    assert_eq!(there_and_back(&value.to_string()), Ok(value));
}

#[track_caller]
fn check_refused(text: &str, message: &str) {
    assert_eq!(there_and_back(text), Err(message.to_owned()));
}

#[test]
fn every_kind_of_field_comes_back() {
    check_same(json!({}));
    check_same(json!({
        "a_int32": -2147483648, "a_int64": "-9223372036854775808", "a_uint32": 4294967295_u32,
        "a_uint64": "18446744073709551615", "a_sint32": -1, "a_sint64": "-1", "a_fixed32": 1,
        "a_fixed64": "2", "a_sfixed32": -3, "a_sfixed64": "-4", "a_float": 1.5, "a_double": -0.1,
        "a_bool": true, "a_string": "h\u{e9}\u{1f600}\u{0}", "a_bytes": "AP8=", "color": "RED",
    }));
    check_same(json!({
        "inner": { "name": "x", "children": [{}, { "weight": "1" }] }, "numbers": [1, 0, -1],
        "inners": [{}, {}], "by_name": { "": "0", "a": "1" }, "by_id": { "-1": { "name": "y" } },
        "by_truth": { "true": "yes" }, "text": "", "maybe": 0, "colors": ["BLUE", 7, "RED"],
        "blobs": ["", "AA=="], "again": { "again": {} },
    }));
    check_same(json!({
        "at": "2024-02-29T12:30:00.500Z", "lasts": "-1.500s",
        "free": { "a": [1.0, null, { "b": "c" }], "d": true },
        "any": { "@type": "type.googleapis.com/trpc.app.demo.Inner", "name": "in any" },
        "boxed": "7", "flag": false,
    }));
    check_same(json!({ "a_double": "NaN", "a_float": "-Infinity" }));
}

#[test]
fn calls_may_use_either_name_and_either_form() {
    let text = r#"{"aInt64": 5, "a_uint64": 7.0, "color": 1, "aString": null, "a_double": "1e3",
        "a_bytes": "-_8", "numbers": ["1", 2.0], "byId": {"1": {}}}"#;
    let expected = json!({ "a_int64": "5", "a_uint64": "7", "color": "RED", "a_double": 1000.0,
        "a_bytes": "+/8=", "numbers": [1, 2], "by_id": { "1": {} } });
    assert_eq!(there_and_back(text), Ok(expected));
}

#[test]
fn answers_are_written_as_chosen() {
    let bytes = Json::default().encode(&message(), br#"{"a_int64":"5","color":"RED"}"#).unwrap();
    let read = |options| -> Value {
        let text = choices(options).decode(&message(), &bytes).expect("JSON");
        serde_json::from_slice(&text).expect("JSON")
    };
    let all = read(json!({}));
    assert_eq!(
        (&all["a_int64"], &all["color"], &all["a_int32"]),
        (&json!("5"), &json!("RED"), &json!(0))
    );
    assert_eq!(all["numbers"], json!([]));
    let other = read(json!({
        "int64": "number", "enums": "number", "names": "camel", "defaults": "omit",
    }));
    assert_eq!(other, json!({ "aInt64": 5, "color": 1 }));
}

#[test]
fn a_refusal_names_the_field_and_what_was_expected() {
    check_refused(
        r#"{"a_int32": "x"}"#,
        "body.a_int32: invalid digit found in string (expected a 32-bit integer)",
    );
    check_refused(
        r#"{"inner": {"children": [{}, {"weight": true}]}}"#,
        "body.inner.children[1].weight: invalid type: boolean `true` (expected a 64-bit integer)",
    );
}

#[test]
fn a_refusal_says_where() {
    for (text, at, expected) in [
        (r#"{"a_uint32": -1}"#, "body.a_uint32: ", "(expected a 32-bit integer not below 0)"),
        (r#"{"a_int32": 2147483648}"#, "body.a_int32: ", "(expected a 32-bit integer)"),
        (r#"{"a_int32": 1.5}"#, "body.a_int32: ", "(expected a 32-bit integer)"),
        (r#"{"a_bool": 1}"#, "body.a_bool: ", "(expected true or false)"),
        (r#"{"a_string": 1}"#, "body.a_string: ", "(expected a string)"),
        (r#"{"a_bytes": "*"}"#, "body.a_bytes: ", "(expected base64)"),
        (r#"{"color": "GREEN"}"#, "body.color: ", "(expected a value of enum trpc.app.demo.Color)"),
        (r#"{"inner": 1}"#, "body.inner: ", "(expected an object for trpc.app.demo.Inner)"),
        (r#"{"numbers": 1}"#, "body.numbers: ", "(expected a list of a 32-bit integer)"),
        (r#"{"numbers": [1, "x"]}"#, "body.numbers[1]: ", "(expected a 32-bit integer)"),
        (r#"{"by_name": []}"#, "body.by_name: ", "(expected a map to a 64-bit integer)"),
        (r#"{"by_name": {"a.b": {}}}"#, "body.by_name.a.b: ", "(expected a 64-bit integer)"),
        (r#"{"by_id": {"1": {"name": 2}}}"#, "body.by_id.1.name: ", "(expected a string)"),
        (r#"{"at": "yesterday"}"#, "body.at: ", "google.protobuf.Timestamp)"),
        (r#"{"again": {"again": {"numbers": [[]]}}}"#, "body.again.again.numbers[0]: ", ""),
        (r#"{"text": "a", "number": 1}"#, "body", "oneof 'one'"),
        (
            r#"{"inner": {"nam": 1}}"#,
            "body.inner.nam: there is no such field in trpc.app.demo.Inner",
            "",
        ),
        (
            r#"{"by_id": {"1": {"x": 2}}}"#,
            "body.by_id.1.x: there is no such field in trpc.app.demo.Inner",
            "",
        ),
        (r#"{"nam": 1}"#, "body.nam: there is no such field in trpc.app.demo.All", ""),
        (r#"[]"#, "body: ", "(expected an object for trpc.app.demo.All)"),
        (r#"{"any": {"@type": "x/Nothing"}}"#, "body.any", "message 'Nothing' not found"),
        ("", "the body is no JSON: ", "EOF"),
        ("{} {}", "the body is no JSON: ", "trailing characters"),
        (r#"{"a_int32":"#, "the body is no JSON: ", "EOF"),
    ] {
        let error = there_and_back(text).expect_err(text);
        assert!(error.starts_with(at) && error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn unknown_fields_are_left_out_if_so_chosen() {
    let lenient = choices(json!({ "unknown": "ignore" }));
    let bytes = lenient.encode(&message(), br#"{"nobody":[{}],"a_int32":1}"#).expect("encoded");
    assert_eq!(bytes, b"\x08\x01");
}

#[test]
fn what_nests_without_end_is_refused() {
    let text = format!("{}{}", r#"{"again":"#.repeat(200), "}".repeat(200));
    let error = there_and_back(&text).expect_err("deep");
    assert!(error.contains("recursion limit"), "{error}");
    // Fields 34 within each other, the innermost empty.
    let mut bytes = Vec::new();
    for _ in 0..101 {
        let mut outer = vec![0x92, 0x02];
        super::super::wire::put_varint(&mut outer, bytes.len() as u64);
        outer.extend(bytes);
        bytes = outer;
    }
    assert!(Json::default().decode(&message(), &bytes).is_err());
}

#[test]
fn any_within_any_is_bounded() {
    let any =
        |inner: &str| format!(r#"{{"any":{{"@type":"t/google.protobuf.Any","value":{inner}}}}}"#);
    let nested = |levels| {
        let mut text = r#"{"@type":"t/trpc.app.demo.Inner"}"#.to_owned();
        for _ in 0..levels {
            text = format!(r#"{{"@type":"t/google.protobuf.Any","value":{text}}}"#);
        }
        any(&text)
    };
    assert!(there_and_back(&nested(5)).is_ok());
    let bytes = Json::default().encode(&message(), nested(9).as_bytes()).expect("encoded");
    let error = Json::default().decode(&message(), &bytes).expect_err("deep");
    assert!(error.0.contains("Any nests deeper than 8"), "{error}");
}

#[test]
fn messages_that_would_take_too_much_memory_are_refused() {
    let many = MEMORY_BYTES_MAX / 896 + 1;
    for (what, bytes) in [
        ("messages", b"\x9a\x01\x00".repeat(many)),
        ("unknown fields", b"\xc0\x3e\x00".repeat(many * 8)),
        ("packed numbers", {
            let mut bytes = vec![0x92, 0x01];
            super::super::wire::put_varint(&mut bytes, many as u64 * 8);
            bytes.resize(bytes.len() + many * 8, 0);
            bytes
        }),
    ] {
        let error = Json::default().decode(&message(), &bytes).expect_err(what);
        assert!(error.0.contains("bytes of memory"), "{what}: {error}");
    }
    let text = format!(r#"{{"inners":[{}{{}}]}}"#, "{},".repeat(many));
    assert_eq!(there_and_back(&text), Err("the body has too many values".to_owned()));
    let text = format!(r#"{{"free":{{"a":[{}1]}}}}"#, "1,".repeat(many));
    assert_eq!(there_and_back(&text), Err("the body has too many values".to_owned()));
}

#[test]
fn large_but_plain_bodies_are_taken() {
    let text = json!({ "a_string": ",{[\"\\".repeat(100_000) }).to_string();
    assert!(there_and_back(&text).is_ok());
    let numbers = json!({ "a_bytes": "AAAA".repeat(1_000_000) }).to_string();
    assert!(there_and_back(&numbers).is_ok());
}

#[test]
fn an_answer_whose_names_outgrow_the_bound_is_refused() {
    // Two bytes become kilobytes of names and defaults.
    let list = "message L { repeated A all = 1; } message A {
        {} } service S { rpc M(L) returns (L); }";
    let fields: String =
        (1..100).map(|at| format!("int32 a_rather_long_name_of_a_field_{at} = {at};")).collect();
    let text = list.replacen("{}", &fields, 1);
    let text = format!("syntax = \"proto3\"; {text}");
    let source = super::source(&text);
    let schema = super::Schema::compile(&[source]).expect("compiles");
    let message = schema.method("/S/M").expect("M").output.clone();
    let bytes = b"\x0a\x00".repeat(20_000);
    let error = Json::default().decode(&message, &bytes).expect_err("too long");
    assert!(error.0.contains("more than 67108864 bytes"), "{error}");
}

#[test]
fn pairs_get_the_types_of_their_fields() {
    let list = [
        ("a_int32", "-5"),
        ("aInt64", "9007199254740993"),
        ("a_bool", "1"),
        ("color", "-2"),
        ("a_string", "1"),
        ("numbers", "1"),
        ("numbers", "2"),
        ("inner.name", "x"),
        ("inner.weight", "3"),
        ("at", "2024-01-01T00:00:00Z"),
        ("flag", "true"),
        ("boxed", "4"),
        ("colors", "RED"),
    ];
    let value = pairs::typed(&message(), &list).expect("typed");
    assert_eq!(
        there_and_back(&value.to_string()),
        Ok(json!({
            "a_int32": -5, "a_int64": "9007199254740993", "a_bool": true, "color": "BLUE",
            "a_string": "1", "numbers": [1, 2], "inner": { "name": "x", "weight": "3" },
            "at": "2024-01-01T00:00:00Z", "flag": true, "boxed": "4", "colors": ["RED"],
        }))
    );
}

#[test]
fn pairs_that_fit_no_field_are_refused() {
    for (list, why) in [
        (&[("a_bool", "yes")][..], "a_bool: expected true or false"),
        (&[("inner", "x")], "inner: is a message (trpc.app.demo.Inner); name a field of it"),
        (&[("inners.name", "x")], "inners.name: inners is no message with fields"),
        (&[("a_int32.x", "x")], "a_int32.x: a_int32 is no message with fields"),
        (&[("by_name", "x")], "by_name: a map cannot stand in a query"),
        (&[("a_int32", "1"), ("aInt32", "2")], "aInt32: comes twice, but is no list"),
        (&[("flag", "1"), ("flag.value", "1")], "flag.value: flag has a value"),
    ] {
        assert_eq!(pairs::typed(&message(), list), Err(why.to_owned()));
    }
    let deep = vec!["again"; 40].join(".");
    assert!(pairs::typed(&message(), &[(&deep, "1")]).expect_err("deep").contains("32 levels"));
    let unknown = pairs::typed(&message(), &[("inner.nobody.x", "1")]).expect("kept");
    assert!(there_and_back(&unknown.to_string()).expect_err("refused").contains("nobody.x"));
}

#[test]
fn pairs_without_a_description_are_strings_and_lists() {
    let list = [("a", "1"), ("b", ""), ("a", "2"), ("a", "x"), ("\u{0}", "\"")];
    assert_eq!(pairs::untyped(&list), json!({ "a": ["1", "2", "x"], "b": "", "\u{0}": "\"" }));
}

proptest! {
    #[test]
    fn numbers_and_texts_come_back(
        small in any::<i32>(), large in any::<i64>(), text in any::<String>(), real in -1e300..1e300_f64,
    ) {
        let value = json!({
            "a_int32": small, "a_int64": large.to_string(), "a_string": text, "a_double": real,
        });
        let choices = Json::default();
        let bytes = choices.encode(&message(), value.to_string().as_bytes()).expect("encoded");
        let back: Value =
            serde_json::from_slice(&choices.decode(&message(), &bytes).expect("decoded")).expect("JSON");
        for key in ["a_int32", "a_int64", "a_string", "a_double"] {
            prop_assert_eq!(&back[key], &value[key]);
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in any::<Vec<u8>>()) {
        let _ = Json::default().decode(&message(), &bytes);
        let _ = Json::default().encode(&message(), &bytes);
    }
}
