//! Standalone mode: all objects in `conf/apisix.yaml` or `conf/apisix.json`.

use std::{borrow::Cow, path::Path};

use serde_json::Value;

use crate::config::{
    env::{self, Env},
    local::Format,
    raw::RawDocument,
    yaml::{self, DocumentLimits, ParseError},
};

/// Levels of an `apisix.yaml` whose lines are remembered: sections and their objects.
pub(super) const RECORDED_LEVELS: usize = 2;

/// Reads a file into raw objects. A file that is not whole or not a document is an error,
/// and whoever called keeps what is in use.
///
/// # Errors
///
/// The file cannot be read, its last bytes are not `#END`, a variable is missing, or its
/// text is not a document of sections.
pub fn read(
    path: &Path,
    format: Format,
    limits: &DocumentLimits,
    env: Env<'_>,
) -> Result<RawDocument, ParseError> {
    text(path, limits)
        .and_then(|text| parse(&text, format, limits, env))
        .map_err(|error| error.in_file(&path.display().to_string()))
}

/// The text of a file that is not too large.
pub(super) fn text(path: &Path, limits: &DocumentLimits) -> Result<String, ParseError> {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if usize::try_from(size).unwrap_or(usize::MAX) > limits.bytes_max {
        return Err(ParseError::new(None, format!("larger than {} bytes", limits.bytes_max)));
    }
    std::fs::read_to_string(path)
        .map_err(|err| ParseError::new(None, format!("cannot be read: {err}")))
}

/// Parses the text of a file.
///
/// # Errors
///
/// As [`read`].
pub fn parse(
    text: &str,
    format: Format,
    limits: &DocumentLimits,
    env: Env<'_>,
) -> Result<RawDocument, ParseError> {
    match format {
        Format::Yaml => parse_yaml(text, limits, env),
        Format::Json => parse_json(text, limits, env),
    }
}

fn parse_yaml(
    text: &str,
    limits: &DocumentLimits,
    env: Env<'_>,
) -> Result<RawDocument, ParseError> {
    let document = yaml::parse(&yaml_text(text, env)?, limits, RECORDED_LEVELS)?;
    split(document.value, &|path| document.lines.get(path).copied())
}

