//! [`Dict`](super::dict::Dict) against its documentation and against a simple model.

use std::{collections::BTreeMap, sync::Arc, thread};

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::dict::{
    Dict, DictError, ENTRY_OVERHEAD_BYTES, Found, Init, KEY_BYTES_MAX, Life, ONE_SHARD_BYTES_MAX,
    Outcome, Put, Value,
};

const FOREVER: Life = Life { ttl_ms: 0, flags: 0 };
const NOW: u64 = 1_000_000;

fn ok<T>(result: T) -> Outcome<T> {
    Outcome { result: Ok(result), forcible: false }
}

fn failed<T>(error: DictError) -> Outcome<T> {
    Outcome { result: Err(error), forcible: false }
}

fn text(dict: &Dict, key: &str, now_ms: u64) -> Option<Vec<u8>> {
    match dict.get(key.as_bytes(), now_ms).unwrap()?.value {
        Value::Bytes(bytes) => Some(bytes.to_vec()),
        other => panic!("{other:?} is no string"),
    }
}

#[test]
fn every_type_comes_back_with_its_flags() {
    let dict = Dict::new("d", 1 << 20);
    let cases = [
        (Put::Bool(false), Value::Bool(false)),
        (Put::Number(1.5), Value::Number(1.5)),
        (Put::Bytes(b"a\0b"), Value::Bytes(Arc::from(&b"a\0b"[..]))),
    ];
    for (put, value) in cases {
        assert_eq!(dict.set(b"k", put, Life { ttl_ms: 0, flags: 9 }, NOW), ok(()));
        let found = Found { value, flags: 9, stale: false };
        assert_eq!(dict.get(b"k", NOW), Ok(Some(found)));
    }
    assert_eq!(dict.set(b"k", Put::Nil, FOREVER, NOW), ok(()));
    assert_eq!(dict.get(b"k", NOW), Ok(None));
    assert_eq!(dict.free_space(), dict.capacity());
}

#[test]
fn a_bad_key_is_an_error_of_every_operation() {
    let dict = Dict::new("d", 1 << 20);
    let long = vec![b'k'; KEY_BYTES_MAX + 1];
    for (key, error) in [(&b""[..], DictError::EmptyKey), (&long, DictError::KeyTooLong)] {
        assert_eq!(dict.get(key, NOW), Err(error));
        assert_eq!(dict.set(key, Put::Number(1.0), FOREVER, NOW), failed(error));
        assert_eq!(dict.incr(key, 1.0, None, NOW), failed(error));
        assert_eq!(dict.delete(key), Err(error));
        assert_eq!(dict.lpush(key, Put::Number(1.0), NOW), failed(error));
        assert_eq!(dict.lpop(key, NOW), Err(error));
        assert_eq!(dict.llen(key, NOW), Err(error));
        assert_eq!(dict.ttl(key, NOW), Err(error));
        assert_eq!(dict.expire(key, 1, NOW), Err(error));
    }
    assert_eq!(dict.set(&long[1..], Put::Number(1.0), FOREVER, NOW), ok(()));
}

#[test]
fn an_expired_value_is_stale_until_it_is_reclaimed() {
    let dict = Dict::new("d", 4096);
    dict.set(b"k", Put::Bytes(b"v"), Life { ttl_ms: 50, flags: 0 }, NOW);
    assert_eq!(dict.ttl(b"k", NOW + 20), Ok(30));
    assert_eq!(text(&dict, "k", NOW + 50).unwrap(), b"v");
    assert_eq!(dict.get(b"k", NOW + 51), Ok(None));
    assert!(dict.get_stale(b"k", NOW + 51).unwrap().unwrap().stale);
    assert_eq!(dict.ttl(b"k", NOW + 51), Err(DictError::NotFound));
    assert_eq!(dict.expire(b"k", 10, NOW + 51), Err(DictError::NotFound));
    assert_eq!(dict.flush_expired(0, NOW + 51), 1);
    assert_eq!(dict.get_stale(b"k", NOW + 51), Ok(None));
    assert_eq!(dict.free_space(), 4096);
}

