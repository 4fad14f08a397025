//! What the store does with one caller and a disk in order.

use super::{
    Batch, Change, Difference, Embedded, Entry, Expect, Heard, HistoryError, Listing, Options, Sim,
    Store, StoreError, Written, deaf, delete, put, put_for, texts, until, wait, when, write,
};
use crate::{limits, store::Op};
use std::{sync::Arc, time::Duration};

fn open(sim: &Sim) -> Arc<Embedded> {
    Embedded::start(sim.parts(), Options::default(), deaf()).unwrap()
}

fn entry(key: &str, value: &str, created: u64, modified: u64) -> Entry {
    Entry { key: key.into(), value: value.into(), created, modified }
}

#[test]
fn what_is_written_is_read() {
    let sim = Sim::new();
    let store = open(&sim);
    assert_eq!(wait(store.get("routes/1")), Ok(None));
    assert_eq!(wait(store.list("")), Ok(Listing { entries: vec![], revision: 0 }));
    let written = wait(store.write(write(vec![put("routes/1", "a"), put("routes/2", "b")])));
    assert_eq!(written, Ok(Written { revision: 1, before: vec![0, 0] }));
    let written = wait(store.write(write(vec![put("routes/2", "c"), put("routes_/9", "x")])));
    assert_eq!(written, Ok(Written { revision: 2, before: vec![1, 0] }));
    assert_eq!(wait(store.get("routes/2")), Ok(Some(entry("routes/2", "c", 1, 2))));
    let listing = wait(store.list("routes/")).unwrap();
    assert_eq!(listing.entries, [entry("routes/1", "a", 1, 1), entry("routes/2", "c", 1, 2)]);
    assert_eq!(listing.revision, 2);
    let ops = vec![delete("routes/7"), delete("routes/1"), Op::DeletePrefix("routes".to_owned())];
    assert_eq!(wait(store.write(write(ops))).unwrap().before, [0, 1, 2]);
    assert_eq!(wait(store.list("")).unwrap().entries, []);
}

#[test]
fn a_write_happens_only_when_all_holds_that_it_expects() {
    let sim = Sim::new();
    let store = open(&sim);
    let ask = |key: &str, expect, value: &str| {
        wait(store.write(when(key, expect, vec![put("a", value)]))).map(|written| written.revision)
    };
    let conflict = |key: &str| Err(StoreError::Conflict(key.to_owned()));
    assert_eq!(ask("a", Expect::Present, "1"), conflict("a"));
    assert_eq!(ask("a", Expect::Modified(0), "1"), conflict("a"));
    assert_eq!(ask("a", Expect::Absent, "1"), Ok(1));
    assert_eq!(ask("a", Expect::Absent, "2"), conflict("a"));
    assert_eq!(ask("a", Expect::Modified(1), "2"), Ok(2));
    assert_eq!(ask("a", Expect::Modified(1), "3"), conflict("a"));
    assert_eq!(ask("a", Expect::Present, "3"), Ok(3));
    let mut both = when("a", Expect::Present, vec![delete("a")]);
    both.when.push(("b".to_owned(), Expect::Present));
    assert_eq!(wait(store.write(both)), Err(StoreError::Conflict("b".to_owned())));
    assert_eq!(wait(store.get("a")), Ok(Some(entry("a", "3", 1, 3))));
}

#[test]
fn revisions_are_given_once_also_over_a_restart() {
    let sim = Sim::new();
    let store = open(&sim);
    assert_eq!(wait(store.new_id()), Ok(1));
    assert_eq!(wait(store.write(write(vec![put("a", "1")]))).unwrap().revision, 2);
    assert_eq!(wait(store.write(write(vec![]))).unwrap().revision, 3);
    assert_eq!(wait(store.new_id()), Ok(4));
    drop(store);
    let store = open(&sim);
    assert_eq!(wait(store.list("")).unwrap().revision, 4);
    assert_eq!(wait(store.new_id()), Ok(5));
}

