//! What the Lua library has no word on: options, broken and hostile schemas, hostile values.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    super::{CheckOptions, DEPTH_MAX, Patch, PathStep, Schema},
    Expect::{Refused, Same},
    apply, check, compile,
};

#[track_caller]
fn compile_error(schema: Value, error: &str) {
    assert_eq!(Schema::compile(&schema).unwrap_err().to_string(), error);
}

#[test]
fn broken_schemas_are_named() {
    for (schema, error) in [
        (json!({"type": "test"}), "invalid schema: invalid JSON type: test"),
        (
            json!({"items": {"type": 1}}),
            "invalid schema: \"type\" must be a string or a list of strings",
        ),
        (json!(1), "invalid schema: a schema must be an object or a boolean, found 1"),
        (json!({"required": true}), "invalid schema: \"required\" must be an array"),
        (json!({"enum": "a"}), "invalid schema: \"enum\" must be an array"),
        (json!({"properties": [1]}), "invalid schema: \"properties\" must be an object"),
        (json!({"minLength": "1"}), "invalid schema: \"minLength\" must be a number"),
        (json!({"pattern": 1}), "invalid schema: \"pattern\" must be a string"),
        (json!({"$ref": 1}), "invalid schema: \"$ref\" must be a string"),
        (
            json!({"$ref": "#/definitions/x"}),
            "invalid schema: reference not found: #/definitions/x (at \"definitions\")",
        ),
        (json!({"not": {"$ref": "#no"}}), "invalid schema: reference not found: #no (at \"no\")"),
        (
            json!({"$ref": "http://x/y#/a"}),
            "invalid schema: an external resolver is required to fetch http://x/y",
        ),
        (
            json!({"definitions": {"a": {"$ref": "#/definitions/a"}}, "$ref": "#/definitions/a"}),
            "invalid schema: \"$ref\" leads in a circle",
        ),
    ] {
        compile_error(schema, error);
    }
}

#[test]
fn a_broken_pattern_is_named() {
    let error = Schema::compile(&json!({"patternProperties": {"a(": true}})).unwrap_err();
    assert!(error.to_string().starts_with("invalid schema: invalid pattern \"a(\": "), "{error}");
    assert!(error.to_string().contains("parenthes"), "{error}");
}