#[test]
fn flush_all_hides_everything_and_flush_expired_frees_it() {
    let dict = Dict::new("d", 1 << 20);
    for at in 0..100 {
        dict.set(format!("k{at}").as_bytes(), Put::Number(1.0), FOREVER, NOW);
    }
    assert_eq!(dict.get_keys(1024, NOW).len(), 100);
    assert_eq!(dict.get_keys(7, NOW).len(), 7);
    dict.flush_all();
    assert!(dict.get_keys(0, NOW).is_empty());
    assert!(dict.free_space() < dict.capacity());
    assert_eq!(dict.flush_expired(40, NOW), 40);
    assert_eq!(dict.flush_expired(0, NOW), 60);
    assert_eq!(dict.free_space(), dict.capacity());
}

#[test]
fn incr_follows_its_documentation() {
    let dict = Dict::new("d", 1 << 20);
    let init = Some(Init { value: 10.0, ttl_ms: 100 });
    assert_eq!(dict.incr(b"n", 1.0, None, NOW), failed(DictError::NotFound));
    assert_eq!(dict.incr(b"n", 1.0, init, NOW), ok(11.0));
    assert_eq!(dict.incr(b"n", -2.5, init, NOW + 60), ok(8.5));
    assert_eq!(dict.ttl(b"n", NOW + 60), Ok(40));
    assert_eq!(dict.incr(b"n", 1.0, None, NOW + 101), failed(DictError::NotFound));
    assert_eq!(dict.incr(b"n", 1.0, init, NOW + 101), ok(11.0));
    dict.set(b"s", Put::Bytes(b"1"), FOREVER, NOW);
    assert_eq!(dict.incr(b"s", 1.0, init, NOW), failed(DictError::NotANumber));
}

#[test]
fn the_least_recently_used_goes_first_and_that_is_said() {
    let entry = 1 + ENTRY_OVERHEAD_BYTES;
    let dict = Dict::new("d", 3 * entry);
    for key in ["a", "b", "c"] {
        assert_eq!(dict.set(key.as_bytes(), Put::Bool(true), FOREVER, NOW), ok(()));
    }
    assert!(dict.get(b"a", NOW).unwrap().is_some());
    let evicting = Outcome { result: Ok(()), forcible: true };
    assert_eq!(dict.safe_set(b"d", Put::Bool(true), FOREVER, NOW), failed(DictError::NoMemory));
    assert_eq!(dict.safe_add(b"d", Put::Bool(true), FOREVER, NOW), failed(DictError::NoMemory));
    assert_eq!(dict.set(b"d", Put::Bool(true), FOREVER, NOW), evicting);
    let keys: Vec<Vec<u8>> = dict.get_keys(0, NOW).into_iter().map(Vec::from).collect();
    assert_eq!(keys, [b"d", b"a", b"c"]);
    let big = vec![0; 4 * entry];
    assert_eq!(dict.set(b"e", Put::Bytes(&big), FOREVER, NOW), failed(DictError::NoMemory));
    assert_eq!(dict.get_keys(0, NOW).len(), 3);
}

#[test]
fn safe_set_takes_the_place_of_something_expired() {
    let dict = Dict::new("d", 2 * (1 + ENTRY_OVERHEAD_BYTES));
    dict.set(b"a", Put::Bool(true), Life { ttl_ms: 10, flags: 0 }, NOW);
    dict.set(b"b", Put::Bool(true), FOREVER, NOW);
    assert_eq!(dict.safe_set(b"c", Put::Bool(true), FOREVER, NOW + 11), ok(()));
    assert!(dict.get(b"b", NOW + 11).unwrap().is_some());
}

#[test]
fn one_value_may_fill_a_sharded_dict() {
    let dict = Dict::new("d", 1 << 20);
    for at in 0..5000 {
        dict.set(format!("k{at}").as_bytes(), Put::Number(1.0), FOREVER, NOW);
    }
    let big = vec![b'x'; (1 << 20) - 2 * ENTRY_OVERHEAD_BYTES];
    let stored = dict.set(b"big", Put::Bytes(&big), FOREVER, NOW);
    assert_eq!(stored, Outcome { result: Ok(()), forcible: true });
    assert_eq!(text(&dict, "big", NOW).unwrap().len(), big.len());
}

