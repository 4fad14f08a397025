//! The stores that others see: the file that comes and goes, writes that are answered when they are
//! in force, and none at all.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Event;
use crate::{
    store::{
        Answer, Difference, Entry, Listing, Past, PastAnswer, Revision, Room, Sink, Store,
        StoreError, Write, Written,
        embedded::{self, Embedded, OpenError},
    },
    sys::platform,
};

/// How long the answer to a write waits until all workers serve by it. What takes longer is told
/// as written, which it is.
const EFFECT: Duration = Duration::from_secs(1);

/// What is added for each key that changes at once; and how long it is at most, which is for what
/// nobody does often.
const EACH: Duration = Duration::from_millis(2);
const EFFECT_MAX: Duration = Duration::from_secs(60);

/// How long a take-over waits for the store of the process before it.
const RELEASE: Duration = Duration::from_secs(5);

/// Opens the store, which a process before us may have to let go first.
pub(super) fn open_embedded(
    data: &Path,
    takeover: bool,
    sink: &dyn Fn() -> Sink,
) -> Result<Arc<Embedded>, OpenError> {
    let open = || Embedded::open(data, embedded::Options::default(), sink());
    let end = Instant::now() + RELEASE;
    let mut asked = false;
    loop {
        match open() {
            Err(OpenError::InUse { .. }) if takeover && Instant::now() < end => {
                if !asked && let Some(pid) = embedded::owner(data) {
                    // If it is gone meanwhile, so is its lock.
                    let _ = platform::signal(pid, platform::RELEASE);
                    asked = true;
                }
                thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Sends what a store tells to the control thread.
pub(super) fn sink(events: &mpsc::Sender<Event>) -> Sink {
    let events = events.clone();
    Box::new(move |batch| {
        // Without a control thread nobody serves.
        let _ = events.send(Event::Stored(batch));
    })
}

/// The embedded store, which may be handed over and come back.
pub(super) struct File {
    data: PathBuf,
    events: mpsc::Sender<Event>,
    current: ArcSwap<Embedded>,
}

impl File {
    pub(super) fn open(
        data: &Path,
        takeover: bool,
        events: &mpsc::Sender<Event>,
    ) -> Result<Arc<Self>, OpenError> {
        let current = ArcSwap::new(open_embedded(data, takeover, &|| sink(events))?);
        Ok(Arc::new(Self { data: data.to_path_buf(), events: events.clone(), current }))
    }

    /// Opens it again, if nobody has it; what is in it is told as it is at a start.
    pub(super) fn open_again(&self) -> Result<(), OpenError> {
        self.current.store(open_embedded(&self.data, false, &|| sink(&self.events))?);
        Ok(())
    }
}

impl File {
    /// Closes the file, so that another process may open it.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        self.current.load_full().release().await
    }
}

impl Store for File {
    fn past(&self) -> Option<&dyn Past> {
        Some(self)
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move { self.current.load_full().get(key).await })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(async move { self.current.load_full().list(prefix).await })
    }

    fn write(&self, write: Write) -> Answer<'_, Written> {
        Box::pin(async move { self.current.load_full().write(write).await })
    }

    fn new_id(&self) -> Answer<'_, u64> {
        Box::pin(async move { self.current.load_full().new_id().await })
    }
}

impl Past for File {
    fn history(&self, limit: usize) -> Answer<'_, Vec<Revision>> {
        Box::pin(async move { self.current.load_full().history(limit).await })
    }

    fn diff(&self, from: u64, to: u64) -> PastAnswer<'_, Vec<Difference>> {
        Box::pin(async move { self.current.load_full().diff(from, to).await })
    }

    fn rollback<'a>(&'a self, to: u64, who: &'a str) -> PastAnswer<'a, Written> {
        Box::pin(async move { self.current.load_full().rollback(to, who).await })
    }
}

/// A store whose writes are answered when they are in force.
pub(super) struct Effective {
    pub(super) store: Arc<dyn Store>,
    pub(super) applied: watch::Receiver<u64>,
}

impl Effective {
    fn in_use(&self) -> Result<(), StoreError> {
        match self.applied.has_changed() {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Unavailable(NOT_USED.to_owned())),
        }
    }

    /// Waits until the workers serve by a revision, but not for longer than `patience`.
    async fn in_force(&self, revision: u64, patience: Duration) {
        let mut applied = self.applied.clone();
        let there = applied.wait_for(|applied| *applied >= revision);
        // In a process that ends nothing comes into force.
        let _ = tokio::time::timeout(patience, there).await;
    }
}

impl Past for Effective {
    fn history(&self, limit: usize) -> Answer<'_, Vec<Revision>> {
        match self.store.past() {
            Some(past) => past.history(limit),
            None => Box::pin(async { Err(StoreError::Unavailable(NO_PAST.to_owned())) }),
        }
    }

    fn diff(&self, from: u64, to: u64) -> PastAnswer<'_, Vec<Difference>> {
        match self.store.past() {
            Some(past) => past.diff(from, to),
            None => Box::pin(async { Err(StoreError::Unavailable(NO_PAST.to_owned()).into()) }),
        }
    }

    fn rollback<'a>(&'a self, to: u64, who: &'a str) -> PastAnswer<'a, Written> {
        Box::pin(async move {
            self.in_use()?;
            let no_past = || StoreError::Unavailable(NO_PAST.to_owned());
            let past = self.store.past().ok_or_else(no_past)?;
            let written = past.rollback(to, who).await?;
            self.in_force(written.revision, EFFECT_MAX).await;
            Ok(written)
        })
    }
}

/// Of a store that keeps no earlier revisions.
const NO_PAST: &str = "this store keeps no history";

impl Store for Effective {
    fn past(&self) -> Option<&dyn Past> {
        self.store.past().map(|_| self as &dyn Past)
    }

    fn room(&self) -> Room {
        self.store.room()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        self.store.get(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        self.store.list(prefix)
    }

    fn write(&self, write: Write) -> Answer<'_, Written> {
        Box::pin(async move {
            self.in_use()?;
            let changes = u32::try_from(write.ops.len()).unwrap_or(u32::MAX);
            let written = self.store.write(write).await?;
            let patience = EFFECT.saturating_add(EACH.saturating_mul(changes));
            self.in_force(written.revision, patience.min(EFFECT_MAX)).await;
            Ok(written)
        })
    }

    fn new_id(&self) -> Answer<'_, u64> {
        self.store.new_id()
    }
}

/// What a write is told when the file of objects serves instead of the store.
const NOT_USED: &str = "the objects' file is in use since it is there, and the store is not";

/// Where nothing can be stored, and why.
pub(super) struct NoStore(pub(super) String);

impl NoStore {
    fn answer<T: 'static>(&self) -> Answer<'_, T> {
        Box::pin(async { Err(StoreError::Unavailable(self.0.clone())) })
    }
}

impl Store for NoStore {
    fn get<'a>(&'a self, _: &'a str) -> Answer<'a, Option<Entry>> {
        self.answer()
    }

    fn list<'a>(&'a self, _: &'a str) -> Answer<'a, Listing> {
        self.answer()
    }

    fn write(&self, _: Write) -> Answer<'_, Written> {
        self.answer()
    }

    fn new_id(&self) -> Answer<'_, u64> {
        self.answer()
    }
}