#[test]
fn empty_tables_stand_for_empty_lists_and_objects() {
    let schema = r#"{"properties":[],"patternProperties":[],"dependencies":[],"definitions":[],
        "allOf":{},"items":[],"anyOf":[[]]}"#;
    check(schema, &[(r#"{"a":1}"#, Same), ("[1]", Same)]);
    check(
        r#"{"required":{}}"#,
        &[("{}", Same), ("1", Refused("the input data should be an empty table"))],
    );
}

#[test]
fn misplaced_keywords_are_properties_that_accept_all() {
    let schema = r#"{"properties":{"a":{"type":"string"},"required":["a"],"type":"object"}}"#;
    check(schema, &[(r#"{"required":1,"type":[]}"#, Same)]);
}

#[test]
fn draft_4_switches_make_bounds_exclusive() {
    let schema = r#"{"minimum":1,"exclusiveMinimum":true,"maximum":3,"exclusiveMaximum":true}"#;
    check(
        schema,
        &[
            ("2", Same),
            ("1", Refused("expected 1 to be greater than 1")),
            ("3", Refused("expected 3 to be smaller than 3")),
        ],
    );
    let off = r#"{"minimum":1,"exclusiveMinimum":false}"#;
    check(off, &[("1", Same), ("0", Refused("expected 0 to be at least 1"))]);
}

#[test]
fn references_know_names_and_own_ids() {
    let schema = r##"{"$id":"http://x/s.json","definitions":{"n":{"$id":"#num","type":"number"}},
        "properties":{"a":{"$ref":"#num"},"b":{"$ref":"http://x/s.json#/definitions/n"},
        "d":{"$ref":"http://x/s.json"}}}"##;
    check(
        schema,
        &[
            (r#"{"a":1,"b":2,"d":{"a":3}}"#, Same),
            (
                r#"{"a":"x"}"#,
                Refused(
                    r#"property "a" validation failed: wrong type: expected number, got string"#,
                ),
            ),
            (
                r#"{"d":{"b":"x"}}"#,
                Refused(
                    "property \"d\" validation failed: property \"b\" validation failed: \
                     wrong type: expected number, got string",
                ),
            ),
        ],
    );
    let escaped = r##"{"definitions":{"a%b/c~":{"type":"null"}},
        "items":{"$ref":"#/definitions/a%25b~1c~0"}}"##;
    check(
        escaped,
        &[
            ("[null]", Same),
            ("[1]", Refused("failed to validate item 1: wrong type: expected null, got number")),
        ],
    );
}

#[test]
fn without_lua_tables_empty_ones_differ() {
    let opts = CheckOptions { lua_tables: false, skip: None };
    let object = compile(r#"{"type":"object"}"#);
    let array = compile(r#"{"type":"array"}"#);
    assert_eq!(object.check(&mut json!({}), &opts), Ok(()));
    assert_eq!(array.check(&mut json!([]), &opts), Ok(()));
    let refused = |wanted| Err(format!("wrong type: expected {wanted}, got table"));
    assert_eq!(object.check(&mut json!([]), &opts), refused("object"));
    assert_eq!(array.check(&mut json!({}), &opts), refused("array"));
}

#[test]
fn references_to_secrets_are_accepted_where_strings_may_stand() {
    let skip = |text: &str| text.starts_with("$secret://") || text.starts_with("$env://");
    let opts = CheckOptions { skip: Some(&skip), ..CheckOptions::default() };
    let schema = compile(
        r#"{"properties":{"s":{"type":"string","pattern":"^x"},"n":{"type":"integer"},
        "any":{"enum":[1]},"many":{"type":["string","null"],"maxLength":3}}}"#,
    );
    let verdict = |mut value: Value| schema.check(&mut value, &opts);
    assert_eq!(verdict(json!({"s": "$secret://vault/a/b", "any": "$env://X"})), Ok(()));
    assert!(verdict(json!({"s": "plain"})).is_err());
    assert!(verdict(json!({"n": "$env://X"})).is_err());
    assert!(verdict(json!({"many": "$env://X"})).is_err());
    assert!(schema.check(&mut json!({"s": "$env://X"}), &CheckOptions::default()).is_err());
}

#[test]
fn patches_come_in_order_and_leave_the_value_alone() {
    let schema = compile(
        r#"{"properties":{"list":{"items":{"properties":{"port":{"default":80}}}},
        "tls":{"default":{}}},"allOf":[{"properties":{"tls":{"properties":{"on":{"default":true}}}}}]}"#,
    );
    let value = json!({"list": [{}, {"port": 1}, []]});
    let patches = schema.check_patches(&value, &CheckOptions::default()).unwrap();
    let key = |name: &str| PathStep::Key(name.into());
    let patch = |path: &[PathStep], value| Patch { path: path.to_vec(), value };
    let index = PathStep::Index;
    assert_eq!(
        patches,
        [
            patch(&[key("list"), index(0), key("port")], json!(80)),
            patch(&[key("list"), index(2), key("port")], json!(80)),
            patch(&[key("tls")], json!({})),
            patch(&[key("tls"), key("on")], json!(true)),
        ]
    );
    assert_eq!(
        apply(value, &patches),
        json!({"list": [{"port": 80}, {"port": 1}, {"port": 80}], "tls": {"on": true}})
    );
}

#[test]
fn recorded_patches_survive_an_error() {
    let schema = compile(r#"{"properties":{"a":{"default":1}},"required":["z"]}"#);
    let (mut value, mut patches) = (json!({}), Vec::new());
    let result = schema.check_recording(&mut value, &CheckOptions::default(), &mut patches);
    assert_eq!(result, Err("property \"z\" is required".into()));
    assert_eq!(apply(json!({}), &patches), value);
}

fn nested(levels: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..levels).fold(json!({}), |inner, _| wrap(inner))
}

#[test]
fn deep_values_and_schemas_are_refused() {
    let deep = nested(DEPTH_MAX, |v| json!([v]));
    let error = format!("the value is nested deeper than {DEPTH_MAX} levels");
    assert_eq!(compile("{}").check(&mut deep.clone(), &CheckOptions::default()), Err(error));
    let schema = nested(DEPTH_MAX, |v| json!({"not": v}));
    compile_error(schema, &format!("invalid schema: nested deeper than {DEPTH_MAX} levels"));
    let mut fits = nested(DEPTH_MAX - 2, |v| json!([v]));
    let schema = compile(r##"{"items":{"$ref":"#"}}"##);
    assert_eq!(schema.check(&mut fits, &CheckOptions::default()), Ok(()));
}

#[test]
fn a_schema_that_only_refers_to_itself_ends() {
    let error = format!("the check nests deeper than {DEPTH_MAX} levels");
    for schema in [
        r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
        r##"{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
        r##"{"oneOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
        r##"{"not":{"$ref":"#"}}"##,
        r##"{"if":{"$ref":"#"},"then":true}"##,
    ] {
        let result = compile(schema).check(&mut json!(1), &CheckOptions::default());
        assert!(result.is_err_and(|e| e.ends_with(&error)), "{schema}");
    }
}

#[test]
fn a_schema_that_grows_exponentially_ends() {
    let schema =
        compile(r##"{"oneOf":[{"type":"null"},{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}"##);
    let mut value = nested(60, |v| json!([v]));
    let start = Instant::now();
    let error = schema.check(&mut value, &CheckOptions::default()).unwrap_err();
    assert!(error.contains("takes more than"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn catastrophic_patterns_end_and_are_never_taken_for_a_mismatch() {
    let mut text = "a".repeat(40);
    text.push('!');
    for schema in [
        r#"{"pattern":"^(a+)+$"}"#,
        r#"{"not":{"pattern":"^(a+)+$"}}"#,
        r#"{"anyOf":[{"pattern":"^(a|aa)+$"},true]}"#,
    ] {
        let start = Instant::now();
        let error = compile(schema).check(&mut json!(text), &CheckOptions::default()).unwrap_err();
        assert!(error.starts_with("failed to match pattern \"^("), "{error}");
        assert!(error.contains("limit"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
    let error = compile(r#"{"patternProperties":{"^(a+)+$":true}}"#)
        .check(&mut json!({ text: 1 }), &CheckOptions::default())
        .unwrap_err();
    assert!(error.starts_with("failed to validate aaa"), "{error}");
}

#[test]
fn long_strings_fit_the_pattern_stack() {
    let schema = compile(r#"{"pattern":"^(?:[A-Za-z0-9+/]{4})*={0,2}$"}"#);
    let text = "abcd".repeat(16 * 1024);
    assert_eq!(schema.check(&mut json!(text), &CheckOptions::default()), Ok(()));
}

#[test]
fn long_arrays_are_searched_for_repeats_quickly() {
    let schema = compile(r#"{"uniqueItems":true}"#);
    let mut items: Vec<Value> = (0..20_000).map(|i| json!({"id": i, "tags": ["a"]})).collect();
    let start = Instant::now();
    assert_eq!(schema.check(&mut json!(items), &CheckOptions::default()), Ok(()));
    items.push(json!({"tags": ["a"], "id": 7.0}));
    let error = "expected unique items but items 8 and 20001 are equal";
    assert_eq!(schema.check(&mut json!(items), &CheckOptions::default()), Err(error.into()));
    let numbers: Vec<Value> = (0..100).chain([-0, 5]).map(Value::from).collect();
    let error = "expected unique items but items 1 and 101 are equal";
    assert_eq!(schema.check(&mut json!(numbers), &CheckOptions::default()), Err(error.into()));
    assert!(start.elapsed() < Duration::from_secs(5));
}