#[test]
fn lists_follow_their_documentation() {
    let dict = Dict::new("d", 1 << 20);
    assert_eq!(dict.llen(b"l", NOW), Ok(0));
    assert_eq!(dict.lpop(b"l", NOW), Ok(None));
    assert_eq!(dict.rpush(b"l", Put::Bytes(b"b"), NOW), ok(1));
    assert_eq!(dict.lpush(b"l", Put::Number(1.0), NOW), ok(2));
    assert_eq!(dict.rpush(b"l", Put::Bool(true), NOW), failed(DictError::BadValueType));
    assert_eq!(dict.get(b"l", NOW), Err(DictError::IsAList));
    assert_eq!(dict.incr(b"l", 1.0, None, NOW), failed(DictError::NotANumber));
    assert_eq!(dict.rpop(b"l", NOW), Ok(Some(Value::Bytes(Arc::from(&b"b"[..])))));
    assert_eq!(dict.rpop(b"l", NOW), Ok(Some(Value::Number(1.0))));
    assert_eq!(dict.free_space(), dict.capacity());
    dict.set(b"s", Put::Number(1.0), FOREVER, NOW);
    assert_eq!(dict.lpush(b"s", Put::Number(1.0), NOW), failed(DictError::NotAList));
    assert_eq!(dict.llen(b"s", NOW), Err(DictError::NotAList));
    assert_eq!(dict.lpop(b"s", NOW), Err(DictError::NotAList));
    dict.rpush(b"l", Put::Number(1.0), NOW);
    assert_eq!(dict.expire(b"l", 5, NOW), Ok(()));
    assert_eq!(dict.llen(b"l", NOW + 6), Ok(0));
    assert_eq!(dict.rpush(b"l", Put::Number(2.0), NOW + 6), ok(1));
}

#[test]
fn a_growing_list_evicts_nothing_that_lives() {
    let dict = Dict::new("d", 1024);
    dict.set(b"old", Put::Number(1.0), FOREVER, NOW);
    dict.set(b"dead", Put::Number(1.0), Life { ttl_ms: 1, flags: 0 }, NOW - 2);
    let mut pushed = 0;
    loop {
        let outcome = dict.rpush(b"l", Put::Number(1.0), NOW);
        match outcome.result {
            Ok(len) => pushed = len,
            Err(error) => break assert_eq!(error, DictError::NoMemory),
        }
    }
    assert_eq!(dict.llen(b"l", NOW), Ok(pushed));
    assert!(dict.get(b"old", NOW).unwrap().is_some());
    assert_eq!(pushed, (1024 - 3 - 1 - 2 * ENTRY_OVERHEAD_BYTES) / 48);
}

