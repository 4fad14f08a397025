//! What earlier revisions changed: how it is kept, shown, and taken back.
//!
//! The record of a revision holds, of each key that it touched, how the key was *before*. Whatever
//! it was after stands in the next record of the same key, or in the key itself. Records go away
//! with age (see `Options`); `floor` is the newest revision without one, so every revision from
//! there on can be gone back to.

use super::{
    Fault,
    tables::{self, HISTORY, META, OBJECTS, Reader, State, Stored, Touches, meta},
};
use crate::store::{StoreError, Written};
use redb::{ReadTransaction, ReadableTable};
use std::{collections::BTreeMap, error, fmt, sync::Arc, time::Duration};

/// One revision of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// When it was written, since 1970-01-01 UTC.
    pub time: Duration,
    /// Who asked for it; `ttl` for keys whose time was over.
    pub who: String,
    /// What it changed, in the order of the keys.
    pub changes: Vec<Difference>,
}

/// One key at two revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Arc<str>,
    /// Its text at the first revision.
    pub before: Option<Arc<str>>,
    /// Its text at the second revision.
    pub after: Option<Arc<str>>,
}

/// Why a question about earlier revisions has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryError {
    /// The revision is none of those that are kept.
    NotKept {
        /// What was asked for.
        asked: u64,
        /// The oldest one that can be gone back to.
        oldest: u64,
        /// The newest one.
        newest: u64,
    },
    /// The store did not answer.
    Store(StoreError),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept { asked, oldest, newest } => write!(
                f,
                "revision {asked} is not in the history, which is kept from {oldest} to {newest}"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl error::Error for HistoryError {}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Keys as they were at some revision.
type Past = BTreeMap<Arc<str>, Option<Stored>>;

/// A record as it is kept.
struct Record {
    time_ms: u64,
    who: String,
    before: Vec<(Arc<str>, Option<Stored>)>,
}

/// The time, who it was, and each key with how it was before.
pub(super) fn encode(time_ms: u64, who: &str, touches: &Touches) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend_from_slice(&number.to_le_bytes());
    let text = |bytes: &mut Vec<u8>, text: &str| {
        number(bytes, text.len() as u64);
        bytes.extend_from_slice(text.as_bytes());
    };
    number(&mut bytes, time_ms);
    text(&mut bytes, who);
    for (key, touched) in touches {
        text(&mut bytes, key);
        match &touched.before {
            None => bytes.push(0),
            Some(before) => {
                bytes.push(1);
                number(&mut bytes, before.created);
                number(&mut bytes, before.modified);
                number(&mut bytes, before.expires);
                text(&mut bytes, &before.text);
            }
        }
    }
    bytes
}

fn decode(bytes: &[u8]) -> Result<Record, Fault> {
    let mut reader = Reader(bytes);
    let time_ms = reader.number()?;
    let who = reader.text()?.to_owned();
    let mut before = Vec::new();
    while !reader.0.is_empty() {
        let key = reader.text()?.into();
        let stored = match reader.take(1)? {
            [0] => None,
            _ => Some(Stored {
                created: reader.number()?,
                modified: reader.number()?,
                expires: reader.number()?,
                text: reader.text()?.into(),
            }),
        };
        before.push((key, stored));
    }
    Ok(Record { time_ms, who, before })
}

/// How all keys that changed after `to` were at `to`.
fn past(history: &impl ReadableTable<u64, &'static [u8]>, to: u64) -> Result<Past, Fault> {
    let mut past = Past::new();
    for found in history.range(to.saturating_add(1)..)?.rev() {
        past.extend(decode(found?.1.value())?.before);
    }
    Ok(past)
}