#[test]
fn the_sink_hears_of_each_change_before_the_answer() {
    let (sim, heard) = (Sim::new(), Heard::default());
    let store = Embedded::start(sim.parts(), Options::default(), heard.sink()).unwrap();
    assert_eq!(heard.take(), [Batch::All(Listing::default())]);
    wait(store.write(write(vec![put("b", "1"), put("a", "1"), put("c", "1"), delete("c")])))
        .unwrap();
    let changes = vec![Change::Put(entry("a", "1", 1, 1)), Change::Put(entry("b", "1", 1, 1))];
    assert_eq!(heard.take(), [Batch::Changes { revision: 1, changes }]);
    wait(store.new_id()).unwrap();
    wait(store.write(write(vec![delete("b"), put("b", "2"), delete("a"), delete("z")]))).unwrap();
    let changes =
        vec![Change::Delete { key: "a".into(), revision: 3 }, Change::Put(entry("b", "2", 3, 3))];
    assert_eq!(heard.take(), [Batch::Changes { revision: 3, changes }]);
    drop(store);
    let _store = Embedded::start(sim.parts(), Options::default(), heard.sink()).unwrap();
    let listing = Listing { entries: vec![entry("b", "2", 3, 3)], revision: 3 };
    assert_eq!(heard.take(), [Batch::All(listing)]);
}

#[test]
fn a_key_goes_when_its_time_is_over() {
    let (sim, heard) = (Sim::new(), Heard::default());
    let store = Embedded::start(sim.parts(), Options::default(), heard.sink()).unwrap();
    let ttl = Duration::from_millis(40);
    wait(store.write(write(vec![put_for("a", "1", ttl), put("b", "1")]))).unwrap();
    sim.advance(ttl);
    let gone = |key: &str, revision| Batch::Changes {
        revision,
        changes: vec![Change::Delete { key: key.into(), revision }],
    };
    until("the end of a key", || heard.last() == Some(gone("a", 2)));
    assert_eq!(wait(store.get("a")), Ok(None));
    // A value without an end replaces one with.
    wait(store.write(write(vec![put_for("b", "2", ttl)]))).unwrap();
    wait(store.write(write(vec![put("b", "3"), put_for("c", "1", ttl)]))).unwrap();
    drop(store);
    sim.advance(ttl);
    let store = Embedded::start(sim.parts(), Options::default(), heard.sink()).unwrap();
    until("the end of a key after a restart", || heard.last() == Some(gone("c", 5)));
    assert_eq!(texts(&wait(store.list("")).unwrap()), [("b", "3")]);
    assert_eq!(wait(store.history(1)).unwrap()[0].who, "ttl");
}

#[test]
fn history_shows_what_was_and_goes_back() {
    let sim = Sim::new();
    let store = open(&sim);
    wait(store.write(write(vec![put("a", "1"), put("b", "1")]))).unwrap();
    wait(store.new_id()).unwrap();
    wait(store.write(write(vec![put("a", "2"), delete("b"), put("c", "1")]))).unwrap();
    wait(store.write(write(vec![put("a", "3")]))).unwrap();
    let difference = |key: &str, before: Option<&str>, after: Option<&str>| Difference {
        key: key.into(),
        before: before.map(Into::into),
        after: after.map(Into::into),
    };
    let history = wait(store.history(10)).unwrap();
    let revisions: Vec<_> = history.iter().map(|one| one.revision).collect();
    assert_eq!(revisions, [4, 3, 1]);
    assert_eq!(history[0].who, "test");
    assert_eq!(history[0].time, sim.now());
    assert_eq!(
        history[1].changes,
        [
            difference("a", Some("1"), Some("2")),
            difference("b", Some("1"), None),
            difference("c", None, Some("1"))
        ]
    );
    assert_eq!(history[2].changes[0], difference("a", None, Some("1")));
    assert_eq!(wait(store.history(1)).unwrap().len(), 1);
    let forth = wait(store.diff(2, 4)).unwrap();
    assert_eq!(forth[0], difference("a", Some("1"), Some("3")));
    assert_eq!(forth.len(), 3);
    assert_eq!(wait(store.diff(4, 2)).unwrap()[1], difference("b", None, Some("1")));
    assert_eq!(wait(store.diff(3, 3)), Ok(vec![]));
    let newest = 4;
    for asked in [5, u64::MAX] {
        let error = HistoryError::NotKept { asked, oldest: 0, newest };
        assert_eq!(wait(store.diff(0, asked)), Err(error.clone()));
        assert_eq!(wait(store.rollback(asked, "me")), Err(error));
    }
    assert_eq!(wait(store.rollback(2, "me")), Ok(Written { revision: 5, before: vec![1, 0, 1] }));
    assert_eq!(
        wait(store.list("")).unwrap().entries,
        [entry("a", "1", 1, 5), entry("b", "1", 5, 5)]
    );
    assert_eq!(wait(store.history(1)).unwrap()[0].who, "me");
    assert_eq!(wait(store.rollback(4, "me")).unwrap().revision, 6);
    assert_eq!(texts(&wait(store.list("")).unwrap()), [("a", "3"), ("c", "1")]);
    assert_eq!(wait(store.rollback(0, "me")).unwrap().revision, 7);
    assert_eq!(texts(&wait(store.list("")).unwrap()), []);
}

