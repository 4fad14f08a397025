//! The power is cut at any moment; of what was not synced, chance decides what the disk has.

use super::{
    Asked, Dice, Embedded, Options, Sim, Store, deaf,
    model::{Replay, made},
    rounds,
    sim::{Ask, Failure},
    wait,
};
use crate::store::Written;
use std::collections::VecDeque;

/// Writes until the disk dies under it; returns the last revision that was answered.
fn write_until_dead(store: &Embedded, from: u64, at_once: usize) -> u64 {
    let (mut next, mut answered) = (from, from);
    let mut under_way: VecDeque<(u64, Asked<'_, Written>)> = VecDeque::new();
    loop {
        while under_way.len() < at_once {
            next += 1;
            under_way.push_back((next, Asked::new(store.write(made(next)))));
        }
        let Some((revision, answer)) = under_way.pop_front() else { return answered };
        assert!(next - from < 100_000, "the disk does not die");
        match answer.wait() {
            Ok(written) => {
                assert_eq!(written.revision, revision);
                answered = revision;
            }
            Err(_) => return answered,
        }
    }
}

#[test]
fn a_cut_loses_nothing_that_was_answered() {
    let rounds = rounds(150);
    let mut dice = Dice(3);
    let mut replay = Replay::default();
    let mut sim = Sim::new();
    let (mut answered, mut total, mut unanswered) = (0, 0, 0);
    for round in 0..rounds {
        if round % 25 == 24 {
            total += answered;
            answered = 0;
            sim = Sim::new();
        }
        // In the first operations it is still opened, and repaired after the last cut.
        let left = dice.below(if round % 4 == 0 { 30 } else { 400 });
        let end = sim.asked() + left;
        sim.fail(move |_, asked| (asked >= end).then_some(Failure::Dead));
        if let Ok(store) = Embedded::start(sim.parts(), Options::default(), deaf()) {
            let from = wait(store.list("")).map_or(answered, |listing| listing.revision);
            assert!(from >= answered);
            answered = write_until_dead(&store, from, 1 + dice.size(8));
        }
        sim.cut(dice.next());
        if dice.below(3) == 0 {
            // The next start is cut off, too.
            continue;
        }
        let store = Embedded::start(sim.parts(), Options::default(), deaf());
        let store = store.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let listing = wait(store.list("")).unwrap();
        assert!(listing.revision >= answered, "round {round}: {answered} was answered");
        unanswered += listing.revision - answered;
        replay.at(listing.revision).check(&listing);
        answered = listing.revision;
    }
    total += answered;
    eprintln!("{rounds} cuts, {total} writes kept, {unanswered} of them not answered");
    assert!(total > rounds, "{total}");
}

/// The test of the test: a disk that does not keep what was synced is found out.
#[test]
fn a_disk_that_lies_is_noticed() {
    let mut lost = 0;
    for seed in 0..20 {
        let sim = Sim::new();
        let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
        wait(store.write(made(1))).unwrap();
        sim.fail(|ask, _| (ask == Ask::Sync).then_some(Failure::Lie));
        for revision in 2..20 {
            wait(store.write(made(revision))).unwrap();
        }
        sim.fail(|_, _| Some(Failure::Dead));
        drop(store);
        sim.cut(seed);
        // Or it does not even open.
        let store = Embedded::start(sim.parts(), Options::default(), deaf());
        let kept = store.is_ok_and(|store| wait(store.list("")).unwrap().revision == 19);
        lost += u32::from(!kept);
    }
    assert!(lost > 5, "{lost}");
}
