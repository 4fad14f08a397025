//! Imports and exports of everything at once.

use super::*;

const UPSTREAM: &str = r#"{"id":"u","type":"roundrobin","nodes":{"127.0.0.1:80":1}}"#;
const ROUTE: &str = r#"{"id":"1", "uri":"/a","upstream_id":"u","create_time":7}"#;
const JACK: &str = r#"{"username":"jack","plugins":{"key-auth":{"key":"one"}}}"#;

impl Bench {
    fn import(&self, query: &str, objects: &[(&str, &str)]) -> Answer {
        self.ask("POST", &format!("/moongate/import{query}"), &json!({"objects": objects}))
    }
}

#[track_caller]
fn refused(answer: &Answer, errors: &[(&str, &str)]) {
    answer.status(400);
    let found = answer.json()["errors"].clone();
    let found = found.as_array().unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(found.len(), errors.len(), "{}", answer.text);
    for (found, (key, error)) in found.iter().zip(errors) {
        let said = found["error"].as_str().unwrap();
        assert!(found["key"] == *key && said.contains(error), "{found}: {error}");
    }
}

#[test]
fn texts_are_stored_as_they_came_in_one_write() {
    let bench = Bench::new();
    // In an order in which references come first.
    let objects = [("routes/1", ROUTE), ("upstreams/u", UPSTREAM), ("consumers/jack", JACK)];
    let answer = bench.import("", &objects);
    let none: [Value; 0] = [];
    let warning =
        "consumers/jack: 1 secrets are not encrypted with this keyring, and stay as they are";
    answer.is(
        200,
        &json!({"revision": 1, "written": 3, "deleted": 0, "unchanged": 0,
        "skipped": none, "warnings": [warning]}),
    );
    for (key, text) in objects {
        assert_eq!(bench.store.text(key).as_deref(), Some(text));
    }
    let writes = bench.store.writes();
    assert_eq!((writes.len(), writes[0].who.as_str()), (1, "admin"));
    assert!(bench.notes.lock().unwrap().iter().any(|note| note.contains("3 objects, 0 deleted")));
    // Again: there is something, and nothing is different.
    let again = bench.import("", &objects);
    again.is(
        400,
        &json!({"error_msg": "the store holds 3 objects: say whether to merge or to replace"}),
    );
    assert_eq!(bench.import("?mode=merge", &objects).json()["unchanged"], 3);
    assert_eq!(bench.store.writes().len(), 1);
}

