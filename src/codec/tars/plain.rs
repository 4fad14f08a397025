//! Bodies of version 5, which are JSON already: checked to be whole, and passed on.

use std::{borrow::Cow, collections::HashMap};

use serde::de::IgnoredAny;
use serde_json::{Map, Value, value::RawValue};

use super::{
    super::Arguments,
    idl::{Function, RETURN, Type},
    json::Fail,
    options::Unwrap,
};

/// The arguments as a JSON object. Query values become numbers and booleans where the function
/// is known and wants them, and strings otherwise.
pub(super) fn arguments(
    arguments: Arguments<'_>,
    function: Option<&Function>,
) -> Result<Vec<u8>, Fail> {
    let text = match arguments {
        Arguments::Json(text) => text.trim_ascii(),
        Arguments::Pairs(pairs) => {
            let mut object = Map::new();
            for (name, value) in pairs {
                if object.insert((*name).to_owned(), typed(name, value, function)).is_some() {
                    return Err(Fail::new(format!("{name}: given twice")));
                }
            }
            return Ok(Value::Object(object).to_string().into_bytes());
        }
    };
    if text.is_empty() {
        return Ok(b"{}".to_vec());
    }
    serde_json::from_slice::<IgnoredAny>(text)
        .map_err(|error| Fail::new(format!("no JSON: {error}")))?;
    if !text.starts_with(b"{") {
        return Err(Fail::new("expected an object with the arguments"));
    }
    Ok(text.to_vec())
}

fn typed(name: &str, value: &str, function: Option<&Function>) -> Value {
    let text = || Value::String(value.to_owned());
    let record = function.map(|function| &function.input);
    let field = record.and_then(|record| record.fields.get(record.find(name, 0)?));
    match field.map(|field| field.of) {
        None | Some(Type::String) => text(),
        // What is no JSON is left for the server to refuse.
        Some(_) => serde_json::from_str(value).unwrap_or_else(|_| text()),
    }
}

/// The results, and the return value if it is an integer. Nothing is an empty object.
pub(super) fn results(body: &[u8], unwrap: &Unwrap) -> Result<(Vec<u8>, Option<i64>), Fail> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let no_json = |error: serde_json::Error| Fail::new(format!("no JSON: {error}"));
    let object: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).map_err(no_json)?;
    let ret = object.get(RETURN).and_then(|ret| ret.get().trim_matches('"').parse().ok());
    let only = match unwrap {
        Unwrap::No => None,
        Unwrap::Only if object.len() == 1 => object.values().next(),
        Unwrap::Only => None,
        Unwrap::Named(name) => object.get(name.as_str()),
    };
    Ok((only.map_or(body, |value| value.get().as_bytes()).to_vec(), ret))
}
