//! Whole configurations in two shapes: one document with a section for each kind, as
//! `conf/apisix.yaml` and `.json` are, and one text for each key, as a store has them.
//!
//! What a document cannot hold: revisions, times after which keys go by themselves, texts that are
//! no JSON, keys that are no object's, `${{…}}` that is to stay (whoever reads a file replaces it),
//! and the spelling of a text (blanks, escapes). `graphql_cost_decorations` have a section of
//! moongate's own there, which gateways pass over.

use serde_json::{Map, Value};

use super::{
    env::Env, local::Format, raw::Kind, source::file, yaml::DocumentLimits, yaml::ParseError,
};

/// The section of what costs the fields of a service's GraphQL have.
const DECORATIONS: &str = "graphql_cost_decorations";

/// The key, and section, of the list of enabled plugins.
const PLUGINS: &str = "plugins";

/// An object with its key below the prefix: `routes/1`.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The key.
    pub key: String,
    /// What is stored there.
    pub value: Value,
}

/// Something that has no place in the other shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Its key, or its place in the document.
    pub at: String,
    /// Why.
    pub why: String,
}

/// Reads the text of a document, variables replaced as a gateway does it.
///
/// # Errors
///
/// It is not whole (no `#END`), no YAML or JSON, or a variable is missing.
pub fn read(text: &str, format: Format, env: Env<'_>) -> Result<Value, ParseError> {
    file::root(text, format, &DocumentLimits::default(), env)
}

/// The objects of a document, in its order. Objects without an id are called by their place, as
/// they are where the document is served.
///
/// # Errors
///
/// It is no mapping of lists.
pub fn objects(root: Value) -> Result<(Vec<Object>, Vec<Misfit>), String> {
    let root = match root {
        Value::Object(root) => root,
        Value::Null => Map::new(),
        _ => return Err("expected a mapping of sections such as `routes`".to_owned()),
    };
    let (mut objects, mut misfits) = (Vec::new(), Vec::new());
    for (section, value) in root {
        if section.ends_with("_conf_version") {
            continue;
        }
        if section == PLUGINS {
            objects.push(Object { key: section, value });
            continue;
        }
        if section != DECORATIONS && Kind::from_plural(&section).is_none() {
            misfits.push(Misfit { at: section, why: "unknown section".to_owned() });
            continue;
        }
        let list = match value {
            Value::Array(list) => list,
            Value::Null => Vec::new(),
            Value::Object(map) if map.is_empty() => Vec::new(),
            _ => return Err(format!("{section} must be a list")),
        };
        for (at, value) in list.into_iter().enumerate() {
            match object(&section, at, value) {
                Ok(object) => objects.push(object),
                Err(why) => misfits.push(Misfit { at: format!("{section}[{at}]"), why }),
            }
        }
    }
    Ok((objects, misfits))
}

fn object(section: &str, at: usize, value: Value) -> Result<Object, String> {
    let Value::Object(mut map) = value else { return Err("it should be an object".to_owned()) };
    for name in ["modifiedIndex", "createdIndex"] {
        map.shift_remove(name);
    }
    let id = match map.get("id") {
        None | Some(Value::Null) => None,
        Some(id) => Some(id_text(id).ok_or("its id is neither text nor number")?),
    };
    let key = match (section, id) {
        ("consumers", Some(id)) if id.contains("/credentials/") => {
            below(section, "credentials", &id, &mut map)?
        }
        ("consumers", _) => {
            let name = map.get("username").and_then(Value::as_str).ok_or("it has no username")?;
            format!("{section}/{name}")
        }
        (DECORATIONS, Some(id)) => below("services", DECORATIONS, &id, &mut map)?,
        ("secrets", Some(id)) if id.matches('/').count() != 1 => {
            return Err(format!("its id {id} is not MANAGER/ID"));
        }
        ("secrets", Some(id)) => format!("{section}/{id}"),
        (_, Some(id)) if id.is_empty() || id.contains('/') => {
            return Err(format!("its id {id} cannot be one"));
        }
        (_, Some(id)) => format!("{section}/{id}"),
        ("secrets" | "plugin_metadata" | DECORATIONS, None) => {
            return Err("it has no id".to_owned());
        }
        (_, None) => {
            let id = format!("arr_{}", at + 1);
            map.insert("id".to_owned(), id.as_str().into());
            format!("{section}/{id}")
        }
    };
    Ok(Object { key, value: Value::Object(map) })
}

