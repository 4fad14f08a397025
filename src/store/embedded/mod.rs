//! The store in a file of this machine: `moongate.redb`, a redb database.
//!
//! *One thread writes.* It takes all writes that wait, does one after the other in one
//! transaction, syncs once, tells the [`Sink`] and answers. Other threads read snapshots.
//!
//! *The file belongs to one process.* `moongate.lock` beside it is locked and names the process;
//! [`Embedded::release`] gives the file away.
//!
//! *What was answered stays.* No order in which a power cut, a kill, a full or a failing disk may
//! come loses an answered write or shows a part of one; the tests beside this file try them.
//! A damaged file is refused with its name and never touched.
//!
//! Begin with `writer`, then `tables` and `history`; `disk` is where the bytes go.

use super::{
    Answer, Entry, Listing, Op, Past, PastAnswer, Sink, Store, StoreError, Write, Written,
};
use crate::{clock, limits};
use disk::Folder;
use fault::{Fault, panic_text};
use lock::Lock;
use queue::{Queue, Refused};
use reader::Slot;
use redb::ReadTransaction;
use std::{
    error, fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, mpsc},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;
use writer::{Job, Parts, Shared, Writer};

pub use history::{Difference, HistoryError, Revision};

mod disk;
mod fault;
mod history;
mod lock;
mod open;
mod queue;
mod reader;
mod tables;
mod writer;

/// Threads that read.
const READERS: usize = 2;

/// What may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of the file that are kept in memory.
    pub cache_bytes: usize,
    /// Revisions of the history that are kept, at most.
    pub history_revisions: u64,
    /// Bytes of the history that are kept, at most: what earlier revisions replaced or deleted.
    pub history_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 8 << 20, history_revisions: 1_000, history_bytes: 64 << 20 }
    }
}

/// The process that has the store of a directory open, if one has it and says which.
#[must_use]
pub fn owner(dir: &Path) -> Option<i32> {
    lock::owner(dir)
}

/// Why a store does not open. The file is as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// Another process has it open.
    InUse {
        /// The file.
        path: String,
        /// Which process, where that can be told: `process 17 (moongate)`.
        by: Option<String>,
    },
    /// The file is no store of moongate's, or was damaged beyond repair.
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused something.
    Io {
        /// The file or directory.
        path: String,
        /// What it said.
        why: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path, by: Some(by) } => write!(f, "{path} is in use by {by}"),
            Self::InUse { path, by: None } => write!(f, "{path} is in use by another process"),
            Self::Damaged { path, why } => write!(
                f,
                "{path} cannot be used: {why}; it was left as it is: put a copy in its place, \
                 or move it away to begin with an empty store"
            ),
            Self::Io { path, why } => write!(f, "{path}: {why}"),
        }
    }
}

impl error::Error for OpenError {}

/// The open store. It closes its file when it is dropped.
pub struct Embedded {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store of a directory, and makes both if they are not there: the directory for
    /// nobody else (0700), the file too (0600). Returns after `sink` heard of all that is in it.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]
    pub fn open(dir: &Path, options: Options, sink: Sink) -> Result<Arc<Self>, OpenError> {
        let failed = |error: std::io::Error| OpenError::Io {
            path: dir.display().to_string(),
            why: error.to_string(),
        };
        let folder = Folder::new(dir).map_err(failed)?;
        let lock = Some(Lock::take(dir)?);
        Self::start(
            Parts { disk: Box::new(folder), lock, wall: Box::new(clock::wall) },
            options,
            sink,
        )
    }

