//! Standalone mode: the configuration as a whole.

use std::{
    future::Future as _,
    sync::{Arc, Mutex},
    task::{Context, Waker},
};

use http::Request;

use serde_json::{Value, json};

use super::{
    super::{Standalone, judge::Later, standalone::Held},
    ADMIN_KEY, Answer, Bench,
};

#[derive(Default)]
struct Keeper {
    held: Mutex<Option<Arc<Held>>>,
    broken: Mutex<bool>,
}

impl Standalone for Keeper {
    fn get(&self) -> Option<Arc<Held>> {
        self.held.lock().unwrap().clone()
    }

    fn put(&self, held: Held) -> Later<'_, Result<(), String>> {
        Box::pin(async move {
            if *self.broken.lock().unwrap() {
                return Err("no worker takes it".into());
            }
            *self.held.lock().unwrap() = Some(Arc::new(held));
            Ok(())
        })
    }
}

fn bench() -> (Bench, Arc<Keeper>) {
    let keeper = Arc::new(Keeper::default());
    let mut bench = Bench::new();
    bench.admin = bench.admin.standalone(Arc::<Keeper>::clone(&keeper));
    (bench, keeper)
}

fn put(bench: &Bench, digest: &str, body: &Value) -> Answer {
    let fields = [("x-api-key", ADMIN_KEY), ("x-digest", digest)];
    bench.send("PUT", "/apisix/admin/configs", &fields, body.to_string())
}

fn route(id: &str) -> Value {
    json!({"id": id, "uri": "/a", "upstream_id": "1"})
}

#[test]
fn a_configuration_is_put_and_read() {
    let (bench, keeper) = bench();
    let empty = bench.ask("GET", "/configs", &Value::Null);
    empty.status(200);
    assert_eq!(empty.json()["routes_conf_version"], 0);
    assert_eq!(empty.json().as_object().unwrap().len(), 13);
    let answer = put(&bench, "one", &json!({"routes": [route("1")], "services": []}));
    answer.status(202);
    assert_eq!((answer.field("x-digest"), &*answer.text), ("one", ""));
    assert!(answer.field("x-last-modified").parse::<u64>().unwrap() > 1_600_000_000);
    let got = bench.ask("GET", "/configs", &Value::Null);
    assert_eq!(got.field("x-digest"), "one");
    let body = got.json();
    assert_eq!(body["routes"], json!([route("1")]));
    assert_eq!((&body["routes_conf_version"], &body["services"]), (&json!(1), &Value::Null));
    assert_eq!(body["X-Digest"], "one");
    let head = bench.ask("HEAD", "/configs", &Value::Null);
    assert_eq!((head.status, head.field("x-digest"), &*head.text), (200, "one", ""));
    put(&bench, "one", &json!({"routes": []})).status(204);
    assert_eq!(keeper.get().unwrap().config["routes"], json!([route("1")]));
    let notes = bench.notes.lock().unwrap().concat();
    assert!(notes.contains("key: \"configs\""), "{notes}");
}

#[test]
fn versions_say_what_changed() {
    let (bench, keeper) = bench();
    let routes =
        |id: &str, version: u64| json!({"routes": [route(id)], "routes_conf_version": version});
    put(&bench, "a", &routes("1", 7)).status(202);
    put(&bench, "b", &routes("2", 7)).status(202);
    assert_eq!(keeper.get().unwrap().config["routes"], json!([route("1")]), "the same version");
    let error = "routes_conf_version must be greater than or equal to (7)";
    put(&bench, "c", &routes("2", 6)).is(400, &json!({"error_msg": error}));
    assert_eq!(keeper.get().unwrap().digest, "b");
    put(&bench, "d", &routes("2", 8)).status(202);
    assert_eq!(keeper.get().unwrap().config["routes"], json!([route("2")]));
    put(&bench, "e", &json!({})).status(202);
    assert_eq!(keeper.get().unwrap().config["routes_conf_version"], 9);
    assert_eq!(keeper.get().unwrap().config.get("routes"), None);
}