/// The key of an object below another one, whose id names both.
fn below(of: &str, child: &str, id: &str, map: &mut Map<String, Value>) -> Result<String, String> {
    match id.split('/').collect::<Vec<_>>()[..] {
        [parent, name, own] if name == child && !parent.is_empty() && !own.is_empty() => {
            map.insert("id".to_owned(), own.into());
            Ok(format!("{of}/{id}"))
        }
        _ => Err(format!("its id {id} is not PARENT/{child}/ID")),
    }
}

/// The document that holds these objects, with the kinds in the order of [`Kind::ALL`], and what
/// does not fit.
#[must_use]
pub fn document(objects: impl IntoIterator<Item = Object>) -> (Map<String, Value>, Vec<Misfit>) {
    let mut sections: Vec<(&str, Vec<Value>)> =
        Kind::ALL.iter().map(|kind| (kind.plural(), Vec::new())).collect();
    sections.push((DECORATIONS, Vec::new()));
    let mut plugins = None;
    let mut misfits = Vec::new();
    for Object { key, value } in objects {
        if has_variable(&value) {
            let why = "it has ${{…}}, which whoever reads a file replaces".to_owned();
            misfits.push(Misfit { at: key, why });
            continue;
        }
        if key == PLUGINS {
            plugins = Some(value);
            continue;
        }
        match item(&key, value) {
            Ok((section, value)) => {
                let place = sections.iter_mut().find(|(name, _)| *name == section);
                place.into_iter().for_each(|(_, list)| list.push(value.clone()));
            }
            Err(why) => misfits.push(Misfit { at: key, why }),
        }
    }
    let lists = sections.into_iter().filter(|(_, list)| !list.is_empty());
    let lists = lists.map(|(name, list)| (name.to_owned(), Value::Array(list)));
    let mut root: Map<String, Value> =
        plugins.map(|list| (PLUGINS.to_owned(), list)).into_iter().collect();
    root.extend(lists);
    (root, misfits)
}

/// The section of a key, and the object as it stands there.
fn item(key: &str, value: Value) -> Result<(&str, Value), String> {
    let Value::Object(mut map) = value else { return Err("it is no object".to_owned()) };
    let (section, id) = key.split_once('/').ok_or("it is no object's key")?;
    let parts: Vec<&str> = id.split('/').collect();
    let (section, id, own) = match (section, &parts[..]) {
        ("consumers", [_, "credentials", own]) => (section, id, *own),
        ("services", [_, DECORATIONS, own]) => (DECORATIONS, id, *own),
        ("secrets", [_, own]) => (section, id, *own),
        ("consumers", [name]) if map.get("username").and_then(Value::as_str) == Some(name) => {
            return Ok((section, Value::Object(map)));
        }
        ("consumers", [_]) => return Err("its username is not that of its key".to_owned()),
        ("secrets", _) => return Err("it is no object's key".to_owned()),
        (_, [own]) if Kind::from_plural(section).is_some() => (section, *own, *own),
        _ => return Err("it is no object's key".to_owned()),
    };
    match map.get("id").filter(|id| !id.is_null()) {
        None => {
            // In front, where people look for it.
            map.shift_insert(0, "id".to_owned(), id.into());
        }
        Some(said) => match id_text(said) {
            Some(said) if said == id => {}
            Some(said) if said == own => drop(map.insert("id".to_owned(), id.into())),
            _ => return Err("its id is not that of its key".to_owned()),
        },
    }
    Ok((section, Value::Object(map)))
}

