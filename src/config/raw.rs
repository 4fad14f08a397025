//! A document split into raw objects by kind, each with its id.

use std::{ops::Range, sync::Arc};

use serde_json::Value;

use super::{
    item::{Fingerprint, fingerprint, text_fingerprint},
    yaml::{self, DocumentLimits, ParseError},
};

/// The kinds of configured objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are APISIX's")]
pub enum Kind {
    Routes,
    Services,
    Upstreams,
    Consumers,
    PluginConfigs,
    GlobalRules,
    PluginMetadata,
    ConsumerGroups,
    Protos,
    Ssls,
    StreamRoutes,
    Secrets,
}

impl Kind {
    /// All kinds; the position is [`Kind::index`].
    pub const ALL: [Kind; 12] = [
        Kind::Routes,
        Kind::Services,
        Kind::Upstreams,
        Kind::Consumers,
        Kind::PluginConfigs,
        Kind::GlobalRules,
        Kind::PluginMetadata,
        Kind::ConsumerGroups,
        Kind::Protos,
        Kind::Ssls,
        Kind::StreamRoutes,
        Kind::Secrets,
    ];

    /// The name in files, keys and URLs.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Routes => "routes",
            Kind::Services => "services",
            Kind::Upstreams => "upstreams",
            Kind::Consumers => "consumers",
            Kind::PluginConfigs => "plugin_configs",
            Kind::GlobalRules => "global_rules",
            Kind::PluginMetadata => "plugin_metadata",
            Kind::ConsumerGroups => "consumer_groups",
            Kind::Protos => "protos",
            Kind::Ssls => "ssls",
            Kind::StreamRoutes => "stream_routes",
            Kind::Secrets => "secrets",
        }
    }

    /// The name in schemas and sentences.
    #[must_use]
    pub fn singular(self) -> &'static str {
        match self {
            Kind::PluginMetadata => "plugin_metadata",
            other => other.plural().trim_end_matches('s'),
        }
    }

    /// The kind with this plural name.
    #[must_use]
    pub fn from_plural(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.plural() == name)
    }

    /// Position in [`Kind::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The value of an object before any check.
#[derive(Debug, Clone, PartialEq)]
pub enum RawValue {
    /// It was read.
    Read(Value),
    /// It was read once before; again only if somebody asks.
    Unread(Lines),
    /// There is something, but no object: why.
    Broken(String),
}

impl RawValue {
    /// The value.
    ///
    /// # Errors
    ///
    /// It is none. Of lines that were read once, none that was not found then.
    pub fn into_value(self) -> Result<Value, String> {
        let lines = match self {
            Self::Read(value) => return Ok(value),
            Self::Broken(why) => return Err(why),
            Self::Unread(lines) => lines,
        };
        let (mut value, _) = lines.read().map_err(|error| error.to_string())?;
        Facts::take(&mut value).map(|_| value)
    }
}

/// The lines of a YAML text that are one entry of a list and depend on no others.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    pub(super) text: Arc<str>,
    /// The lines' bytes.
    pub(super) range: Range<usize>,
    /// Of the whole text.
    pub(super) limits: DocumentLimits,
}

impl Lines {
    /// Reads the entry; also tells how many lines below the first its value begins.
    ///
    /// # Errors
    ///
    /// The lines are not one entry, or depend on others.
    pub(super) fn read(&self) -> Result<(Value, usize), ParseError> {
        let text = self.text.get(self.range.clone()).unwrap_or_default();
        // In the whole text it is below the mapping of sections.
        let levels_max = self.limits.levels_max.saturating_sub(1);
        let document = yaml::parse(text, &DocumentLimits { levels_max, ..self.limits }, 1)?;
        match document.value {
            Value::Array(mut list) if list.len() == 1 && !document.has_anchors => {
                Ok((list.remove(0), document.lines.get("0").map_or(0, |line| line - 1)))
            }
            _ => Err(ParseError::new(None, "not an entry that stands for itself")),
        }
    }
}

/// What is kept of an object's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// As written; an object without one is named by its place.
    id: Option<Box<str>>,
    modified_index: Option<u64>,
    created_index: Option<u64>,
    hash: Fingerprint,
}

impl Facts {
    /// The facts of an object, whose indexes are taken out.
    ///
    /// # Errors
    ///
    /// It is no object, or has an id that cannot be one.
    fn take(value: &mut Value) -> Result<Self, String> {
        let Value::Object(map) = value else { return Err("it should be an object".into()) };
        let mut index = |name: &str| map.shift_remove(name).and_then(|index| index.as_u64());
        let (modified_index, created_index) = (index("modifiedIndex"), index("createdIndex"));
        let id = written_id(map)?;
        Ok(Self { id, modified_index, created_index, hash: fingerprint(value) })
    }

