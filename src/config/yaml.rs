//! YAML text to a JSON value, as APISIX's reader (lyaml) would, in bounded time and memory.
//!
//! Built on the parser's events rather than on serde: what a scalar means (`scalar`),
//! where it stands, and what an alias may cost are decided here.

use std::{borrow::Cow, collections::HashMap};

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::scalar;
use crate::limits;

/// What one document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of text.
    pub bytes_max: usize,
    /// Scalars, lists and mappings.
    pub nodes_max: usize,
    /// Levels of nesting.
    pub levels_max: usize,
    /// Bytes that aliases may copy, 64 per node plus its text.
    pub alias_bytes_max: usize,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            bytes_max: limits::DOCUMENT_BYTES_MAX,
            nodes_max: limits::DOCUMENT_NODES_MAX,
            levels_max: limits::DOCUMENT_LEVELS_MAX,
            alias_bytes_max: limits::DOCUMENT_ALIAS_BYTES_MAX,
        }
    }
}

/// Why a text is not a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The file, once a caller that knows it has added it.
    pub file: Option<String>,
    /// Line, counted from 1, where known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl ParseError {
    pub(super) fn new(line: Option<usize>, message: impl Into<String>) -> Self {
        Self { file: None, line, message: message.into() }
    }

    pub(super) fn in_file(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.message),
            None if self.file.is_some() => write!(f, " {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// A document with the lines its parts begin on.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) value: Value,
    /// `apisix.node_listen.0` to the line of that key or list entry.
    pub(super) lines: HashMap<String, usize>,
    /// Whether a part of it may depend on another one.
    pub(super) has_anchors: bool,
}

/// Reads the one document of `text`, recording lines down to `record_levels`. An empty text
/// is `Null`.
pub(super) fn parse(
    text: &str,
    limits: &DocumentLimits,
    record_levels: usize,
) -> Result<Document, ParseError> {
    let mut composer = composer(text, limits, record_levels)?;
    let value = composer.document()?;
    let has_anchors = !composer.anchors.is_empty();
    Ok(Document { value, lines: composer.lines, has_anchors })
}

/// Reads all documents of `text`, in their order; the limits are for all of them together.
///
/// # Errors
///
/// The text is no YAML, or more than `limits` allow.
pub fn parse_all(text: &str, limits: &DocumentLimits) -> Result<Vec<Value>, ParseError> {
    let mut composer = composer(text, limits, 0)?;
    let mut values = Vec::new();
    loop {
        match composer.next()? {
            Event::StreamEnd => return Ok(values),
            Event::StreamStart | Event::DocumentEnd => {}
            // What one document named, the next one does not know.
            Event::DocumentStart(..) => composer.anchors.clear(),
            event => values.push(composer.node(event, 0)?),
        }
    }
}

fn composer<'t>(
    text: &'t str,
    limits: &DocumentLimits,
    record_levels: usize,
) -> Result<Composer<'t>, ParseError> {
    if text.len() > limits.bytes_max {
        return Err(ParseError::new(None, format!("larger than {} bytes", limits.bytes_max)));
    }
    let options = granit_parser::options! {
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
    };
    Ok(Composer {
        parser: Parser::new_from_str_with_options(text, options),
        limits: *limits,
        anchors: HashMap::new(),
        nodes: 0,
        weight: 0,
        copied: 0,
        path: String::new(),
        record_levels,
        lines: HashMap::new(),
        line: 1,
    })
}

/// A node that an alias may name.
struct Anchored {
    value: Value,
    weight: usize,
}

struct Composer<'t> {
    parser: Parser<'t, StrInput<'t>>,
    limits: DocumentLimits,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    /// 64 per node plus the bytes of scalars, aliases expanded.
    weight: usize,
    copied: usize,
    path: String,
    record_levels: usize,
    lines: HashMap<String, usize>,
    line: usize,
}

