//! What earlier revisions changed: how it is kept, shown, and taken back.
//!
//! A revision that changed something has a line for each key that it touched: how the key was
//! *before*. Whatever it was after stands in the next line of the same key, or in the key itself.
//! Lines go away with age (see `Options`); `floor` is the newest revision whose lines are gone, so
//! every revision from there on can be gone back to.

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

/// Line 0 of a revision: the time, the bytes of all its lines, and who it was.
fn head(time_ms: u64, size: u64, who: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + who.len());
    bytes.extend_from_slice(&time_ms.to_le_bytes());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(who.as_bytes());
    bytes
}

/// Bytes of line 0 but for who it was.
const HEAD_BYTES: usize = 16;

/// Any other line: a key, and how it was before.
fn line(key: &str, before: Option<&Stored>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, number: u64| bytes.extend_from_slice(&number.to_le_bytes());
    number(&mut bytes, key.len() as u64);
    bytes.extend_from_slice(key.as_bytes());
    match before {
        None => bytes.push(0),
        Some(before) => {
            bytes.push(1);
            for part in [before.created, before.modified, before.expires] {
                number(&mut bytes, part);
            }
            number(&mut bytes, before.text.len() as u64);
            bytes.extend_from_slice(before.text.as_bytes());
        }
    }
    bytes
}

fn read_line(bytes: &[u8]) -> Result<(Arc<str>, Option<Stored>), Fault> {
    let mut reader = Reader(bytes);
    let key = reader.text()?.into();
    let before = match reader.take(1)? {
        [0] => None,
        _ => Some(Stored {
            created: reader.number()?,
            modified: reader.number()?,
            expires: reader.number()?,
            text: reader.text()?.into(),
        }),
    };
    Ok((key, before))
}

/// How all keys that changed after `to` were at `to`.
fn past(history: &impl ReadableTable<(u64, u64), &'static [u8]>, to: u64) -> Result<Past, Fault> {
    let mut past = Past::new();
    for found in history.range((to.saturating_add(1), 0)..)?.rev() {
        let (at, bytes) = found?;
        if at.value().1 != 0 {
            let (key, before) = read_line(bytes.value())?;
            past.insert(key, before);
        }
    }
    Ok(past)
}

/// The last revisions that changed something, the newest first.
pub(super) fn list(transaction: &ReadTransaction, limit: usize) -> Result<Vec<Revision>, Fault> {
    let objects = transaction.open_table(OBJECTS)?;
    let mut later: BTreeMap<Arc<str>, Option<Arc<str>>> = BTreeMap::new();
    let mut found = Vec::new();
    let mut changes = Vec::new();
    for row in transaction.open_table(HISTORY)?.iter()?.rev() {
        if found.len() == limit {
            break;
        }
        let (at, bytes) = row?;
        let (revision, number) = at.value();
        if number == 0 {
            let mut reader = Reader(bytes.value());
            let time = Duration::from_millis(reader.number()?);
            reader.number()?;
            let who = reader.rest()?.to_owned();
            changes.reverse();
            found.push(Revision { revision, time, who, changes: std::mem::take(&mut changes) });
            continue;
        }
        let (key, before) = read_line(bytes.value())?;
        let before = before.map(|before| before.text);
        let after = match later.insert(key.clone(), before.clone()) {
            Some(after) => after,
            None => tables::object(&objects, &key)?.map(|now| now.text),
        };
        changes.push(Difference { key, before, after });
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
        let first = (to.saturating_add(1), 0);
        for row in self.history.range(first..)? {
            let (at, bytes) = row?;
            self.history_bytes = self.history_bytes.saturating_sub(bytes.value().len() as u64);
            self.history_count = self.history_count.saturating_sub(u64::from(at.value().1 == 0));
        }
        self.history.retain_in(first.., |_, _| false)?;
        Ok(true)
    }

    /// Keeps what the last revision replaced.
    pub(super) fn keep(&mut self, who: &str, touches: &Touches) -> Result<(), Fault> {
        let mut size = (HEAD_BYTES + who.len()) as u64;
        for (number, (key, touched)) in (1..).zip(touches) {
            let line = line(key, touched.before.as_ref());
            self.history.insert((self.revision, number), line.as_slice())?;
            size += line.len() as u64;
        }
        let head = head(self.now_ms, size, who);
        self.history.insert((self.revision, 0), head.as_slice())?;
        self.history_count += 1;
        self.history_bytes += size;
        Ok(())
    }

    /// Lets go of the oldest revision of the history.
    pub(super) fn forget_oldest(&mut self) -> Result<(), Fault> {
        let Some((revision, size)) = self.history.first()?.map(|(at, head)| {
            let mut reader = Reader(head.value());
            let size = reader.number().and_then(|_| reader.number());
            (at.value().0, size)
        }) else {
            (self.history_count, self.history_bytes) = (0, 0);
            return Ok(());
        };
        self.history.retain_in((revision, 0)..=(revision, u64::MAX), |_, _| false)?;
        self.floor = revision;
        self.history_count = self.history_count.saturating_sub(1);
        self.history_bytes = self.history_bytes.saturating_sub(size?);
        Ok(())
    }
}
