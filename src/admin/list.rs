//! Lists of objects: filters and pages.

use std::time::Duration;

use serde_json::Value;

use super::{
    Admin, Call,
    check::Fault,
    delete::id_below,
    objects::Target,
    reply::Item,
    table::Resource,
    wire::{Query, Reply},
};
use crate::{
    clock,
    config::schema::{CheckOptions, Schema},
    store::Entry,
};

/// How long the filters of one list may take together: one pattern that is slow on one name is as
/// slow on a hundred thousand.
pub(super) const FILTER_TIME: Duration = Duration::from_secs(5);

/// Objects of a page, from and to.
const PAGE_MIN: f64 = 10.0;
const PAGE_MAX: f64 = 500.0;

impl Admin {
    pub(super) async fn list(&self, call: &Call<'_>, target: &Target) -> Result<Reply, Fault> {
        let prefix = target.prefix();
        let naming = target.resource.naming;
        let mut entries = self.store.list(&prefix).await?.entries;
        entries.retain(|entry| id_below(&entry.key, &prefix, naming).is_some());
        // What is part of other objects has no collection of its own that could be empty.
        if entries.is_empty() && target.parent.is_some() {
            return Ok(Reply::key_not_found());
        }
        let filter = Filter::read(call.query, target.resource);
        if self.settings.v3 && filter.asks() {
            let end = clock::now() + self.filter_time;
            // Once it is over nothing is kept, and nothing of that is shown.
            entries.retain(|entry| clock::now() < end && filter.keeps(entry));
            if clock::now() >= end {
                return Ok(Reply::error(503, "the filter takes too long"));
            }
        }
        let total = entries.len();
        if self.settings.v3 {
            let Ok(paged) = page(call.query, entries) else {
                return Ok(Reply::text(400, "page_size must be between 10 and 500"));
            };
            entries = paged;
        }
        let item = |entry: &Entry| {
            let id = id_below(&entry.key, &prefix, naming).unwrap_or_default();
            Item::new(self, entry, self.shown(call, target.resource, id, entry))
        };
        Ok(self.many(prefix.trim_end_matches('/'), entries.iter().map(item), total))
    }
}

/// A page has a size that is not allowed.
struct BadSize;

/// The entries of the page that is asked for, in the order they were created; without both its
/// number and its size, all of them in the order of their keys.
fn page(query: &Query, mut entries: Vec<Entry>) -> Result<Vec<Entry>, BadSize> {
    let (Some(page), Some(size)) = (query.number("page"), query.number("page_size")) else {
        return Ok(entries);
    };
    if !(PAGE_MIN..=PAGE_MAX).contains(&size) {
        return Err(BadSize);
    }
    entries.sort_by_key(|entry| entry.created);
    // Both are small: what is skipped is at most the number of entries.
    let size = size as usize;
    let skipped = (page.max(1.0) as usize).saturating_sub(1).saturating_mul(size);
    Ok(entries.into_iter().skip(skipped).take(size).collect())
}

/// What objects a list should have.
struct Filter<'q> {
    name: Option<Pattern>,
    label: Option<&'q str>,
    uri: Option<Pattern>,
    fields: Vec<(String, String)>,
}

impl<'q> Filter<'q> {
    fn read(query: &'q Query, resource: &Resource) -> Self {
        let inner = Query::read(query.get("filter").unwrap_or_default());
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in inner.pairs().filter(|(name, _)| resource.filters.contains(name)) {
            // Of several values the last counts.
            fields.retain(|(known, _)| known != name);
            fields.push((name.to_owned(), value.to_owned()));
        }
        Self {
            name: query.get("name").map(Pattern::new),
            label: query.get("label"),
            uri: query.get("uri").map(Pattern::new),
            fields,
        }
    }

    fn asks(&self) -> bool {
        let texts = self.name.is_some() || self.label.is_some() || self.uri.is_some();
        texts || !self.fields.is_empty()
    }

    fn keeps(&self, entry: &Entry) -> bool {
        let value: Value = serde_json::from_str(&entry.value).unwrap_or_default();
        let fits = |pattern: &Option<Pattern>, texts: &[Option<&Value>]| {
            let text = |text: &&Value| pattern.as_ref().is_some_and(|pattern| pattern.fits(text));
            pattern.is_none() || texts.iter().flatten().any(text)
        };
        let uris = value.get("uris").and_then(Value::as_array).map(Vec::as_slice);
        let mut uris: Vec<Option<&Value>> = uris.unwrap_or_default().iter().map(Some).collect();
        uris.push(value.get("uri"));
        let labels = |label| value.get("labels").and_then(|labels| labels.get(label)).is_some();
        let equal = |(name, wanted): &(String, String)| {
            value.get(name).and_then(Value::as_str) == Some(wanted)
        };
        fits(&self.name, &[value.get("name")])
            && fits(&self.uri, &uris)
            && self.label.is_none_or(labels)
            && self.fields.iter().all(equal)
    }
}

/// A regular expression whose work is bounded, as in schemas; one that is none fits nothing.
struct Pattern(Option<Schema>);

impl Pattern {
    fn new(source: &str) -> Self {
        Self(Schema::compile(&serde_json::json!({"type": "string", "pattern": source})).ok())
    }

    fn fits(&self, text: &Value) -> bool {
        let Some(schema) = &self.0 else { return false };
        text.is_string() && schema.check(&mut text.clone(), &CheckOptions::default()).is_ok()
    }
}
