//! Any sequence of requests does to the store what it does to a model of it.

use super::{
    Dice, Difference, Embedded, Expect, HistoryError, Op, Options, Sim, Store, StoreError, Write,
    deaf,
    model::{Item, Model},
    put, wait, write,
};
use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// One request, or what else happens.
#[derive(Debug, Clone)]
enum Step {
    /// A write; `Expect::Modified` counts back from the last revision.
    Write(Write),
    NewId,
    /// Back by so many revisions.
    Rollback(u64),
    Diff(u64, u64),
    History(usize),
    Pass(Duration),
    Reopen,
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "routes/1",
            "routes/10",
            "routes/2",
            "routes",
            "s/é",
            "s/\u{10ffff}"
        ])
        .prop_map(str::to_owned),
        "[a-c]{1,2}",
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let ttl = prop::option::weighted(0.2, (0_u64..50).prop_map(Duration::from_millis));
    prop_oneof![
        6 => (key(), "[x-z]{0,40}", ttl)
            .prop_map(|(key, value, ttl)| Op::Put { key, value, ttl }),
        2 => key().prop_map(Op::Delete),
        1 => prop_oneof![Just(String::new()), key(), Just("rou".to_owned())]
            .prop_map(Op::DeletePrefix),
    ]
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![Just(Expect::Absent), Just(Expect::Present), (0_u64..4).prop_map(Expect::Modified)]
}

fn step() -> impl Strategy<Value = Step> {
    let when = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((key(), expect()), 1..3)
    ];
    let write = (when, prop::collection::vec(op(), 0..5), "[a-z]{0,9}")
        .prop_map(|(when, ops, who)| Step::Write(Write { when, ops, who }));
    prop_oneof![
        10 => write,
        1 => Just(Step::NewId),
        1 => (0_u64..12).prop_map(Step::Rollback),
        1 => (0_u64..12, 0_u64..12).prop_map(|(from, to)| Step::Diff(from, to)),
        1 => (0_usize..12).prop_map(Step::History),
        1 => (0_u64..60).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        1 => Just(Step::Reopen),
    ]
}

type Items = BTreeMap<String, Item>;

/// A revision in the model's history.
struct Past {
    revision: u64,
    who: String,
    size: u64,
}

/// The store, the model, and what the model's history should be.
struct Run {
    sim: Sim,
    options: Options,
    store: Arc<Embedded>,
    model: Model,
    /// All items at each revision, from 0.
    states: Vec<Items>,
    history: VecDeque<Past>,
    floor: u64,
}

impl Run {
    fn new(revisions: u64, bytes: u64) -> Self {
        let sim = Sim::new();
        let options =
            Options { history_revisions: revisions, history_bytes: bytes, ..Options::default() };
        Self {
            store: Embedded::start(sim.parts(), options, deaf()).unwrap(),
            sim,
            options,
            model: Model::default(),
            states: vec![Items::new()],
            history: VecDeque::new(),
            floor: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.sim.now().as_millis()).unwrap()
    }

    /// The model came to a new revision, in which these keys were touched.
    fn came(&mut self, who: &str, touched: impl Fn(&str, Option<&Item>, Option<&Item>) -> bool) {
        let (old, new) = (self.states.last().unwrap(), &self.model.items);
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let (mut size, mut changed) = (16 + who.len(), false);
        for key in keys {
            if touched(key, old.get(key), new.get(key)) {
                changed = true;
                size += 9 + key.len() + old.get(key).map_or(0, |item| 32 + item.text.len());
            }
        }
        self.states.push(new.clone());
        assert_eq!(self.states.len() as u64, self.model.revision + 1);
        if !changed {
            return;
        }
        let (revision, who, size) = (self.model.revision, who.to_owned(), size as u64);
        self.history.push_back(Past { revision, who, size });
        let sum = |history: &VecDeque<Past>| history.iter().map(|one| one.size).sum::<u64>();
        while self.history.len() as u64 > self.options.history_revisions
            || sum(&self.history) > self.options.history_bytes
        {
            self.floor = self.history.pop_front().unwrap().revision;
        }
    }

    /// Whatever is written, first goes what is over.
    fn expire(&mut self) {
        let now = self.now_ms();
        if self.model.expire(now) {
            self.came("ttl", |_, _, new| new.is_none());
        }
    }

