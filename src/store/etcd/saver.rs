//! Writes the snapshot some time after changes.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{held::Held, snapshot::SnapshotFile};
use crate::clock;

/// Without changes for so long, it is written.
const QUIET: Duration = Duration::from_secs(1);

/// It is written so long after the first change, however many come.
const LATEST: Duration = Duration::from_secs(10);

/// Between the end of one and the begin of the next there are so many times as long as it took.
const SHARE: u32 = 20;

/// Where writing failed, it is tried again after this.
const AGAIN: Duration = Duration::from_secs(30);

/// What the follower and the saver share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    held: Mutex<Held>,
    changed: Notify,
    /// Whether something changed since the last time it was written.
    dirty: AtomicBool,
    state: Mutex<Saved>,
    /// Whether etcd lost what is held: it is empty, and another.
    emptied: AtomicBool,
}

/// How it stands with the snapshot on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// The revision that is on disk.
    pub revision: Option<u64>,
    /// Why the last try to write it failed, if it did.
    pub error: Option<String>,
}

impl Shared {
    /// Works on what is held.
    pub(super) fn held<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether etcd lost what is held. Nothing may be written to it then: what was written would be
    /// all there is.
    pub(super) fn is_emptied(&self) -> bool {
        self.emptied.load(Ordering::Relaxed)
    }

    pub(super) fn set_emptied(&self, emptied: bool) {
        self.emptied.store(emptied, Ordering::Relaxed);
    }

    /// The disk is to hear of it.
    pub(super) fn changed(&self) {
        self.dirty.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn saved(&self) -> Saved {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes, unless it is what the last process wrote; whether it is on disk now.
    fn save(&self, file: &SnapshotFile) -> bool {
        self.dirty.store(false, Ordering::Relaxed);
        let held = self.held(|held| held.clone());
        let first = self.saved().revision.is_none();
        let done = if first && file.holds(&held) { Ok(()) } else { file.save(&held) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(()) => *state = Saved { revision: Some(held.revision), error: None },
            Err(error) => {
                self.dirty.store(true, Ordering::Relaxed);
                state.error = Some(format!("{}: {error}", file.path.display()));
            }
        }
        state.error.is_none()
    }
}

/// Runs until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, file: SnapshotFile) {
    loop {
        shared.changed.notified().await;
        let first = clock::now();
        while timeout(QUIET, shared.changed.notified()).await.is_ok() {
            if clock::now().saturating_duration_since(first) > LATEST {
                break;
            }
        }
        let begun = clock::now();
        let (in_thread, to) = (Arc::clone(&shared), file.clone());
        let done = tokio::task::spawn_blocking(move || in_thread.save(&to)).await;
        if done.unwrap_or(false) {
            let took = clock::now().saturating_duration_since(begun);
            sleep(QUIET.max(took * SHARE)).await;
        } else {
            sleep(AGAIN).await;
            shared.changed();
        }
    }
}

/// Writes what was not written yet, at the end.
pub(super) fn finish(shared: &Shared, file: &SnapshotFile) {
    if shared.dirty.load(Ordering::Relaxed) {
        shared.save(file);
    }
}
