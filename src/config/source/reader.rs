//! The objects' file, read again and again: of a large one only what changed is parsed.

use std::{collections::HashMap, path::Path, sync::Arc};

use serde_json::Value;

use super::{
    chunks::{self, Chunk, Section},
    file,
};
use crate::config::{
    env::Env,
    item::{Fingerprint, text_fingerprint},
    local::Format,
    raw::{Facts, Kind, Lines, RawDocument, RawItem, RawValue},
    yaml::{self, DocumentLimits, ParseError},
};

/// A text with fewer bytes is parsed faster than its parts are compared.
const SMALL: usize = 64 * 1024;

/// If more than one part in so many is new, the whole is parsed: each part costs a start.
const NEW_SHARE: usize = 4;

/// Remembers what the objects of a file looked like.
#[derive(Debug, Default)]
pub struct Reader {
    /// By the text of an object.
    known: HashMap<Fingerprint, Known>,
    /// How often a file was read.
    turn: u64,
}

#[derive(Debug)]
struct Known {
    facts: Facts,
    /// How many lines below the first its value begins.
    below: usize,
    /// When it was seen last.
    turn: u64,
}

/// A section, with the fingerprints of its entries if it has objects.
type Printed<'s, 't> = (&'s Section<'t>, Option<(Kind, Vec<(Fingerprint, &'s Chunk)>)>);

impl Reader {
    /// As [`file::read`]. Objects whose text was there the last time may come unread.
    ///
    /// # Errors
    ///
    /// As [`file::read`].
    pub fn read(
        &mut self,
        path: &Path,
        format: Format,
        limits: &DocumentLimits,
        env: Env<'_>,
    ) -> Result<RawDocument, ParseError> {
        let name = |error: ParseError| error.in_file(&path.display().to_string());
        let text = file::text(path, limits).map_err(name)?;
        match format {
            Format::Yaml if text.len() >= SMALL => self.yaml(&text, limits, env),
            _ => {
                self.known = HashMap::new();
                file::parse(&text, format, limits, env)
            }
        }
        .map_err(name)
    }

    fn yaml(
        &mut self,
        text: &str,
        limits: &DocumentLimits,
        env: Env<'_>,
    ) -> Result<RawDocument, ParseError> {
        let text = file::yaml_text(text, env)?;
        self.turn += 1;
        let sections = chunks::cut(&text).unwrap_or_default();
        let printed: Vec<Printed<'_, '_>> =
            sections.iter().map(|section| print(section, &text)).collect();
        // A node takes a byte at least: in parts nobody counts the nodes of the whole.
        let worth = text.len() <= limits.nodes_max && self.mostly_known(&printed, text.len());
        if worth && let Some(document) = self.parts(&text, &printed, limits) {
            let turn = self.turn;
            self.known.retain(|_, known| known.turn == turn);
            return Ok(document);
        }
        self.known = HashMap::new();
        let document = yaml::parse(&text, limits, file::RECORDED_LEVELS)?;
        // Where there are anchors, or text goes on at the margin, a part does not say all.
        let alone = !document.has_anchors && has_sections(&document.value, &sections);
        let raw = file::split(document.value, &|path| document.lines.get(path).copied())?;
        if alone {
            self.remember(&printed, &raw);
        }
        Ok(raw)
    }

    fn mostly_known(&self, printed: &[Printed<'_, '_>], size: usize) -> bool {
        let entries = printed.iter().filter_map(|(_, objects)| objects.as_ref());
        let new = entries
            .flat_map(|(_, entries)| entries)
            .filter(|(print, _)| !self.known.contains_key(print))
            .map(|(_, chunk)| chunk.range.len());
        !self.known.is_empty() && new.sum::<usize>() <= size / NEW_SHARE
    }

    /// The document, put together of what is known and what is parsed now. `None`: a part
    /// needs the whole to be understood, or to be refused with the right line.
    fn parts(
        &mut self,
        text: &str,
        printed: &[Printed<'_, '_>],
        limits: &DocumentLimits,
    ) -> Option<RawDocument> {
        let text: Arc<str> = Arc::from(text);
        let mut document = RawDocument::default();
        for (section, objects) in printed {
            let Some((kind, entries)) = objects else {
                whole(section, &text, limits, &mut document)?;
                continue;
            };
            for (at, (print, chunk)) in entries.iter().enumerate() {
                let range = chunk.range.clone();
                let lines = Lines { text: Arc::clone(&text), range, limits: *limits };
                if let Some(known) = self.known.get_mut(print) {
                    known.turn = self.turn;
                    let place = (at, Some(chunk.line + known.below));
                    document.add_known(*kind, place, &known.facts, RawValue::Unread(lines));
                } else {
                    let (value, below) = lines.read().ok()?;
                    let facts = document.add(*kind, at, value, Some(chunk.line + below))?;
                    self.known.insert(*print, Known { facts, below, turn: self.turn });
                }
            }
        }
        Some(document)
    }

    /// Remembers the objects of a section if each begins in an entry of its own.
    fn remember(&mut self, printed: &[Printed<'_, '_>], raw: &RawDocument) {
        for (kind, entries) in printed.iter().filter_map(|(_, objects)| objects.as_ref()) {
            let items = raw.items(*kind);
            let ends = entries.iter().skip(1).map(|(_, chunk)| chunk.line).chain([usize::MAX]);
            let below = |((item, (_, chunk)), end): ((&RawItem, &(_, &Chunk)), usize)| {
                item.line.filter(|line| (chunk.line..end).contains(line))?.checked_sub(chunk.line)
            };
            let below: Option<Vec<usize>> =
                items.iter().zip(entries).zip(ends).map(below).collect();
            let Some(below) = below.filter(|_| items.len() == entries.len()) else { continue };
            for (((print, _), item), below) in entries.iter().zip(items).zip(below) {
                let known = Known { facts: Facts::of(item), below, turn: self.turn };
                self.known.insert(*print, known);
            }
        }
    }
}

fn print<'s, 't>(section: &'s Section<'t>, text: &str) -> Printed<'s, 't> {
    let objects = Kind::from_plural(section.name).zip(section.entries.as_ref());
    let print = |chunk: &'s Chunk| {
        (text_fingerprint(text.get(chunk.range.clone()).unwrap_or_default()), chunk)
    };
    (section, objects.map(|(kind, entries)| (kind, entries.iter().map(print).collect())))
}

/// Whether the sections of a document are those that its text was cut into.
fn has_sections(root: &Value, sections: &[Section<'_>]) -> bool {
    let keys = root.as_object().map(|map| map.keys().map(String::as_str));
    keys.is_some_and(|keys| keys.eq(sections.iter().map(|section| section.name)))
}

/// Parses a section that has no objects, or not one below the other.
fn whole(
    section: &Section<'_>,
    text: &str,
    limits: &DocumentLimits,
    document: &mut RawDocument,
) -> Option<()> {
    let text = text.get(section.whole.range.clone())?;
    let parsed = yaml::parse(text, limits, file::RECORDED_LEVELS).ok()?;
    let Value::Object(map) = parsed.value else { return None };
    if parsed.has_anchors {
        return None;
    }
    let line = |path: &str| parsed.lines.get(path).map(|line| line + section.whole.line - 1);
    map.into_iter().try_for_each(|(name, value)| document.section(&name, value, &line)).ok()
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
