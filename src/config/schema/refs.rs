//! Following `$ref` inside one document.

use serde_json::Value;

use super::{DEPTH_MAX, SchemaError};

/// The schema that `schema` stands for: itself, or what its chain of references ends in.
///
/// Known forms are `#`, `#/a/b` (a JSON pointer, percent-encoded or not), `#name` (a schema whose
/// `$id` or `id` is `#name`), and these after the document's own id.
///
/// # Errors
///
/// A reference leads nowhere, out of the document, or in a circle.
pub(super) fn resolve<'v>(root: &'v Value, schema: &'v Value) -> Result<&'v Value, SchemaError> {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let Some(reference) = schema.as_object().and_then(|m| m.get("$ref")) else {
            return Ok(schema);
        };
        let Some(reference) = reference.as_str() else {
            return Err(SchemaError::new("\"$ref\" must be a string"));
        };
        schema = follow(root, reference)?;
    }
    Err(SchemaError::new("\"$ref\" leads in a circle"))
}

fn follow<'v>(root: &'v Value, reference: &str) -> Result<&'v Value, SchemaError> {
    let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    if !document.is_empty() && !is_own_id(root, document) {
        let text = format!("an external resolver is required to fetch {document}");
        return Err(SchemaError::new(text));
    }
    if !fragment.is_empty() && !fragment.starts_with('/') {
        return named(root, &reference[document.len()..], DEPTH_MAX)
            .ok_or_else(|| missing(reference, fragment));
    }
    let parts = fragment.split('/').filter(|part| !part.is_empty());
    parts.map(decode).try_fold(root, |at, part| {
        let next = match at {
            Value::Object(map) => map.get(&part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
            _ => None,
        };
        next.ok_or_else(|| missing(reference, &part))
    })
}

fn missing(reference: &str, part: &str) -> SchemaError {
    SchemaError::new(format!("reference not found: {reference} (at \"{part}\")"))
}

fn is_own_id(root: &Value, document: &str) -> bool {
    ["$id", "id"].iter().any(|key| {
        root.get(key).and_then(Value::as_str).is_some_and(|id| id.trim_end_matches('#') == document)
    })
}

/// The first schema below `at` that calls itself `name`, which starts with `#`.
fn named<'v>(at: &'v Value, name: &str, levels: usize) -> Option<&'v Value> {
    let below = levels.checked_sub(1)?;
    match at {
        Value::Object(map) => {
            let own = |key| map.get(key).and_then(Value::as_str) == Some(name);
            if own("$id") || own("id") {
                return Some(at);
            }
            let parts = map.iter().filter(|(key, _)| !matches!(key.as_str(), "enum" | "const"));
            parts.map(|(_, v)| v).find_map(|v| named(v, name, below))
        }
        Value::Array(items) => items.iter().find_map(|v| named(v, name, below)),
        _ => None,
    }
}

/// Undoes `%2F` and then `~0`, `~1` of one part of a pointer.
fn decode(part: &str) -> String {
    let hex = |b: u8| (b as char).to_digit(16);
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| h * 16 + l),
            _ => None,
        };
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).replace("~1", "/").replace("~0", "~")
}
