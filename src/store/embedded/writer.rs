//! The thread that writes: it takes all writes that wait, does them in one transaction, syncs
//! once, tells the sink, and answers.
//!
//! After an error of the disk the open database is of no use any more: it is closed and opened
//! anew, which brings back what was last synced. A commit that failed may nevertheless stand in
//! the file; it was refused, so it is undone before anybody can see it. Then, and only when a
//! write went well again, the store counts as found. Until then writes are refused at once, except
//! for one of the thread's own now and then, and reads go on whenever the file can be opened.

use super::{
    Fault, HistoryError, OpenError, Options,
    disk::{Disk, Seen},
    lock::Lock,
    open,
    queue::{Queue, Taken},
    reader::{self, Slot},
    tables::{Bounds, State, millis},
};
use crate::{
    clock,
    store::{Batch, Change, Listing, Sink, StoreError, Write, Written},
};
use redb::Database;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Writes of one transaction, at most. Fewer than revisions are kept, so that a group that failed
/// can always be undone.
const GROUP_MAX: usize = 256;

/// Bytes of one group, about.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// First and longest pause between two tries of a disk that does not write.
const PAUSE_MS: (u64, u64) = (20, 1_000);

/// How long the thread sleeps at most while a key is to expire: the system clock may jump.
const EXPIRE_SECONDS_MAX: u64 = 1;

/// What the thread is asked for.
pub(super) enum Job {
    Write(Write, oneshot::Sender<Result<Written, StoreError>>),
    NewId(oneshot::Sender<Result<u64, StoreError>>),
    Rollback(u64, String, oneshot::Sender<Result<Written, HistoryError>>),
    /// Closes the file for good.
    Release(oneshot::Sender<Result<(), StoreError>>),
    /// A reader met this error in the database that was opened as this number.
    Ill(u64, String),
}

/// What all threads of a store share.
pub(super) struct Shared {
    pub(super) slot: RwLock<Slot>,
    pub(super) jobs: Queue<Job>,
    pub(super) reads: Queue<reader::Task>,
}

/// The answer to a job, to be sent when its fate is known.
enum Reply {
    Write(oneshot::Sender<Result<Written, StoreError>>, Result<Written, StoreError>),
    NewId(oneshot::Sender<Result<u64, StoreError>>, u64),
    Rollback(oneshot::Sender<Result<Written, HistoryError>>, Result<Written, HistoryError>),
}

impl Reply {
    /// Whoever asked may be gone.
    fn send(self) {
        match self {
            Self::Write(to, answer) => drop(to.send(answer)),
            Self::NewId(to, answer) => drop(to.send(Ok(answer))),
            Self::Rollback(to, answer) => drop(to.send(answer)),
        }
    }
}

impl Job {
    fn refuse(self, error: StoreError) {
        match self {
            Self::Write(_, to) => drop(to.send(Err(error))),
            Self::NewId(to) => drop(to.send(Err(error))),
            Self::Rollback(_, _, to) => drop(to.send(Err(error.into()))),
            Self::Release(to) => drop(to.send(Err(error))),
            Self::Ill(..) => {}
        }
    }

    fn done(self, outcome: Outcome) -> Option<Reply> {
        match (self, outcome) {
            (Self::Write(_, to), Outcome::Write(answer)) => Some(Reply::Write(to, answer)),
            (Self::NewId(to), Outcome::NewId(answer)) => Some(Reply::NewId(to, answer)),
            (Self::Rollback(_, _, to), Outcome::Rollback(answer)) => {
                Some(Reply::Rollback(to, answer))
            }
            _ => None,
        }
    }
}

/// What came of a job, if the commit goes well.
enum Outcome {
    Write(Result<Written, StoreError>),
    NewId(u64),
    Rollback(Result<Written, HistoryError>),
    None,
}

/// A group whose commit went well.
struct Group {
    outcomes: Vec<Outcome>,
    changes: Vec<Change>,
    revision: u64,
    next_expiry_ms: Option<u64>,
}

