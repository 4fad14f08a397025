//! The disk is full or broken at each operation in turn.

use super::{
    Asked, Batch, Change, Embedded, Heard, Listing, Options, Sim, Store, StoreError, Write, deaf,
    model::{Model, made},
    put, rounds,
    sim::{Ask, Failure},
    until, wait, write,
};
use crate::store::embedded::{
    disk::{self, Disk as _, Watched},
    lock::{self, Lock},
};
use redb::StorageBackend as _;
use std::{collections::BTreeMap, sync::Arc};

/// How long it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    /// One operation.
    Once,
    /// This many.
    Some(u64),
    /// Until somebody comes and mends it.
    Lasting,
}

/// Writes that are asked for at once.
const AT_ONCE: u64 = 3;

/// What a run saw.
#[derive(Debug, Default)]
struct Seen {
    /// The run came to the operation that fails.
    hit: bool,
    /// It failed while the store was opened.
    at_open: bool,
    refused: u64,
    /// A refused write stood in the file and was taken back.
    undone: bool,
}

fn open(sim: &Sim, heard: &Heard) -> Result<Arc<Embedded>, super::OpenError> {
    // No cache: whatever is read is asked of the disk.
    let options = Options { cache_bytes: 0, ..Options::default() };
    Embedded::start(sim.parts(), options, heard.sink())
}