#[test]
fn no_increment_of_any_thread_is_lost() {
    let dict = Arc::new(Dict::new("d", 1 << 20));
    let count = || {
        for at in 0..20_000 {
            let key = [b'k', (at % 7) as u8];
            let init = Some(Init { value: 0.0, ttl_ms: 0 });
            assert!(dict.incr(&key, 1.0, init, NOW).result.is_ok());
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
    let value = |at: u8| match dict.get(&[b'k', at], NOW) {
        Ok(Some(Found { value: Value::Number(number), .. })) => number,
        other => panic!("{other:?}"),
    };
    assert_eq!((0..7).map(value).sum::<f64>(), 80_000.0);
}

#[test]
fn writers_that_fill_every_shard_never_wait_for_ever_and_keep_the_bound() {
    let dict = Arc::new(Dict::new("d", 100_000));
    let fill = |seed: usize| {
        for at in 0..3000 {
            let value = vec![0; (at * 7919 + seed) % 20_000];
            dict.set(format!("{seed}-{}", at % 50).as_bytes(), Put::Bytes(&value), FOREVER, NOW);
        }
    };
    thread::scope(|scope| (0..4).for_each(|seed| drop(scope.spawn(move || fill(seed)))));
    dict.flush_all();
    dict.flush_expired(0, NOW);
    assert_eq!(dict.free_space(), 100_000);
}

#[derive(Debug, Clone)]
enum Op {
    Set(u8, u8, u64),
    Add(u8, u8, u64),
    Replace(u8, u8, u64),
    Incr(u8, Option<u64>),
    Delete(u8),
    Expire(u8, u64),
    FlushAll,
    FlushExpired,
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (key, ttl) = (0..6_u8, prop_oneof![Just(0), 1..20_u64]);
    prop_oneof![
        (key.clone(), any::<u8>(), ttl.clone()).prop_map(|(k, v, t)| Op::Set(k, v, t)),
        (key.clone(), any::<u8>(), ttl.clone()).prop_map(|(k, v, t)| Op::Add(k, v, t)),
        (key.clone(), any::<u8>(), ttl.clone()).prop_map(|(k, v, t)| Op::Replace(k, v, t)),
        (key.clone(), proptest::option::of(ttl.clone())).prop_map(|(k, t)| Op::Incr(k, t)),
        key.clone().prop_map(Op::Delete),
        (key, ttl).prop_map(|(k, t)| Op::Expire(k, t)),
        Just(Op::FlushAll),
        Just(Op::FlushExpired),
        (0..15_u64).prop_map(Op::Wait),
    ]
}

/// What the documentation says, without a bound: value and time of expiry by key.
#[derive(Default)]
struct Model(BTreeMap<u8, (f64, u64)>);

impl Model {
    fn live(&self, key: u8, now: u64) -> Option<f64> {
        self.0.get(&key).filter(|(_, end)| *end == 0 || *end >= now).map(|(value, _)| *value)
    }

    fn put(&mut self, key: u8, value: f64, ttl: u64, now: u64) {
        self.0.insert(key, (value, if ttl == 0 { 0 } else { now + ttl }));
    }
}

/// Applies one operation to both and compares what they return.
fn step(dict: &Dict, model: &mut Model, op: &Op, now: &mut u64) {
    let life = |ttl_ms| Life { ttl_ms, flags: 0 };
    let number = |value: u8| Put::Number(value.into());
    match *op {
        Op::Set(key, value, ttl) => {
            assert_eq!(dict.set(&[key], number(value), life(ttl), *now), ok(()));
            model.put(key, value.into(), ttl, *now);
        }
        Op::Add(key, value, ttl) => {
            let live = model.live(key, *now).is_some();
            let expected = if live { failed(DictError::Exists) } else { ok(()) };
            assert_eq!(dict.add(&[key], number(value), life(ttl), *now), expected);
            if !live {
                model.put(key, value.into(), ttl, *now);
            }
        }
        Op::Replace(key, value, ttl) => {
            let live = model.live(key, *now).is_some();
            let expected = if live { ok(()) } else { failed(DictError::NotFound) };
            assert_eq!(dict.replace(&[key], number(value), life(ttl), *now), expected);
            if live {
                model.put(key, value.into(), ttl, *now);
            }
        }
        Op::Incr(key, ttl) => {
            let init = ttl.map(|ttl_ms| Init { value: 0.0, ttl_ms });
            let expected = match (model.live(key, *now), ttl) {
                (Some(value), _) => Ok(value + 1.0),
                (None, Some(_)) => Ok(1.0),
                (None, None) => Err(DictError::NotFound),
            };
            assert_eq!(dict.incr(&[key], 1.0, init, *now).result, expected);
            match (model.live(key, *now), ttl) {
                (Some(value), _) => model.0.get_mut(&key).unwrap().0 = value + 1.0,
                (None, Some(ttl)) => model.put(key, 1.0, ttl, *now),
                (None, None) => {}
            }
        }
        Op::Delete(key) => {
            assert_eq!(dict.delete(&[key]), Ok(()));
            model.0.remove(&key);
        }
        Op::Expire(key, ttl) => {
            let live = model.live(key, *now);
            let expected = live.map(drop).ok_or(DictError::NotFound);
            assert_eq!(dict.expire(&[key], ttl, *now), expected);
            if let Some(value) = live {
                model.put(key, value, ttl, *now);
            }
        }
        Op::FlushAll => {
            dict.flush_all();
            model.0.values_mut().for_each(|entry| entry.1 = 1);
        }
        Op::FlushExpired => {
            let before = model.0.len();
            model.0.retain(|_, (_, end)| *end == 0 || *end >= *now);
            assert_eq!(dict.flush_expired(0, *now), before - model.0.len());
        }
        Op::Wait(ms) => *now += ms,
    }
}

proptest! {
    #[test]
    fn a_dict_behaves_as_its_model(ops in proptest::collection::vec(op(), 1..60), big: bool) {
        let dict = Dict::new("d", if big { 1 << 20 } else { ONE_SHARD_BYTES_MAX });
        let (mut model, mut now) = (Model::default(), NOW);
        for op in &ops {
            step(&dict, &mut model, op, &mut now);
            for key in 0..6_u8 {
                let found = dict.get(&[key], now).unwrap().map(|found| found.value);
                assert_eq!(found, model.live(key, now).map(Value::Number));
                let stale = dict.get_stale(&[key], now).unwrap().map(|found| found.value);
                assert_eq!(stale, model.0.get(&key).map(|(value, _)| Value::Number(*value)));
            }
            let held = dict.capacity() - dict.free_space();
            assert_eq!(held, model.0.len() * (1 + ENTRY_OVERHEAD_BYTES));
        }
    }
}