fn has_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${{"),
        Value::Array(list) => list.iter().any(has_variable),
        Value::Object(map) => {
            map.iter().any(|(key, value)| key.contains("${{") || has_variable(value))
        }
        _ => false,
    }
}

fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::emit;

    fn stored() -> Vec<Object> {
        let object = |key: &str, value| Object { key: key.to_owned(), value };
        vec![
            object("plugins", json!([{"name": "echo"}])),
            object(
                "routes/1",
                json!({"id": 1, "uri": "/a", "desc": "unknown \"fields\"", "x_y": {"z": [1.5]}}),
            ),
            object("services/s", json!({"id": "s"})),
            object("consumers/jack", json!({"username": "jack", "create_time": 1})),
            object("consumers/jack/credentials/k", json!({"id": "k", "plugins": {}})),
            object("plugin_metadata/http-logger", json!({"id": "http-logger", "log_format": {}})),
            object("secrets/vault/1", json!({"id": "vault/1", "uri": "http://v"})),
            object("services/s/graphql_cost_decorations/9", json!({"id": "9", "service_id": "s"})),
        ]
    }

    #[test]
    fn objects_come_back_from_yaml_and_json() {
        let (root, misfits) = document(stored());
        assert_eq!(misfits, []);
        assert_eq!(root["consumers"][1]["id"], "jack/credentials/k");
        let yaml = format!("{}#END\n", emit::yaml(&root));
        let json = Value::Object(root).to_string();
        for (text, format) in [(yaml, Format::Yaml), (json, Format::Json)] {
            let (objects, misfits) = objects(read(&text, format, &|_| None).unwrap()).unwrap();
            assert_eq!(misfits, []);
            let mut objects = objects;
            let mut stored = stored();
            objects.sort_by(|a, b| a.key.cmp(&b.key));
            stored.sort_by(|a, b| a.key.cmp(&b.key));
            assert_eq!(objects, stored);
        }
    }

    #[test]
    fn what_a_document_cannot_hold_is_named() {
        for (key, value, why) in [
            ("routes/1", json!({"uri": "/${{HOME}}"}), "${{…}}"),
            ("routes/1", json!({"plugins": {"a${{b": 1}}), "${{…}}"),
            ("routes/1", json!({"id": "2"}), "not that of its key"),
            ("routes/1", json!([]), "no object"),
            ("routes/1/2", json!({}), "no object's key"),
            ("other/1", json!({}), "no object's key"),
            ("secrets/1", json!({}), "no object's key"),
            ("consumers/a", json!({"username": "b"}), "not that of its key"),
            ("alone", json!({}), "no object's key"),
        ] {
            let (root, misfits) = document([Object { key: key.to_owned(), value }]);
            assert!(root.is_empty());
            assert_eq!(misfits[0].at, key);
            assert!(misfits[0].why.contains(why), "{misfits:?}");
        }
    }

    #[test]
    fn what_a_store_cannot_hold_is_named() {
        let root = json!({"routes": [{"uri": "/"}, 5, {"id": []}, {"id": "a/b"}], "what": [],
            "routes_conf_version": 1, "consumers": [{"id": "a/credentials/"}, {}],
            "secrets": [{"id": "vault"}, {}], "upstreams": null});
        let (objects, misfits) = objects(root).unwrap();
        assert_eq!(
            objects,
            [Object { key: "routes/arr_1".to_owned(), value: json!({"uri": "/", "id": "arr_1"}) }]
        );
        let places: Vec<_> = misfits.iter().map(|misfit| &*misfit.at).collect();
        assert_eq!(
            places,
            [
                "routes[1]",
                "routes[2]",
                "routes[3]",
                "what",
                "consumers[0]",
                "consumers[1]",
                "secrets[0]",
                "secrets[1]"
            ]
        );
        assert!(
            super::objects(json!([])).is_err() && super::objects(json!({"routes": 1})).is_err()
        );
        assert!(read("routes: []\n", Format::Yaml, &|_| None).is_err(), "no end");
    }
}
