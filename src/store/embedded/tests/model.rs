//! What the store must be, in the simplest form.

use super::{Dice, Expect, Listing, Op, Write};
use std::collections::BTreeMap;

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) expires_ms: Option<u64>,
    pub(super) text: String,
}

/// A store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) revision: u64,
    pub(super) items: BTreeMap<String, Item>,
}

impl Model {
    /// A write: how many keys of each step were there before, or the key that refuses it.
    pub(super) fn write(&mut self, write: &Write, now_ms: u64) -> Result<Vec<usize>, String> {
        for (key, expect) in &write.when {
            let found = self.items.get(key);
            let holds = match expect {
                Expect::Absent => found.is_none(),
                Expect::Present => found.is_some(),
                Expect::Modified(at) => found.is_some_and(|item| item.modified == *at),
            };
            if !holds {
                return Err(key.clone());
            }
        }
        self.revision += 1;
        let revision = self.revision;
        Ok(write.ops.iter().map(|op| self.step(op, revision, now_ms)).collect())
    }

    fn step(&mut self, op: &Op, revision: u64, now_ms: u64) -> usize {
        let count = self.items.len();
        match op {
            Op::Put { key, value, ttl } => {
                let created = self.items.get(key).map_or(revision, |item| item.created);
                let expires_ms = ttl.map(|ttl| now_ms + u64::try_from(ttl.as_millis()).unwrap());
                let text = value.clone();
                let item = Item { created, modified: revision, expires_ms, text };
                usize::from(self.items.insert(key.clone(), item).is_some())
            }
            Op::Delete(key) => usize::from(self.items.remove(key).is_some()),
            Op::DeletePrefix(prefix) => {
                self.items.retain(|key, _| !key.starts_with(prefix));
                count - self.items.len()
            }
        }
    }

    /// Takes away what is over; whether that was a revision.
    pub(super) fn expire(&mut self, now_ms: u64) -> bool {
        let count = self.items.len();
        self.items.retain(|_, item| item.expires_ms.is_none_or(|at| at > now_ms));
        let expired = self.items.len() != count;
        self.revision += u64::from(expired);
        expired
    }

    /// Fails unless the store is the same.
    #[track_caller]
    pub(super) fn check(&self, listing: &Listing) {
        assert_eq!(listing.revision, self.revision);
        let found = listing
            .entries
            .iter()
            .map(|entry| (&*entry.key, (entry.created, entry.modified, &*entry.value)));
        let own = self
            .items
            .iter()
            .map(|(key, item)| (key.as_str(), (item.created, item.modified, item.text.as_str())));
        assert!(
            found.clone().eq(own.clone()),
            "{:?}\n{:?}",
            found.collect::<Vec<_>>(),
            own.collect::<Vec<_>>()
        );
    }
}

/// The write that makes a revision, the same at each call: what a store went through follows
/// from the number of its last revision.
pub(super) fn made(revision: u64) -> Write {
    let mut dice = Dice(revision.wrapping_mul(77));
    let key =
        |dice: &mut Dice| format!("{}/{}", ["routes", "upstreams"][dice.size(2)], dice.below(40));
    let mut ops = Vec::new();
    for _ in 0..=dice.below(3) {
        let key = key(&mut dice);
        ops.push(match dice.below(10) {
            0..=6 => {
                // Mostly some hundred bytes, sometimes several pages.
                let most = if dice.below(12) == 0 { 20_000 } else { 500 };
                let value = format!("{revision} {}", "x".repeat(dice.size(most)));
                Op::Put { key, value, ttl: None }
            }
            7 | 8 => Op::Delete(key),
            _ => Op::DeletePrefix(key),
        });
    }
    Write { when: Vec::new(), ops, who: format!("writer {revision}") }
}

/// What a store is at a revision, if all of its writes were [`made`].
#[derive(Debug, Default)]
pub(super) struct Replay(Model);

impl Replay {
    pub(super) fn at(&mut self, revision: u64) -> &Model {
        if self.0.revision > revision {
            self.0 = Model::default();
        }
        while self.0.revision < revision {
            let next = made(self.0.revision + 1);
            self.0.write(&next, 0).unwrap();
        }
        &self.0
    }
}