/// The last revisions that changed something, the newest first.
pub(super) fn list(transaction: &ReadTransaction, limit: usize) -> Result<Vec<Revision>, Fault> {
    let objects = transaction.open_table(OBJECTS)?;
    let mut later: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
    let mut found = Vec::new();
    for record in transaction.open_table(HISTORY)?.iter()?.rev().take(limit) {
        let (revision, record) = record?;
        let record = decode(record.value())?;
        let mut changes = Vec::with_capacity(record.before.len());
        for (key, before) in record.before {
            let before = before.map(|before| before.text);
            let after = match later.insert(key.clone(), before.clone()) {
                Some(after) => after,
                None => tables::object(&objects, &key)?.map(|now| now.text),
            };
            changes.push(Difference { key, before, after });
        }
        found.push(Revision {
            revision: revision.value(),
            time: Duration::from_millis(record.time_ms),
            who: record.who,
            changes,
        });
    }
    Ok(found)
}

fn kept(asked: u64, oldest: u64, newest: u64) -> Result<(), HistoryError> {
    if (oldest..=newest).contains(&asked) {
        return Ok(());
    }
    Err(HistoryError::NotKept { asked, oldest, newest })
}

/// The keys whose texts differ between two revisions.
pub(super) fn diff(
    transaction: &ReadTransaction,
    from: u64,
    to: u64,
) -> Result<Result<Vec<Difference>, HistoryError>, Fault> {
    let numbers = transaction.open_table(META)?;
    let newest = tables::number(&numbers, meta::REVISION)?;
    let oldest = tables::number(&numbers, meta::FLOOR)?;
    if let Err(error) = kept(from, oldest, newest).and_then(|()| kept(to, oldest, newest)) {
        return Ok(Err(error));
    }
    let (objects, history) = (transaction.open_table(OBJECTS)?, transaction.open_table(HISTORY)?);
    let (old, mut new) = (past(&history, from.min(to))?, past(&history, from.max(to))?);
    let mut found = Vec::new();
    for (key, before) in old {
        let after = match new.remove(&key) {
            Some(after) => after,
            None => tables::object(&objects, &key)?,
        };
        let texts = (before.map(|stored| stored.text), after.map(|stored| stored.text));
        let (before, after) = if from <= to { texts } else { (texts.1, texts.0) };
        if before != after {
            found.push(Difference { key, before, after });
        }
    }
    Ok(Ok(found))
}

impl State<'_> {
    /// A new revision in which all keys are as they were at `to`. Those whose time is over since
    /// stay away.
    pub(super) fn rollback(
        &mut self,
        to: u64,
        who: &str,
    ) -> Result<Result<Written, HistoryError>, Fault> {
        if let Err(error) = kept(to, self.floor, self.revision) {
            return Ok(Err(error));
        }
        let past = past(&self.history, to)?;
        self.revision += 1;
        let mut touches = Touches::new();
        let mut before = Vec::new();
        for (key, then) in past {
            let found = tables::object(&self.objects, &key)?;
            let then = then.filter(|then| then.expires == 0 || then.expires > self.now_ms);
            let same = |found: &Stored, then: &Stored| {
                found.text == then.text && found.expires == then.expires
            };
            match (&found, &then) {
                (None, None) => continue,
                (Some(found), Some(then)) if same(found, then) => continue,
                _ => {}
            }
            before.push(usize::from(found.is_some()));
            let created = found.as_ref().map_or(self.revision, |found| found.created);
            let then = then.map(|then| Stored { created, modified: self.revision, ..then });
            self.set(&key, found, then, &mut touches)?;
        }
        self.record(who, touches)?;
        Ok(Ok(Written { revision: self.revision, before }))
    }

    /// Makes everything after `to` undone, as if it had never been, but for the numbers of the
    /// revisions: they are not given again. False if the history does not reach back so far.
    pub(super) fn undo(&mut self, to: u64) -> Result<bool, Fault> {
        if self.floor > to {
            return Ok(false);
        }
        let mut touches = Touches::new();
        for (key, then) in past(&self.history, to)? {
            let found = tables::object(&self.objects, &key)?;
            self.set(&key, found, then, &mut touches)?;
        }
        while self.history.last()?.is_some_and(|(revision, _)| revision.value() > to) {
            let size = self.history.pop_last()?.map_or(0, |(_, record)| record.value().len());
            self.history_bytes = self.history_bytes.saturating_sub(size as u64);
        }
        Ok(true)
    }
}
