//! Keeps secrets out of what is answered and logged about objects that were refused.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    judge::Facts,
    table::{Naming, Resource},
};
use crate::config::keyring;

/// What stands where a secret was.
const MASK: &str = "***";

/// Characters that a text must have to be taken for a secret; shorter ones are parts of words.
const SHORT: usize = 4;

/// Parts of names whose values nobody should see.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "private",
    "credential",
    "client_key",
    "api_key",
    "apikey",
    "access_key",
    "authorization",
];

/// Whole names, besides those that hold one of [`NAMES`].
const WHOLE: &[&str] = &["key", "keys", "auth", "_secret"];

/// All texts of `conf` that are secrets by what its plugins, its resource or its names say.
pub(super) fn secrets(conf: &Value, resource: &Resource, facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    let mut copy = conf.clone();
    let mut keep = |text: &mut String| found.push(text.clone());
    for path in resource.secrets {
        keyring::each_text(&mut copy, path, &mut keep);
    }
    if resource.naming == Naming::Plugin {
        let schemas = facts.http.iter().filter_map(|plugin| plugin.metadata_schema.as_ref());
        schemas.for_each(|schema| keyring::each_secret(&mut copy, schema, &mut keep));
    }
    for (name, conf) in copy.get_mut("plugins").and_then(Value::as_object_mut).into_iter().flatten()
    {
        if let Some(schema) = facts.plugin(name).and_then(|plugin| plugin.secrets(resource.plugins))
        {
            keyring::each_secret(conf, schema, &mut keep);
        }
        if let Value::String(text) = conf {
            keep(text);
        }
    }
    by_name(conf, &mut found);
    found.retain(|text| text.chars().count() >= SHORT);
    // The longest first: one may be part of another.
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    found.dedup();
    found
}

fn by_name(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| by_name(value, found)),
        Value::Object(map) => {
            for (name, value) in map {
                if speaks_of_secrets(name) {
                    texts(value, found);
                } else {
                    by_name(value, found);
                }
            }
        }
        _ => {}
    }
}

fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| texts(value, found)),
        Value::Object(map) => map.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

fn speaks_of_secrets(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    NAMES.iter().any(|part| name.contains(part))
}

/// `text` without the secrets, as they are or as they are quoted.
pub(super) fn redact(text: String, secrets: &[String]) -> String {
    let mut text = text;
    for secret in secrets {
        let quoted = Value::from(secret.as_str()).to_string();
        let quoted = quoted.trim_matches('"');
        for form in [secret.as_str(), quoted] {
            if !form.is_empty() && text.contains(form) {
                text = text.replace(form, MASK);
            }
        }
    }
    text
}

/// `value` with a mask for each text in it.
pub(super) fn without_texts(value: &Value) -> Value {
    match value {
        Value::String(_) => MASK.into(),
        Value::Array(list) => list.iter().map(without_texts).collect(),
        Value::Object(map) => {
            let pair = |(name, value): (&String, &Value)| (name.clone(), without_texts(value));
            Value::Object(map.iter().map(pair).collect())
        }
        other => other.clone(),
    }
}

/// A text that should be JSON and is not, with a mask for whatever follows a name that speaks of
/// secrets, is a field that some plugin encrypts, or stands in PEM. What is broken cannot be read,
/// so rather too much is masked than too little.
pub(super) fn broken(text: &str, facts: &Facts) -> String {
    let mut names: Vec<&str> = WHOLE.to_vec();
    for plugin in facts.http.iter().chain(&facts.stream) {
        let schemas = [
            Some(&plugin.schema),
            plugin.consumer_schema.as_ref(),
            plugin.metadata_schema.as_ref(),
        ];
        for schema in schemas.into_iter().flatten() {
            let paths = schema.get("encrypt_fields").and_then(Value::as_array);
            let last = |path: &'_ Value| {
                path.as_str().and_then(|path| path.rsplit('.').next().map(str::len))
            };
            for path in paths.into_iter().flatten() {
                if let (Some(path), Some(length)) = (path.as_str(), last(path)) {
                    names.extend(path.get(path.len() - length..));
                }
            }
        }
    }
    let secret = |name: &str| names.contains(&name) || speaks_of_secrets(name);
    let text = pem(text);
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end = from.find(|c| !is_word(c)).unwrap_or(from.len());
        let (name, after) = from.split_at(end);
        out.push_str(name);
        rest = after;
        if secret(name)
            && let Some((between, value)) = assignment(after)
        {
            out.push_str(between);
            out.push_str(MASK);
            rest = value.get(value_len(value)..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Splits what follows a name into the sign that a value comes, and the value.
fn assignment(after: &str) -> Option<(&str, &str)> {
    let signs = after.trim_start_matches(['"', '\'', '\\', ' ', '\t', '\r', '\n']);
    let value = signs.strip_prefix([':', '='])?;
    let value = value.trim_start();
    after.split_at_checked(after.len() - value.len())
}

/// Bytes of the value that `text` begins with: a list or object to its end, a text to its quote,
/// anything else to the next sign.
fn value_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        if let Some(open) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == open => {
                    quote = None;
                    if depth == 0 {
                        return next;
                    }
                }
                _ => {}
            }
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '{' | '[' => depth += 1,
            '}' | ']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return next;
                }
            }
            ',' | '}' | ']' | '\n' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Masks what stands between dashes, as keys and certificates do.
fn pem(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "-----BEGIN";
    const END: &str = "-----END";
    if !text.contains(BEGIN) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, block)) = rest.split_once(BEGIN) {
        out.push_str(before);
        out.push_str(MASK);
        rest = block.split_once(END).map_or("", |(_, after)| after);
        let label = rest.find("-----").map_or(rest.len(), |at| at + 5);
        rest = rest.get(label..).unwrap_or_default();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
