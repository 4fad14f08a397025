//! Keeps secrets out of what is answered and logged about objects that were refused.

use std::{collections::HashSet, sync::OnceLock};

use serde_json::Value;

use super::{
    judge::Facts,
    table::{self, Naming, Resource},
};
use crate::config::{keyring, resource_schema};

/// What stands where a secret was.
pub(super) const MASK: &str = "***";

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
    longest_first(&mut found);
    found
}

/// Leaves out what is too short to be a secret; one text may be part of another.
fn longest_first(found: &mut Vec<String>) {
    found.retain(|text| text.chars().count() >= SHORT);
    found.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
    found.dedup();
}

/// `reason`, which says why a plugin refuses `conf`, without what in `conf` is secret by name or by
/// the plugin's schema. `schema` is asked for only where the reason quotes anything of `conf`.
pub fn redact_refusal(
    conf: &Value,
    reason: String,
    schema: impl FnOnce() -> Option<Value>,
) -> String {
    if !quotes(&reason, conf) {
        return reason;
    }
    let mut found = Vec::new();
    if let Some(schema) = schema() {
        let mut copy = conf.clone();
        keyring::each_secret(&mut copy, &schema, &mut |text| found.push(text.clone()));
    }
    by_name(conf, &mut found);
    longest_first(&mut found);
    redact(reason, &found)
}

/// Whether a text of `conf`, long enough to be a secret, stands in `reason`.
fn quotes(reason: &str, conf: &Value) -> bool {
    match conf {
        Value::String(text) => {
            let quoted = Value::from(text.as_str()).to_string();
            text.chars().nth(SHORT - 1).is_some()
                && (reason.contains(text.as_str()) || reason.contains(quoted.trim_matches('"')))
        }
        Value::Array(list) => list.iter().any(|value| quotes(reason, value)),
        Value::Object(map) => map.values().any(|value| quotes(reason, value)),
        _ => false,
    }
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
    // How something is done is no secret: `token_endpoint_auth_method`.
    !name.ends_with("_method") && NAMES.iter().any(|part| name.contains(part))
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

/// Digits of a number that is no secret.
const DIGITS: usize = 3;

/// A text that should be JSON and is not, with a mask for each word that is no name of a property
/// or a plugin. What is broken cannot be read, so nothing else tells a secret from the rest.
pub(super) fn broken(text: &str, facts: &Facts) -> String {
    let mut known: HashSet<&str> = HashSet::from(["true", "false", "null"]);
    known.extend(resource_names());
    for plugin in facts.http.iter().chain(&facts.stream) {
        known.insert(&plugin.name);
        properties(&plugin.schema, &mut known);
        plugin.consumer_schema.iter().for_each(|schema| properties(schema, &mut known));
        plugin.metadata_schema.iter().for_each(|schema| properties(schema, &mut known));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c| !is_sign(c)) {
        let (signs, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(is_sign).unwrap_or(from.len()));
        let number = word.len() <= DIGITS && word.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(signs);
        out.push_str(if number || known.contains(word) { word } else { MASK });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// What JSON is made of, besides words.
fn is_sign(c: char) -> bool {
    matches!(c, '{' | '}' | '[' | ']' | ':' | ',' | '"' | '\'' | '\\') || c.is_whitespace()
}

/// Names of properties of all resources.
fn resource_names() -> &'static HashSet<&'static str> {
    static NAMES: OnceLock<HashSet<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = HashSet::from(["secret", "vault", "aws", "gcp"]);
        let kinds = table::RESOURCES.iter().filter_map(|resource| resource.schema);
        let managers = ["secret/vault", "secret/aws", "secret/gcp"];
        for schema in kinds.chain(managers).filter_map(resource_schema::schema) {
            properties(schema, &mut names);
        }
        names
    })
}

/// Collects the names of properties that a schema knows, wherever it says so.
fn properties<'s>(schema: &'s Value, names: &mut HashSet<&'s str>) {
    match schema {
        Value::Array(list) => list.iter().for_each(|schema| properties(schema, names)),
        Value::Object(map) => {
            for (key, value) in map {
                if let ("properties", Value::Object(known)) = (key.as_str(), value) {
                    names.extend(known.keys().map(String::as_str));
                }
                properties(value, names);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "mask_tests.rs"]
mod tests;
