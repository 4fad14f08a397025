//! A JSON value as YAML that people like to read and every reader reads alike.
//!
//! Texts stand in quotes, so that no version of YAML takes `no` or `1_000` for something else;
//! those of several lines stand as blocks, unless that would change them.

use serde_json::{Map, Value};

/// Writes a mapping of sections.
#[must_use]
pub fn yaml(root: &Map<String, Value>) -> String {
    let mut out = String::new();
    for (key, value) in root {
        out.push_str(&name(key));
        out.push(':');
        after_key(&mut out, value, 1);
    }
    out
}

/// What stands behind `key:` in a mapping at `level - 1`; ends the line.
fn after_key(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            for (key, value) in map {
                indent(out, level);
                out.push_str(&name(key));
                out.push(':');
                after_key(out, value, level + 1);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            list.iter().for_each(|item| entry(out, item, level));
        }
        scalar => {
            out.push(' ');
            end(out, scalar, level);
        }
    }
}

/// An entry of a list.
fn entry(out: &mut String, item: &Value, level: usize) {
    indent(out, level);
    out.push_str("- ");
    match item {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    indent(out, level + 1);
                }
                out.push_str(&name(key));
                out.push(':');
                after_key(out, value, level + 2);
            }
        }
        // A list in a list: in one line, which is as good.
        Value::Array(list) if !list.is_empty() => {
            out.push_str(&flow(item));
            out.push('\n');
        }
        scalar => end(out, scalar, level + 1),
    }
}

/// A text, number, boolean, null or an empty collection, and the end of its line.
fn end(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::String(text) if is_block(text) => {
            out.push_str(if text.ends_with('\n') { "|\n" } else { "|-\n" });
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                if !line.is_empty() {
                    indent(out, level);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        other => {
            out.push_str(&flow(other));
            out.push('\n');
        }
    }
}

/// Whether a text stays what it is as a block: it has several lines, the first one begins with
/// what is no space, the last one is not empty, and nothing in it needs an escape.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let plain = |c: char| c == '\n' || (' '..='~').contains(&c);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(plain)
}

/// A key: as it is if it can be nothing else.
fn name(key: &str) -> String {
    const WORDS: [&str; 12] =
        ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf", "infinity"];
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(word)
        && key.len() < 100
        && !WORDS.contains(&key.to_ascii_lowercase().as_str());
    if plain { key.to_owned() } else { flow(&Value::from(key)) }
}

/// As JSON in one line, which is YAML but for characters that JSON need not escape.
fn flow(value: &Value) -> String {
    let special = |c: char| {
        matches!(
            c,
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
    };
    let text = value.to_string();
    if !text.contains(special) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if special(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

fn indent(out: &mut String, level: usize) {
    (0..level).for_each(|_| out.push_str("  "));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::yaml::{self, DocumentLimits};

    /// With all numbers as the doubles that they are to plugins: `1.0` is read as `1`.
    fn doubles(value: &mut Value) {
        match value {
            Value::Number(number) => *value = number.as_f64().into(),
            Value::Array(list) => list.iter_mut().for_each(doubles),
            Value::Object(map) => map.values_mut().for_each(doubles),
            _ => {}
        }
    }

    #[track_caller]
    fn comes_back(value: &Value) {
        let text = yaml(value.as_object().unwrap());
        let read = yaml::parse_all(&text, &DocumentLimits::default());
        let mut read = read.unwrap_or_else(|error| panic!("{error}:\n{text}"));
        let mut value = value.clone();
        doubles(&mut value);
        read.iter_mut().for_each(doubles);
        assert_eq!(read, [value], "{text}");
    }

    #[test]
    fn an_object_reads_well() {
        let root = json!({"routes": [{"id": "1", "uris": ["/a", "/b"], "enable": true,
            "upstream": {"nodes": {"127.0.0.1:80": 1}, "type": "roundrobin"}, "plugins": {}}],
            "protos": [{"id": 2, "content": "syntax = \"proto3\";\nmessage A {}\n"}], "ssls": []});
        let expected = "routes:\n  - id: \"1\"\n    uris:\n      - \"/a\"\n      - \"/b\"\n    \
                        enable: true\n    upstream:\n      nodes:\n        \"127.0.0.1:80\": 1\n      \
                        type: \"roundrobin\"\n    plugins: {}\nprotos:\n  - id: 2\n    content: |\n      \
                        syntax = \"proto3\";\n      message A {}\nssls: []\n";
        assert_eq!(yaml(root.as_object().unwrap()), expected);
        comes_back(&root);
    }

    #[test]
    fn what_yaml_would_take_for_something_else_comes_back() {
        for text in [
            "no",
            "1_000",
            "0x1f",
            "12:30:45",
            "~",
            "",
            "2001-01-01",
            "a: b",
            "a #b",
            "- a",
            "|",
            "\u{feff}",
            "\u{2028}",
            "a\r\nb",
            " a\nb",
            "a\nb\n\n",
            "a\n\n  b\n",
            "a\n\tb",
            "\n",
            "\n\na",
            "a\nb \n",
            "&a",
            "*a",
            "!x",
            "%a\nb",
            "---\na",
            "...\nb",
            "a\n---\nb",
            "#a\nb",
            "\u{85}",
            "\u{7f}\n",
            "🦀\nb",
            "=",
            "<<",
            ".inf",
        ] {
            let list = json!([text, {"k": text, "l": [text, [text]]}]);
            comes_back(&json!({"s": {text: text, "t": list}, "u": text}));
        }
        let numbers = json!([0, -1, 1.0, 1e300, 1e-7, 0.1, u64::MAX, i64::MIN, 1e16, -0.0]);
        comes_back(&json!({"n": numbers, "m": [null, false, [], {}, [[]], [{}], {"a": []}]}));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[a-z:#|>&*!%@`,'\"\\\\{}\\[\\]? \n\t~0-9.-]{0,12}", "\\PC{0,6}",];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z#: \n.0-9]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in any_value()) {
            comes_back(&json!({"root": value}));
        }
    }
}
