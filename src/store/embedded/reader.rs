//! The threads that read, each question in a snapshot of its own, while the writer goes on.

use super::{
    Fault,
    queue::Taken,
    tables::{self, OBJECTS},
    writer::{Job, Shared},
};
use crate::store::{Entry, Listing, StoreError};
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
};
use tokio::sync::oneshot;

/// The open database, or why there is none.
pub(super) enum Slot {
    /// The database, and how often it was opened before.
    Open(Database, u64),
    /// It is to be opened again.
    Down(String),
    /// It is closed for good.
    Closed(&'static str),
}

/// One question. It is given the database, and returns the error that it met there.
pub(super) type Task = Box<dyn FnOnce(Result<&Database, StoreError>) -> Option<Fault> + Send>;

/// Packs a question, whose answer goes to `to`.
pub(super) fn task<T: Send + 'static>(
    to: oneshot::Sender<Result<T, StoreError>>,
    work: impl FnOnce(&ReadTransaction) -> Result<T, Fault> + Send + 'static,
) -> Task {
    Box::new(move |database| {
        let (answer, fault) = match database.map(|database| guarded(database, work)) {
            Ok(Ok(found)) => (Ok(found), None),
            Ok(Err(fault)) => (Err(StoreError::Unavailable(fault.why.clone())), Some(fault)),
            Err(error) => (Err(error), None),
        };
        // Whoever asked may be gone.
        let _ = to.send(answer);
        fault
    })
}

/// Runs `work` in a snapshot. Panics of the database are faults.
pub(super) fn guarded<T>(
    database: &Database,
    work: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(|| work(&database.begin_read()?)))
        .unwrap_or_else(|panic| Err(Fault::panicked(&*panic)))
}

/// Works until nobody can ask any more.
pub(super) fn run(shared: &Shared) {
    while let Taken::Items(tasks) = shared.reads.take(None, 1, usize::MAX) {
        for task in tasks {
            let slot = shared.slot.read().unwrap_or_else(PoisonError::into_inner);
            let (database, opened) = match &*slot {
                Slot::Open(database, opened) => (Ok(database), *opened),
                Slot::Down(why) => (Err(StoreError::Unavailable(why.clone())), 0),
                Slot::Closed(why) => (Err(StoreError::Unavailable((*why).to_owned())), 0),
            };
            let fault = task(database);
            drop(slot);
            if let Some(fault) = fault {
                // A full queue brings the writer to the same error soon.
                let _ = shared.jobs.push(Job::Ill(opened, fault.why), 0);
            }
        }
    }
}

/// The entry of a key.
pub(super) fn get(transaction: &ReadTransaction, key: &str) -> Result<Option<Entry>, Fault> {
    let found = tables::object(&transaction.open_table(OBJECTS)?, key)?;
    Ok(found.map(|stored| stored.entry(key)))
}

/// All entries whose keys begin so.
pub(super) fn list(transaction: &ReadTransaction, prefix: &str) -> Result<Listing, Fault> {
    let revision = tables::revision(transaction)?;
    let mut entries = Vec::new();
    let objects = transaction.open_table(OBJECTS)?;
    tables::objects(&objects, prefix, |key, stored| entries.push(stored.entry(key)))?;
    Ok(Listing { entries, revision })
}