#[test]
fn what_is_wrong_is_not_taken() {
    let (bench, keeper) = bench();
    let error = |text: &str| json!({"error_msg": text});
    let key = [("x-api-key", ADMIN_KEY)];
    let path = "/apisix/admin/configs";
    bench.send("PUT", path, &key, "{}").is(400, &error("missing digest header"));
    let fields = [("x-api-key", ADMIN_KEY), ("x-digest", "x")];
    let empty = "invalid request body: empty request body";
    bench.send("PUT", path, &fields, "").is(400, &error(empty));
    bench.send("PUT", path, &fields, "{").status(400);
    let answer = put(&bench, "x", &json!({"routes_conf_version": "1"}));
    answer.is(400, &error("routes_conf_version must be a number"));
    let wrong = json!({"upstreams": [{"id": "1", "type": "chash", "nodes": {}}]});
    put(&bench, "x", &wrong).is(400, &error("missing key"));
    let twice = json!({"routes": [route("1"), route("1")]});
    put(&bench, "x", &twice).is(400, &error("found duplicate id 1 in routes"));
    assert!(keeper.get().is_none());
    *keeper.broken.lock().unwrap() = true;
    let answer = put(&bench, "x", &json!({}));
    assert_eq!((answer.status, &*answer.text), (500, "no worker takes it"));
}

#[test]
fn yaml_is_read_and_json_is_yaml() {
    let (bench, keeper) = bench();
    let fields =
        [("x-api-key", ADMIN_KEY), ("x-digest", "y"), ("content-type", "application/yaml")];
    let path = "/apisix/admin/configs";
    let text = "routes:\n  - id: 1\n    uri: /a\n    upstream_id: 1\n";
    bench.send("PUT", path, &fields, text).status(202);
    assert_eq!(keeper.get().unwrap().config["routes"][0]["uri"], "/a");
    let bad = json!({"error_msg": "invalid request body: invalid yaml request body"});
    let other = [("x-api-key", ADMIN_KEY), ("x-digest", "z"), ("content-type", "application/yaml")];
    for text in ["a: [", "x", "&a [*a"] {
        bench.send("PUT", path, &other, text).is(400, &bad);
    }
    let fields = [("x-api-key", ADMIN_KEY), ("accept", "application/yaml")];
    let got = bench.send("GET", path, &fields, "");
    assert_eq!(got.field("content-type"), "application/yaml");
    assert_eq!(got.json()["routes"][0]["id"], 1);
}

#[test]
fn single_objects_are_not_there() {
    let (bench, _) = bench();
    for (method, path) in [
        ("GET", "/routes"),
        ("PUT", "/routes/1"),
        ("POST", "/configs"),
        ("DELETE", "/configs"),
        ("GET", "/configs/validate"),
        ("PUT", "/plugins/reload"),
    ] {
        bench.ask(method, path, &json!({})).status(404);
    }
    bench.ask("HEAD", "", &Value::Null).status(200);
    bench.ask("POST", "/configs/validate", &json!({"routes": [route("1")]})).is(200, &json!({}));
    bench.send("GET", "/apisix/admin/configs", &[], "").status(401);
}

#[test]
fn few_configurations_are_read_at_once() {
    let (bench, _) = bench();
    let request = || {
        let request = Request::put("/apisix/admin/configs").header("x-api-key", ADMIN_KEY);
        request.header("x-digest", "x").body(()).unwrap().into_parts().0
    };
    let address = "127.0.0.1".parse().unwrap();
    let requests: Vec<_> = (0..4).map(|_| request()).collect();
    let stuck = async |_| std::future::pending().await;
    let mut waiting: Vec<_> =
        requests.iter().map(|parts| Box::pin(bench.admin.serve(address, parts, stuck))).collect();
    let mut context = Context::from_waker(Waker::noop());
    assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
    let busy = json!({"error_msg": "too many configurations at once"});
    put(&bench, "x", &json!({})).is(503, &busy);
    waiting.pop();
    put(&bench, "x", &json!({})).status(202);
}