    /// The facts of an item that was made of an object.
    pub(super) fn of(item: &RawItem) -> Self {
        let id = match &item.value {
            RawValue::Read(Value::Object(map)) => written_id(map).ok().flatten(),
            _ => Some(item.id.as_str().into()),
        };
        let RawItem { modified_index, created_index, hash, .. } = *item;
        Self { id, modified_index, created_index, hash }
    }
}

fn written_id(map: &serde_json::Map<String, Value>) -> Result<Option<Box<str>>, String> {
    match map.get("id").or_else(|| map.get("username")) {
        Some(Value::String(id)) => Ok(Some(id.as_str().into())),
        Some(Value::Number(id)) => Ok(Some(id.to_string().into())),
        None | Some(Value::Null) => Ok(None),
        Some(other) => Err(format!("the id must be text or a number, not {other}")),
    }
}

/// One object before any check.
#[derive(Debug, Clone, PartialEq)]
pub struct RawItem {
    /// Its id, or its username, or `arr_<n>` counted from 1.
    pub id: String,
    /// Line where it begins, where known.
    pub line: Option<usize>,
    /// Revision that the source gives it, if it gives one.
    pub modified_index: Option<u64>,
    /// Revision of its creation, likewise.
    pub created_index: Option<u64>,
    /// Of `value`.
    pub hash: Fingerprint,
    /// The object without the two indexes.
    pub value: RawValue,
}

impl RawItem {
    /// The object `id` with this value, which a source gave these revisions of its creation and
    /// of its last change. What is no object is refused when it is checked, as an object is that
    /// is wrong.
    #[must_use]
    pub fn new(id: &str, value: Result<Value, String>, indexes: Option<(u64, u64)>) -> Self {
        let (hash, value) = match value.and_then(|mut value| {
            let facts = Facts::take(&mut value)?;
            Ok((facts.hash, RawValue::Read(value)))
        }) {
            Ok(read) => read,
            Err(why) => (text_fingerprint(&why), RawValue::Broken(why)),
        };
        let (created_index, modified_index) = indexes.unzip();
        Self { id: id.to_owned(), line: None, modified_index, created_index, hash, value }
    }
}

/// A plugin named by the document's `plugins` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnabledPlugin {
    /// Its name.
    pub name: String,
    /// Whether it is a layer-4 plugin.
    pub stream: bool,
}

/// All raw objects of one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawDocument {
    items: [Vec<RawItem>; Kind::ALL.len()],
    /// The list of enabled plugins, if the document has one.
    pub plugins: Option<Vec<EnabledPlugin>>,
    /// Things to tell that refuse nothing, such as unknown sections.
    pub warnings: Vec<String>,
    /// Entries that are not objects or have no usable id: kind, id, reason, line.
    pub broken: Vec<(Kind, String, String, Option<usize>)>,
}

impl RawDocument {
    /// The objects of one kind.
    #[must_use]
    pub fn items(&self, kind: Kind) -> &[RawItem] {
        &self.items[kind.index()]
    }

    /// Adds an object.
    pub fn push(&mut self, kind: Kind, item: RawItem) {
        self.items[kind.index()].push(item);
    }

    /// Takes the objects of one kind out.
    pub(super) fn take(&mut self, kind: Kind) -> Vec<RawItem> {
        std::mem::take(&mut self.items[kind.index()])
    }

