//! Comparing values as Lua would: numbers by value, tables by content, and an empty array is the
//! same as an empty object.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, Hasher, RandomState},
};

use serde_json::{Number, Value};

/// Up to this many items a quadratic search is cheaper than hashing.
const FEW_ITEMS: usize = 16;

/// Whether `value` nests at most `levels` deep.
pub(super) fn depth_within(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return false };
    match value {
        Value::Array(items) => items.iter().all(|v| depth_within(v, below)),
        Value::Object(map) => map.values().all(|v| depth_within(v, below)),
        _ => true,
    }
}

/// The value of a number as Lua keeps it.
pub(super) fn float(n: &Number) -> f64 {
    n.as_f64().unwrap_or(f64::NAN)
}

/// Whether a value is an array or an object without content.
pub(super) fn is_empty_table(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Whether two values are the same to Lua. Recurses as deep as the shallower one nests.
pub(super) fn deep_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => float(a) == float(b),
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| deep_equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| deep_equal(a, b)))
        }
        _ => is_empty_table(a) && is_empty_table(b),
    }
}

/// The positions, counted from 1, of the first two equal items. Scalars are looked at before
/// tables.
pub(super) fn duplicate(items: &[Value]) -> Option<(usize, usize)> {
    let found = if items.len() <= FEW_ITEMS {
        few_scalars(items).or_else(|| few_tables(items))
    } else {
        many_scalars(items).or_else(|| many_tables(items))
    };
    found.map(|(a, b)| (a + 1, b + 1))
}

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}

/// The earliest scalar that repeats one before it.
fn few_scalars(items: &[Value]) -> Option<(usize, usize)> {
    (1..items.len())
        .filter(|&j| !is_table(&items[j]))
        .find_map(|j| (0..j).find(|&i| deep_equal(&items[i], &items[j])).map(|i| (i, j)))
}

/// The earliest table that is repeated after it.
fn few_tables(items: &[Value]) -> Option<(usize, usize)> {
    let tables: Vec<usize> = (0..items.len()).filter(|&i| is_table(&items[i])).collect();
    tables.iter().enumerate().find_map(|(n, &i)| {
        tables[n + 1..].iter().find(|&&j| deep_equal(&items[i], &items[j])).map(|&j| (i, j))
    })
}

#[derive(PartialEq, Eq, Hash)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(u64),
    Text(&'a str),
}

fn scalar(value: &Value) -> Option<Scalar<'_>> {
    Some(match value {
        Value::Null => Scalar::Null,
        Value::Bool(b) => Scalar::Bool(*b),
        // Adding zero makes -0 the same as 0.
        Value::Number(n) => Scalar::Number((float(n) + 0.0).to_bits()),
        Value::String(s) => Scalar::Text(s),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

fn many_scalars(items: &[Value]) -> Option<(usize, usize)> {
    let mut seen = HashMap::with_capacity(items.len());
    items.iter().enumerate().find_map(|(j, value)| {
        let before = seen.insert(scalar(value)?, j)?;
        Some((before, j))
    })
}

/// As [`few_tables`], but compares only tables with the same digest, so that a long array of
/// objects is not compared each with each.
fn many_tables(items: &[Value]) -> Option<(usize, usize)> {
    let state = RandomState::new();
    let mut buckets: HashMap<u64, Vec<usize>> = HashMap::new();
    for (i, value) in items.iter().enumerate().filter(|(_, v)| is_table(v)) {
        buckets.entry(digest(value, &state)).or_default().push(i);
    }
    let pairs = buckets.values().filter(|b| b.len() > 1).filter_map(|bucket| {
        // Equal tables share a digest, so all others in a bucket are accidents.
        bucket.iter().enumerate().find_map(|(n, &i)| {
            bucket[n + 1..].iter().find(|&&j| deep_equal(&items[i], &items[j])).map(|&j| (i, j))
        })
    });
    pairs.min()
}

/// A number that is equal for values that [`deep_equal`] calls equal.
fn digest(value: &Value, state: &RandomState) -> u64 {
    let mut hasher = state.build_hasher();
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().for_each(|v| digest(v, state).hash(&mut hasher));
        }
        Value::Object(map) if !map.is_empty() => {
            // The order of members means nothing, and a sum has none.
            let sum = map.iter().fold(0u64, |sum, (key, v)| {
                sum.wrapping_add(state.hash_one((key.as_str(), digest(v, state))))
            });
            ("object", sum).hash(&mut hasher);
        }
        Value::Array(_) | Value::Object(_) => "empty".hash(&mut hasher),
        other => scalar(other).hash(&mut hasher),
    }
    hasher.finish()
}
