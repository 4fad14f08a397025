//! What is known of etcd's content, and how events change it.

use std::{collections::BTreeSet, sync::Arc};

use imbl::OrdMap;

use super::{
    fail::Fail,
    keys::{Keys, positive},
    proto::{self, Event, KeyValue},
};
use crate::{
    limits::ETCD_LISTING_BYTES_MAX,
    store::{Change, Entry, Listing, UNREADABLE},
};

/// Entries that are asked for to tell one past from another. etcd takes 128 questions at once.
const SAMPLE: usize = 100;

/// What an etcd with the same past has, at that revision.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) cluster: u64,
    pub(super) term: u64,
    pub(super) revision: u64,
    /// Keys below the prefix.
    pub(super) count: usize,
    /// The entry that was written last, and some of the others.
    pub(super) sample: Vec<Entry>,
}

/// All below the prefix, as it was at one revision.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// Which cluster it is of.
    pub(super) cluster: u64,
    /// How often it elected a leader when it was read. It only grows, but in one that begins anew.
    pub(super) term: u64,
    /// Everything up to it is in here.
    pub(super) revision: u64,
    /// Copied in no time, for whoever writes it to disk meanwhile.
    pub(super) entries: OrdMap<Arc<str>, Entry>,
    /// Keys that are there and nobody's business: whoever counts keys must count them.
    hidden: BTreeSet<String>,
    bytes: usize,
}

impl Held {
    /// Nothing, of this cluster at this revision.
    pub(super) fn of(cluster: u64, revision: u64) -> Self {
        Self { cluster, revision, ..Self::default() }
    }

    pub(super) fn listing(&self) -> Listing {
        Listing { entries: self.entries.values().cloned().collect(), revision: self.revision }
    }

    /// What tells this past from another.
    pub(super) fn known(&self) -> Known {
        // What is no text cannot be asked for by its key.
        let readable = || self.entries.values().filter(|e| !e.value.starts_with(UNREADABLE));
        let newest = readable().max_by_key(|entry| entry.modified);
        let others = readable().step_by(self.entries.len().div_ceil(SAMPLE).max(1));
        Known {
            cluster: self.cluster,
            term: self.term,
            revision: self.revision,
            count: self.count(),
            sample: newest.into_iter().chain(others).cloned().collect(),
        }
    }

    /// How many keys etcd has below the prefix.
    pub(super) fn count(&self) -> usize {
        self.entries.len() + self.hidden.len()
    }

    /// Takes a pair of a listing.
    pub(super) fn add(&mut self, keys: &Keys, kv: &KeyValue) -> Result<(), Fail> {
        match keys.entry(kv) {
            Ok(entry) => self.insert(entry),
            Err(name) => {
                self.hidden.insert(name);
                Ok(())
            }
        }
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Result<(), Fail> {
        self.bytes += entry.key.len() + entry.value.len();
        if let Some(old) = self.entries.insert(Arc::clone(&entry.key), entry) {
            self.bytes = self.bytes.saturating_sub(old.key.len() + old.value.len());
        }
        if self.bytes > ETCD_LISTING_BYTES_MAX {
            let most = ETCD_LISTING_BYTES_MAX >> 20;
            return Err(Fail::Nonsense(format!("holds more than {most} MiB below the prefix")));
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Option<Arc<str>> {
        let (key, old) = self.entries.remove_with_key(key)?;
        self.bytes = self.bytes.saturating_sub(old.key.len() + old.value.len());
        Some(key)
    }

    /// Does what an event says. None if it is nobody's business.
    pub(super) fn apply(&mut self, keys: &Keys, event: &Event) -> Result<Option<Change>, Fail> {
        let Some(kv) = &event.kv else { return Ok(None) };
        let revision = positive(kv.mod_revision);
        self.revision = self.revision.max(revision);
        let entry = keys.entry(kv);
        if event.kind != proto::DELETE
            && let Ok(entry) = entry
        {
            self.hidden.remove(&*entry.key);
            self.insert(entry.clone())?;
            return Ok(Some(Change::Put(entry)));
        }
        let gone = event.kind == proto::DELETE;
        let name = match entry {
            Ok(entry) => entry.key.to_string(),
            Err(name) => name,
        };
        if gone {
            self.hidden.remove(&name);
        } else {
            self.hidden.insert(name.clone());
        }
        Ok(self.remove(&name).map(|key| Change::Delete { key, revision }))
    }

    /// Takes the texts of `other` where they are the same, so that they are in memory once.
    pub(super) fn share(&mut self, other: &Self) {
        if other.entries.is_empty() {
            return;
        }
        for (key, entry) in &self.entries.clone() {
            if let Some(known) = other.entries.get(key)
                && known.value == entry.value
            {
                let value = Arc::clone(&known.value);
                self.entries.insert(Arc::clone(key), Entry { value, ..entry.clone() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn event(kind: i32, key: &str, value: &str, revision: i64) -> Event {
        let (key, value) = (Bytes::from(format!("/apisix/{key}")), Bytes::from(value.to_owned()));
        let (create_revision, mod_revision) = (revision, revision);
        Event { kind, kv: Some(KeyValue { key, value, create_revision, mod_revision }) }
    }

    #[test]
    fn events_change_what_is_held() {
        let keys = Keys::new("/apisix");
        let mut held = Held::default();
        let mut apply = |event: Event| {
            let told = held.apply(&keys, &event).unwrap();
            let told = match told {
                None => String::new(),
                Some(Change::Put(entry)) => format!("{}={}", entry.key, entry.value),
                Some(Change::Delete { key, revision }) => format!("{key} gone {revision}"),
            };
            (told, held.count(), held.revision)
        };
        assert_eq!(apply(event(0, "routes/1", "{}", 5)), ("routes/1={}".to_owned(), 1, 5));
        assert_eq!(apply(event(0, "routes/", "init_dir", 6)), (String::new(), 2, 6));
        // An object that becomes a folder is gone.
        let folder = apply(event(0, "routes/1", "init_dir", 7));
        assert_eq!(folder, ("routes/1 gone 7".to_owned(), 2, 7));
        assert_eq!(apply(event(1, "routes/1", "", 8)), (String::new(), 1, 8));
        assert_eq!(apply(event(1, "routes/", "", 9)), (String::new(), 0, 9));
        // And gone twice is gone once.
        assert_eq!(apply(event(1, "routes/1", "", 10)), (String::new(), 0, 10));
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn the_same_texts_are_held_once() {
        let keys = Keys::new("/apisix");
        let (mut one, mut two) = (Held::default(), Held::default());
        for held in [&mut one, &mut two] {
            held.apply(&keys, &event(0, "routes/1", "{}", 5)).unwrap();
        }
        two.share(&one);
        let value = |held: &Held| Arc::clone(&held.entries.get("routes/1").unwrap().value);
        assert!(Arc::ptr_eq(&value(&one), &value(&two)));
        assert_eq!(one.entries, two.entries);
    }
}
