//! All objects of a store as they are to be, and the check of many of them at once: what an import
//! and a roll-back write is judged like single writes, with references into this state.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    Admin, Call,
    check::{Fault, Review, id_text},
    sealing,
    table::{self, Naming, Resource},
    unique,
};
use crate::store::{Answer, Entry, Listing, Store, StoreError, UNREADABLE, Write, Written};

/// What a key is of.
#[derive(Debug, PartialEq)]
pub(super) struct Place<'k> {
    pub(super) resource: &'static Resource,
    /// The object that its collection is part of.
    pub(super) parent: Option<&'k str>,
    pub(super) manager: Option<&'k str>,
    pub(super) id: &'k str,
}

impl<'k> Place<'k> {
    /// The object of a key such as `routes/1`; nothing if it is no object's.
    pub(super) fn of(key: &'k str) -> Option<Self> {
        let parts: Vec<&str> = key.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let (resource, parent, manager, id) = match parts[..] {
            [name, id] => (table::resource(name)?, None, None, id),
            [name, manager, id] => (table::resource(name)?, None, Some(manager), id),
            [owner, parent, child, id] if table::resource(owner)?.child == Some(child) => {
                (table::resource(child)?, Some(parent), None, id)
            }
            _ => return None,
        };
        let fits = resource.parent.is_some() == parent.is_some()
            && (resource.naming == Naming::Manager) == manager.is_some();
        fits.then_some(Self { resource, parent, manager, id })
    }
}

/// Something wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) key: String,
    pub(super) error: String,
}

/// Objects by their keys.
pub(super) struct State(BTreeMap<Arc<str>, Entry>);

impl State {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self(entries.into_iter().map(|entry| (Arc::clone(&entry.key), entry)).collect())
    }

    /// Gives a key another value, or takes it away.
    pub(super) fn set(&mut self, key: &Arc<str>, value: Option<Arc<str>>) {
        match value {
            Some(value) => {
                let entry = Entry { key: Arc::clone(key), value, created: 0, modified: 0 };
                self.0.insert(Arc::clone(key), entry);
            }
            None => drop(self.0.remove(key)),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.0.values().cloned().collect()
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }
}

impl Store for State {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { Ok(self.0.get(key).cloned()) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let found = self.0.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
        let entries = found.map(|(_, entry)| entry.clone()).collect();
        Box::pin(async move { Ok(Listing { entries, revision: 0 }) })
    }

    fn write(&self, _: Write) -> Answer<'_, Written> {
        Box::pin(async { Err(StoreError::Unavailable("nothing is written here".to_owned())) })
    }

    fn new_id(&self) -> Answer<'_, u64> {
        Box::pin(async { Err(StoreError::Unavailable("nothing is written here".to_owned())) })
    }
}

impl Admin {
    /// Checks the objects of `keys` as they are in `state`; tells each that is wrong.
    pub(super) async fn check_keys(
        &self,
        call: &Call<'_>,
        state: &State,
        keys: &[String],
    ) -> Result<Vec<Problem>, Fault> {
        let mut problems = Vec::new();
        let mut confs = Vec::new();
        for key in keys {
            let Some(entry) = state.entry(key) else { continue };
            match self.check_entry(call, state, entry).await {
                Ok(conf) => confs.push((key.as_str(), conf)),
                Err(Fault::Bad(error)) => problems.push(Problem { key: key.clone(), error }),
                Err(other) => return Err(other),
            }
        }
        problems.extend(self.clashes(call, state, &confs));
        Ok(problems)
    }

    /// Checks one object; what is returned of it is decrypted.
    async fn check_entry(
        &self,
        call: &Call<'_>,
        state: &State,
        entry: &Entry,
    ) -> Result<Value, Fault> {
        let bad = |text: &str| Err(Fault::Bad(text.to_owned()));
        if let Some(why) = entry.value.strip_prefix(UNREADABLE) {
            return bad(why);
        }
        let value = serde_json::from_str(&entry.value);
        let mut value: Value =
            value.map_err(|error| Fault::Bad(format!("it is no JSON: {error}")))?;
        if &*entry.key == "plugins" {
            let named = |item: &Value| item.get("name").is_some_and(Value::is_string);
            let fits = value.as_array().is_some_and(|list| list.iter().all(named));
            return if fits { Ok(value) } else { bad("it is no list of plugins with names") };
        }
        let Some(place) = Place::of(&entry.key) else { return bad("it is no object's key") };
        identify(&place, &mut value).map_err(Fault::Bad)?;
        sealing::open_stored(call.facts, &self.settings.keyring, &entry.key, &mut value);
        if let (Some(of), Some(parent)) = (place.resource.parent, place.parent)
            && state.entry(&format!("{of}/{parent}")).is_none()
        {
            return bad(&format!("{of}/{parent} does not exist"));
        }
        let mut review = Review {
            admin: self,
            store: state,
            facts: call.facts,
            resource: place.resource,
            id: Some(place.id),
            parent: place.parent,
            manager: place.manager,
            follow: true,
            // All at once: see `clashes`.
            unique: false,
            needs: Vec::new(),
        };
        review.check(&mut value.clone()).await?;
        Ok(value)
    }

