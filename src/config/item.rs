//! One configured object, and a collection of them that shares structure across versions.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use imbl::{OrdMap, ordmap::DiffItem};
use serde_json::Value;

use super::packed::Packed;

/// A fingerprint of a value's text: equal for equal values whatever the order of keys.
pub type Fingerprint = u128;

/// One object as checked.
#[derive(Debug)]
pub struct Item<T> {
    /// `/apisix/routes/1`.
    pub key: Arc<str>,
    /// Id as text, also when it was configured as a number.
    pub id: Arc<str>,
    /// Revision that brought the object.
    pub created_index: u64,
    /// Revision that changed it last; stays while its text stays.
    pub modified_index: u64,
    /// Of the text as configured, before defaults.
    pub hash: Fingerprint,
    /// The object as checked, with defaults.
    pub value: Packed,
    /// The parts that the core works with.
    pub typed: T,
}

/// Objects are checked once and then handed on: two that were checked apart are not the same.
impl<T> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// One place where two collections differ.
#[derive(Debug)]
pub struct Change<'a, T> {
    /// Places are in the order of definition.
    pub place: u64,
    /// What was there before.
    pub old: Option<&'a Arc<Item<T>>>,
    /// What is there now.
    pub new: Option<&'a Arc<Item<T>>>,
}

/// Objects of one kind in the order of their definition. A clone is cheap, and a changed
/// clone shares with the original what did not change.
#[derive(Debug)]
pub struct Collection<T> {
    /// Raised by every change.
    pub version: u64,
    items: OrdMap<u64, Arc<Item<T>>>,
    /// A tree takes a quarter of the memory of a hash map that shares structure.
    positions: OrdMap<Arc<str>, u64>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Self { version: self.version, items: self.items.clone(), positions: self.positions.clone() }
    }
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        Self { version: 0, items: OrdMap::new(), positions: OrdMap::new() }
    }
}

impl<T> Collection<T> {
    /// The object with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Item<T>>> {
        self.items.get(self.positions.get(id)?)
    }

    /// The object at a place that [`Self::changes_since`] told.
    #[must_use]
    pub fn at(&self, place: u64) -> Option<&Arc<Item<T>>> {
        self.items.get(&place)
    }

    /// What is different from `older`. What both share is passed over: after one change of many
    /// thousand objects this looks at a few.
    pub fn changes_since<'a>(&'a self, older: &'a Self) -> impl Iterator<Item = Change<'a, T>> {
        older.items.diff(&self.items).map(|difference| match difference {
            DiffItem::Add(place, new) => Change { place: *place, old: None, new: Some(new) },
            DiffItem::Update { old: (place, old), new: (_, new) } => {
                Change { place: *place, old: Some(old), new: Some(new) }
            }
            DiffItem::Remove(place, old) => Change { place: *place, old: Some(old), new: None },
        })
    }

    /// All objects, in the order of their definition.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Item<T>>> {
        self.items.values()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an object at the end, or replaces the one with its id in place.
    pub fn insert(&mut self, item: Arc<Item<T>>) {
        let position = match self.positions.get(&item.id) {
            Some(position) => *position,
            None => {
                let position = self.items.get_max().map_or(0, |(last, _)| last + 1);
                self.positions.insert(Arc::clone(&item.id), position);
                position
            }
        };
        self.items.insert(position, item);
        self.version += 1;
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Item<T>>> {
        let position = self.positions.remove(id)?;
        self.version += 1;
        self.items.remove(&position)
    }

    /// This collection holding exactly `items`, whose ids are distinct. Unchanged objects
    /// (the same `Arc`) keep their place in the tree; if nothing changed, neither does the
    /// version.
    #[must_use]
    pub fn updated(&self, items: Vec<Arc<Item<T>>>) -> Self {
        let mut next = self.clone();
        let same_ids = items.len() == self.len()
            && items.iter().zip(self.iter()).all(|(new, old)| new.id == old.id);
        if !same_ids {
            next.items = items.iter().cloned().enumerate().map(|(at, i)| (at as u64, i)).collect();
            next.positions = items
                .iter()
                .enumerate()
                .map(|(at, item)| (Arc::clone(&item.id), at as u64))
                .collect();
            next.version += 1;
            return next;
        }
        let mut changed = false;
        for (new, (position, old)) in items.into_iter().zip(self.items.iter()) {
            if !Arc::ptr_eq(&new, old) {
                next.items.insert(*position, new);
                changed = true;
            }
        }
        next.version += u64::from(changed);
        next
    }
}

/// The fingerprint of a value.
#[must_use]
pub fn fingerprint(value: &Value) -> Fingerprint {
    let mut pair = Pair::default();
    feed(value, &mut pair);
    pair.both()
}

/// The fingerprint of a text.
#[must_use]
pub fn text_fingerprint(text: &str) -> Fingerprint {
    let mut pair = Pair::default();
    text.hash(&mut pair);
    pair.both()
}

/// The fingerprint of anything else.
#[must_use]
pub fn fingerprint_of(value: &impl Hash) -> Fingerprint {
    let mut pair = Pair::default();
    value.hash(&mut pair);
    pair.both()
}

/// Two hashers that see different streams. Objects are compared by fingerprint only with
/// their own earlier version, so 128 bits without a secret are plenty.
struct Pair {
    low: std::hash::DefaultHasher,
    high: std::hash::DefaultHasher,
}

