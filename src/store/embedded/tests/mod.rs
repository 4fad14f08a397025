//! Tests of the embedded store. Those that repeat something many times do it more often when
//! `MOONGATE_STORE_ROUNDS` says how often: `t/store/run` sets it.

use super::{
    Difference, Embedded, HistoryError, OpenError, Options, Parts,
    disk::Disk,
    tables::{META, meta},
};
use crate::store::{
    Answer, Batch, Change, Entry, Expect, Listing, Op, Sink, Store, StoreError, Write, Written,
};
use sim::Sim;
use std::{
    env,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

mod basics;
mod cuts;
mod faults;
mod figures;
mod files;
mod kills;
mod model;
mod properties;
mod sim;
mod threads;

/// Waits for an answer, without any runtime, as any thread may.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut answer = std::pin::pin!(answer);
    loop {
        match answer.as_mut().poll(&mut context) {
            std::task::Poll::Ready(found) => return found,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// A question that is in the line, whether or not there is an answer yet.
enum Asked<'a, T> {
    Waits(Answer<'a, T>),
    Answered(Result<T, StoreError>),
}

impl<'a, T> Asked<'a, T> {
    fn new(mut answer: Answer<'a, T>) -> Self {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match answer.as_mut().poll(&mut context) {
            std::task::Poll::Ready(answer) => Self::Answered(answer),
            std::task::Poll::Pending => Self::Waits(answer),
        }
    }

    fn wait(self) -> Result<T, StoreError> {
        match self {
            Self::Waits(answer) => wait(answer),
            Self::Answered(answer) => answer,
        }
    }
}

/// How often a test is to repeat what it does, and `short` times where nobody says.
fn rounds(short: u64) -> u64 {
    env::var("MOONGATE_STORE_ROUNDS").map_or(short, |text| text.parse().unwrap())
}

/// Numbers that look like chance, and are the same for the same seed (SplitMix64).
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `most`.
    fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    fn size(&mut self, most: usize) -> usize {
        usize::try_from(self.below(most as u64)).unwrap()
    }
}

/// A directory that goes when the test ends.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("moongate-store-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn dir(&self) -> &Path {
        &self.0
    }

    fn file(&self) -> PathBuf {
        self.0.join("moongate.redb")
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A sink, and what it heard.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<Mutex<Vec<Batch>>>);

impl Heard {
    fn sink(&self) -> Sink {
        let heard = Arc::clone(&self.0);
        Box::new(move |batch| heard.lock().unwrap().push(batch))
    }

    fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn last(&self) -> Option<Batch> {
        self.0.lock().unwrap().last().cloned()
    }
}

fn deaf() -> Sink {
    Box::new(|_| {})
}

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: value.to_owned(), ttl: None }
}

fn put_for(key: &str, value: &str, ttl: Duration) -> Op {
    Op::Put { key: key.to_owned(), value: value.to_owned(), ttl: Some(ttl) }
}

fn delete(key: &str) -> Op {
    Op::Delete(key.to_owned())
}

fn write(ops: Vec<Op>) -> Write {
    Write { when: Vec::new(), ops, who: "test".to_owned() }
}

fn when(key: &str, expect: Expect, ops: Vec<Op>) -> Write {
    Write { when: vec![(key.to_owned(), expect)], ..write(ops) }
}

/// Waits until `done` says so, for as long as a slow machine may take.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} did not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Keys and texts of a listing.
fn texts(listing: &Listing) -> Vec<(&str, &str)> {
    listing.entries.iter().map(|entry| (&*entry.key, &*entry.value)).collect()
}