#[test]
fn all_that_is_wrong_is_told_and_nothing_is_written() {
    let bench = Bench::new();
    let answer = bench.import(
        "",
        &[
            ("routes/1", ROUTE),
            ("routes/2", r#"{"uri":5}"#),
            ("routes/3", r#"{"id":"4","uri":"/"}"#),
            ("routes/4", "{"),
            ("routes/5", r#"{"uri":"/","plugins":{"nope":{}}}"#),
            ("consumers/a/credentials/c", r#"{"plugins":{"key-auth":{"key":"x"}}}"#),
            ("consumers/jack", r#"{"username":"jill"}"#),
            ("secrets/vault/1", r#"{"uri":"http://v"}"#),
            ("what/1", "{}"),
            ("plugins", "{}"),
            ("protos/1", r#"{"content":"none"}"#),
            ("protos/1", r#"{"content":"none"}"#),
        ],
    );
    refused(
        &answer,
        &[
            ("protos/1", "more than once"),
            ("plugins", "no list of plugins"),
            ("secrets/vault/1", "property \"prefix\" is required"),
            ("consumers/a/credentials/c", "consumers/a does not exist"),
            ("consumers/jack", "its username is not that of its key"),
            ("routes/1", "failed to fetch upstream info by upstream id [u]"),
            ("routes/2", "property \"uri\""),
            ("routes/3", "its id is not that of its key"),
            ("routes/4", "it is no JSON"),
            ("routes/5", "unknown plugin [nope]"),
            ("what/1", "no object's key"),
        ],
    );
    assert_eq!(bench.store.keys(), [""; 0]);
}

#[test]
fn what_is_wrong_is_left_out_with_all_that_needs_it() {
    let bench = Bench::new();
    bench.store.set("upstreams/old", UPSTREAM);
    let bad = r#"{"type":"none"}"#;
    let objects = [("upstreams/u", bad), ("routes/1", ROUTE), ("services/s", "{}")];
    let answer = bench.import("?mode=merge&skip_invalid=true", &objects);
    answer.status(200);
    let skipped = answer.json()["skipped"].clone();
    let keys: Vec<_> = skipped.as_array().unwrap().iter().map(|s| s["key"].clone()).collect();
    assert_eq!(keys, ["upstreams/u", "routes/1"]);
    assert_eq!(bench.store.keys(), ["services/s", "upstreams/old"]);
    // A good one that is there stays, and what needs it is good.
    bench.store.set("upstreams/u", r#"{"type":"roundrobin","nodes":{}}"#);
    bench.import("?mode=merge&skip_invalid=true", &objects).status(200);
    assert_eq!(bench.store.keys(), ["routes/1", "services/s", "upstreams/old", "upstreams/u"]);
}

#[test]
fn a_replacement_deletes_what_it_does_not_have() {
    let bench = Bench::new();
    bench.store.set("plugins", r#"[{"name":"echo"}]"#);
    bench.store.set("upstreams/old", UPSTREAM);
    bench.store.set("upstreams/u", UPSTREAM);
    let objects = [("upstreams/u", UPSTREAM), ("routes/1", ROUTE)];
    let dry = bench.import("?mode=replace&dry_run=true", &objects);
    assert_eq!((&dry.json()["written"], &dry.json()["deleted"]), (&json!(1), &json!(1)));
    assert_eq!(bench.store.writes().len(), 0);
    bench.import("?mode=replace", &objects).status(200);
    assert_eq!(bench.store.keys(), ["plugins", "routes/1", "upstreams/u"]);
    // What is to go cannot be referred to.
    let answer = bench.import("?mode=replace", &[("routes/1", ROUTE)]);
    refused(&answer, &[("routes/1", "upstream id [u]")]);
}

#[test]
fn keys_of_consumers_and_fields_of_services_are_unique() {
    let bench = Bench::new();
    bench.store.set("consumers/jack", JACK);
    let cost = r#"{"field_path":"Query.a","mul_arguments":["first"]}"#;
    let answer = bench.import(
        "?mode=merge&plain=true",
        &[
            ("consumers/jill", r#"{"username":"jill","plugins":{"key-auth":{"key":"one"}}}"#),
            // A consumer and its own credential may.
            ("consumers/jack/credentials/c", r#"{"plugins":{"key-auth":{"key":"one"}}}"#),
            ("services/s", "{}"),
            ("services/s/graphql_cost_decorations/1", cost),
            ("services/s/graphql_cost_decorations/2", cost),
        ],
    );
    let two = "duplicate field_path found with services/s/graphql_cost_decorations/1";
    let one = "duplicate key of plugin key-auth found with consumers/jack";
    refused(&answer, &[("consumers/jill", one), ("services/s/graphql_cost_decorations/2", two)]);
}

#[test]
fn secrets_of_files_are_encrypted_once_and_shown_plain_to_files() {
    let bench = Bench::new();
    let answer = bench.import("?plain=true", &[("consumers/jack", JACK)]);
    assert_eq!(answer.json()["warnings"], json!([]));
    let sealed = bench.store.text("consumers/jack").unwrap();
    assert!(!sealed.contains("one"), "{sealed}");
    let again = bench.import("?plain=true&mode=merge", &[("consumers/jack", &sealed)]);
    assert_eq!(again.json()["unchanged"], 1);
    let export = |query: &str| {
        let answer = bench.ask("POST", &format!("/moongate/export{query}"), &Value::Null);
        answer.status(200);
        answer.json()["kvs"][0]["value"].clone()
    };
    assert_eq!((export(""), export("?decrypt=true")), (json!(sealed), json!(JACK)));
}

#[test]
fn viewers_export_nothing_and_etcd_has_no_history() {
    let bench = Bench::new();
    let viewer = [("x-api-key", VIEWER_KEY)];
    for path in ["export", "import", "rollback?to=1"] {
        bench.send("POST", &format!("/apisix/admin/moongate/{path}"), &viewer, "").status(401);
    }
    for path in ["history", "diff?from=1"] {
        let answer = bench.send("GET", &format!("/apisix/admin/moongate/{path}"), &viewer, "");
        answer.is(400, &json!({"error_msg": "only the embedded store keeps its history"}));
    }
    bench.ask("GET", "/moongate/other", &Value::Null).status(404);
    bench.send("POST", "/apisix/admin/moongate/export", &[], "").status(401);
}

#[test]
fn who_writes_meanwhile_is_not_overwritten() {
    let bench = Bench::new();
    bench.store.set("upstreams/u", UPSTREAM);
    *bench.store.rival.lock().unwrap() =
        Some(Box::new(|store| store.set("routes/1", r#"{"uri":"/theirs"}"#)));
    let answer = bench.import("?mode=merge", &[("routes/1", ROUTE)]);
    // It was begun anew, and then knew of theirs.
    answer.status(200);
    assert_eq!(bench.store.text("routes/1").as_deref(), Some(ROUTE));
    *bench.store.rival.lock().unwrap() = Some(Box::new(|store| store.clear()));
    let answer = bench.import("?mode=merge", &[("routes/1", ROUTE), ("upstreams/u", UPSTREAM)]);
    assert_eq!(answer.json()["unchanged"], 2, "nothing to write, so nobody was faster");
}