/// The YAML of a file that is whole, its placeholders replaced.
pub(super) fn yaml_text<'t>(text: &'t str, env: Env<'_>) -> Result<Cow<'t, str>, ParseError> {
    if !has_end_flag(text) {
        return Err(ParseError::new(
            None,
            "missing valid end flag: the last line must be `#END`, or the file is not whole",
        ));
    }
    // Only a text with placeholders is worth a copy.
    if text.contains("${{") { replace(text, env).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
}

fn parse_json(
    text: &str,
    limits: &DocumentLimits,
    env: Env<'_>,
) -> Result<RawDocument, ParseError> {
    split(json_root(text, limits, env)?, &|_| None)
}

/// A JSON text with its placeholders replaced.
fn json_root(text: &str, limits: &DocumentLimits, env: Env<'_>) -> Result<Value, ParseError> {
    if text.len() > limits.bytes_max {
        return Err(ParseError::new(None, format!("larger than {} bytes", limits.bytes_max)));
    }
    let mut root: Value = serde_json::from_str(text).map_err(|error| {
        let line = Some(error.line()).filter(|line| *line > 0);
        ParseError::new(line, format!("failed to decode json: {error}"))
    })?;
    let mut missing = None;
    env::tree(&mut root, env, &mut |_, sentence| {
        missing.get_or_insert(sentence);
    });
    match missing {
        Some(sentence) => Err(ParseError::new(None, sentence)),
        None => Ok(root),
    }
}

/// The root of a document as it is read before it is split.
///
/// # Errors
///
/// As [`parse`], but for what is wrong with sections.
pub fn root(
    text: &str,
    format: Format,
    limits: &DocumentLimits,
    env: Env<'_>,
) -> Result<Value, ParseError> {
    match format {
        Format::Yaml => yaml::parse(&yaml_text(text, env)?, limits, 0).map(|found| found.value),
        Format::Json => json_root(text, limits, env),
    }
}

pub(super) fn split(
    root: Value,
    line: &dyn Fn(&str) -> Option<usize>,
) -> Result<RawDocument, ParseError> {
    if root.is_null() {
        return Err(ParseError::new(None, "the file holds no configuration"));
    }
    RawDocument::split(root, line).map_err(|(line, why)| ParseError::new(line, why))
}

fn replace(text: &str, env: Env<'_>) -> Result<String, ParseError> {
    env::text(text, env).map(|replaced| replaced.text).map_err(|names| {
        let line = names.first().map(|(at, _)| 1 + text[..*at].matches('\n').count());
        let all: Vec<_> = names.iter().map(|(_, name)| name.as_str()).collect();
        ParseError::new(line, env::missing(&all.join(", ")))
    })
}

/// Whether `#END` and white space stand within the last ten bytes, and nothing after it.
fn has_end_flag(text: &str) -> bool {
    let tail = &text.as_bytes()[text.len().saturating_sub(10)..];
    tail.trim_ascii_end().ends_with(b"#END")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::Kind;

    fn env(name: &str) -> Option<String> {
        (name == "PORT").then(|| "8080".to_owned())
    }

    fn yaml(text: &str) -> Result<RawDocument, ParseError> {
        parse(text, Format::Yaml, &DocumentLimits::default(), &env)
    }

    fn json(text: &str) -> Result<RawDocument, ParseError> {
        parse(text, Format::Json, &DocumentLimits::default(), &env)
    }

    const FILE: &str = "routes:
  - id: 1
    uri: /a
    upstream:
      nodes:
        \"a:${{PORT}}\": 1
  - uri: /b
consumers:
  - username: jack
#END
";

    #[test]
    fn a_file_becomes_raw_objects_with_their_lines() {
        let document = yaml(FILE).unwrap();
        let routes = document.items(Kind::Routes);
        assert_eq!((routes[0].id.as_str(), routes[0].line), ("1", Some(2)));
        assert_eq!((routes[1].id.as_str(), routes[1].line), ("arr_2", Some(7)));
        let value = routes[0].value.clone().into_value().unwrap();
        assert_eq!(value["upstream"]["nodes"]["a:8080"], 1);
        assert_eq!(document.items(Kind::Consumers)[0].id, "jack");
    }

    #[test]
    fn a_file_without_its_end_is_refused_at_every_length() {
        for cut in 0..FILE.trim_end().len() {
            assert!(yaml(&FILE[..cut]).is_err(), "{cut}");
        }
        for end in ["#END", "#END\n", "#END  \r\n", "#END\n\n\n\n\n\n"] {
            assert!(has_end_flag(end), "{end:?}");
        }
        for end in ["#END.", "# END", "END", "#END\n\n\n\n\n\n\n\n\n\n\n", "#END\n#", ""] {
            assert!(!has_end_flag(end), "{end:?}");
        }
    }

    #[test]
    fn what_is_no_document_is_an_error_with_its_line() {
        let error = yaml("routes:\n  - id: 1\n   uri: x\n#END").unwrap_err();
        assert_eq!(error.line, Some(3), "{error}");
        let error = yaml("routes:\n  - id: ${{GONE}}\n#END").unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.message.contains("can't find environment variable GONE"));
        assert!(yaml("#END").unwrap_err().message.contains("no configuration"));
        let error = yaml("a: 1\nroutes: 5\n#END").unwrap_err();
        assert_eq!((error.line, error.message.as_str()), (Some(2), "routes must be a list"));
    }

    #[test]
    fn json_needs_no_end_flag_and_is_replaced_value_by_value() {
        let document =
            json("{\"routes\": [{\"id\": \"a\", \"priority\": \"${{PORT}}\"}]}").unwrap();
        let value = document.items(Kind::Routes)[0].value.clone().into_value().unwrap();
        assert_eq!(value["priority"], 8080);
        assert_eq!(json("{\n\"routes\": [}").unwrap_err().line, Some(2));
        assert!(json("{\"routes\": [{\"id\": \"${{GONE}}\"}]}").is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let limits = DocumentLimits::default();
        let error = read(Path::new("/nowhere/apisix.yaml"), Format::Yaml, &limits, &env);
        assert!(error.unwrap_err().to_string().starts_with("/nowhere/apisix.yaml: cannot be read"));
    }
}