impl<'t> Composer<'t> {
    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(Some(self.line), message)
    }

    fn next(&mut self) -> Result<Event<'t>, ParseError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                self.line = line(&span);
                Ok(event)
            }
            Some(Err(error)) => {
                Err(ParseError::new(Some(error.marker().line()), error.kind().to_string()))
            }
            None => Err(self.error("unexpected end of the document")),
        }
    }

    fn document(&mut self) -> Result<Value, ParseError> {
        let mut value = None;
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(value.unwrap_or(Value::Null)),
                Event::DocumentStart(..) if value.is_some() => {
                    return Err(self.error("a second document (`---`) in the file"));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => value = Some(self.node(event, 0)?),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, level: usize) -> Result<Value, ParseError> {
        self.nodes += 1;
        self.weight += 64;
        if self.nodes > self.limits.nodes_max {
            return Err(self.error(format!("more than {} nodes", self.limits.nodes_max)));
        }
        if level > self.limits.levels_max {
            return Err(self.error(format!("nested deeper than {}", self.limits.levels_max)));
        }
        let before = self.weight;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(text, style, tag.as_deref())?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(level)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(level)?, anchor),
            Event::Alias(id) => (self.alias(id)?, 0),
            other => return Err(self.error(format!("unexpected {other:?}"))),
        };
        if anchor != 0 {
            let weight = 64 + self.weight - before;
            self.copy(weight)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), weight });
        }
        Ok(value)
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
    ) -> Result<Value, ParseError> {
        self.weight += text.len();
        if let Some(tag) = tag.and_then(core_tag) {
            return scalar::tagged(&tag, &text)
                .ok_or_else(|| self.error(format!("invalid '{tag}' value: '{text}'")));
        }
        if matches!(style, ScalarStyle::Plain) {
            scalar::plain(&text).map_err(|why| self.error(why))
        } else {
            Ok(Value::String(text.into_owned()))
        }
    }

    fn sequence(&mut self, level: usize) -> Result<Value, ParseError> {
        let mut list = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                list.shrink_to_fit();
                return Ok(Value::Array(list));
            }
            let at = self.path.len();
            if level < self.record_levels {
                self.enter(&list.len().to_string());
            }
            list.push(self.node(event, level + 1)?);
            self.path.truncate(at);
        }
    }

    fn mapping(&mut self, level: usize) -> Result<Value, ParseError> {
        // A map that grows keeps up to twice its size for ever; 100,000 routes feel it.
        let mut entries = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.key(event)?;
            let at = self.path.len();
            if level < self.record_levels {
                self.enter(&key);
            }
            let event = self.next()?;
            let value = self.node(event, level + 1)?;
            self.path.truncate(at);
            entries.push((key, value, merge));
        }
        let mut map = Map::with_capacity(entries.len());
        for (key, value, merge) in entries {
            if merge {
                self.merge(&mut map, value)?;
            } else {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }

    fn key(&mut self, event: Event<'t>) -> Result<String, ParseError> {
        self.nodes += 1;
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.weight += 64 + text.len();
                let key = text.into_owned();
                if anchor != 0 {
                    let weight = 64 + key.len();
                    self.copy(weight)?;
                    let value = Value::String(key.clone());
                    self.anchors.insert(anchor, Anchored { value, weight });
                }
                Ok(key)
            }
            Event::Alias(id) => match self.alias(id)? {
                Value::String(key) => Ok(key),
                _ => Err(self.error("a key must be text")),
            },
            _ => Err(self.error("a key must be text")),
        }
    }

    /// `<<: *base`: what the mapping does not say itself comes from there.
    fn merge(&self, map: &mut Map<String, Value>, from: Value) -> Result<(), ParseError> {
        let sources = match from {
            Value::Array(list) => list,
            other => vec![other],
        };
        for source in sources {
            let Value::Object(source) = source else {
                return Err(self.error("invalid '<<': expected a mapping or a list of them"));
            };
            for (key, value) in source {
                map.entry(key).or_insert(value);
            }
        }
        Ok(())
    }

    fn alias(&mut self, id: usize) -> Result<Value, ParseError> {
        let weight = match self.anchors.get(&id) {
            Some(anchored) => anchored.weight,
            None => return Err(self.error("an alias inside the node that it names")),
        };
        self.copy(weight)?;
        self.weight += weight;
        Ok(self.anchors.get(&id).map(|anchored| anchored.value.clone()).unwrap_or_default())
    }

    /// Charges a copy before it is made.
    fn copy(&mut self, weight: usize) -> Result<(), ParseError> {
        self.copied = self.copied.saturating_add(weight);
        if self.copied > self.limits.alias_bytes_max {
            let bytes_max = self.limits.alias_bytes_max;
            return Err(self.error(format!("anchors and aliases copy more than {bytes_max} bytes")));
        }
        Ok(())
    }

    fn enter(&mut self, key: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
        self.lines.insert(self.path.clone(), self.line);
    }
}