    fn start(parts: Parts, options: Options, sink: Sink) -> Result<Arc<Self>, OpenError> {
        let shared = Arc::new(Shared {
            slot: RwLock::new(Slot::Closed("not open yet")),
            jobs: Queue::new(limits::STORE_WAITING_MAX, limits::STORE_WRITE_BYTES_MAX),
            reads: Queue::new(limits::STORE_WAITING_MAX, usize::MAX),
        });
        let name = parts.disk.name();
        let failed = |error: std::io::Error| OpenError::Io {
            path: name.clone(),
            why: format!("no thread: {error}"),
        };
        let (opened, hear) = mpsc::sync_channel(1);
        let own = Arc::clone(&shared);
        let write = move || match Writer::start(own, parts, options, sink) {
            Ok(writer) => {
                let _ = opened.send(Ok(()));
                writer.run();
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let writer = named("store-write").spawn(write).map_err(failed)?;
        // Closes what was begun, should anything fail from here on.
        let store = Arc::new(Self { shared, threads: Mutex::new(vec![writer]) });
        match hear.recv() {
            Ok(opened) => opened?,
            Err(mpsc::RecvError) => return Err(failed(std::io::Error::other("it ended"))),
        }
        for _ in 0..READERS {
            let shared = Arc::clone(&store.shared);
            let reader = named("store-read").spawn(move || reader::run(&shared)).map_err(failed)?;
            store.threads.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
        Ok(store)
    }

    /// The last revisions that changed something, the newest first, `limit` of them at most.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]
    pub async fn history(&self, limit: usize) -> Result<Vec<Revision>, StoreError> {
        self.read(move |transaction| history::list(transaction, limit)).await
    }

    /// The keys whose texts differ between two revisions, in the order of the keys.
    ///
    /// # Errors
    ///
    /// [`HistoryError::NotKept`] if one of them is too old or yet to come
    pub async fn diff(&self, from: u64, to: u64) -> Result<Vec<Difference>, HistoryError> {
        self.read(move |transaction| history::diff(transaction, from, to)).await?
    }

    /// Writes all keys as they were at revision `to`, as a new revision. A key whose time is over
    /// since stays away. [`Written::before`] has one number for each key that is written.
    ///
    /// # Errors
    ///
    /// [`HistoryError::NotKept`] if the revision is too old or yet to come
    pub async fn rollback(&self, to: u64, who: &str) -> Result<Written, HistoryError> {
        let who = clip(who);
        self.ask(who.len(), |answer| Job::Rollback(to, who, answer)).await
    }

    /// Does what was asked for so far, and closes the file so that another process may open it.
    /// From then on, everything is answered with [`StoreError::Unavailable`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the file was not closed in order; it is closed nevertheless,
    /// and whoever opens it repairs it
    pub async fn release(&self) -> Result<(), StoreError> {
        self.ask(0, Job::Release).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (to, answer) = oneshot::channel();
        self.shared.reads.push(reader::task(to, work), 0).map_err(refused)?;
        answer.await.unwrap_or_else(|_| Err(refused(Refused::Closed)))
    }

    async fn ask<T, E: From<StoreError>>(
        &self,
        bytes: usize,
        job: impl FnOnce(oneshot::Sender<Result<T, E>>) -> Job,
    ) -> Result<T, E> {
        let (to, answer) = oneshot::channel();
        self.shared.jobs.push(job(to), bytes).map_err(refused)?;
        answer.await.unwrap_or_else(|_| Err(refused(Refused::Closed).into()))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.jobs.close();
        self.shared.reads.close();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // The last handle may have been the sink's.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Past for Embedded {
    fn history(&self, limit: usize) -> Answer<'_, Vec<Revision>> {
        Box::pin(Self::history(self, limit))
    }

    fn diff(&self, from: u64, to: u64) -> PastAnswer<'_, Vec<Difference>> {
        Box::pin(Self::diff(self, from, to))
    }

    fn rollback<'a>(&'a self, to: u64, who: &'a str) -> PastAnswer<'a, Written> {
        Box::pin(Self::rollback(self, to, who))
    }
}

impl Store for Embedded {
    fn past(&self) -> Option<&dyn Past> {
        Some(self)
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        let key = key.to_owned();
        Box::pin(self.read(move |transaction| reader::get(transaction, &key)))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        let prefix = prefix.to_owned();
        Box::pin(self.read(move |transaction| reader::list(transaction, &prefix)))
    }

    fn write(&self, mut write: Write) -> Answer<'_, Written> {
        Box::pin(async move {
            let bytes = measure(&write)?;
            write.who = clip(&write.who);
            self.ask(bytes, |answer| Job::Write(write, answer)).await
        })
    }

    fn new_id(&self) -> Answer<'_, u64> {
        Box::pin(self.ask(0, Job::NewId))
    }
}

fn refused(why: Refused) -> StoreError {
    StoreError::Unavailable(match why {
        Refused::Full => "too many requests wait for the store".to_owned(),
        Refused::Closed => "the store is closed".to_owned(),
    })
}

/// Who asks, cut to what is kept of it.
fn clip(who: &str) -> String {
    who.get(..who.floor_char_boundary(limits::STORE_WHO_BYTES_MAX)).unwrap_or_default().to_owned()
}

/// The bytes of a write.
fn measure(write: &Write) -> Result<usize, StoreError> {
    let mut sum = 0_usize;
    for op in &write.ops {
        let (key, value) = match op {
            Op::Put { key, value, .. } => (key, value.len()),
            Op::Delete(key) | Op::DeletePrefix(key) => (key, 0),
        };
        let most = limits::STORE_KEY_BYTES_MAX;
        if key.len() > most {
            return Err(StoreError::TooLarge(format!("a key has more than {most} bytes")));
        }
        let most = limits::STORE_VALUE_BYTES_MAX;
        if value > most {
            return Err(StoreError::TooLarge(format!("{key} has more than {most} bytes")));
        }
        sum = sum.saturating_add(key.len()).saturating_add(value);
    }
    for (key, _) in &write.when {
        sum = sum.saturating_add(key.len());
    }
    let most = limits::STORE_WRITE_BYTES_MAX;
    if sum > most {
        return Err(StoreError::TooLarge(format!("the write has more than {most} bytes")));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
