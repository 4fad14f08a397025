//! Many threads at once.

use super::{
    Asked, Batch, Dice, Embedded, Expect, Heard, Listing, Options, Sim, Store, StoreError, Write,
    deaf, put, wait, write,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

const ACCOUNTS: u64 = 32;
const EACH: u64 = 1_000;
const THREADS: u64 = 8;
const TRANSFERS: u64 = 1_000;

fn account(number: u64) -> String {
    format!("accounts/{number:02}")
}

/// Moves one from one account to another, unless somebody else was there; says if it did.
fn transfer(store: &Embedded, from: u64, to: u64) -> bool {
    let mut transfer = Write { who: "bank".to_owned(), ..Write::default() };
    for (number, by) in [(from, -1), (to, 1)] {
        let entry = wait(store.get(&account(number))).unwrap().unwrap();
        let balance: i64 = entry.value.parse().unwrap();
        transfer.when.push((account(number), Expect::Modified(entry.modified)));
        transfer.ops.push(put(&account(number), &(balance + by).to_string()));
    }
    match wait(store.write(transfer)) {
        Ok(written) => {
            assert_eq!(written.before, [1, 1]);
            true
        }
        Err(StoreError::Conflict(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn sum(listing: &Listing) -> i64 {
    listing.entries.iter().map(|entry| entry.value.parse::<i64>().unwrap()).sum()
}

#[test]
fn conditional_writes_of_many_threads_keep_the_sum() {
    let (sim, heard) = (Sim::new(), Heard::default());
    let store = Embedded::start(sim.parts(), Options::default(), heard.sink()).unwrap();
    let ops = (0..ACCOUNTS).map(|number| put(&account(number), &EACH.to_string())).collect();
    wait(store.write(write(ops))).unwrap();
    let all = i64::try_from(ACCOUNTS * EACH).unwrap();
    let (conflicts, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|number| {
                let (store, conflicts) = (&store, &conflicts);
                scope.spawn(move || {
                    let mut dice = Dice(number);
                    let mut left = TRANSFERS;
                    while left > 0 {
                        let from = dice.below(ACCOUNTS);
                        let to = (from + 1 + dice.below(ACCOUNTS - 1)) % ACCOUNTS;
                        if transfer(store, from, to) {
                            left -= 1;
                        } else {
                            conflicts.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let listing = wait(store.list("accounts/")).unwrap();
                assert_eq!(sum(&listing), all);
                assert!(listing.revision >= last);
                last = listing.revision;
                thread::sleep(Duration::from_millis(1));
            }
        });
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    let listing = wait(store.list("")).unwrap();
    assert_eq!(sum(&listing), all);
    // A refused write takes no revision.
    assert_eq!(listing.revision, 1 + THREADS * TRANSFERS);
    let mut revision = 0;
    for batch in heard.take() {
        let Batch::Changes { revision: next, changes } = batch else { continue };
        assert!(next > revision && changes.len() as u64 >= next - revision);
        revision = next;
    }
    assert_eq!(revision, listing.revision);
    assert!(conflicts.into_inner() > 0);
}

#[test]
fn writes_that_wait_together_are_synced_once() {
    let sim = Sim::new();
    let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
    sim.sync_takes(Duration::from_millis(5));
    let before = sim.syncs();
    let writes = (0..2_000).map(|n| write(vec![put(&format!("routes/{n}"), "{}")]));
    let asked: Vec<_> = writes.map(|one| Asked::new(store.write(one))).collect();
    for (at, asked) in (1..).zip(asked) {
        assert_eq!(asked.wait().unwrap().revision, at);
    }
    let syncs = sim.syncs() - before;
    assert!(syncs < 200, "{syncs} syncs of 2000 writes");
    let (start, writers) = (sim.syncs(), 16);
    thread::scope(|scope| {
        for writer in 0..writers {
            let store = &store;
            scope.spawn(move || {
                for n in 0..50 {
                    wait(store.write(write(vec![put(&format!("{writer}/{n}"), "{}")]))).unwrap();
                }
            });
        }
    });
    let syncs = sim.syncs() - start;
    assert!(syncs < writers * 50 / 2, "{syncs} syncs of {} writes", writers * 50);
}

#[test]
fn a_refused_write_of_a_group_leaves_the_others() {
    let sim = Sim::new();
    let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
    sim.sync_takes(Duration::from_millis(50));
    // The first is under way while the others come together: each sees those before it.
    let first = Asked::new(store.write(write(vec![put("z", "0")])));
    let create = |value: &str| {
        Asked::new(store.write(super::when("a", Expect::Absent, vec![put("a", value)])))
    };
    let (second, third) = (create("1"), create("2"));
    let last = Asked::new(store.write(super::when("a", Expect::Present, vec![put("b", "1")])));
    assert_eq!(first.wait().unwrap().revision, 1);
    assert_eq!(second.wait().unwrap().revision, 2);
    assert_eq!(third.wait(), Err(StoreError::Conflict("a".to_owned())));
    assert_eq!(last.wait().unwrap().revision, 3);
    assert_eq!(super::texts(&wait(store.list("")).unwrap()), [("a", "1"), ("b", "1"), ("z", "0")]);
}

#[test]
fn more_than_may_wait_is_refused() {
    let sim = Sim::new();
    let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
    sim.sync_takes(Duration::from_millis(300));
    let asked: Vec<_> =
        (0..crate::limits::STORE_WAITING_MAX + 1_000).map(|_| Asked::new(store.new_id())).collect();
    sim.sync_takes(Duration::ZERO);
    let answers: Vec<_> = asked.into_iter().map(Asked::wait).collect();
    let full = StoreError::Unavailable("too many requests wait for the store".to_owned());
    assert!(answers.contains(&Err(full)));
    let mut ids: Vec<_> = answers.into_iter().flatten().collect();
    assert!(ids.len() >= crate::limits::STORE_WAITING_MAX);
    ids.dedup();
    assert!(ids.is_sorted());
    assert_eq!(ids.last().copied(), Some(ids.len() as u64));
}

#[test]
fn the_last_handle_may_go_anywhere() {
    let sim = Sim::new();
    let own: Arc<std::sync::Mutex<Option<Arc<Embedded>>>> = Arc::default();
    let held = Arc::clone(&own);
    let sink = Box::new(move |batch| {
        if matches!(batch, Batch::Changes { .. }) {
            drop(held.lock().unwrap().take());
        }
    });
    let store = Embedded::start(sim.parts(), Options::default(), sink).unwrap();
    let shared = Arc::downgrade(&store.shared);
    let answer = {
        let asked = store.write(write(vec![put("a", "1")]));
        *own.lock().unwrap() = Some(Arc::clone(&store));
        let asked = Asked::new(asked);
        asked.wait()
    };
    assert_eq!(answer.unwrap().revision, 1);
    drop(store);
    super::until("the end of its threads", || shared.strong_count() == 0);
    let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
    assert!(wait(store.get("a")).unwrap().is_some());
}
