//! `${{NAME}}` and `${{NAME:=default}}` in configuration.
//!
//! In `config.yaml` and JSON files they are replaced value by value, and what comes out as
//! a number or a boolean becomes one; in `apisix.yaml` the raw text is replaced before it
//! is parsed, so that its quotes decide.

use serde_json::{Map, Value};

/// Looks a variable up; `std::env::var` outside tests.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The variables of this process.
#[must_use]
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A text with its placeholders replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) text: String,
    /// Whether there was any placeholder.
    pub(super) used: bool,
}

/// Replaces all placeholders of `text`.
///
/// # Errors
///
/// The names that are neither set nor have a default, with the byte where each stands.
pub(super) fn text(text: &str, env: Env<'_>) -> Result<Replaced, Vec<(usize, String)>> {
    let mut out = String::with_capacity(text.len());
    let mut missing = Vec::new();
    let (mut rest, mut used) = (text, false);
    while let Some(start) = rest.find("${{") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let Some((inside, after)) = placeholder(from) else {
            out.push_str("${{");
            rest = &from[3..];
            continue;
        };
        let (name, default) = match inside.split_once(":=") {
            Some((name, default)) => (name, Some(default.trim())),
            None => (inside, None),
        };
        match env(name).or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => missing.push((text.len() - from.len(), name.to_owned())),
        }
        used = true;
        rest = after;
    }
    out.push_str(rest);
    if missing.is_empty() { Ok(Replaced { text: out, used }) } else { Err(missing) }
}

/// `from` begins with `${{`: what stands inside, and what follows.
fn placeholder(from: &str) -> Option<(&str, &str)> {
    let inside = from[3..].trim_start();
    if !inside.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return None;
    }
    let end = inside.find("}}")?;
    Some((inside[..end].trim_end(), &inside[end + 2..]))
}

/// Replaces in all strings and keys of `value`. `report` gets the path and the sentence of
/// each variable that is missing.
pub(super) fn tree(value: &mut Value, env: Env<'_>, report: &mut dyn FnMut(&str, String)) {
    replace(value, "", env, report);
}

/// The sentence for a variable that is not set.
pub(super) fn missing(name: &str) -> String {
    format!("failed to handle configuration: can't find environment variable {name}")
}

fn replace(value: &mut Value, path: &str, env: Env<'_>, report: &mut dyn FnMut(&str, String)) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::String(string) if string.contains("${{") => match text(string, env) {
            Ok(replaced) if replaced.used => *value = typed(replaced.text),
            Ok(_) => {}
            Err(names) => names.iter().for_each(|(_, name)| report(path, missing(name))),
        },
        Value::Array(list) => {
            for (at, item) in list.iter_mut().enumerate() {
                replace(item, &below(&at.to_string()), env, report);
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                replace(item, &below(key), env, report);
            }
            if map.keys().any(|key| key.contains("${{")) {
                let mut renamed = Map::new();
                for (key, item) in std::mem::take(map) {
                    match text(&key, env) {
                        Ok(replaced) => drop(renamed.insert(replaced.text, item)),
                        Err(names) => {
                            names.iter().for_each(|(_, name)| report(&below(&key), missing(name)));
                        }
                    }
                }
                *map = renamed;
            }
        }
        _ => {}
    }
}

/// A replaced text that reads as a number or a boolean becomes one.
fn typed(text: String) -> Value {
    match text.as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        _ => {}
    }
    let trimmed = text.trim();
    if let Ok(number) = trimmed.parse::<i64>() {
        return Value::from(number);
    }
    // `parse` would also take `inf` and `nan`, which are words in a configuration.
    if trimmed.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && let Ok(number) = trimmed.parse::<f64>()
        && number.is_finite()
        && trimmed.bytes().any(|b| b.is_ascii_digit())
    {
        return Value::from(number);
    }
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn env(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("9081".into()),
            "FLAG" => Some("true".into()),
            "HOST" => Some("a.com".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(input: &str, expected: &str) {
        assert_eq!(text(input, &env).unwrap().text, expected);
    }

    #[test]
    fn placeholders_are_replaced() {
        check("a ${{HOST}} b ${{ PORT }}", "a a.com b 9081");
        check("${{NONE:=x y }}", "x y");
        check("${{NONE:=}}", "");
        check("${{EMPTY:=x}}", "");
        check("${{HOST:=x}}${{NONE := z}}", "a.comz");
        check("$host ${HOST} ${{}} ${{ }} ${{open", "$host ${HOST} ${{}} ${{ }} ${{open");
    }

    #[test]
    fn all_missing_names_are_told() {
        let names = text("x ${{A}} ${{B}}", &env).unwrap_err();
        assert_eq!(names, [(2, "A".to_owned()), (9, "B".to_owned())]);
    }

    #[test]
    fn trees_are_replaced_with_types() {
        let mut value = json!({
            "port": "${{PORT}}", "flag": "${{FLAG}}", "text": "p${{PORT}}", "same": "9081",
            "list": ["${{NONE:=1.5}}", "${{NONE:=inf}}"], "${{HOST}}": {"k": "${{EMPTY}}"}
        });
        let mut reports = Vec::new();
        tree(&mut value, &env, &mut |path, text| reports.push((path.to_owned(), text)));
        assert!(reports.is_empty());
        assert_eq!(
            value,
            json!({
                "port": 9081, "flag": true, "text": "p9081", "same": "9081",
                "list": [1.5, "inf"], "a.com": {"k": ""}
            })
        );
        let mut value = json!({"a": {"b": ["${{GONE}}"]}, "${{ALSO}}": 1});
        let mut reports = Vec::new();
        tree(&mut value, &env, &mut |path, text| reports.push((path.to_owned(), text)));
        assert_eq!(reports[0].0, "a.b.0");
        assert!(reports[0].1.ends_with("can't find environment variable GONE"));
        assert_eq!(reports.len(), 2);
    }

    proptest::proptest! {
        #[test]
        fn text_without_placeholders_is_untouched(input in "[^$]{0,40}") {
            proptest::prop_assert_eq!(&text(&input, &env).unwrap().text, &input);
        }

        #[test]
        fn no_text_makes_it_panic(input in "[${}A-C:= é]{0,40}") {
            let _ = text(&input, &env);
        }
    }
}
