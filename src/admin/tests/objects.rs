//! What the table of cases cannot say in one line.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use super::{Bench, now};

fn upstream() -> Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}})
}

#[test]
fn an_object_has_its_times_and_its_revisions() {
    let bench = Bench::new();
    let put = bench.ask("PUT", "/routes/1", &json!({"uri": "/a", "upstream": upstream()}));
    put.status(201);
    let value = put.json()["value"].clone();
    assert_eq!(value["id"], "1");
    assert!(value["create_time"].as_u64() > Some(1_600_000_000));
    assert_eq!(value["create_time"], value["update_time"]);
    assert_eq!(value.get("priority"), None, "defaults are not stored");
    let got = bench.ask("GET", "/routes/1", &Value::Null);
    let item = json!({
        "key": "/apisix/routes/1", "value": value, "createdIndex": 1, "modifiedIndex": 1,
    });
    got.is(200, &item);
    bench.store.set("routes/1", r#"{"uri":"/a","id":"1","create_time":7,"update_time":8}"#);
    let put = bench.ask("PUT", "/routes/1", &json!({"uri": "/b", "upstream": upstream()}));
    put.status(200);
    assert_eq!(put.json()["value"]["create_time"], 7);
    assert!(put.json()["value"]["update_time"].as_u64() > Some(8));
}

#[test]
fn an_id_is_made_of_a_revision() {
    let bench = Bench::new();
    bench.store.set("x", "");
    let post = bench.ask("POST", "/routes", &json!({"uri": "/a", "upstream": upstream()}));
    post.status(201);
    assert_eq!(post.json()["key"], "/apisix/routes/00000000000000000002");
    assert_eq!(post.json()["value"]["id"], "00000000000000000002");
}

#[test]
fn a_write_holds_what_it_refers_to() {
    let bench = Bench::new();
    bench.ask("PUT", "/upstreams/1", &upstream()).status(201);
    let route = json!({"uri": "/a", "upstream_id": "1"});
    let rival = |store: &super::Memory| store.clear();
    *bench.store.rival.lock().unwrap() = Some(Box::new(rival));
    let error = "failed to fetch upstream info by upstream id [1], response code: 404";
    bench.ask("PUT", "/routes/1", &route).is(400, &json!({"error_msg": error}));
    assert_eq!(bench.store.text("routes/1"), None);
}

#[test]
fn of_two_patches_at_once_one_is_refused() {
    let bench = Bench::new();
    bench.ask("PUT", "/upstreams/1", &upstream()).status(201);
    let rival = |store: &super::Memory| store.set("upstreams/1", r#"{"type":"chash"}"#);
    *bench.store.rival.lock().unwrap() = Some(Box::new(rival));
    let patch = bench.ask("PATCH", "/upstreams/1", &json!({"desc": "x"}));
    patch.is(503, &json!({"error_msg": "value changed before overwritten"}));
    assert_eq!(bench.store.text("upstreams/1").unwrap(), r#"{"type":"chash"}"#);
}

#[test]
fn a_store_that_is_away_is_told() {
    let bench = Bench::new();
    bench.store.down.store(true, Ordering::SeqCst);
    let error = json!({"error_msg": "the store is away"});
    let route = json!({"uri": "/a", "upstream": upstream()});
    bench.ask("GET", "/routes", &Value::Null).is(503, &error);
    bench.ask("GET", "/routes/1", &Value::Null).is(503, &error);
    bench.ask("PUT", "/routes/1", &route).is(503, &error);
    bench.ask("POST", "/routes", &route).is(503, &error);
    bench.ask("PATCH", "/routes/1", &route).is(503, &error);
    bench.ask("DELETE", "/routes/1", &Value::Null).is(503, &error);
    let route = json!({"uri": "/a", "upstream_id": "1"});
    let error = "failed to fetch upstream info by upstream id [1]: the store is away";
    bench.ask("PUT", "/routes/1", &route).is(503, &json!({"error_msg": error}));
}

#[test]
fn a_time_to_live_reaches_the_store() {
    let bench = Bench::new();
    for (ttl, seconds) in [("5", 5), ("0", 1), ("-3", 1), ("0x10", 16), ("1e99", 9_000_000_000)] {
        bench.ask("PUT", &format!("/upstreams/1?ttl={ttl}"), &upstream());
        assert_eq!(bench.store.ttl("upstreams/1"), Some(Duration::from_secs(seconds)), "{ttl}");
    }
}

#[test]
fn changes_are_noted_with_who_made_them() {
    let bench = Bench::new();
    bench.ask("PUT", "/upstreams/1", &upstream()).status(201);
    bench.ask("PATCH", "/upstreams/1", &json!({"desc": "x"})).status(200);
    bench.ask("DELETE", "/upstreams/2", &Value::Null).status(404);
    bench.ask("DELETE", "/upstreams/1", &Value::Null).status(200);
    let notes = bench.notes.lock().unwrap().clone();
    let note = |what: &str, revision: u64| {
        format!(
            "Changed {{ who: \"admin\", address: 127.0.0.1, what: {what:?}, key: \"upstreams/1\", \
             revision: {revision} }}"
        )
    };
    assert_eq!(notes, [note("PUT", 1), note("PATCH", 2), note("DELETE", 4)]);
    assert!(bench.store.writes().iter().all(|write| write.who == "admin"));
}

#[test]
fn what_belongs_to_an_object_goes_with_it() {
    let bench = Bench::new();
    let keys = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    bench.ask("PUT", "/consumers", &json!({"username": "jack"})).status(201);
    bench.ask("PUT", "/consumers", &json!({"username": "jackie"})).status(201);
    let credential = |key: &str| json!({"plugins": {"key-auth": {"key": key}}});
    bench.ask("PUT", "/consumers/jack/credentials/a", &credential("k-1")).status(201);
    bench.ask("PUT", "/consumers/jackie/credentials/a", &credential("k-2")).status(201);
    bench.ask("DELETE", "/consumers/jack", &Value::Null).status(200);
    assert_eq!(bench.store.keys(), keys(&["consumers/jackie", "consumers/jackie/credentials/a"]));
    bench.ask("DELETE", "/consumers/jackie", &Value::Null).status(200);
    bench.store.set("services/1/graphql_cost_decorations/old", "{}");
    bench.ask("PUT", "/services/1", &json!({"upstream": upstream()})).status(201);
    assert_eq!(bench.store.keys(), keys(&["services/1"]), "left of an older service");
    let field = json!({"field_path": "Query.a", "mul_arguments": ["n"]});
    let path = "/services/1/graphql_cost_decorations/d";
    bench.ask("PUT", path, &field).status(201);
    bench.ask("PUT", "/services/1", &json!({"upstream": upstream()})).status(200);
    bench.ask("GET", path, &Value::Null).status(200);
    bench.ask("DELETE", "/services/1", &Value::Null).status(200);
    assert_eq!(bench.store.keys(), keys(&[]));
}

#[test]
fn version_two_wraps_its_answers() {
    let mut config = super::config();
    config["deployment"]["admin"]["admin_api_version"] = json!("default");
    let bench = Bench::with(&config);
    let put = bench.ask("PUT", "/upstreams/1", &upstream());
    let value = put.json()["node"]["value"].clone();
    let node = json!({"key": "/apisix/upstreams/1", "value": value});
    put.is(201, &json!({"action": "set", "node": node}));
    assert_eq!(put.field("x-api-version"), "v2");
    let got = bench.ask("GET", "/upstreams/1", &Value::Null);
    got.is(200, &json!({"action": "get", "node": node}));
    let item = json!({
        "key": "/apisix/upstreams/1", "value": value, "createdIndex": 1, "modifiedIndex": 1,
    });
    let dir = json!({"key": "/apisix/upstreams", "dir": true, "nodes": [item]});
    let list = bench.ask("GET", "/upstreams?page=9&page_size=1&name=no", &Value::Null);
    list.is(200, &json!({"action": "get", "node": dir}));
    let patch = bench.ask("PATCH", "/upstreams/1", &json!({"desc": "x", "update_time": 1}));
    assert_eq!(patch.json()["action"], "compareAndSwap");
    assert_eq!(patch.json()["node"]["value"]["update_time"], 1);
    let post = bench.ask("POST", "/upstreams", &upstream());
    assert_eq!(post.json()["action"], "create");
    let gone = json!({
        "action": "delete", "deleted": "1", "key": "/apisix/upstreams/1", "node": {},
    });
    bench.ask("DELETE", "/upstreams/1", &Value::Null).is(200, &gone);
    let missing = json!({"message": "Key not found"});
    bench.ask("DELETE", "/upstreams/1", &Value::Null).is(404, &missing);
    bench.ask("GET", "/upstreams/1", &Value::Null).is(404, &missing);
}

#[test]
fn the_list_of_plugins_is_stored_for_others() {
    let bench = Bench::new();
    now(bench.admin.refresh_plugins()).unwrap();
    assert!(bench.store.keys().is_empty(), "only if there is one");
    bench.ask("PUT", "/plugins/reload", &Value::Null).status(200);
    let list = bench.store.text("plugins").unwrap();
    assert!(list.starts_with(r#"[{"name":"basic-auth"},"#), "{list}");
    assert!(list.ends_with(r#",{"name":"mqtt-proxy","stream":true}]"#), "{list}");
    bench.store.set("plugins", r#"[{"name":"gone"}]"#);
    now(bench.admin.refresh_plugins()).unwrap();
    assert_eq!(bench.store.text("plugins").unwrap(), list);
    let writes = bench.store.writes().len();
    now(bench.admin.refresh_plugins()).unwrap();
    assert_eq!(bench.store.writes().len(), writes, "the same is not written again");
}

#[test]
fn a_slow_pattern_ends() {
    let mut bench = Bench::new();
    let route = json!({"uri": "/a", "name": format!("{}!", "a".repeat(60))}).to_string();
    (0..50).for_each(|id| bench.store.set(&format!("routes/{id}"), &route));
    // It gives up on each name, in bounded time.
    let path = "/routes?name=%5E%28a%7Ca%3F%29%2B%24";
    bench.ask("GET", path, &Value::Null).is(200, &json!({"list": [], "total": 0}));
    // And in the end on all of them together.
    bench.admin.filter_time = Duration::ZERO;
    let error = json!({"error_msg": "the filter takes too long"});
    bench.ask("GET", path, &Value::Null).is(503, &error);
    bench.ask("GET", "/routes?label=a", &Value::Null).is(503, &error);
    bench.ask("GET", "/routes", &Value::Null).status(200);
}