/// What the thread needs from outside.
pub(super) struct Parts {
    pub(super) disk: Box<dyn Disk>,
    /// None where nobody else can come.
    pub(super) lock: Option<Lock>,
    /// Time since 1970.
    pub(super) wall: Box<dyn Fn() -> Duration + Send>,
}

/// The thread's own.
pub(super) struct Writer {
    shared: Arc<Shared>,
    parts: Parts,
    options: Options,
    sink: Sink,
    seen: Arc<Seen>,
    /// The last revision that was answered, or found at the start.
    revision: u64,
    next_expiry_ms: Option<u64>,
    /// Why no write is tried, when the next one is, and the pause after that.
    lost: Option<(String, Instant, Duration)>,
    opened: u64,
}

impl Writer {
    /// Opens the file and tells the sink what is in it.
    pub(super) fn start(
        shared: Arc<Shared>,
        mut parts: Parts,
        options: Options,
        sink: Sink,
    ) -> Result<Self, OpenError> {
        let seen = Arc::new(Seen::default());
        let failed = parts.lock.as_ref().is_some_and(Lock::sync_failed);
        seen.sync_failed.store(failed, Ordering::Release);
        let database = open::open(&mut *parts.disk, &seen, options.cache_bytes)?;
        if let Some(lock) = &mut parts.lock {
            lock.note_sync_failed(false);
        }
        let damaged = |fault: Fault| OpenError::Damaged { path: parts.disk.name(), why: fault.why };
        let listing = reader::guarded(&database, |read| reader::list(read, "")).map_err(damaged)?;
        let mut writer = Self {
            shared,
            options,
            sink,
            seen,
            revision: listing.revision,
            // The first turn looks.
            next_expiry_ms: Some(0),
            lost: None,
            opened: 0,
            parts,
        };
        (writer.sink)(Batch::All(listing));
        writer.put(Slot::Open(database, 0));
        Ok(writer)
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        // Whatever happens, nobody may wait for an answer that never comes.
        struct Abandon(Arc<Shared>);
        impl Drop for Abandon {
            fn drop(&mut self) {
                self.0.jobs.abandon();
                self.0.reads.abandon();
                let mut place = self.0.slot.write().unwrap_or_else(PoisonError::into_inner);
                *place = Slot::Closed("closed");
            }
        }
        let _abandon = Abandon(Arc::clone(&self.shared));
        loop {
            let wait = self.wait();
            let shared = Arc::clone(&self.shared);
            match shared.jobs.take(wait, GROUP_MAX, GROUP_BYTES_MAX) {
                Taken::Closed => break,
                Taken::Items(jobs) => self.turn(jobs),
            }
        }
        let _ = self.close("closed");
    }

    /// How long there is nothing to do unless somebody asks.
    fn wait(&self) -> Option<Duration> {
        if let Some((_, at, _)) = &self.lost {
            return Some(at.saturating_duration_since(clock::now()));
        }
        let due = Duration::from_millis(self.next_expiry_ms?);
        let left = due.saturating_sub((self.parts.wall)());
        Some(left.min(Duration::from_secs(EXPIRE_SECONDS_MAX)))
    }

    fn turn(&mut self, jobs: Vec<Job>) {
        if matches!(*self.slot(), Slot::Closed(_)) {
            return refuse(jobs, &StoreError::Unavailable("handed over".to_owned()));
        }
        self.recover();
        let mut group = Vec::with_capacity(jobs.len());
        let mut jobs = jobs.into_iter();
        for job in jobs.by_ref() {
            match job {
                Job::Ill(opened, why) => {
                    // Of a database that was closed since, it says nothing.
                    if opened == self.opened && matches!(*self.slot(), Slot::Open(..)) {
                        self.fail(why);
                    }
                }
                Job::Release(answer) => {
                    self.group(group);
                    let closed = self.close("handed over");
                    let _ = answer.send(closed);
                    let error = StoreError::Unavailable("handed over".to_owned());
                    return refuse(jobs.collect(), &error);
                }
                job => group.push(job),
            }
        }
        self.group(group);
    }

