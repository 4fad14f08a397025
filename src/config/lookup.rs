//! Finding the consumer behind a credential without looking at all consumers for it.
//!
//! A lookup knows one field of one plugin's conf. It keeps the collection that it was made from,
//! and takes over into the next one what differs.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use super::{
    consumer::Consumer,
    item::{Collection, Item},
};

/// Places in the collection, in order. More than one if two consumers have the same credential.
type Places = Vec<u64>;

/// Value of a field -> the consumers and credentials that have it.
#[derive(Debug, Default)]
pub struct Lookup {
    plugin: Box<str>,
    field: Box<str>,
    from: Collection<Consumer>,
    by_text: HashMap<Box<str>, Places>,
    /// Those whose value is a reference to a secret: what it is must be asked.
    references: Places,
    /// How many have a conf of the plugin.
    with_plugin: usize,
    looked_at: u64,
}

impl Lookup {
    /// One that knows no consumer yet.
    #[must_use]
    pub fn new(plugin: &str, field: &str) -> Self {
        Self { plugin: plugin.into(), field: field.into(), ..Self::default() }
    }

    /// Makes this a lookup of `consumers`, from whatever collection it was of.
    pub fn follow(&mut self, consumers: &Collection<Consumer>) {
        let before = std::mem::replace(&mut self.from, consumers.clone());
        for change in consumers.changes_since(&before) {
            if let Some(item) = change.old {
                self.note(item, change.place, false);
            }
            if let Some(item) = change.new {
                self.note(item, change.place, true);
            }
        }
    }

    /// Ids of the objects whose field has this value, the one that was defined last first.
    pub fn ids(&self, value: &str) -> impl Iterator<Item = &Arc<str>> {
        let places = self.by_text.get(value).map_or(&[][..], Vec::as_slice);
        self.ids_at(places.iter().rev())
    }

    /// Ids of the objects whose field is a reference to a secret, in the order of definition.
    pub fn references(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ids_at(self.references.iter())
    }

    /// How many objects have a conf of the plugin.
    #[must_use]
    pub fn with_plugin(&self) -> usize {
        self.with_plugin
    }

    /// How many objects were looked at since this was made: the work it was to keep up.
    #[must_use]
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    fn ids_at<'a>(
        &'a self,
        places: impl Iterator<Item = &'a u64>,
    ) -> impl Iterator<Item = &'a Arc<str>> {
        places.filter_map(|place| self.from.at(*place).map(|item| &item.id))
    }

    fn note(&mut self, item: &Item<Consumer>, place: u64, is_there: bool) {
        self.looked_at += 1;
        let of = item.typed.plugins.iter().find(|conf| *conf.name == *self.plugin);
        let Some(conf) = of.map(|conf| conf.conf.value()) else { return };
        self.with_plugin =
            if is_there { self.with_plugin + 1 } else { self.with_plugin.saturating_sub(1) };
        let Some(text) = conf.get(&*self.field).and_then(text_of) else { return };
        if is_reference(&text) {
            put(&mut self.references, place, is_there);
        } else if is_there {
            put(self.by_text.entry(text).or_default(), place, true);
        } else if let Some(places) = self.by_text.get_mut(&text) {
            put(places, place, false);
            if places.is_empty() {
                self.by_text.remove(&text);
            }
        }
    }
}

fn put(places: &mut Places, place: u64, is_there: bool) {
    match (places.binary_search(&place), is_there) {
        (Err(at), true) => places.insert(at, place),
        (Ok(at), false) => {
            places.remove(at);
        }
        (Ok(_), true) | (Err(_), false) => {}
    }
}

/// A number is found by its text.
fn text_of(value: &Value) -> Option<Box<str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        _ => None,
    }
}

