//! The tables of the file, how their values are laid out, and one transaction's work on them.
//!
//! | table     | key            | value                                                     |
//! |-----------|----------------|-----------------------------------------------------------|
//! | `objects` | key            | created, modified, expires (u64, little endian), the text |
//! | `expires` | time, key      | nothing                                                   |
//! | `history` | revision, line | what it changed: see `history`                            |
//! | `meta`    | name           | a number                                                  |
//!
//! Times are milliseconds since 1970; `expires` is 0 for a key that stays.

use super::Fault;
use crate::store::{Change, Entry, Expect, Op, StoreError, Write, Written};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub(super) const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
pub(super) const EXPIRES: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("expires");
pub(super) const HISTORY: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("history");
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Names in `meta`.
pub(super) mod meta {
    /// The layout of the file.
    pub(in super::super) const FORMAT: &str = "format";
    /// The last revision.
    pub(in super::super) const REVISION: &str = "revision";
    /// The oldest revision that can be gone back to.
    pub(in super::super) const FLOOR: &str = "history_floor";
    /// Revisions in the history.
    pub(in super::super) const HISTORY_COUNT: &str = "history_count";
    /// Bytes of all of them.
    pub(in super::super) const HISTORY_BYTES: &str = "history_bytes";
}

/// The layout that this code writes.
pub(super) const FORMAT: u64 = 1;

/// An object as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) expires: u64,
    pub(super) text: Arc<str>,
}

impl Stored {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader(bytes);
        let (created, modified, expires) = (reader.number()?, reader.number()?, reader.number()?);
        Ok(Self { created, modified, expires, text: reader.rest()?.into() })
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24 + self.text.len());
        for number in [self.created, self.modified, self.expires] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.text.as_bytes());
        bytes
    }

    pub(super) fn entry(self, key: &str) -> Entry {
        Entry { key: key.into(), value: self.text, created: self.created, modified: self.modified }
    }
}

/// Reads what `encode` functions wrote.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| Fault::damaged("a record"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        let bytes = self.take(8)?.try_into().map_err(|_| Fault::damaged("a number"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// What is left, as a text.
    pub(super) fn rest(&mut self) -> Result<&'a str, Fault> {
        self.take(self.0.len()).and_then(text)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        let count = usize::try_from(self.number()?).map_err(|_| Fault::damaged("a length"))?;
        self.take(count).and_then(text)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::damaged("a text"))
}

/// A number of `meta`, 0 if it is not there.
pub(super) fn number(
    table: &impl ReadableTable<&'static str, u64>,
    name: &str,
) -> Result<u64, Fault> {
    Ok(table.get(name)?.map_or(0, |found| found.value()))
}

/// The object of a key.
pub(super) fn object(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<Stored>, Fault> {
    table.get(key)?.map(|found| Stored::decode(found.value())).transpose()
}

/// All objects whose keys begin with `prefix`, in the order of their keys.
pub(super) fn objects(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    prefix: &str,
    mut each: impl FnMut(&str, Stored),
) -> Result<(), Fault> {
    for found in table.range(prefix..)? {
        let (key, value) = found?;
        if !key.value().starts_with(prefix) {
            break;
        }
        each(key.value(), Stored::decode(value.value())?);
    }
    Ok(())
}

/// The revision that a reader sees.
pub(super) fn revision(transaction: &ReadTransaction) -> Result<u64, Fault> {
    number(&transaction.open_table(META)?, meta::REVISION)
}

/// What a write did to one key: how it was before all of it, and how it is after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) before: Option<Stored>,
    pub(super) after: Option<Stored>,
}

/// The keys that one revision touched.
pub(super) type Touches = BTreeMap<Arc<str>, Touched>;

/// How much history is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) revisions: u64,
    pub(super) bytes: u64,
}

/// One write transaction at work.
pub(super) struct State<'t> {
    pub(super) objects: Table<'t, &'static str, &'static [u8]>,
    expires: Table<'t, (u64, &'static str), ()>,
    pub(super) history: Table<'t, (u64, u64), &'static [u8]>,
    meta: Table<'t, &'static str, u64>,
    /// The last revision, which may be of this transaction.
    pub(super) revision: u64,
    pub(super) floor: u64,
    pub(super) history_count: u64,
    pub(super) history_bytes: u64,
    /// The time of all its revisions.
    pub(super) now_ms: u64,
    bounds: Bounds,
    /// What the sink is to hear.
    pub(super) changes: Vec<Change>,
}

impl<'t> State<'t> {
    pub(super) fn begin(
        transaction: &'t WriteTransaction,
        now: Duration,
        bounds: Bounds,
    ) -> Result<Self, Fault> {
        let meta = transaction.open_table(META)?;
        Ok(Self {
            objects: transaction.open_table(OBJECTS)?,
            expires: transaction.open_table(EXPIRES)?,
            history: transaction.open_table(HISTORY)?,
            revision: number(&meta, meta::REVISION)?,
            floor: number(&meta, meta::FLOOR)?,
            history_count: number(&meta, meta::HISTORY_COUNT)?,
            history_bytes: number(&meta, meta::HISTORY_BYTES)?,
            meta,
            now_ms: millis(now),
            bounds,
            changes: Vec::new(),
        })
    }