    /// One transaction; with no jobs, for what expires.
    fn group(&mut self, jobs: Vec<Job>) {
        if let Some((why, ..)) = &self.lost {
            return refuse(jobs, &StoreError::Unavailable(why.clone()));
        }
        if jobs.is_empty() && !self.expiry_is_due() {
            return;
        }
        match self.commit(&jobs) {
            Ok(group) => {
                self.revision = group.revision;
                self.next_expiry_ms = group.next_expiry_ms;
                if !group.changes.is_empty() {
                    let (revision, changes) = (group.revision, group.changes);
                    (self.sink)(Batch::Changes { revision, changes });
                }
                let replies = jobs.into_iter().zip(group.outcomes);
                replies.filter_map(|(job, outcome)| job.done(outcome)).for_each(Reply::send);
            }
            Err(fault) => {
                refuse(jobs, &StoreError::Unavailable(self.reason(&fault.why)));
                self.fail(fault.why);
            }
        }
    }

    fn expiry_is_due(&self) -> bool {
        self.next_expiry_ms.is_some_and(|at| at <= millis((self.parts.wall)()))
    }

    fn commit(&self, jobs: &[Job]) -> Result<Group, Fault> {
        let slot = self.slot();
        let Slot::Open(database, _) = &*slot else {
            return Err(Fault { why: "the file is not open".to_owned(), damaged: false });
        };
        let now = (self.parts.wall)();
        guarded(|| {
            let transaction = database.begin_write()?;
            let mut state = State::begin(&transaction, now, self.bounds())?;
            state.expire()?;
            let outcomes = jobs.iter().map(|job| work(&mut state, job));
            let outcomes = outcomes.collect::<Result<Vec<_>, Fault>>()?;
            let (revision, changes) = (state.revision, std::mem::take(&mut state.changes));
            let next_expiry_ms = state.finish()?;
            if revision == self.revision {
                transaction.abort()?;
            } else {
                transaction.commit()?;
            }
            Ok(Group { outcomes, changes, revision, next_expiry_ms })
        })
    }

    fn bounds(&self) -> Bounds {
        let Options { history_revisions, history_bytes, .. } = self.options;
        Bounds { revisions: history_revisions, bytes: history_bytes }
    }

    /// The disk or the file failed: closes it, and opens it anew.
    fn fail(&mut self, why: String) {
        let why = self.reason(&why);
        self.down(Slot::Opening(why.clone()));
        let failed = self.seen.sync_failed.load(Ordering::Acquire);
        if let Some(lock) = &mut self.parts.lock {
            lock.note_sync_failed(failed);
        }
        let pause = match self.lost.take() {
            Some((.., pause)) => (pause * 2).min(Duration::from_millis(PAUSE_MS.1)),
            None => {
                (self.sink)(Batch::Lost(why.clone()));
                Duration::from_millis(PAUSE_MS.0)
            }
        };
        self.lost = Some((why, clock::now() + pause, pause));
        // Reads at least may go on at once.
        self.reopen();
    }

    /// Tries whether the disk writes again, if it is time to.
    fn recover(&mut self) {
        let Some((_, at, _)) = &self.lost else { return };
        if *at > clock::now() || (!matches!(*self.slot(), Slot::Open(..)) && !self.reopen()) {
            return;
        }
        match self.probe() {
            Ok(()) => {
                self.lost = None;
                (self.sink)(Batch::Found);
            }
            Err(fault) => self.fail(fault.why),
        }
    }

    /// Writes what is there already.
    fn probe(&self) -> Result<(), Fault> {
        let slot = self.slot();
        let Slot::Open(database, _) = &*slot else { return Ok(()) };
        guarded(|| {
            let transaction = database.begin_write()?;
            State::begin(&transaction, Duration::ZERO, self.bounds())?.finish()?;
            Ok(transaction.commit()?)
        })
    }