/// Asks for some writes at once; the model takes what was answered.
fn ask(store: &Embedded, model: &mut Model, number: &mut u64, seen: &mut Seen) {
    let writes: Vec<Write> = (0..AT_ONCE).map(|at| made(*number + at)).collect();
    *number += AT_ONCE;
    let asked: Vec<_> = writes.iter().map(|one| Asked::new(store.write(one.clone()))).collect();
    for (asked, write) in asked.into_iter().zip(&writes) {
        match asked.wait() {
            Ok(written) => {
                assert!(written.revision > model.revision);
                model.revision = written.revision - 1;
                assert_eq!(model.write(write, 0), Ok(written.before));
            }
            Err(StoreError::Unavailable(why)) => {
                assert!(why.starts_with("sim: "), "{why}");
                seen.refused += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// What somebody knows who heard all batches; also, that they came in order.
fn told(batches: Vec<Batch>) -> Listing {
    let mut all = BTreeMap::new();
    let (mut revision, mut lost) = (0, false);
    for batch in batches {
        match batch {
            Batch::All(listing) => {
                revision = listing.revision;
                all = listing.entries.into_iter().map(|one| (one.key.clone(), one)).collect();
            }
            Batch::Changes { revision: next, changes } => {
                assert!(next > revision && !lost);
                revision = next;
                for change in changes {
                    match change {
                        Change::Put(entry) => drop(all.insert(entry.key.clone(), entry)),
                        Change::Delete { key, .. } => drop(all.remove(&key)),
                    }
                }
            }
            Batch::Lost(_) => assert!(!std::mem::replace(&mut lost, true)),
            Batch::Found => assert!(std::mem::replace(&mut lost, false)),
        }
    }
    assert!(!lost);
    Listing { entries: all.into_values().collect(), revision }
}

#[track_caller]
fn same(model: &Model, listing: &Listing) {
    // Refused writes may have used up revisions.
    let model = Model { revision: listing.revision, ..model.clone() };
    model.check(listing);
}

/// One run, with a disk that fails at operation `at`.
fn run(failure: Failure, span: Span, at: u64) -> Seen {
    let (sim, mut heard, mut seen) = (Sim::new(), Heard::default(), Seen::default());
    let fails = move |asked: u64| match span {
        Span::Once => asked == at,
        Span::Some(count) => asked >= at && asked < at + count,
        Span::Lasting => asked >= at,
    };
    sim.fail(move |ask, asked| match (ask, failure) {
        // What is there can be read on a full disk, and it takes no room to sync it.
        (Ask::Read | Ask::Sync, Failure::Full) => None,
        (Ask::Read, _) if span != Span::Lasting => None,
        _ => fails(asked).then_some(failure),
    });
    let mut store = open(&sim, &heard);
    if store.is_err() {
        seen.at_open = true;
        sim.heal();
        heard = Heard::default();
        store = open(&sim, &heard);
    }
    let store = store.unwrap();
    let (mut model, mut number) = (Model::default(), 1);
    for _ in 0..5 {
        ask(&store, &mut model, &mut number, &mut seen);
        if let Ok(listing) = wait(store.list("")) {
            same(&model, &listing);
        }
    }
    seen.hit = sim.asked() > at;
    sim.heal();
    let mut id = 0;
    until("a disk that is well again", || wait(store.new_id()).map(|new| id = new).is_ok());
    seen.undone = id > model.revision + 1;
    model.revision = wait(store.list("")).unwrap().revision;
    ask(&store, &mut model, &mut number, &mut Seen::default());
    let listing = wait(store.list("")).unwrap();
    same(&model, &listing);
    same(&model, &told(heard.take()));
    // And what was answered is on the disk, whatever went wrong before.
    sim.fail(|_, _| Some(Failure::Dead));
    drop(store);
    sim.cut(at);
    let store = open(&sim, &Heard::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(wait(store.list("")).unwrap(), listing);
    seen
}

/// All runs of a kind: one for each operation, until a run has no more of them.
fn runs(failure: Failure) {
    let step = if rounds(0) == 0 { 3 } else { 1 };
    let (mut refused, mut undone, mut at_open, mut count) = (0, 0, 0, 0);
    for span in [Span::Once, Span::Some(4), Span::Some(40), Span::Lasting] {
        let mut at = 0;
        loop {
            let seen = run(failure, span, at);
            if !seen.hit && !seen.at_open {
                break;
            }
            refused += seen.refused;
            undone += u64::from(seen.undone);
            at_open += u64::from(seen.at_open);
            count += 1;
            at += step;
        }
        assert!(at > 30, "{at}");
    }
    eprintln!(
        "{failure:?}: {count} runs, {at_open} failed at the start, \
         {refused} writes refused, in {undone} runs some taken back"
    );
    assert!(refused > count && at_open > 0);
    assert!(undone > 0 || failure == Failure::Full);
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    runs(Failure::Full);
}

#[test]
fn a_broken_disk_refuses_and_loses_nothing() {
    runs(Failure::Broken);
}

#[test]
fn a_failed_read_is_answered_and_got_over() {
    let (sim, heard) = (Sim::new(), Heard::default());
    let store = open(&sim, &heard).unwrap();
    wait(store.write(write(vec![put("a", "1")]))).unwrap();
    sim.fail(|ask, _| (ask == Ask::Read).then_some(Failure::Broken));
    assert!(matches!(wait(store.get("a")), Err(StoreError::Unavailable(_))));
    until("the loss", || heard.0.lock().unwrap().iter().any(|one| matches!(one, Batch::Lost(_))));
    assert!(wait(store.write(write(vec![put("a", "2")]))).is_err());
    sim.heal();
    until("reads", || wait(store.get("a")).is_ok());
    assert_eq!(&*wait(store.get("a")).unwrap().unwrap().value, "1");
    until("writes", || wait(store.write(write(vec![put("a", "3")]))).is_ok());
    assert!(told(heard.take()).entries[0].value.starts_with('3'));
}

/// A read that comes between an error and the opening after it is put once more.
#[test]
fn an_error_that_passes_is_not_seen_by_reads() {
    let (sim, heard) = (Sim::new(), Heard::default());
    let store = open(&sim, &heard).unwrap();
    wait(store.write(write(vec![put("a", "1")]))).unwrap();
    for _ in 0..20 {
        let mut left = 1;
        sim.fail(move |ask, _| {
            let fails = ask == Ask::Read && left > 0;
            left -= i32::from(fails);
            fails.then_some(Failure::Broken)
        });
        assert_eq!(&*wait(store.get("a")).unwrap().unwrap().value, "1");
    }
    until("the end of it", || matches!(heard.last(), Some(Batch::Found)));
    assert!(heard.take().iter().any(|one| matches!(one, Batch::Lost(_))));
}

#[test]
fn reads_go_on_while_the_disk_is_full() {
    let (sim, heard) = (Sim::new(), Heard::default());
    let store = open(&sim, &heard).unwrap();
    wait(store.write(write(vec![put("a", "1")]))).unwrap();
    let length = sim.bytes().len() as u64;
    // What the file has it may write anew; it must not grow.
    let filler = "x".repeat(usize::try_from(length).unwrap() * 4);
    sim.fail(|ask, _| (ask == Ask::Length).then_some(Failure::Full));
    for n in 0..20 {
        let _ = wait(store.write(write(vec![put(&format!("b{n}"), &filler)])));
    }
    until("reads", || wait(store.get("a")).is_ok_and(|found| found.is_some()));
    assert!(wait(store.write(write(vec![put("c", &filler)]))).is_err());
    sim.heal();
    until("writes", || wait(store.write(write(vec![put("c", &filler)]))).is_ok());
}

/// After a sync that failed, what can be read is written and synced anew before it is built upon.
#[test]
fn what_a_failed_sync_lost_is_written_again() {
    let sim = Sim::new();
    wait(Embedded::start(sim.parts(), Options::default(), deaf()).unwrap().new_id()).unwrap();
    let seen = Arc::new(disk::Seen::default());
    let mut place = sim.clone();
    let backend = Watched::new(place.open().unwrap().unwrap(), Arc::clone(&seen));
    let before = sim.asked();
    backend.mend().unwrap();
    assert_eq!(sim.asked(), before, "it was well");
    // More than one piece of what is copied at once.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    backend.set_len(bytes.len() as u64).unwrap();
    backend.write(0, &bytes).unwrap();
    sim.fail(|ask, _| (ask == Ask::Sync).then_some(Failure::Broken));
    assert!(backend.sync_data().is_err());
    assert!(backend.mend().is_err());
    sim.heal();
    backend.mend().unwrap();
    for seed in 0..10 {
        sim.cut(seed);
        assert!(sim.bytes() == bytes);
    }
    let before = sim.asked();
    backend.mend().unwrap();
    assert_eq!(sim.asked(), before, "it is well again");
}

#[test]
fn a_failed_sync_is_remembered_by_the_next_process() {
    let temp = super::Temp::new("note");
    std::fs::create_dir(temp.dir()).unwrap();
    let take = || Lock::take(temp.dir()).unwrap();
    let mut first = take();
    assert!(!first.sync_failed());
    first.note_sync_failed(true);
    drop(first);
    // A start that does not come as far as mending does not forget it.
    assert!(take().sync_failed());
    let mut third = take();
    assert!(third.sync_failed());
    third.note_sync_failed(false);
    let text = std::fs::read_to_string(temp.dir().join(lock::FILE)).unwrap();
    assert_eq!(text.trim(), std::process::id().to_string());
    drop(third);
    assert!(!take().sync_failed());
    let store = Embedded::open(temp.dir(), Options::default(), deaf()).unwrap();
    wait(store.new_id()).unwrap();
}
