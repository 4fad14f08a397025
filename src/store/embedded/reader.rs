//! The threads that read, each question in a snapshot of its own, while the writer goes on.

use super::{
    Fault,
    queue::Taken,
    tables::{self, OBJECTS},
    writer::{Job, Shared},
};
use crate::{
    clock,
    store::{Entry, Listing, StoreError},
};
use redb::{Database, ReadTransaction, ReadableDatabase as _};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// The open database, or why there is none.
pub(super) enum Slot {
    /// The database, and how often it was opened before.
    Open(Database, u64),
    /// It failed, and is being opened again.
    Opening(String),
    /// It could not be opened again, so far.
    Down(String),
    /// It is closed for good.
    Closed(&'static str),
}

/// One question. It is given the database, and returns the error that it met there; then it has
/// not answered, unless this was its last try.
pub(super) type Task = Box<dyn FnMut(Result<&Database, StoreError>, Try) -> Option<Fault> + Send>;

/// Whether a question may be put once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    First,
    Last,
}

/// How long a question whose database failed waits until it was opened anew.
const REOPEN: Duration = Duration::from_millis(500);

/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

/// Packs a question, whose answer goes to `to`.
pub(super) fn task<T: Send + 'static>(
    to: oneshot::Sender<Result<T, StoreError>>,
    work: impl Fn(&ReadTransaction) -> Result<T, Fault> + Send + 'static,
) -> Task {
    let mut to = Some(to);
    Box::new(move |database, attempt| {
        let (answer, fault) = match database.map(|database| guarded(database, &work)) {
            Ok(Ok(found)) => (Ok(found), None),
            Ok(Err(fault)) => (Err(StoreError::Unavailable(fault.why.clone())), Some(fault)),
            Err(error) => (Err(error), None),
        };
        if let Some(to) = to.take_if(|_| fault.is_none() || attempt == Try::Last) {
            // Whoever asked may be gone.
            let _ = to.send(answer);
        }
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
        for mut task in tasks {
            // A write that failed takes the database away from reads that are under way: they
            // begin again in the one that comes.
            if let Some(failed) = ask(shared, &mut task, Try::First) {
                wait_for_another(shared, failed);
                ask(shared, &mut task, Try::Last);
            }
        }
    }
}

/// Puts a question; returns which database failed at it, and has told the writer.
fn ask(shared: &Shared, task: &mut Task, attempt: Try) -> Option<u64> {
    let slot = shared.slot.read().unwrap_or_else(PoisonError::into_inner);
    let (database, opened) = match &*slot {
        Slot::Open(database, opened) => (Ok(database), *opened),
        Slot::Opening(why) | Slot::Down(why) => (Err(StoreError::Unavailable(why.clone())), 0),
        Slot::Closed(why) => (Err(StoreError::Unavailable((*why).to_owned())), 0),
    };
    let fault = task(database, attempt);
    drop(slot);
    // A full queue brings the writer to the same error soon.
    let _ = shared.jobs.push(Job::Ill(opened, fault?.why), 0);
    Some(opened)
}

fn wait_for_another(shared: &Shared, failed: u64) {
    let start = clock::now();
    while start.elapsed() < REOPEN {
        let slot = shared.slot.read().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Slot::Open(_, opened) if *opened == failed => {}
            Slot::Opening(_) => {}
            Slot::Open(..) | Slot::Down(_) | Slot::Closed(_) => return,
        }
        drop(slot);
        thread::sleep(LOOK);
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