    /// Opens the file anew, without what was refused. False if that does not go, yet.
    fn reopen(&mut self) -> bool {
        let opened = open::open(&mut *self.parts.disk, &self.seen, self.options.cache_bytes);
        let database = match opened {
            Ok(database) => database,
            Err(error) => return self.postpone(error.to_string()),
        };
        match guarded(|| self.undo(&database)) {
            Ok(None) => {}
            Ok(Some(listing)) => {
                self.revision = listing.revision;
                (self.sink)(Batch::All(listing));
            }
            Err(fault) => {
                drop(database);
                return self.postpone(self.reason(&fault.why));
            }
        }
        if let Some(lock) = &mut self.parts.lock {
            lock.note_sync_failed(false);
        }
        self.opened += 1;
        self.next_expiry_ms = Some(0);
        self.put(Slot::Open(database, self.opened));
        true
    }

    fn postpone(&mut self, why: String) -> bool {
        let pause = self.lost.take().map_or(Duration::from_millis(PAUSE_MS.0), |(.., pause)| pause);
        self.down(Slot::Down(why.clone()));
        let pause = (pause * 2).min(Duration::from_millis(PAUSE_MS.1));
        self.lost = Some((why, clock::now() + pause, pause));
        false
    }

    /// Takes back what stands in the file although it was refused; where the history does not
    /// reach, it has to stay, and the listing says so.
    fn undo(&self, database: &Database) -> Result<Option<Listing>, Fault> {
        let transaction = database.begin_write()?;
        let mut state = State::begin(&transaction, (self.parts.wall)(), self.bounds())?;
        if state.revision == self.revision {
            drop(state);
            transaction.abort()?;
            return Ok(None);
        }
        if !state.undo(self.revision)? {
            drop(state);
            transaction.abort()?;
            return reader::guarded(database, |read| reader::list(read, "")).map(Some);
        }
        state.finish()?;
        transaction.commit()?;
        Ok(None)
    }

    /// Closes the file, for good.
    fn close(&mut self, why: &'static str) -> Result<(), StoreError> {
        let slot = self.put(Slot::Closed(why));
        let closed = match slot {
            Slot::Open(database, _) => catch_unwind(AssertUnwindSafe(|| database.close()))
                .unwrap_or(Ok(()))
                .map_err(|error| StoreError::Unavailable(self.reason(&error.to_string()))),
            _ => Ok(()),
        };
        self.lost = None;
        self.next_expiry_ms = None;
        // The disk may hold the file open, too.
        self.parts.disk.close();
        self.parts.lock = None;
        closed
    }

    fn reason(&self, why: &str) -> String {
        format!("{}: {why}", self.parts.disk.name())
    }

    fn slot(&self) -> std::sync::RwLockReadGuard<'_, Slot> {
        self.shared.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the reads that are under way.
    fn put(&self, slot: Slot) -> Slot {
        let mut place = self.shared.slot.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, slot)
    }

    /// Puts away a database that failed, which may fail once more at that.
    fn down(&self, slot: Slot) {
        let failed = self.put(slot);
        let _ = catch_unwind(AssertUnwindSafe(|| drop(failed)));
    }
}

fn refuse(jobs: Vec<Job>, error: &StoreError) {
    jobs.into_iter().for_each(|job| job.refuse(error.clone()));
}

fn work(state: &mut State<'_>, job: &Job) -> Result<Outcome, Fault> {
    Ok(match job {
        Job::Write(write, _) => Outcome::Write(state.write(write)?),
        Job::NewId(_) => Outcome::NewId(state.burn()),
        Job::Rollback(to, who, _) => Outcome::Rollback(state.rollback(*to, who)?),
        Job::Release(_) | Job::Ill(..) => Outcome::None,
    })
}

/// Runs `work` on the database, whose panics are faults.
fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Fault::panicked(&*panic)))
}