impl Default for Pair {
    fn default() -> Self {
        let (low, mut high) = <(std::hash::DefaultHasher, std::hash::DefaultHasher)>::default();
        high.write_u64(0x6d6f_6f6e_6761_7465);
        Self { low, high }
    }
}

impl Pair {
    fn both(&self) -> Fingerprint {
        u128::from(self.low.finish()) << 64 | u128::from(self.high.finish())
    }
}

impl Hasher for Pair {
    fn finish(&self) -> u64 {
        self.low.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.low.write(bytes);
        self.high.write(bytes);
    }
}

fn feed(value: &Value, into: &mut Pair) {
    match value {
        Value::Null => into.write_u8(0),
        Value::Bool(flag) => into.write_u8(1 + u8::from(*flag)),
        Value::Number(number) => {
            into.write_u8(3);
            number.hash(into);
        }
        Value::String(text) => {
            into.write_u8(4);
            text.hash(into);
        }
        Value::Array(list) => {
            into.write_u8(5);
            into.write_usize(list.len());
            list.iter().for_each(|item| feed(item, into));
        }
        Value::Object(map) => {
            into.write_u8(6);
            into.write_usize(map.len());
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
            for (key, item) in entries {
                key.hash(into);
                feed(item, into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(id: &str, version: u64) -> Arc<Item<u64>> {
        Arc::new(Item {
            key: format!("/apisix/routes/{id}").into(),
            id: id.into(),
            created_index: 1,
            modified_index: version,
            hash: 0,
            value: Packed::of(&Value::Null),
            typed: version,
        })
    }

    fn ids(collection: &Collection<u64>) -> Vec<String> {
        collection.iter().map(|item| item.id.to_string()).collect()
    }

    #[test]
    fn a_changed_clone_leaves_the_original_alone() {
        let mut first = Collection::default();
        for id in ["b", "a", "c"] {
            first.insert(item(id, 1));
        }
        let mut second = first.clone();
        second.insert(item("a", 2));
        second.remove("b");
        second.insert(item("b", 3));
        assert_eq!(ids(&first), ["b", "a", "c"]);
        assert_eq!(ids(&second), ["a", "c", "b"]);
        assert_eq!((first.get("a").unwrap().typed, second.get("a").unwrap().typed), (1, 2));
        assert_eq!((first.version, second.version), (3, 6));
        assert!(second.remove("nobody").is_none());
        assert_eq!(second.version, 6);
    }

    #[test]
    fn an_update_with_the_same_items_is_no_change() {
        let first = Collection::default().updated(vec![item("x", 1), item("y", 1)]);
        assert_eq!(first.version, 1);
        let same = first.updated(first.iter().cloned().collect());
        assert_eq!(same.version, 1);
        let other = first.updated(vec![Arc::clone(first.get("x").unwrap()), item("y", 2)]);
        assert_eq!(other.version, 2);
        assert!(Arc::ptr_eq(first.get("x").unwrap(), other.get("x").unwrap()));
        let turned = first.updated(vec![item("y", 1), item("x", 1)]);
        assert_eq!(ids(&turned), ["y", "x"]);
        assert_eq!(turned.get("y").unwrap().id.as_ref(), "y");
    }

    #[test]
    fn changes_are_told_with_both_sides() {
        let mut first = Collection::default();
        for id in ["a", "b", "c"] {
            first.insert(item(id, 1));
        }
        let mut second = first.clone();
        second.insert(item("b", 2));
        second.remove("a");
        second.insert(item("d", 3));
        let told = |new: &Collection<u64>, old: &Collection<u64>| -> Vec<_> {
            let typed = |item: Option<&Arc<Item<u64>>>| item.map(|item| item.typed);
            new.changes_since(old).map(|c| (c.place, typed(c.old), typed(c.new))).collect()
        };
        let forth = [(0, Some(1), None), (1, Some(1), Some(2)), (3, None, Some(3))];
        assert_eq!(told(&second, &first), forth);
        let back = [(0, None, Some(1)), (1, Some(2), Some(1)), (3, Some(3), None)];
        assert_eq!(told(&first, &second), back);
        assert_eq!(told(&second, &second.clone()), []);
        assert_eq!((second.at(3).unwrap().typed, second.at(0).is_none()), (3, true));
    }

    #[test]
    fn fingerprints_ignore_the_order_of_keys_only() {
        let print = |value: Value| fingerprint(&value);
        assert_eq!(print(json!({"a": 1, "b": [1, 2]})), print(json!({"b": [1, 2], "a": 1})));
        assert_ne!(print(json!({"a": [1, 2]})), print(json!({"a": [2, 1]})));
        assert_ne!(print(json!({"a": 1})), print(json!({"a": "1"})));
        assert_ne!(print(json!([[], 1])), print(json!([[1]])));
        assert_ne!(print(json!(false)), print(json!(null)));
    }

    proptest::proptest! {
        #[test]
        fn a_collection_acts_like_a_list(ops in proptest::collection::vec((0u8..6, 0u8..2), 0..40)) {
            let (mut list, mut collection) = (Vec::<String>::new(), Collection::default());
            for (id, op) in ops {
                let id = id.to_string();
                if op == 0 {
                    collection.insert(item(&id, 1));
                    if !list.contains(&id) {
                        list.push(id);
                    }
                } else {
                    collection.remove(&id);
                    list.retain(|other| *other != id);
                }
            }
            proptest::prop_assert_eq!(&ids(&collection), &list);
            for id in &list {
                proptest::prop_assert!(collection.get(id).is_some());
            }
        }
    }
}