fn core_tag(tag: &Tag) -> Option<String> {
    ["str", "int", "float", "bool", "null"]
        .into_iter()
        .find(|name| tag.is_yaml_core_schema_tag(name))
        .map(str::to_owned)
}

fn line(span: &Span) -> usize {
    span.start.line()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn read(text: &str) -> Result<Value, ParseError> {
        parse(text, &DocumentLimits::default(), 0).map(|document| document.value)
    }

    #[test]
    fn a_document_becomes_a_value() {
        let text = "a: 1\nb: [on, \"on\", 'y', |\n  x\n  ]\nc: {d: , e: ~}\n";
        assert!(read(text).is_err(), "a block scalar cannot stand in a flow list");
        let text = "a: 1\nb: [on, \"on\", y]\nc: {d: , e: ~}\nf: |\n  x\n#END";
        assert_eq!(
            read(text).unwrap(),
            json!({"a": 1, "b": [true, "on", "y"], "c": {"d": null, "e": null}, "f": "x\n"})
        );
        assert_eq!(read("# nothing\n").unwrap(), Value::Null);
        assert_eq!(read("200: x\n").unwrap(), json!({"200": "x"}));
    }

    #[test]
    fn anchors_aliases_and_merges_are_followed() {
        let text = "base: &b {x: 1, y: 2}\nc: {<<: *b, x: 3}\nd: [*b]\n";
        assert_eq!(
            read(text).unwrap(),
            json!({"base": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}, "d": [{"x": 1, "y": 2}]})
        );
        assert!(read("a: &a [*a]").is_err());
        assert!(read("a: *nowhere").is_err());
    }

    #[test]
    fn errors_name_the_line() {
        let error = read("a: 1\nb: [1,\nc: 2\n").unwrap_err();
        assert!(error.line.is_some_and(|line| line >= 2), "{error}");
        let error = read("a: 1\n---\nb: 2\n").unwrap_err();
        assert_eq!(error.line, Some(2));
        assert!(error.message.contains("second document"));
    }

    #[test]
    fn lines_of_keys_and_list_entries_are_recorded() {
        let text = "a:\n  b: 1\n  c:\n    - x\n    - y: 2\n";
        let lines = parse(text, &DocumentLimits::default(), 9).unwrap().lines;
        assert_eq!(lines["a.b"], 2);
        assert_eq!(lines["a.c.1"], 5);
        assert_eq!(lines["a.c.1.y"], 5);
    }

    #[test]
    fn alias_bombs_are_refused_in_bounded_time() {
        let mut laughs = String::from("a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n");
        for n in 1..40 {
            let alias = format!("*a{}", n - 1);
            laughs.push_str(&format!("a{n}: &a{n} [{}]\n", vec![alias; 9].join(",")));
        }
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 4000].join(","));
        let keys = (0..1000).map(|n| format!("k{n}: {n}")).collect::<Vec<_>>().join(", ");
        let merges = format!("a: &a {{{keys}}}\nb: [{}]\n", "{<<: *a}, ".repeat(5000));
        for bomb in [laughs, long, merges] {
            let start = Instant::now();
            let error = read(&bomb).unwrap_err();
            assert!(error.message.contains("aliases"), "{error}");
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
        let error = read(&"[".repeat(100_000)).unwrap_err();
        assert!(error.line.is_some());
        let deep = format!("a: {}", "{b: ".repeat(80));
        assert!(read(&deep).is_err());
        let few = DocumentLimits { nodes_max: 10, ..DocumentLimits::default() };
        let error = parse("[1,2,3,4,5,6,7,8,9,10,11]", &few, 0).unwrap_err();
        assert!(error.message.contains("more than 10 nodes"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-c0-9:{}\\[\\]&*!|>'\", \n#<~]{0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn json_is_yaml(number in proptest::num::i32::ANY, text in "[a-z \"\\\\]{0,20}") {
            let value = json!({"n": number, "t": text, "l": [null, true, {"x": 1.5}]});
            proptest::prop_assert_eq!(read(&value.to_string()).unwrap(), value);
        }
    }
}