    /// Objects that have a key, or decorate a field, that another one has: the one that was to be
    /// written is told.
    fn clashes(&self, call: &Call<'_>, state: &State, confs: &[(&str, Value)]) -> Vec<Problem> {
        let written: HashMap<&str, &Value> = confs.iter().map(|(key, conf)| (*key, conf)).collect();
        let mut taken: HashMap<(String, String), &str> = HashMap::new();
        let mut problems = Vec::new();
        // Those that stay come first: it is not they who are wrong.
        let of_interest = |key: &&Arc<str>| {
            key.starts_with("consumers/") || key.contains("/graphql_cost_decorations/")
        };
        let (new, old): (Vec<&Arc<str>>, Vec<_>) =
            state.0.keys().filter(of_interest).partition(|key| written.contains_key(&***key));
        for key in old.into_iter().chain(new) {
            let own;
            let conf = match (written.get(&**key), state.entry(key)) {
                (Some(conf), _) => *conf,
                (None, Some(entry)) => {
                    let mut value = serde_json::from_str(&entry.value).unwrap_or_default();
                    sealing::open_stored(call.facts, &self.settings.keyring, key, &mut value);
                    own = value;
                    &own
                }
                (None, None) => continue,
            };
            for claim in claims(key, conf) {
                let (what, value) = claim;
                match taken.get(&(what.clone(), value.clone())) {
                    Some(other) if !same_consumer(key, other) => {
                        if written.contains_key(&**key) {
                            let error = format!("duplicate {what} found with {other}");
                            problems.push(Problem { key: key.to_string(), error });
                        }
                    }
                    Some(_) => {}
                    None => drop(taken.insert((what, value), key)),
                }
            }
        }
        problems
    }
}

/// What only one object may have: what it is called, and its value.
fn claims(key: &str, conf: &Value) -> Vec<(String, String)> {
    if let Some((service, _)) = key.split_once("/graphql_cost_decorations/") {
        let field = conf.get("field_path").and_then(Value::as_str);
        let claim = |field: &str| ("field_path".to_owned(), format!("{service} {field}"));
        return field.map(claim).into_iter().collect();
    }
    let claim = |(plugin, field, value): (&str, &str, String)| {
        (format!("{field} of plugin {plugin}"), value)
    };
    unique::keys(conf).map(claim).collect()
}

/// A consumer and one of its credentials may have the same key.
fn same_consumer(one: &str, other: &str) -> bool {
    let part_of = |one: &str, other: &str| {
        one.strip_prefix(other).is_some_and(|rest| rest.starts_with("/credentials/"))
    };
    one == other || part_of(one, other) || part_of(other, one)
}

/// Brings the id of the key and that of the object together, as a write by the Admin API does.
fn identify(place: &Place<'_>, value: &mut Value) -> Result<(), String> {
    let Value::Object(map) = value else { return Err("it is no object".to_owned()) };
    match place.resource.naming {
        Naming::Plugin => {
            map.shift_remove("id");
        }
        Naming::Username => {
            if map.get("username").and_then(Value::as_str) != Some(place.id) {
                return Err("its username is not that of its key".to_owned());
            }
        }
        Naming::Id | Naming::Manager => {
            let full = place.manager.map(|manager| format!("{manager}/{}", place.id));
            match map.get("id").filter(|id| !id.is_null()).map(id_text) {
                None => {
                    drop(map.insert("id".to_owned(), full.as_deref().unwrap_or(place.id).into()))
                }
                Some(Some(said)) if said == place.id || Some(&said) == full.as_ref() => {}
                Some(_) => return Err("its id is not that of its key".to_owned()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_places_or_nothing() {
        let of = |key| Place::of(key).map(|p| (p.resource.name, p.parent, p.manager, p.id));
        assert_eq!(of("routes/1"), Some(("routes", None, None, "1")));
        assert_eq!(of("secrets/vault/1"), Some(("secrets", None, Some("vault"), "1")));
        let credential = Some(("credentials", Some("jack"), None, "k"));
        assert_eq!(of("consumers/jack/credentials/k"), credential);
        let cost = Some(("graphql_cost_decorations", Some("1"), None, "2"));
        assert_eq!(of("services/1/graphql_cost_decorations/2"), cost);
        for key in [
            "routes",
            "routes/",
            "routes/1/2",
            "secrets/1",
            "credentials/1",
            "a/b",
            "plugins",
            "routes/1/credentials/2",
            "consumers/a/graphql_cost_decorations/1",
            "//",
            "",
        ] {
            assert_eq!(of(key), None, "{key}");
        }
    }

    #[test]
    fn a_consumer_may_share_keys_with_its_own_credentials() {
        assert!(same_consumer("consumers/a", "consumers/a/credentials/1"));
        assert!(!same_consumer("consumers/ab", "consumers/a"));
        assert!(!same_consumer("consumers/a/credentials/2", "consumers/a/credentials/1"));
    }
}