    /// Writes down what all the work amounts to; returns when the next key expires.
    pub(super) fn finish(mut self) -> Result<Option<u64>, Fault> {
        self.meta.insert(meta::FORMAT, FORMAT)?;
        self.meta.insert(meta::REVISION, self.revision)?;
        self.meta.insert(meta::FLOOR, self.floor)?;
        self.meta.insert(meta::HISTORY_COUNT, self.history_count)?;
        self.meta.insert(meta::HISTORY_BYTES, self.history_bytes)?;
        let next = self.expires.first()?.map(|(at, _)| at.value().0);
        Ok(next)
    }

    /// A write: refused as a whole, or done as a whole.
    pub(super) fn write(&mut self, write: &Write) -> Result<Result<Written, StoreError>, Fault> {
        for (key, expect) in &write.when {
            let found = object(&self.objects, key)?;
            let holds = match (expect, &found) {
                (Expect::Absent, found) => found.is_none(),
                (Expect::Present, found) => found.is_some(),
                (Expect::Modified(at), Some(found)) => found.modified == *at,
                (Expect::Modified(_), None) => false,
            };
            if !holds {
                return Ok(Err(StoreError::Conflict(key.clone())));
            }
        }
        self.revision += 1;
        let mut touches = Touches::new();
        let mut before = Vec::with_capacity(write.ops.len());
        for op in &write.ops {
            before.push(self.step(op, &mut touches)?);
        }
        self.record(&write.who, touches)?;
        Ok(Ok(Written { revision: self.revision, before }))
    }

    fn step(&mut self, op: &Op, touches: &mut Touches) -> Result<usize, Fault> {
        match op {
            Op::Put { key, value, ttl } => {
                let expires = ttl.map_or(0, |ttl| self.now_ms.saturating_add(millis(ttl)).max(1));
                let found = object(&self.objects, key)?;
                let stored = Stored {
                    created: found.as_ref().map_or(self.revision, |found| found.created),
                    modified: self.revision,
                    expires,
                    text: value.as_str().into(),
                };
                let count = usize::from(found.is_some());
                self.set(key, found, Some(stored), touches)?;
                Ok(count)
            }
            Op::Delete(key) => {
                let found = object(&self.objects, key)?;
                let count = usize::from(found.is_some());
                self.set(key, found, None, touches)?;
                Ok(count)
            }
            Op::DeletePrefix(prefix) => {
                let mut found = Vec::new();
                objects(&self.objects, prefix, |key, stored| found.push((key.to_owned(), stored)))?;
                let count = found.len();
                for (key, stored) in found {
                    self.set(&key, Some(stored), None, touches)?;
                }
                Ok(count)
            }
        }
    }

    /// Gives a key, which was `from`, another state.
    pub(super) fn set(
        &mut self,
        key: &str,
        from: Option<Stored>,
        to: Option<Stored>,
        touches: &mut Touches,
    ) -> Result<(), Fault> {
        if from.is_none() && to.is_none() {
            return Ok(());
        }
        if let Some(from) = from.as_ref().filter(|from| from.expires != 0) {
            self.expires.remove((from.expires, key))?;
        }
        match &to {
            Some(to) => {
                self.objects.insert(key, to.encode().as_slice())?;
                if to.expires != 0 {
                    self.expires.insert((to.expires, key), ())?;
                }
            }
            None => drop(self.objects.remove(key)?),
        }
        match touches.get_mut(key) {
            Some(touched) => touched.after = to,
            None => drop(touches.insert(key.into(), Touched { before: from, after: to })),
        }
        Ok(())
    }

    /// Ends a revision: keeps its history, and what the sink is to hear of it.
    pub(super) fn record(&mut self, who: &str, mut touches: Touches) -> Result<(), Fault> {
        touches.retain(|_, touched| touched.before.is_some() || touched.after.is_some());
        if touches.is_empty() {
            return Ok(());
        }
        self.keep(who, &touches)?;
        while self.history_bytes > self.bounds.bytes || self.history_count > self.bounds.revisions {
            self.forget_oldest()?;
        }
        let revision = self.revision;
        self.changes.extend(touches.into_iter().map(|(key, touched)| match touched.after {
            Some(stored) => Change::Put(Entry {
                key,
                value: stored.text,
                created: stored.created,
                modified: stored.modified,
            }),
            None => Change::Delete { key, revision },
        }));
        Ok(())
    }

    /// Removes all keys whose time is over, as a revision of its own.
    pub(super) fn expire(&mut self) -> Result<(), Fault> {
        let mut due = Vec::new();
        for found in self.expires.range(..(self.now_ms.saturating_add(1), ""))? {
            let (found, _) = found?;
            let (at, key) = found.value();
            due.push((at, key.to_owned()));
        }
        if due.is_empty() {
            return Ok(());
        }
        self.revision += 1;
        let mut touches = Touches::new();
        for (at, key) in due {
            self.expires.remove((at, key.as_str()))?;
            let found = object(&self.objects, &key)?;
            self.set(&key, found, None, &mut touches)?;
        }
        self.record("ttl", touches)
    }

    /// A revision for nothing but its number.
    pub(super) fn burn(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

/// Milliseconds, as many as a u64 holds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
