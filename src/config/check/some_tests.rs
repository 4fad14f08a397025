//! Tests of [`super`]: changes one by one against documents as a whole.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{check::apply, raw::RawDocument, testing::Names};

fn put(kind: Kind, id: &str, value: Value) -> ObjectChange {
    ObjectChange { kind, id: id.to_owned(), now: Some(RawItem::new(id, Ok(value), None)) }
}

fn gone(kind: Kind, id: &str) -> ObjectChange {
    ObjectChange { kind, id: id.to_owned(), now: None }
}

fn lay(prev: &Snapshot, changes: Vec<ObjectChange>) -> Snapshot {
    apply_changes(prev, changes, &mut Names::default()).snapshot
}

#[test]
fn a_change_touches_nothing_else() {
    let first = lay(
        &Snapshot::default(),
        vec![
            put(Kind::Routes, "1", json!({"uri": "/a", "plugins": {"p": {}}})),
            put(Kind::Routes, "2", json!({"uri": "/b", "plugins": {}})),
            put(Kind::Upstreams, "u", json!({"nodes": {"a:1": 1}})),
        ],
    );
    let second = lay(&first, vec![put(Kind::Routes, "1", json!({"uri": "/c", "plugins": {}}))]);
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(first.upstreams.version, second.upstreams.version);
    assert!(Arc::ptr_eq(first.routes.get("2").unwrap(), second.routes.get("2").unwrap()));
    assert_eq!(&*second.routes.get("1").unwrap().typed.uris[0], "/c");
    let same = lay(&second, vec![put(Kind::Routes, "1", json!({"uri": "/c", "plugins": {}}))]);
    assert_eq!((same.version, same.routes.version), (2, second.routes.version));
    let third = lay(&second, vec![gone(Kind::Routes, "1"), gone(Kind::Routes, "nine")]);
    assert_eq!((third.version, third.routes.len()), (3, 1));
}

#[test]
fn what_is_wrong_is_refused_until_it_is_mended_or_gone() {
    let bad = json!({"uri": "/a", "plugins": {"p": {"bad": 1}}});
    let first = lay(&Snapshot::default(), vec![put(Kind::Routes, "1", bad.clone())]);
    assert!(!first.refusals[0].kept && first.routes.is_empty());
    let good = lay(&first, vec![put(Kind::Routes, "1", json!({"uri": "/a", "plugins": {}}))]);
    assert!(good.refusals.is_empty());
    let kept = lay(&good, vec![put(Kind::Routes, "1", bad)]);
    assert!(kept.refusals[0].kept && kept.routes.len() == 1);
    let unreadable = ObjectChange {
        kind: Kind::Services,
        id: "s".into(),
        now: Some(RawItem::new("s", Err("no JSON".into()), None)),
    };
    let two = lay(&kept, vec![unreadable]);
    assert_eq!(two.refusals.len(), 2);
    let none = lay(&two, vec![gone(Kind::Routes, "1"), gone(Kind::Services, "s")]);
    assert!(none.refusals.is_empty() && none.routes.is_empty());
}

#[test]
fn metadata_is_in_force_before_what_depends_on_it() {
    let changes = vec![
        put(Kind::Routes, "1", json!({"uri": "/a", "plugins": {"needs-metadata": {}}})),
        put(Kind::PluginMetadata, "needs-metadata", json!({"x": 1})),
    ];
    assert!(lay(&Snapshot::default(), changes).refusals.is_empty());
}

proptest! {
    /// Whatever happened one by one, the result is that of the last state as a document.
    #[test]
    fn changes_add_up_to_the_document(
        steps in prop::collection::vec((0..3_usize, 0..6_u8, 0..5_u8), 1..60)
    ) {
        let kinds = [Kind::Routes, Kind::Services, Kind::GlobalRules];
        let mut snapshot = Snapshot::default();
        let mut state: BTreeMap<(usize, u8), u8> = BTreeMap::new();
        for (kind, id, what) in steps {
            let text = id.to_string();
            let change = if what == 0 {
                state.remove(&(kind, id));
                gone(kinds[kind], &text)
            } else {
                state.insert((kind, id), what);
                put(kinds[kind], &text, value(kind, id, what))
            };
            snapshot = lay(&snapshot, vec![change]);
        }
        let list = |wanted: usize| -> Value {
            let of = state.iter().filter(|((kind, _), _)| *kind == wanted);
            of.map(|((_, id), what)| {
                value(wanted, *id, *what)
            }).collect()
        };
        let root = json!({"routes": list(0), "services": list(1), "global_rules": list(2)});
        let document = RawDocument::split(root, &|_| None).unwrap();
        let whole = apply(&Snapshot::default(), document, &mut Names::default(), Recheck::All);
        // A refused change leaves the version before it, which a document does not know.
        for route in whole.snapshot.routes.iter() {
            prop_assert_eq!(&snapshot.routes.get(&route.id).unwrap().value, &route.value);
        }
        for service in whole.snapshot.services.iter() {
            prop_assert_eq!(&snapshot.services.get(&service.id).unwrap().value, &service.value);
        }
        for rule in whole.snapshot.global_rules.iter() {
            prop_assert_eq!(&snapshot.global_rules.get(&rule.id).unwrap().value, &rule.value);
        }
        let kept = snapshot.refusals.iter().filter(|refusal| refusal.kept).count();
        let all = snapshot.routes.len() + snapshot.services.len() + snapshot.global_rules.len();
        let want = &whole.snapshot;
        let want = want.routes.len() + want.services.len() + want.global_rules.len();
        prop_assert_eq!(all - kept, want);
        prop_assert_eq!(snapshot.refusals.len(), whole.snapshot.refusals.len());
    }
}

fn value(kind: usize, id: u8, what: u8) -> Value {
    let mut value = match what {
        1 => json!({"plugins": {"p": {"x": 1}}}),
        2 => json!({"plugins": {"p": {"x": 2}}}),
        3 => json!({"plugins": {"p": {"bad": 2}}}),
        _ => json!({"plugins": {}}),
    };
    value["id"] = json!(id);
    if kind == 0 {
        value["uri"] = json!(format!("/{what}"));
    }
    value
}
