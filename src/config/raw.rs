//! A document split into raw objects by kind, each with its id.

use serde_json::Value;

use super::{item::Fingerprint, item::fingerprint};

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
    pub value: Value,
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
    pub(super) fn split(
        root: Value,
        line: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Self, (Option<usize>, String)> {
        let Value::Object(root) = root else {
            return Err((None, "expected a mapping of sections such as `routes`".into()));
        };
        let mut document = Self::default();
        for (section, value) in root {
            if section == "plugins" {
                document.plugins = Some(enabled(value).map_err(|why| (line("plugins"), why))?);
                continue;
            }
            let Some(kind) = Kind::from_plural(&section) else {
                if !section.ends_with("_conf_version") {
                    document.warnings.push(format!("unknown section {section}, ignored"));
                }
                continue;
            };
            let list = match value {
                Value::Array(list) => list,
                Value::Null => Vec::new(),
                Value::Object(map) if map.is_empty() => Vec::new(),
                _ => return Err((line(&section), format!("{section} must be a list"))),
            };
            for (at, value) in list.into_iter().enumerate() {
                let line = line(&format!("{section}.{at}"));
                document.add(kind, at, value, line);
            }
        }
        Ok(document)
    }

    fn add(&mut self, kind: Kind, at: usize, mut value: Value, line: Option<usize>) {
        let Value::Object(map) = &mut value else {
            let id = format!("arr_{}", at + 1);
            self.broken.push((kind, id, "it should be an object".into(), line));
            return;
        };
        let mut index = |name: &str| map.shift_remove(name).and_then(|index| index.as_u64());
        let (modified_index, created_index) = (index("modifiedIndex"), index("createdIndex"));
        let id = match map.get("id").or_else(|| map.get("username")) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            None | Some(Value::Null) => format!("arr_{}", at + 1),
            Some(other) => {
                let reason = format!("the id must be text or a number, not {other}");
                self.broken.push((kind, format!("arr_{}", at + 1), reason, line));
                return;
            }
        };
        let hash = fingerprint(&value);
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
        assert_eq!(document.items(Kind::Routes)[0].value, json!({"id": 1}));
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
        assert_eq!((items[0].id.as_str(), &items[0].value["uri"]), ("1", &json!("/b")));
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