/// Whether a text names a secret or an environment variable instead of being the value.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    let environment = text.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("$ENV://"));
    environment || text.starts_with("$secret://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        packed::Packed,
        plugin::{Owner, PluginConf},
    };
    use serde_json::json;

    fn consumer(id: &str, plugins: Value) -> Arc<Item<Consumer>> {
        let value = json!({ "username": id, "plugins": &plugins });
        let key: Arc<str> = format!("/consumers/{id}").into();
        let owner = Owner { key: Arc::clone(&key), version: 1 };
        let conf = |(name, conf): (&String, &Value)| {
            PluginConf::keeping(name, 0, (conf, &Packed::of(conf)), &owner, &[])
        };
        let confs = plugins.as_object().into_iter().flatten().map(conf).collect();
        let typed = Consumer::read(id, &value, confs);
        Arc::new(Item {
            key,
            id: id.into(),
            created_index: 1,
            modified_index: 1,
            hash: 0,
            value: Packed::of(&value),
            typed,
        })
    }

    fn with_key(id: &str, key: &str) -> Arc<Item<Consumer>> {
        consumer(id, json!({ "key-auth": { "key": key } }))
    }

    fn found(lookup: &Lookup, value: &str) -> Vec<String> {
        lookup.ids(value).map(ToString::to_string).collect()
    }

    #[test]
    fn consumers_are_found_by_what_they_have_now() {
        let mut lookup = Lookup::new("key-auth", "key");
        let mut first = Collection::default();
        first.insert(with_key("ann", "a"));
        first.insert(consumer("bob", json!({ "basic-auth": { "username": "a" } })));
        first.insert(with_key("cid/credentials/1", "c"));
        lookup.follow(&first);
        assert_eq!(found(&lookup, "a"), ["ann"]);
        assert_eq!(found(&lookup, "c"), ["cid/credentials/1"]);
        assert_eq!((found(&lookup, "").len(), lookup.with_plugin()), (0, 2));

        let mut second = first.clone();
        second.insert(with_key("ann", "A"));
        second.insert(with_key("bob", "b"));
        second.remove("cid/credentials/1");
        lookup.follow(&second);
        assert!(found(&lookup, "a").is_empty() && found(&lookup, "c").is_empty());
        assert_eq!(
            (found(&lookup, "A"), found(&lookup, "b")),
            (vec!["ann".into()], vec!["bob".into()])
        );
        assert_eq!(lookup.with_plugin(), 2);

        // A request that began before the change still has the older objects.
        lookup.follow(&first);
        assert_eq!((found(&lookup, "a"), found(&lookup, "A").len()), (vec!["ann".into()], 0));
        assert_eq!((found(&lookup, "c").len(), lookup.with_plugin()), (1, 2));
    }

    #[test]
    fn of_two_with_one_value_the_last_comes_first() {
        let mut lookup = Lookup::new("key-auth", "key");
        let mut consumers = Collection::default();
        for id in ["one", "two", "three"] {
            consumers.insert(with_key(id, "same"));
        }
        lookup.follow(&consumers);
        assert_eq!(found(&lookup, "same"), ["three", "two", "one"]);
        consumers.remove("three");
        lookup.follow(&consumers);
        assert_eq!(found(&lookup, "same"), ["two", "one"]);
    }

    #[test]
    fn references_are_told_apart_and_are_no_values() {
        let mut lookup = Lookup::new("key-auth", "key");
        let mut consumers = Collection::default();
        for (id, key) in
            [("a", "$ENV://A"), ("b", "$env://b"), ("c", "$secret://v/1/k"), ("d", "$x")]
        {
            consumers.insert(with_key(id, key));
        }
        consumers.insert(consumer("n", json!({ "key-auth": { "key": 7 } })));
        consumers.insert(consumer("o", json!({ "key-auth": { "key": {} } })));
        consumers.insert(consumer("p", json!({ "key-auth": "text" })));
        lookup.follow(&consumers);
        let references: Vec<_> = lookup.references().map(ToString::to_string).collect();
        assert_eq!(references, ["a", "b", "c"]);
        assert!(found(&lookup, "$ENV://A").is_empty());
        assert_eq!((found(&lookup, "$x").len(), found(&lookup, "7").len()), (1, 1));
        consumers.remove("b");
        lookup.follow(&consumers);
        assert_eq!(lookup.references().count(), 2);
    }

    #[test]
    fn one_change_of_many_costs_a_few_looks() {
        let many: u32 = 20_000;
        let mut consumers = Collection::default();
        for number in 0..many {
            consumers.insert(with_key(&format!("u{number}"), &format!("k{number}")));
        }
        let mut lookup = Lookup::new("key-auth", "key");
        lookup.follow(&consumers);
        assert_eq!(lookup.looked_at(), u64::from(many));
        for number in [0, many / 2, many - 1] {
            let before = lookup.looked_at();
            consumers.insert(with_key(&format!("u{number}"), "changed"));
            lookup.follow(&consumers);
            assert_eq!(lookup.looked_at() - before, 2, "the old one and the new one");
        }
        let before = lookup.looked_at();
        consumers.insert(with_key("one more", "k"));
        consumers.remove("u7");
        lookup.follow(&consumers);
        lookup.follow(&consumers);
        assert_eq!(lookup.looked_at() - before, 2);
        assert_eq!(found(&lookup, "changed").len(), 3);
    }

    proptest::proptest! {
        #[test]
        fn following_is_the_same_as_starting_anew(
            ops in proptest::collection::vec((0u8..8, 0u8..6, 0u8..3), 1..60)
        ) {
            let mut consumers = Collection::default();
            let mut lookup = Lookup::new("key-auth", "key");
            for (id, key, op) in ops {
                let id = id.to_string();
                match (op, key) {
                    (0, _) => drop(consumers.remove(&id)),
                    (_, 0) => consumers.insert(with_key(&id, "$ENV://X")),
                    (_, 1) => consumers.insert(consumer(&id, json!({}))),
                    (_, key) => consumers.insert(with_key(&id, &key.to_string())),
                }
                if op < 2 {
                    lookup.follow(&consumers);
                }
            }
            lookup.follow(&consumers);
            let mut anew = Lookup::new("key-auth", "key");
            anew.follow(&consumers);
            for key in 0..6u8 {
                let key = key.to_string();
                proptest::prop_assert_eq!(found(&lookup, &key), found(&anew, &key));
            }
            proptest::prop_assert!(lookup.references().eq(anew.references()));
            proptest::prop_assert_eq!(lookup.with_plugin(), anew.with_plugin());
            proptest::prop_assert_eq!(lookup.by_text.len(), anew.by_text.len());
        }
    }
}
