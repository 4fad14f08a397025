//! Good and bad objects of each kind. APISIX's own schemas and library say the same on every line.

mod rest;
mod traffic;

use serde_json::{Map, Value};

use super::{fragment, realm, schema};
use crate::config::schema::{CheckOptions, Schema};

fn parse(text: &str) -> Value {
    let text = text.replace("@CERT", &"c".repeat(128)).replace("@KEY", &"k".repeat(64));
    serde_json::from_str(&text).unwrap()
}

/// An empty Lua table has no kind, so what the oracle prints as `{}` may be `[]` here.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) if map.is_empty() => Value::Array(Vec::new()),
        Value::Object(map) => {
            let mut members: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Each case is an object and either what it is filled up to or why it is refused.
#[track_caller]
fn check(kind: &str, cases: &[(&str, Result<&str, &str>)]) {
    let schema = Schema::compile(schema(kind).unwrap()).unwrap();
    for (text, expect) in cases {
        let mut value = parse(text);
        let verdict = schema.check(&mut value, &CheckOptions::default());
        let result = verdict.map(|()| sorted(value));
        assert_eq!(result, expect.map(|v| sorted(parse(v))).map_err(str::to_owned), "{text}");
    }
}

#[test]
fn every_schema_compiles_and_unknown_kinds_have_none() {
    for name in
        ["id_schema", "host_def", "uri_def", "method_schema", "health_checker", "discovery_nodes"]
    {
        Schema::compile(fragment(name).unwrap()).unwrap();
    }
    assert_eq!(fragment("ip_def").and_then(Value::as_array).map(Vec::len), Some(4));
    assert_eq!((schema("routes"), fragment("route")), (None, None));
}

#[test]
fn a_realm_is_printable_without_quote_and_backslash() {
    let schema = Schema::compile(&realm("key")).unwrap();
    let good = |text: &str| schema.check(&mut Value::from(text), &CheckOptions::default()).is_ok();
    assert!(good("a realm ![#]~"));
    for bad in ["a\"b", "a\\b", "tab\t", "é", ""] {
        assert!(!good(bad), "{bad}");
    }
}
