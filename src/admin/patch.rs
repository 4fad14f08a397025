//! PATCH: one JSON object laid over another, or one part of it replaced.

use serde_json::{Map, Value};

/// Segments of a sub-path.
const SEGMENTS_MAX: usize = 32;

/// Levels of an object that is stored; a parser of JSON that somebody else uses may take no more.
pub(super) const LEVELS_MAX: usize = 100;

/// Lays `patch` over `target`: objects are merged, `null` deletes, everything else replaces. As in
/// APISIX an empty object replaces as well, where RFC 7396 would change nothing.
pub(super) fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (value, target.get_mut(&name)) {
            (Value::Null, _) => {
                target.shift_remove(&name);
            }
            (Value::Object(patch), Some(Value::Object(old)))
                if !patch.is_empty() && !old.is_empty() =>
            {
                merge(old, patch);
            }
            (mut value, _) => {
                drop_nulls(&mut value);
                target.insert(name, value);
            }
        }
    }
}

/// There is nothing to delete in an object that was not there.
fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}

/// Puts `value` at a path such as `upstream/nodes`, making the objects that lead there.
///
/// # Errors
///
/// Something on the way is no object; the message names the path up to there.
pub(super) fn put_at(target: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    let invalid = |to: usize| {
        let segments = path.get(..to).unwrap_or(path);
        Err(format!("invalid sub-path: /{}", segments.join("/")))
    };
    if path.len() > SEGMENTS_MAX {
        return invalid(SEGMENTS_MAX);
    }
    let mut at = target;
    for (place, name) in path.iter().enumerate() {
        let Value::Object(map) = at else { return invalid(place.max(1)) };
        at = map.entry(name.as_str()).or_insert_with(|| {
            let leaf = place + 1 == path.len();
            if leaf { Value::Null } else { Value::Object(Map::new()) }
        });
    }
    *at = value;
    Ok(())
}

/// Whether `value` nests no deeper than `levels`.
pub(super) fn within(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match value {
        Value::Array(list) => list.iter().all(|value| within(value, below)),
        Value::Object(map) => map.values().all(|value| within(value, below)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn merged(mut target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { panic!("no object") };
        merge(target.as_object_mut().unwrap(), patch);
        target
    }

    #[test]
    fn objects_are_merged_and_the_rest_replaced() {
        let old = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "x": "y", "labels": {"k": "v"}});
        let patch = json!({"a": {"b": null, "d": {"e": 3, "f": null}}, "list": [3], "x": null,
            "labels": {}, "new": [null]});
        let new = json!({"a": {"c": 2, "d": {"e": 3}}, "list": [3], "labels": {}, "new": [null]});
        assert_eq!(merged(old, patch), new);
    }

    #[test]
    fn a_sub_path_is_made_where_it_is_missing() {
        let mut value = json!({"a": {"b": 1}, "list": []});
        let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        put_at(&mut value, &path("a/c/d"), json!([1])).unwrap();
        put_at(&mut value, &path("a/b"), json!(null)).unwrap();
        assert_eq!(value, json!({"a": {"b": null, "c": {"d": [1]}}, "list": []}));
        for (at, shown) in [("a/b/c", "a/b"), ("a/b/c/d", "a/b"), ("list/0", "list")] {
            let error = put_at(&mut value, &path(at), json!(1)).unwrap_err();
            assert_eq!(error, format!("invalid sub-path: /{shown}"));
        }
        let long = vec!["a".to_owned(); 4000];
        assert!(put_at(&mut json!({}), &long, json!(1)).is_err());
    }

    #[test]
    fn depth_is_measured_in_levels() {
        assert!(within(&json!([[1]]), 3));
        assert!(!within(&json!([[1]]), 2));
        assert!(!within(&json!(1), 0));
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i8>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        let inner = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c]", inner, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    /// RFC 7396, written down as it stands there.
    fn rfc(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let mut map = match target {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        for (name, value) in patch {
            match value {
                Value::Null => {
                    map.shift_remove(&name);
                }
                value => {
                    let old = map.get(&name).cloned().unwrap_or(Value::Null);
                    map.insert(name, rfc(old, value));
                }
            }
        }
        Value::Object(map)
    }

    fn has_empty(value: &Value) -> bool {
        match value {
            Value::Object(map) => map.is_empty() || map.values().any(has_empty),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_rfc_7396_but_for_empty_objects(target in object(), patch in object()) {
            let inner = patch.as_object().unwrap().values().any(has_empty);
            prop_assume!(!inner);
            prop_assert_eq!(merged(target.clone(), patch.clone()), rfc(target, patch));
        }

        #[test]
        fn laying_it_over_twice_changes_nothing_more(target in object(), patch in object()) {
            let once = merged(target, patch.clone());
            prop_assert_eq!(merged(once.clone(), patch), once);
        }

        #[test]
        fn what_was_put_is_there(
            mut target in object(), path in prop::collection::vec("[a-c]", 1..5), value in object()
        ) {
            if put_at(&mut target, &path, value.clone()).is_ok() {
                prop_assert_eq!(target.pointer(&format!("/{}", path.join("/"))), Some(&value));
            }
        }
    }
}