    /// Splits the root mapping of a document. `line` knows the line of `routes.0`.
    ///
    /// # Errors
    ///
    /// A section of the wrong shape: such a document is refused as a whole, since objects
    /// that cannot be read are not the same as objects that were taken out.
    pub fn split(
        root: Value,
        line: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Self, (Option<usize>, String)> {
        let Value::Object(root) = root else {
            return Err((None, "expected a mapping of sections such as `routes`".into()));
        };
        let mut document = Self::default();
        for (section, value) in root {
            document.section(&section, value, line)?;
        }
        Ok(document)
    }

    /// Adds a section of the document; the parameters and errors of [`Self::split`].
    pub(super) fn section(
        &mut self,
        section: &str,
        value: Value,
        line: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<(), (Option<usize>, String)> {
        if section == "plugins" {
            self.plugins = Some(enabled(value).map_err(|why| (line("plugins"), why))?);
            return Ok(());
        }
        let Some(kind) = Kind::from_plural(section) else {
            if !section.ends_with("_conf_version") {
                self.warnings.push(format!("unknown section {section}, ignored"));
            }
            return Ok(());
        };
        let list = match value {
            Value::Array(list) => list,
            Value::Null => Vec::new(),
            Value::Object(map) if map.is_empty() => Vec::new(),
            _ => return Err((line(section), format!("{section} must be a list"))),
        };
        for (at, value) in list.into_iter().enumerate() {
            let line = line(&format!("{section}.{at}"));
            self.add(kind, at, value, line);
        }
        Ok(())
    }

    /// Adds the entry of a list; its facts if it is an object with a usable id.
    pub(super) fn add(
        &mut self,
        kind: Kind,
        at: usize,
        mut value: Value,
        line: Option<usize>,
    ) -> Option<Facts> {
        match Facts::take(&mut value) {
            Ok(facts) => {
                self.add_known(kind, (at, line), &facts, RawValue::Read(value));
                Some(facts)
            }
            Err(reason) => {
                self.broken.push((kind, nameless(at), reason, line));
                None
            }
        }
    }

    /// Adds an entry by its facts, with its place in the list and its line.
    pub(super) fn add_known(
        &mut self,
        kind: Kind,
        (at, line): (usize, Option<usize>),
        facts: &Facts,
        value: RawValue,
    ) {
        let id = facts.id.as_deref().map_or_else(|| nameless(at), str::to_owned);
        let Facts { modified_index, created_index, hash, .. } = *facts;
        let item = RawItem { id, line, modified_index, created_index, hash, value };
        self.items[kind.index()].push(item);
    }

    /// The later of two objects with one id stands, in the place of the earlier, as APISIX
    /// has it. Tells of each.
    pub(super) fn without_duplicates(&mut self, kind: Kind) -> Vec<RawItem> {
        let items = self.take(kind);
        let mut places = std::collections::HashMap::with_capacity(items.len());
        let mut kept: Vec<RawItem> = Vec::with_capacity(items.len());
        for item in items {
            match places.get(&item.id) {
                None => {
                    places.insert(item.id.clone(), kept.len());
                    kept.push(item);
                }
                Some(place) => {
                    let place: &usize = place;
                    self.warnings.push(format!(
                        "{}/{} is defined more than once, the last definition counts",
                        kind.plural(),
                        item.id
                    ));
                    kept[*place] = item;
                }
            }
        }
        kept
    }
}

/// The id of an object that has none, by its place in its list.
fn nameless(at: usize) -> String {
    format!("arr_{}", at + 1)
}

fn enabled(value: Value) -> Result<Vec<EnabledPlugin>, String> {
    let wrong = || "plugins must be a list of mappings with a `name`".to_owned();
    let Value::Array(list) = value else { return Err(wrong()) };
    list.into_iter()
        .map(|entry| {
            let name = entry.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let stream = entry.get("stream").and_then(Value::as_bool).unwrap_or(false);
            name.map(|name| EnabledPlugin { name: name.to_owned(), stream }).ok_or_else(wrong)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn split(root: Value) -> RawDocument {
        RawDocument::split(root, &|_| Some(7)).unwrap()
    }

    #[test]
    fn ids_come_from_id_username_or_position() {
        let document = split(json!({
            "routes": [{"id": 1, "modifiedIndex": 9}, {"id": "b"}, {"uri": "/"}, 5, {"id": []}],
            "consumers": [{"username": "jack"}], "services": null, "other": 1
        }));
        let ids: Vec<_> = document.items(Kind::Routes).iter().map(|i| i.id.as_str()).collect();
        assert_eq!(ids, ["1", "b", "arr_3"]);
        assert_eq!(document.items(Kind::Routes)[0].modified_index, Some(9));
        assert_eq!(document.items(Kind::Routes)[0].value, RawValue::Read(json!({"id": 1})));
        assert_eq!(document.items(Kind::Consumers)[0].id, "jack");
        assert_eq!(document.broken.len(), 2);
        assert_eq!(document.warnings, ["unknown section other, ignored"]);
    }

    #[test]
    fn sections_of_the_wrong_shape_refuse_the_document() {
        assert!(RawDocument::split(json!([]), &|_| None).is_err());
        assert!(RawDocument::split(json!({"routes": {"id": 1}}), &|_| None).is_err());
        assert!(RawDocument::split(json!({"plugins": [{"x": 1}]}), &|_| None).is_err());
        let document = split(json!({"plugins": [{"name": "a"}, {"name": "b", "stream": true}]}));
        assert_eq!(document.plugins.unwrap()[1], EnabledPlugin { name: "b".into(), stream: true });
    }

    #[test]
    fn the_last_of_two_definitions_counts() {
        let mut document = split(json!({"routes": [
            {"id": 1, "uri": "/a"}, {"id": 2}, {"id": "1", "uri": "/b"}
        ]}));
        let items = document.without_duplicates(Kind::Routes);
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].id, "1");
        assert_eq!(items[0].value, RawValue::Read(json!({"id": "1", "uri": "/b"})));
        assert_eq!(document.warnings.len(), 1);
    }

    #[test]
    fn names_of_kinds_fit() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_plural(kind.plural()), Some(kind));
            assert_eq!(Kind::ALL[kind.index()], kind);
        }
        assert_eq!(Kind::GlobalRules.singular(), "global_rule");
        assert_eq!(Kind::Routes.singular(), "route");
    }
}