    fn write(&mut self, write: &Write) {
        self.expire();
        let mut write = write.clone();
        for (_, expect) in &mut write.when {
            if let Expect::Modified(back) = expect {
                *expect = Expect::Modified(self.model.revision.saturating_sub(*back));
            }
        }
        let answer = wait(self.store.write(write.clone()));
        match self.model.write(&write, self.now_ms()) {
            Ok(before) => {
                let answer = answer.unwrap();
                assert_eq!((answer.revision, answer.before), (self.model.revision, before));
                let touched = |key: &str, _: Option<&Item>, new: Option<&Item>| {
                    let revision = self.model.revision;
                    new.is_none_or(|item| item.modified == revision)
                        && write.ops.iter().any(|op| match op {
                            Op::Put { key: own, .. } | Op::Delete(own) => own == key,
                            Op::DeletePrefix(prefix) => key.starts_with(prefix),
                        })
                };
                // Borrowed whole by the closure otherwise.
                let keys: BTreeSet<String> = {
                    let old = self.states.last().unwrap();
                    let all = old.keys().chain(self.model.items.keys());
                    all.filter(|key| touched(key, old.get(*key), self.model.items.get(*key)))
                        .cloned()
                        .collect()
                };
                self.came(&write.who, |key, _, _| keys.contains(key));
            }
            Err(key) => assert_eq!(answer, Err(StoreError::Conflict(key))),
        }
    }

    fn not_kept(&self, asked: u64) -> Option<HistoryError> {
        let (oldest, newest) = (self.floor, self.model.revision);
        (asked < oldest || asked > newest).then_some(HistoryError::NotKept {
            asked,
            oldest,
            newest,
        })
    }

    fn rollback(&mut self, back: u64) {
        self.expire();
        // Sometimes to one that is yet to come.
        let to = (self.model.revision + 1).saturating_sub(back);
        let answer = wait(self.store.rollback(to, "back"));
        if let Some(error) = self.not_kept(to) {
            assert_eq!(answer, Err(error));
            return;
        }
        self.model.revision += 1;
        let (revision, now) = (self.model.revision, self.now_ms());
        let old = self.model.items.clone();
        let then = self.states[usize::try_from(to).unwrap()].clone();
        let then = then.into_iter().filter(|(_, item)| item.expires_ms.is_none_or(|at| at > now));
        self.model.items = then
            .map(|(key, item)| match old.get(&key) {
                Some(found) if found.text == item.text && found.expires_ms == item.expires_ms => {
                    (key, found.clone())
                }
                found => {
                    let created = found.map_or(revision, |found| found.created);
                    (key, Item { created, modified: revision, ..item })
                }
            })
            .collect();
        self.came("back", |_, old, new| old != new);
        assert_eq!(answer.unwrap().revision, revision);
    }

    fn diff(&self, from: u64, to: u64) {
        let newest = self.model.revision;
        let (from, to) = ((newest + 1).saturating_sub(from), (newest + 1).saturating_sub(to));
        let answer = wait(self.store.diff(from, to));
        if let Some(error) = self.not_kept(from).or_else(|| self.not_kept(to)) {
            assert_eq!(answer, Err(error));
            return;
        }
        let at = |revision: u64| &self.states[usize::try_from(revision).unwrap()];
        assert_eq!(answer.unwrap(), differences(at(from), at(to)));
    }

    fn history(&self, limit: usize) {
        let found = wait(self.store.history(limit)).unwrap();
        let expected = self.history.iter().rev().take(limit);
        assert_eq!(found.len(), expected.len());
        for (found, past) in found.iter().zip(expected) {
            assert_eq!((found.revision, &found.who), (past.revision, &past.who));
            let at = usize::try_from(past.revision).unwrap();
            let changed = found.changes.iter().filter(|one| one.before != one.after).cloned();
            assert!(changed.eq(differences(&self.states[at - 1], &self.states[at])));
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(write) => self.write(write),
            Step::NewId => {
                self.expire();
                assert_eq!(wait(self.store.new_id()), Ok(self.model.revision + 1));
                self.model.revision += 1;
                self.states.push(self.model.items.clone());
            }
            Step::Rollback(back) => self.rollback(*back),
            Step::Diff(from, to) => self.diff(*from, *to),
            Step::History(limit) => self.history(*limit),
            Step::Pass(time) => self.sim.advance(*time),
            Step::Reopen => {
                wait(self.store.release()).unwrap();
                self.store = Embedded::start(self.sim.parts(), self.options, deaf()).unwrap();
            }
        }
        let now = self.now_ms();
        if self.model.clone().expire(now) {
            // Otherwise the thread may or may not have woken by itself.
            self.write(&Write::default());
        }
        let listing = wait(self.store.list("")).unwrap();
        self.model.check(&listing);
        for prefix in ["routes/1", "s/", "b", "\u{10ffff}"] {
            let found = wait(self.store.list(prefix)).unwrap().entries;
            let all = listing.entries.iter().filter(|entry| entry.key.starts_with(prefix));
            assert!(found.iter().eq(all), "{prefix}");
        }
        for key in ["routes/1", "routes", "a"] {
            let found = wait(self.store.get(key)).unwrap();
            assert_eq!(found.as_ref(), listing.entries.iter().find(|entry| &*entry.key == key));
        }
    }
}

