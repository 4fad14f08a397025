//! Tests of the schema checker: tables of schema, value and outcome, bounds, and properties.

mod bounds;
mod combinators;
mod fragments;
mod plugins;
mod plugins_traffic;
mod props;
mod scalars;
mod tables;

use serde_json::Value;

use super::{CheckOptions, Patch, PathStep, Schema, equal::deep_equal};

/// What a check does to a value.
enum Expect {
    /// Accepts it and leaves it alone.
    Same,
    /// Accepts it and fills it up to this.
    Filled(&'static str),
    /// Refuses it with this text.
    Refused(&'static str),
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn compile(schema: &str) -> Schema {
    Schema::compile(&json(schema)).unwrap()
}

/// Checks each value on its own, in place and as patches.
#[track_caller]
fn check(schema: &str, cases: &[(&str, Expect)]) {
    let schema = compile(schema);
    for (text, expect) in cases {
        let before = json(text);
        let mut value = before.clone();
        let result = schema.check(&mut value, &CheckOptions::default());
        let wanted = match expect {
            Expect::Refused(error) => {
                assert_eq!(result, Err((*error).to_owned()), "{text}");
                continue;
            }
            Expect::Same => before.clone(),
            Expect::Filled(filled) => json(filled),
        };
        assert_eq!(result, Ok(()), "{text}");
        assert!(deep_equal(&value, &wanted), "{text} became {value}");
        let patches = schema.check_patches(&before, &CheckOptions::default()).unwrap();
        assert_eq!(apply(before, &patches), value, "{text}");
    }
}

/// Does what the Lua side does with patches.
fn apply(mut value: Value, patches: &[Patch]) -> Value {
    for patch in patches {
        let (last, way) = patch.path.split_last().unwrap();
        let place = way.iter().fold(&mut value, |at, step| match step {
            PathStep::Key(key) => at.get_mut(key).unwrap(),
            PathStep::Index(index) => at.get_mut(index).unwrap(),
        });
        if !place.is_object() {
            assert_eq!(place.as_array().map(Vec::len), Some(0));
            *place = Value::Object(serde_json::Map::new());
        }
        let PathStep::Key(key) = last else { panic!("{patch:?} writes an item") };
        place.as_object_mut().unwrap().insert(key.clone(), patch.value.clone());
    }
    value
}
