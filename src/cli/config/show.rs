//! Answers as people read them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::{
    cli::process::{complain, say},
    log::stamp,
};

/// Lines about the revisions of an answer.
pub(super) fn history(answer: &Value) -> String {
    let mut out = String::new();
    for revision in list(answer, "revisions") {
        let mut time = Vec::new();
        stamp::time_iso8601(&mut time, number(revision, "time"));
        let time = String::from_utf8_lossy(&time).into_owned();
        let (at, who) = (number(revision, "revision"), text(revision, "who"));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{at}  {time}  {who}");
        for change in list(revision, "changes") {
            let _ = writeln!(out, "    {:<8} {}", text(change, "what"), text(change, "key"));
        }
    }
    out
}

/// Lines about the keys and fields that differ.
pub(super) fn diff(answer: &Value) -> String {
    let mut out = String::new();
    for change in list(answer, "changes") {
        let key = text(change, "key");
        let of = |name: &str| change.get(name).filter(|value| !value.is_null());
        // Writing to a string cannot fail.
        let _ = match (of("before"), of("after")) {
            (Some(before), Some(after)) => {
                let _ = writeln!(out, "{key}");
                fields(&mut out, "", before, after);
                Ok(())
            }
            (None, Some(after)) => writeln!(out, "{key}\n  + {after}"),
            (Some(before), None) => writeln!(out, "{key}\n  - {before}"),
            (None, None) => Ok(()),
        };
    }
    out
}

/// The fields that differ, by their paths.
fn fields(out: &mut String, path: &str, before: &Value, after: &Value) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            let path = if path.is_empty() { "" } else { &format!("{path}: ") };
            let _ = writeln!(out, "  - {path}{before}\n  + {path}{after}");
        }
        return;
    };
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (name, was) in old {
        match new.get(name) {
            Some(is) => fields(out, &below(name), was, is),
            None => drop(writeln!(out, "  - {}: {was}", below(name))),
        }
    }
    for (name, is) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        let _ = writeln!(out, "  + {}: {is}", below(name));
    }
}

/// What an import did, or would do.
pub(super) fn imported(answer: &Value, dry: bool) {
    for problem in list(answer, "skipped") {
        complain(&format!("left out: {}: {}", text(problem, "key"), text(problem, "error")));
    }
    for warning in list(answer, "warnings") {
        complain(&format!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    let of = |name: &str| number(answer, name);
    let (written, unchanged) = (of("written"), of("unchanged"));
    let (deleted, skipped) = (of("deleted"), list(answer, "skipped").count());
    let counts = format!(
        "{written} objects written, {unchanged} unchanged, {deleted} deleted, {skipped} left out"
    );
    match (dry, of("revision")) {
        (true, _) => say(&format!("dry run, nothing is stored: {counts}")),
        (false, 0) => say(&counts),
        (false, revision) => say(&format!("{counts}, revision {revision}")),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_differ_are_shown_by_their_paths() {
        let answer = json!({"changes": [
            {"key": "routes/1", "before": {"uri": "/a", "upstream": {"nodes": {"h:1": 1}}, "x": 1},
             "after": {"uri": "/b", "upstream": {"nodes": {"h:1": 2}}, "y": [2]}},
            {"key": "routes/2", "before": null, "after": {"uri": "/n"}},
            {"key": "routes/3", "before": "broken", "after": null},
        ]});
        let expected = "routes/1\n  - uri: \"/a\"\n  + uri: \"/b\"\n  - upstream.nodes.h:1: 1\n  \
                        + upstream.nodes.h:1: 2\n  - x: 1\n  + y: [2]\nroutes/2\n  \
                        + {\"uri\":\"/n\"}\nroutes/3\n  - \"broken\"\n";
        assert_eq!(diff(&answer), expected);
    }

    #[test]
    fn revisions_are_shown_with_their_changes() {
        let changes = json!([{"key": "routes/1", "what": "new"}]);
        let answer =
            json!({"revisions": [{"revision": 7, "time": 0, "who": "admin", "changes": changes}]});
        let text = history(&answer);
        assert!(
            text.starts_with("7  1970-01-01T") && text.contains("  admin\n    new      routes/1\n"),
            "{text}"
        );
    }
}
