//! Where the objects of the Admin API live: behind one trait, in a file of this machine or in etcd.
//!
//! A store is a map from keys to JSON texts, as APISIX keeps it in etcd: below the prefix
//! (`/apisix`), `routes/1` is a route, `consumers/jack/credentials/k1` a credential, and `plugins`
//! the list of enabled plugins. Each change gets a *revision*, one number that only grows. Whoever
//! opens a store brings a [`Sink`], which hears of everything once at the start and of each change
//! after, also of changes that others made; nobody needs to ask again.
//!
//! Nothing here knows what an object means: texts come checked and encrypted and leave as they came.

pub mod embedded;
pub mod etcd;

use std::{error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub use embedded::{Difference, HistoryError, Revision};

use crate::limits;

/// What a value begins with that stands for one that is no text: the reason follows. It is never
/// JSON, so whoever reads objects isolates it like any other garbage, under its key. A key that is
/// no text has `\xff` for each byte that is none.
pub const UNREADABLE: &str = "\u{FFFD}unreadable: ";

/// One stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key below the store's prefix, without a slash in front: `routes/1`.
    pub key: Arc<str>,
    /// Its JSON text.
    pub value: Arc<str>,
    /// Revision that brought the key.
    pub created: u64,
    /// Revision that wrote this value.
    pub modified: u64,
}

/// Entries as they were at one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// The store's revision when they were read.
    pub revision: u64,
}

/// What must hold of a key for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// No such key.
    Absent,
    /// There is one.
    Present,
    /// Its value was written by this revision.
    Modified(u64),
}

/// One step of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes a value.
    Put {
        /// The key.
        key: String,
        /// The JSON text.
        value: String,
        /// After which time the key goes by itself, if it does.
        ttl: Option<Duration>,
    },
    /// Deletes one key, if it is there.
    Delete(String),
    /// Deletes all keys that begin so.
    DeletePrefix(String),
}

/// A write: all of its steps, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Write {
    /// What must hold before, key by key.
    pub when: Vec<(String, Expect)>,
    /// The steps.
    pub ops: Vec<Op>,
    /// Who asks for it, for the history: a name, never a key or password.
    pub who: String,
}

/// A write that happened, and will still have happened after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The revision of all its changes.
    pub revision: u64,
    /// Of each step: how many keys of it were there before.
    pub before: Vec<usize>,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It has this value now.
    Put(Entry),
    /// It is gone.
    Delete {
        /// The key.
        key: Arc<str>,
        /// The revision that took it away.
        revision: u64,
    },
}

/// What a store tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// Everything: at the start, and again when changes may have been missed.
    All(Listing),
    /// What changed since, in order; changes of one revision are never torn apart.
    Changes {
        /// The revision after them.
        revision: u64,
        /// The changes.
        changes: Vec<Change>,
    },
    /// The store cannot be reached; what is known stays in use. The reason names no password.
    Lost(String),
    /// It can be reached again, and nothing was missed that was not told before this.
    Found,
}

/// Who hears of changes. It is called from threads of the store, one call at a time, and must not
/// wait.
pub type Sink = Box<dyn FnMut(Batch) + Send>;

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// This key is not as the write expects it.
    Conflict(String),
    /// The key, value or write is larger than the store takes.
    TooLarge(String),
    /// The store cannot be reached, read or written: why, without passwords. Whether a write
    /// happened is not known if the answer to it was lost.
    Unavailable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(key) => write!(f, "{key} was changed by somebody else"),
            Self::TooLarge(why) | Self::Unavailable(why) => f.write_str(why),
        }
    }
}

impl error::Error for StoreError {}

/// The answer to a question, which a thread of the store works on.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The answer to a question about earlier revisions.
pub type PastAnswer<'a, T> = Pin<Box<dyn Future<Output = Result<T, HistoryError>> + Send + 'a>>;

/// The earlier revisions of a store that keeps them.
pub trait Past: Send + Sync {
    /// The last revisions that changed something, the newest first, `limit` of them at most.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]
    fn history(&self, limit: usize) -> Answer<'_, Vec<Revision>>;

    /// The keys whose texts differ between two revisions, in the order of the keys.
    ///
    /// # Errors
    ///
    /// [`HistoryError::NotKept`] if one of them is too old or yet to come
    fn diff(&self, from: u64, to: u64) -> PastAnswer<'_, Vec<Difference>>;

    /// Writes all keys as they were at revision `to`, as a new revision.
    ///
    /// # Errors
    ///
    /// [`HistoryError::NotKept`] if the revision is too old or yet to come
    fn rollback<'a>(&'a self, to: u64, who: &'a str) -> PastAnswer<'a, Written>;
}

/// What one write may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Steps.
    pub ops: usize,
    /// Bytes of all keys and values.
    pub bytes: usize,
}

/// A store. Keys are as in [`Entry::key`].
pub trait Store: Send + Sync {
    /// Its earlier revisions, if it keeps them.
    fn past(&self) -> Option<&dyn Past> {
        None
    }

    /// What one write may hold.
    fn room(&self) -> Room {
        Room { ops: usize::MAX, bytes: limits::STORE_WRITE_BYTES_MAX }
    }

    /// The entry of a key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>>;

    /// All entries whose keys begin with `prefix`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing>;

    /// Writes. The answer comes when nothing can undo it, and after the [`Sink`] heard of it where
    /// the store is this process's own.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]; but for a lost answer, nothing was written.
    fn write(&self, write: Write) -> Answer<'_, Written>;

    /// A number that nobody was given before, for objects whose ids the store makes: a revision.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]
    fn new_id(&self) -> Answer<'_, u64>;
}
