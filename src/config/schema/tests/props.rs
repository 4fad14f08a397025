//! Properties that hold for any schema and value.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::{
    super::{CheckOptions, Schema},
    apply,
};

const NAMES: &[&str] = &["a", "b", "c"];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..10).prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        select(vec!["", "a", "ab", "10.0.0.1", "a\"\n", "é"]).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ]
}

fn members(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    vec((select(NAMES), of), 0..3)
        .prop_map(|list| Value::Object(list.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..4).prop_map(Value::from), members(inner)]
    })
}

fn leaf_keyword() -> impl Strategy<Value = (&'static str, Value)> {
    let types = vec!["object", "array", "string", "integer", "number", "boolean", "null", "table"];
    let counts = vec!["minLength", "maxLength", "minItems", "maxItems", "minProperties", "minimum"];
    let names = || vec(select(NAMES), 1..3).prop_map(Value::from);
    prop_oneof![
        (Just("type"), select(types).prop_map(Value::from)),
        (select(counts), (0..4).prop_map(Value::from)),
        (Just("pattern"), select(vec!["^a", "b$", ".*", "\\d"]).prop_map(Value::from)),
        (Just("required"), names()),
        (Just("enum"), vec(scalar(), 1..3).prop_map(Value::from)),
        (Just("const"), value()),
        (Just("uniqueItems"), any::<bool>().prop_map(Value::from)),
        (Just("format"), select(vec!["ipv4", "uri", "date-time", "x"]).prop_map(Value::from)),
        (Just("multipleOf"), select(vec![0.0, 1.0, 0.1]).prop_map(Value::from)),
    ]
}

/// Schemas without combinators, whose defaults are scalars.
fn plain_schema() -> impl Strategy<Value = Value> {
    let leaf = vec(leaf_keyword(), 0..3).prop_map(object);
    leaf.prop_recursive(3, 24, 3, |inner| {
        let nested = prop_oneof![
            (Just("properties"), members(with_default(inner.clone()))),
            (Just("items"), inner.clone()),
            (Just("additionalProperties"), inner.clone()),
            (Just("patternProperties"), inner.prop_map(|s| json!({"[ab]": s}))),
        ];
        (vec(nested, 1..3), vec(leaf_keyword(), 0..2))
            .prop_map(|(a, b)| object(a.into_iter().chain(b).collect()))
    })
}

fn with_default(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (of, prop::option::of(scalar())).prop_map(|(mut schema, default)| {
        if let (Some(default), Value::Object(map)) = (default, &mut schema) {
            map.insert("default".into(), default);
        }
        schema
    })
}

fn object(keywords: Vec<(&'static str, Value)>) -> Value {
    Value::Object(keywords.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())
}

/// Schemas with everything.
fn schema() -> impl Strategy<Value = Value> {
    plain_schema().prop_recursive(3, 24, 3, |inner| {
        let list = vec(inner.clone(), 1..3).prop_map(Value::from);
        let keyword = prop_oneof![
            (select(vec!["allOf", "anyOf", "oneOf", "items"]), list),
            (select(vec!["not", "if", "then", "else", "contains"]), inner.clone()),
            (Just("properties"), members(with_default(inner.clone()))),
            (Just("dependencies"), members(inner)),
            (Just("not"), Just(json!({"$ref": "#"}))),
        ];
        vec(keyword, 1..4).prop_map(object)
    })
}

/// Any value, with keywords for names: mostly not a schema at all.
fn junk() -> impl Strategy<Value = Value> {
    let words = vec!["type", "properties", "items", "$ref", "pattern", "enum", "default", "anyOf"];
    scalar().prop_recursive(3, 16, 3, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((select(words.clone()), inner), 0..3).prop_map(object),
        ]
    })
}

proptest! {
    #[test]
    fn nothing_panics(schema in prop_oneof![schema(), junk()], mut value in value()) {
        for lua_tables in [true, false] {
            let opts = CheckOptions { lua_tables, skip: None };
            if let Ok(schema) = Schema::compile(&schema) {
                let _ = schema.check(&mut value, &opts);
            }
        }
    }

    #[test]
    fn patches_do_what_filling_in_place_does(schema in schema(), value in value()) {
        let schema = Schema::compile(&schema).unwrap();
        let mut filled = value.clone();
        let mut recorded = (value.clone(), Vec::new());
        let opts = CheckOptions::default();
        let result = schema.check(&mut filled, &opts);
        prop_assert_eq!(&schema.check_recording(&mut recorded.0, &opts, &mut recorded.1), &result);
        prop_assert_eq!(&recorded.0, &filled);
        prop_assert_eq!(&apply(value.clone(), &recorded.1), &filled);
        let patches = schema.check_patches(&value, &opts);
        prop_assert_eq!(patches, result.map(|()| recorded.1));
    }

    #[test]
    fn a_filled_value_is_full(schema in plain_schema(), value in value()) {
        let schema = Schema::compile(&schema).unwrap();
        let opts = CheckOptions::default();
        let mut filled = value;
        if schema.check(&mut filled, &opts).is_ok() {
            // A default may be one its own schema refuses, so only the value is compared.
            let mut twice = filled.clone();
            let _ = schema.check(&mut twice, &opts);
            prop_assert_eq!(twice, filled);
        }
    }
}