fn differences(from: &Items, to: &Items) -> Vec<Difference> {
    let text = |items: &Items, key: &str| items.get(key).map(|item| item.text.as_str().into());
    let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    keys.into_iter()
        .map(|key| {
            let (before, after) = (text(from, key), text(to, key));
            Difference { key: key.as_str().into(), before, after }
        })
        .filter(|one| one.before != one.after)
        .collect()
}

/// Cases of a property.
fn cases() -> proptest::test_runner::Config {
    let cases = u32::try_from(super::rounds(60)).unwrap();
    proptest::test_runner::Config {
        failure_persistence: None,
        ..proptest::test_runner::Config::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_store_does_what_its_model_does(
        steps in prop::collection::vec(step(), 1..60),
        bounds in prop_oneof![
            Just((1_000, 64 << 20)),
            (1_u64..8).prop_map(|revisions| (revisions, 64 << 20)),
            (0_u64..600).prop_map(|bytes| (1_000, bytes)),
            Just((4, 300)),
        ],
    ) {
        let mut run = Run::new(bounds.0, bounds.1);
        for step in &steps {
            run.step(step);
        }
        // All that is kept can be gone back to, and shown.
        run.history(usize::MAX);
        for back in 0..run.states.len() as u64 + 1 {
            run.diff(back, 1);
        }
    }
}

#[test]
fn a_thousand_revisions_are_kept() {
    let sim = Sim::new();
    let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
    for n in 1..=1_100 {
        wait(store.write(write(vec![put(&format!("k{}", n % 7), &n.to_string())]))).unwrap();
        if n % 10 == 0 {
            // Those that change nothing take nobody's place.
            wait(store.new_id()).unwrap();
        }
    }
    let history = wait(store.history(usize::MAX)).unwrap();
    assert_eq!(history.len(), 1_000);
    let oldest = history.last().unwrap().revision;
    assert_eq!(&*history.last().unwrap().changes[0].after.clone().unwrap(), "101");
    let floor = oldest - 2;
    let error = HistoryError::NotKept { asked: floor - 1, oldest: floor, newest: 1_210 };
    assert_eq!(
        error.to_string(),
        format!("revision {} is not in the history, which is kept from {floor} to 1210", floor - 1)
    );
    assert_eq!(wait(store.rollback(floor - 1, "me")), Err(error));
    wait(store.rollback(floor, "me")).unwrap();
    let values: Vec<u32> = wait(store.list(""))
        .unwrap()
        .entries
        .iter()
        .map(|entry| entry.value.parse().unwrap())
        .collect();
    assert_eq!(values, [98, 99, 100, 94, 95, 96, 97]);
}

#[test]
fn no_more_than_64_mb_of_history_are_kept() {
    let sim = Sim::new();
    let store = Embedded::start(sim.parts(), Options::default(), deaf()).unwrap();
    let mut dice = Dice(9);
    for n in 0..100_u64 {
        let value = format!(
            "{n}{}",
            char::from(b'a' + u8::try_from(dice.below(26)).unwrap()).to_string().repeat(1 << 20)
        );
        wait(store.write(write(vec![put("big", &value)]))).unwrap();
    }
    let history = wait(store.history(usize::MAX)).unwrap();
    let bytes: usize = history
        .iter()
        .flat_map(|one| &one.changes)
        .map(|one| one.before.as_ref().map_or(0, |text| text.len()))
        .sum();
    assert!(bytes <= 64 << 20, "{bytes}");
    assert_eq!(history.len(), 63);
    drop(history);
    // One that is larger by itself is not kept, and nothing before it.
    let half = "x".repeat(15 << 20);
    wait(store.write(write((0..5).map(|n| put(&format!("half{n}"), &half)).collect()))).unwrap();
    wait(store.write(write(vec![Op::DeletePrefix("half".to_owned())]))).unwrap();
    assert_eq!(wait(store.history(usize::MAX)).unwrap(), []);
    let error = HistoryError::NotKept { asked: 101, oldest: 102, newest: 102 };
    assert_eq!(wait(store.rollback(101, "me")), Err(error));
    assert!(wait(store.rollback(102, "me")).unwrap().before.is_empty());
}
