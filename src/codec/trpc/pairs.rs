//! Arguments from a query or form as JSON.
//!
//! Without a description every value is a string, and a name that comes twice is a list. With
//! one, values get the type of their field, and `a.b` is field `b` of message `a`.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Number, Value};

/// Levels of a dotted name.
const LEVELS_MAX: usize = 32;

/// The pairs as an object of strings and lists of strings.
#[must_use]
pub fn untyped(pairs: &[(&str, &str)]) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        let value = Value::from(*value);
        match object.get_mut(*name) {
            None => drop(object.insert((*name).to_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}

/// The pairs as an object that fits `message`. A name that the message does not have is kept
/// as it is, for the JSON reader to refuse or leave out.
///
/// # Errors
/// The name, and what is wrong with it or its value.
pub fn typed(message: &MessageDescriptor, pairs: &[(&str, &str)]) -> Result<Value, String> {
    let mut object = Map::new();
    for (name, value) in pairs {
        place(&mut object, message, name, value)?;
    }
    Ok(Value::Object(object))
}

fn place(
    object: &mut Map<String, Value>,
    message: &MessageDescriptor,
    name: &str,
    value: &str,
) -> Result<(), String> {
    let (mut object, mut message) = (object, message.clone());
    let mut rest = name;
    for _ in 0..LEVELS_MAX {
        let (first, further) = match rest.split_once('.') {
            Some((first, further)) => (first, Some(further)),
            None => (rest, None),
        };
        let found =
            message.get_field_by_name(first).or_else(|| message.get_field_by_json_name(first));
        let Some(field) = found else {
            object.insert(rest.to_owned(), Value::from(value));
            return Ok(());
        };
        // One spelling, so that both spellings of a name are one field.
        let key = field.name().to_owned();
        let Some(further) = further else {
            return put(object, key, &field, value).map_err(|error| format!("{name}: {error}"));
        };
        let inner = match field.kind() {
            Kind::Message(inner) if !field.is_list() && !field.is_map() => inner,
            _ => return Err(format!("{name}: {first} is no message with fields")),
        };
        let next = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
        object = next.as_object_mut().ok_or_else(|| format!("{name}: {first} has a value"))?;
        (message, rest) = (inner, further);
    }
    Err(format!("{name}: more than {LEVELS_MAX} levels"))
}

fn put(
    object: &mut Map<String, Value>,
    key: String,
    field: &FieldDescriptor,
    value: &str,
) -> Result<(), String> {
    if field.is_map() {
        return Err("a map cannot stand in a query".to_owned());
    }
    let value = scalar(&field.kind(), value)?;
    if !field.is_list() {
        return match object.insert(key, value) {
            None => Ok(()),
            Some(_) => Err("comes twice, but is no list".to_owned()),
        };
    }
    match object.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(values) => values.push(value),
        _ => return Err("has a value that is no list".to_owned()),
    }
    Ok(())
}

/// A value as JSON. Numbers stay text, which the mapping allows; the reader checks them.
fn scalar(kind: &Kind, value: &str) -> Result<Value, String> {
    match kind {
        Kind::Bool => match value {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err("expected true or false".to_owned()),
        },
        Kind::Enum(_) => Ok(match value.parse::<i32>() {
            Ok(number) => Value::Number(Number::from(number)),
            Err(_) => Value::from(value),
        }),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.BoolValue" => scalar(&Kind::Bool, value),
            // These have a text form.
            name if name.starts_with("google.protobuf.") => Ok(Value::from(value)),
            name => Err(format!("is a message ({name}); name a field of it")),
        },
        _ => Ok(Value::from(value)),
    }
}
