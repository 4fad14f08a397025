//! Writes of ours and of others.

use std::{collections::BTreeSet, time::Duration};

use moongate::store::{Expect, Op, Store, StoreError};

use crate::{
    seen::{Tried, block, options, put},
    server::{Folder, Server},
};

#[test]
fn a_write_happens_as_a_whole_or_not_at_all() {
    let folder = Folder::new("writes");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    let first = tried.put("routes/1", "{}").unwrap();
    assert_eq!(first.before, [0]);
    assert_eq!(tried.put("routes/1", "{\"a\":1}").unwrap().before, [1]);

    let when = |key: &str, expect| vec![(key.to_owned(), expect)];
    let conflict = |key: &str| Err(StoreError::Conflict(key.to_owned()));
    let put_two = || vec![put("routes/2", "{}")];
    assert_eq!(tried.write(when("routes/1", Expect::Absent), put_two()), conflict("routes/1"));
    assert_eq!(tried.write(when("routes/9", Expect::Present), put_two()), conflict("routes/9"));
    let old = Expect::Modified(first.revision);
    assert_eq!(tried.write(when("routes/1", old), put_two()), conflict("routes/1"));
    assert_eq!(tried.get("routes/2"), None);
    let new = Expect::Modified(block(tried.store.get("routes/1")).unwrap().unwrap().modified);
    let mut both = when("routes/1", new);
    both.extend(when("routes/2", Expect::Absent));
    let written = tried.write(both, put_two()).unwrap();
    assert_eq!(written.revision, first.revision + 2);

    for number in 3..8 {
        tried.put(&format!("routes/{number}"), "{}").unwrap();
    }
    let ops = vec![Op::DeletePrefix("routes/".to_owned()), Op::Delete("services/1".to_owned())];
    assert_eq!(tried.write(Vec::new(), ops).unwrap().before, [7, 0]);
    tried.until("all are gone", |seen| seen.content.is_empty() && seen.revision > 0);
    let listing = block(tried.store.list("")).unwrap();
    assert!(listing.entries.is_empty());
    let id = block(tried.store.new_id()).unwrap();
    assert_eq!(block(tried.store.new_id()).unwrap(), id + 1);
    assert_eq!(server.ctl(&["get", "--print-value-only", "/apisix/gen_id"]).trim(), "1");
    assert_eq!(tried.get("gen_id"), None);
}

#[test]
fn what_lives_for_a_time_goes_by_itself() {
    let folder = Folder::new("ttl");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    let ttl = Some(Duration::from_millis(1500));
    let op = Op::Put { key: "routes/1".to_owned(), value: "{}".to_owned(), ttl };
    tried.write(Vec::new(), vec![op]).unwrap();
    assert!(tried.get("routes/1").is_some());
    tried.until("it is gone", |seen| seen.revision > 0 && seen.content.is_empty());
    // One that was refused leaves no lease behind.
    let when = vec![("routes/1".to_owned(), Expect::Present)];
    let ttl = Some(Duration::from_secs(3600));
    let op = Op::Put { key: "routes/1".to_owned(), value: "{}".to_owned(), ttl };
    assert!(tried.write(when, vec![op]).is_err());
    assert!(server.ctl(&["lease", "list"]).starts_with("found 0"));
}

/// What a write comes to, step by step.
fn model(content: &mut BTreeSet<String>, ops: &[Op]) -> Vec<usize> {
    let step = |op: &Op| match op {
        Op::Put { key, .. } => usize::from(!content.insert(key.clone())),
        Op::Delete(key) => usize::from(content.remove(key)),
        Op::DeletePrefix(prefix) => {
            let before = content.len();
            content.retain(|key| !key.starts_with(prefix));
            before - content.len()
        }
    };
    ops.iter().map(step).collect()
}

#[test]
fn steps_that_meet_come_to_what_they_come_to_one_after_another() {
    const KEYS: [&str; 6] = ["a/1", "a/10", "a/b/1", "a/b/2", "b/1", "c"];
    const PREFIXES: [&str; 6] = ["a/", "a/b/", "b/", "", "a/1", "c"];
    let folder = Folder::new("steps");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    let mut content = BTreeSet::new();
    // A generator of numbers that is the same in each run.
    let mut state = 1_u64;
    let mut any = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    for round in 0..400 {
        let mut ops = Vec::new();
        for _ in 0..=any(5) {
            ops.push(match any(5) {
                0 => Op::Delete(KEYS[any(6)].to_owned()),
                1 => Op::DeletePrefix(PREFIXES[any(6)].to_owned()),
                _ => put(KEYS[any(6)], &format!("{round}")),
            });
        }
        let expected = model(&mut content, &ops);
        let written = tried.write(Vec::new(), ops.clone()).unwrap();
        assert_eq!(written.before, expected, "{ops:?}");
    }
    tried.put("last", "{}").unwrap();
    content.insert("last".to_owned());
    tried.until("the last change", |seen| seen.value("last").is_some());
    let seen = tried.seen.lock().unwrap();
    assert!(seen.content.keys().eq(&content), "{:?} is not {content:?}", seen.content);
}

#[test]
fn the_last_of_several_values_of_a_key_counts() {
    let folder = Folder::new("twice");
    let server = Server::alone(&folder.0);
    let tried = Tried::ready(options(&[server.url()]), None);
    let ops = vec![
        put("routes/1", "1"),
        put("routes/2", "2"),
        Op::DeletePrefix("routes/".to_owned()),
        put("routes/1", "3"),
        put("routes/1", "4"),
    ];
    assert_eq!(tried.write(Vec::new(), ops).unwrap().before, [0, 0, 2, 0, 1]);
    assert_eq!(tried.get("routes/1").as_deref(), Some("4"));
    assert_eq!(tried.get("routes/2"), None);
    tried.until("it is told", |seen| seen.value("routes/1") == Some("4"));
}