#[test]
fn a_rollback_does_not_bring_back_what_is_over() {
    let sim = Sim::new();
    let store = open(&sim);
    let ttl = Duration::from_secs(100);
    wait(store.write(write(vec![put_for("a", "1", ttl), put_for("b", "1", ttl * 3)]))).unwrap();
    wait(store.write(write(vec![delete("a"), delete("b")]))).unwrap();
    sim.advance(ttl);
    wait(store.rollback(1, "me")).unwrap();
    assert_eq!(texts(&wait(store.list("")).unwrap()), [("b", "1")]);
    sim.advance(ttl * 2);
    assert_eq!(wait(store.new_id()), Ok(5));
    assert_eq!(wait(store.get("b")), Ok(None));
}

#[test]
fn what_is_too_large_is_refused() {
    let sim = Sim::new();
    let store = open(&sim);
    let too_large = |ops| match wait(store.write(write(ops))) {
        Err(StoreError::TooLarge(_)) => {}
        other => panic!("{other:?}"),
    };
    let key = "k".repeat(limits::STORE_KEY_BYTES_MAX + 1);
    too_large(vec![put(&key, "")]);
    too_large(vec![delete(&key)]);
    let value = "v".repeat(limits::STORE_VALUE_BYTES_MAX);
    too_large(vec![put("a", "1"), put("b", &format!("{value}v"))]);
    let all = limits::STORE_WRITE_BYTES_MAX / limits::STORE_VALUE_BYTES_MAX;
    too_large((0..=all).map(|n| put(&n.to_string(), &value)).collect());
    assert_eq!(wait(store.list("")).unwrap(), Listing::default());
    wait(store.write(write(vec![put(&key[1..], &value)]))).unwrap();
    assert_eq!(wait(store.get(&key[1..])).unwrap().unwrap().value.len(), value.len());
}

#[test]
fn a_long_name_is_cut_between_letters() {
    let sim = Sim::new();
    let store = open(&sim);
    let mut long = write(vec![put("a", "1")]);
    long.who = "é".repeat(limits::STORE_WHO_BYTES_MAX) + "!";
    wait(store.write(long)).unwrap();
    let who = &wait(store.history(1)).unwrap()[0].who;
    assert_eq!(*who, "é".repeat(limits::STORE_WHO_BYTES_MAX / 2));
}

#[test]
fn a_released_store_answers_that_it_is() {
    let sim = Sim::new();
    let store = open(&sim);
    wait(store.write(write(vec![put("a", "1")]))).unwrap();
    assert_eq!(wait(store.release()), Ok(()));
    let error = StoreError::Unavailable("handed over".to_owned());
    assert_eq!(wait(store.write(write(vec![]))), Err(error.clone()));
    assert_eq!(wait(store.new_id()), Err(error.clone()));
    assert_eq!(wait(store.get("a")), Err(error.clone()));
    assert_eq!(wait(store.list("")), Err(error.clone()));
    assert_eq!(wait(store.rollback(0, "me")), Err(HistoryError::Store(error.clone())));
    assert_eq!(wait(store.release()), Err(error));
    assert_eq!(texts(&wait(open(&sim).list("")).unwrap()), [("a", "1")]);
}

#[test]
fn a_sink_that_panics_leaves_nobody_waiting() {
    let sim = Sim::new();
    let sink = Box::new(|batch| assert!(matches!(batch, Batch::All(_)), "a sink that fails"));
    let store = Embedded::start(sim.parts(), Options::default(), sink).unwrap();
    assert!(wait(store.write(write(vec![put("a", "1")]))).is_err());
    assert!(wait(store.new_id()).is_err());
    until("the end of reads", || wait(store.get("a")).is_err());
}
