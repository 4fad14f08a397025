//! What the sink of a store hears, and a store under test.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use moongate::store::{
    Answer, Batch, Change, Op, Store, StoreError, Write, Written,
    etcd::{Endpoint, Etcd, Options},
};

use crate::server::eventually;

/// All that was told, and what it comes to.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) batches: Vec<Batch>,
    /// Key and value, and the revision that wrote it.
    pub(crate) content: BTreeMap<String, (String, u64)>,
    pub(crate) revision: u64,
    /// The reason, while the store is lost.
    pub(crate) lost: Option<String>,
}

impl Seen {
    fn hear(&mut self, batch: Batch) {
        match &batch {
            Batch::All(listing) => {
                let keys: Vec<_> = listing.entries.iter().map(|entry| &entry.key).collect();
                assert!(keys.is_sorted(), "a listing is in the order of its keys");
                self.content.clear();
                for entry in &listing.entries {
                    let value = (entry.value.to_string(), entry.modified);
                    self.content.insert(entry.key.to_string(), value);
                }
                self.revision = listing.revision;
            }
            Batch::Changes { revision, changes } => self.change(*revision, changes),
            Batch::Lost(reason) => self.lost = Some(reason.clone()),
            Batch::Found => {
                assert!(self.lost.take().is_some(), "found, and nothing was lost");
            }
        }
        self.batches.push(batch);
    }

    fn change(&mut self, revision: u64, changes: &[Change]) {
        assert!(!changes.is_empty());
        let mut last = self.revision;
        for change in changes {
            let at = match change {
                Change::Put(entry) => {
                    let value = (entry.value.to_string(), entry.modified);
                    self.content.insert(entry.key.to_string(), value);
                    entry.modified
                }
                Change::Delete { key, revision } => {
                    assert!(self.content.remove(&**key).is_some(), "{key} was not there");
                    *revision
                }
            };
            // Greater than all of the batches before, and in order within this one.
            assert!(at > self.revision && at >= last, "{at} after {last}");
            last = at;
        }
        assert_eq!(last, revision);
        self.revision = revision;
    }

    pub(crate) fn count(&self, of: impl Fn(&Batch) -> bool) -> usize {
        self.batches.iter().filter(|batch| of(batch)).count()
    }

    pub(crate) fn alls(&self) -> usize {
        self.count(|batch| matches!(batch, Batch::All(_)))
    }

    pub(crate) fn losts(&self) -> usize {
        self.count(|batch| matches!(batch, Batch::Lost(_)))
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.content.get(key).map(|(value, _)| value.as_str())
    }
}

/// A store, and what it told.
pub(crate) struct Tried {
    pub(crate) store: Etcd,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

/// Options that notice things soon.
pub(crate) fn options(urls: &[String]) -> Options {
    let endpoints = urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect();
    let mut options = Options::new(endpoints);
    options.timeout = Duration::from_secs(10);
    options.watch_timeout = Duration::from_secs(6);
    options.health_check_timeout = Duration::from_secs(3);
    options.resync_delay = Duration::from_secs(1);
    options
}

impl Tried {
    pub(crate) fn new(options: Options, snapshot: Option<PathBuf>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let hearing = Arc::clone(&seen);
        let sink = Box::new(move |batch| hearing.lock().unwrap().hear(batch));
        Self { store: Etcd::connect(options, snapshot, sink).unwrap(), seen }
    }

    /// And waits for the first listing.
    pub(crate) fn ready(options: Options, snapshot: Option<PathBuf>) -> Self {
        let tried = Self::new(options, snapshot);
        tried.until("a first listing", |seen| seen.alls() > 0 && seen.lost.is_none());
        tried
    }

    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        eventually(what, || holds(&self.seen.lock().unwrap()));
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let entry = block(self.store.get(key)).unwrap()?;
        Some(entry.value.to_string())
    }

    pub(crate) fn put(&self, key: &str, value: &str) -> Result<Written, StoreError> {
        self.write(Vec::new(), vec![put(key, value)])
    }

    pub(crate) fn write(
        &self,
        when: Vec<(String, moongate::store::Expect)>,
        ops: Vec<Op>,
    ) -> Result<Written, StoreError> {
        block(self.store.write(Write { when, ops, who: "test".to_owned() }))
    }

    /// Writes many keys, some at a time.
    pub(crate) fn fill(&self, keys: impl Iterator<Item = String>, value: &str) {
        let keys: Vec<String> = keys.collect();
        for some in keys.chunks(100) {
            self.write(Vec::new(), some.iter().map(|key| put(key, value)).collect()).unwrap();
        }
    }
}

pub(crate) fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: value.to_owned(), ttl: None }
}

/// Waits for an answer.
pub(crate) fn block<T>(answer: Answer<'_, T>) -> Result<T, StoreError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}
