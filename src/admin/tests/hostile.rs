//! What no client should send, and what no answer may hold.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::open_stored, ADMIN_KEY, Bench, BodyError, Bytes, Request, now};

fn key() -> [(&'static str, &'static str); 1] {
    [("x-api-key", ADMIN_KEY)]
}

#[test]
fn bodies_that_are_no_json_are_refused() {
    let bench = Bench::new();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let open = "{\"a\":".repeat(100_000);
    let bodies: [&[u8]; 8] = [
        b"\xff\xfe{}",
        b"{\"uri\": \"\xc3\x28\"}",
        b"{\"uri\": \"\x00\"}",
        b"NaN",
        b"{\"priority\": Infinity}",
        b"{} {}",
        deep.as_bytes(),
        open.as_bytes(),
    ];
    for body in bodies {
        for method in ["PUT", "POST", "PATCH"] {
            let body = Bytes::copy_from_slice(body);
            let path = "/apisix/admin/routes/1";
            let answer = bench.send(method, path, &key(), body);
            answer.status(400);
            let error = answer.json();
            let error = error["error_msg"].as_str().unwrap();
            assert!(error.starts_with("invalid request body: "), "{error}");
            assert!(answer.text.len() < 20_000, "{} bytes of echo", answer.text.len());
        }
    }
    assert!(bench.store.keys().is_empty());
}

#[test]
fn a_body_has_a_bound() {
    let bench = Bench::new();
    let path = "/apisix/admin/routes/1";
    let answer = bench.send("PUT", path, &key(), vec![b' '; super::super::BODY_BYTES_MAX + 1]);
    let error = "invalid request body: request size 1572865 is greater than the maximum size \
                 1572864 allowed";
    answer.is(400, &json!({"error_msg": error}));
    let answer = bench.send("PUT", path, &key(), vec![b' '; super::super::BODY_BYTES_MAX]);
    assert!(answer.text.contains("invalid request body: EOF"), "{}", answer.text);
}

#[test]
fn a_body_that_breaks_off_is_told() {
    let bench = Bench::new();
    let request = Request::put("/apisix/admin/routes/1").header("x-api-key", ADMIN_KEY);
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let body = async |_| Err(BodyError::Broken("it took too long".into()));
    let answer = now(bench.admin.serve("127.0.0.1".parse().unwrap(), &parts, body));
    assert_eq!(answer.status(), 400);
    assert!(
        answer.body().starts_with(b"{\"error_msg\":\"invalid request body: it took too long\"")
    );
}

#[test]
fn nobody_without_a_key_sends_a_body() {
    let bench = Bench::new();
    let (parts, ()) = Request::put("/apisix/admin/routes/1").body(()).unwrap().into_parts();
    let body = async |_| panic!("the body is read");
    let answer = now(bench.admin.serve("127.0.0.1".parse().unwrap(), &parts, body));
    assert_eq!(answer.status(), 401);
}

#[test]
fn patches_do_not_grow_an_object_without_end() {
    let bench = Bench::new();
    let good = json!({"plugins": {"limit-count": {"count": 1, "time_window": 1}}});
    bench.ask("PUT", "/plugin_configs/1", &good).status(201);
    let mut path = "/plugin_configs/1/plugins/limit-count".to_owned();
    path.push_str(&"/a".repeat(40));
    let answer = bench.ask("PATCH", &path, &json!(1));
    assert!(answer.text.contains("invalid sub-path: /plugins/limit-count/a/a"), "{}", answer.text);
    let nested = (0..90).fold(json!(1), |inner, _| json!({"a": inner}));
    for part in ["a", "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a"] {
        let path = format!("/plugin_configs/1/plugins/limit-count/{part}");
        let answer = bench.ask("PATCH", &path, &nested);
        if part.len() > 1 {
            let error = json!({"error_msg": "invalid configuration: it is nested too deep"});
            answer.is(400, &error);
        }
    }
    bench.ask("GET", "/plugin_configs/1", &Value::Null).status(200);
}

#[test]
fn what_others_stored_is_shown_as_far_as_it_goes() {
    let bench = Bench::new();
    for text in ["", "{", "init_dir", "[1]", "null", "\"x\"", "{\"plugins\": 1, \"uris\": {}}"] {
        bench.store.set("routes/1", text);
        bench.store.set("routes/", "init_dir");
        let list = bench.ask("GET", "/routes?uri=a", &Value::Null);
        list.is(200, &json!({"list": [], "total": 0}));
        let list = bench.ask("GET", "/routes", &Value::Null);
        assert_eq!(list.json()["total"], 1, "{text}");
        bench.ask("GET", "/routes/1", &Value::Null).status(200);
        bench.ask("PATCH", "/routes/1", &json!({"desc": "x"})).status(400);
        bench.ask("DELETE", "/upstreams/1", &Value::Null).status(404);
    }
    let notes = bench.notes.lock().unwrap().concat();
    assert!(notes.contains("routes/1 holds no JSON"), "{notes}");
}

/// Objects with a canary wherever a secret may be, and something wrong.
fn spoiled() -> Vec<(String, Value)> {
    let canary = "CANARY-0123456789";
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", canary.repeat(9));
    let cert = include_str!("../../../t/fixtures/admin/cert.pem");
    let nodes = json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}});
    let plugins = [
        json!({"key-auth": canary}),
        json!({"key-auth": [canary]}),
        json!({"key-auth": {"key": {"a": canary}}}),
        json!({"key-auth": {"key": canary}, "nobody": {}}),
        json!({"jwt-auth": {"key": "k", "secret": canary, "_meta": {"filter": [["uri"]]}}}),
        json!({"basic-auth": {"username": "u", "password": canary, "x": 1}, "limit-count": 5}),
        json!({"limit-count": {"count": 0, "redis_password": canary}}),
        json!({"limit-count": {"count": 0, "time_window": 1, "policy": canary, "token": canary}}),
    ];
    let mut all = Vec::new();
    for plugins in plugins {
        all.push(("/consumers".into(), json!({"username": "jack", "plugins": plugins})));
        all.push(("/consumers/jack/credentials/1".into(), json!({"plugins": plugins})));
        all.push(("/routes/1".into(), json!({"uri": "/a", "upstream": nodes, "plugins": plugins})));
        all.push(("/global_rules/1".into(), json!({"plugins": plugins})));
    }
    for (cert, key) in [(cert, &*pem), (cert, canary), ("x", &*pem), (&*pem, &*pem)] {
        all.push(("/ssls/1".into(), json!({"sni": "a.com", "cert": cert, "key": key})));
        let tls = json!({"client_cert": cert, "client_key": key});
        all.push(("/upstreams/1".into(), json!({"type": "roundrobin", "nodes": {}, "tls": tls})));
    }
    all.push(("/secrets/vault/1".into(), json!({"uri": 1, "prefix": "x", "token": canary})));
    all.push(("/secrets/aws/1".into(), json!({"access_key_id": 1, "secret_access_key": canary})));
    let gcp = json!({"auth_config": {"private_key": pem}});
    all.push(("/secrets/gcp/1".into(), gcp));
    let metadata = json!({"token": canary, "log_format": 1});
    all.push(("/plugin_metadata/http-logger".into(), metadata));
    all
}

#[test]
fn no_refusal_repeats_a_secret() {
    let bench = Bench::new();
    bench.ask("PUT", "/consumers", &json!({"username": "jack"}));
    let mut refused = 0;
    for (path, body) in spoiled() {
        let text = body.to_string();
        let mut bodies = vec![text.clone()];
        // Broken in many places, so that it is no JSON any more.
        bodies
            .extend((1..text.len()).step_by(3).filter_map(|at| text.get(..at)).map(str::to_owned));
        bodies.extend((1..text.len()).step_by(7).filter_map(|at| {
            let (before, after) = text.split_at_checked(at)?;
            Some(format!("{before}\u{1}{after}"))
        }));
        for body in bodies {
            let answer = bench.send("PUT", &format!("/apisix/admin{path}"), &key(), body.clone());
            refused += usize::from(answer.status >= 400);
            // A canary that the cut itself divides is no secret any more.
            let leaks = answer.text.contains("CANARY-0123456789");
            assert!(!leaks || answer.status < 400, "{path} {body}\n{}", answer.text);
        }
    }
    assert!(refused > 1000, "only {refused} were refused");
    let notes = bench.notes.lock().unwrap().concat();
    assert!(!notes.contains("CANARY") && !notes.contains(ADMIN_KEY), "{notes}");
}

#[test]
fn secrets_are_stored_encrypted() {
    let bench = Bench::new();
    let consumer = json!({"username": "jack", "plugins": {"key-auth": {"key": "canary-1"}}});
    let put = bench.ask("PUT", "/consumers", &consumer);
    assert!(!put.text.contains("canary"), "{}", put.text);
    let metadata = json!({"token": "canary-2"});
    bench.ask("PUT", "/plugin_metadata/http-logger", &metadata).status(201);
    let (cert, key) = (
        include_str!("../../../t/fixtures/admin/cert.pem"),
        include_str!("../../../t/fixtures/admin/key.pem"),
    );
    let ssl = json!({"sni": "a.com", "cert": cert, "key": key, "certs": [cert], "keys": [key]});
    bench.ask("PUT", "/ssls/1", &ssl).status(201);
    let upstream =
        json!({"type": "roundrobin", "nodes": {}, "tls": {"client_cert": cert, "client_key": key}});
    bench.ask("PUT", "/upstreams/1", &upstream).status(201);
    bench.ask("POST", "/routes", &json!({"uri": "/a", "upstream": upstream})).status(201);
    bench.ask("PATCH", "/ssls/1/key", &json!(key)).status(200);
    for key in bench.store.keys() {
        let text = bench.store.text(&key).unwrap();
        assert!(!text.contains("canary") && !text.contains("PRIVATE KEY"), "{key}: {text}");
    }
    let ring = bench.admin.settings.keyring();
    let opened = |key: &str| {
        let mut value = serde_json::from_str(&bench.store.text(key).unwrap()).unwrap();
        assert_eq!(open_stored(&bench.admin.judge.facts(), &ring, key, &mut value), 0);
        value
    };
    assert_eq!(opened("ssls/1")["keys"][0], key);
    assert_eq!(opened("upstreams/1")["tls"]["client_key"], key);
    assert_eq!(opened("consumers/jack")["plugins"]["key-auth"]["key"], "canary-1");
    assert_eq!(opened("plugin_metadata/http-logger")["token"], "canary-2");
    let value = |path: &str| bench.ask("GET", path, &Value::Null).json()["value"].clone();
    assert_eq!(value("/consumers/jack")["plugins"]["key-auth"]["key"], "canary-1");
    assert_eq!(value("/plugin_metadata/http-logger")["token"], "canary-2");
    let list = bench.ask("GET", "/plugin_metadata", &Value::Null).json();
    assert_eq!(list["list"][0]["value"]["token"], "canary-2");
    assert_eq!(value("/ssls/1").get("key"), None);
}

#[test]
fn a_patch_encrypts_once() {
    let bench = Bench::new();
    let rule = json!({"plugins": {"limit-count":
        {"count": 1, "time_window": 1, "redis_password": "canary-1"}}});
    bench.ask("PUT", "/global_rules/1", &rule).status(201);
    let before: Value = serde_json::from_str(&bench.store.text("global_rules/1").unwrap()).unwrap();
    let patch = json!({"plugins": {"limit-count": {"count": 2}}});
    bench.ask("PATCH", "/global_rules/1", &patch).status(200);
    let after: Value = serde_json::from_str(&bench.store.text("global_rules/1").unwrap()).unwrap();
    let password = |value: &Value| value["plugins"]["limit-count"]["redis_password"].clone();
    assert_eq!(password(&after), password(&before));
    assert_ne!(password(&after), "canary-1");
    assert_eq!(after["plugins"]["limit-count"]["count"], 2);
}

proptest! {
    #[test]
    fn no_request_makes_it_panic(
        method in "GET|PUT|POST|PATCH|DELETE|HEAD|OPTIONS|X",
        path in "(/(apisix|admin|routes|consumers|credentials|secrets|vault|[.]{1,2}|%2e|%2F|[a-c%]{0,3})){0,7}",
        query in "(page|page_size|name|filter|ttl|force|all)=[0-9a-z%=&.-]{0,12}",
        body in "\\PC{0,40}|[{}\\[\\]\":,a-c0-9]{0,40}",
    ) {
        let bench = Bench::new();
        let uri = format!("/apisix/admin{path}?{query}");
        if uri.parse::<http::Uri>().is_ok() {
            let answer = bench.send(&method, &uri, &key(), body);
            prop_assert!(answer.status < 500, "{} {}", answer.status, answer.text);
        }
    }

    #[test]
    fn no_object_makes_it_panic(
        name in "routes|services|upstreams|ssls|stream_routes|consumers|secrets/vault|protos",
        field in "id|uri|plugins|upstream|nodes|hosts|vars|protocol|labels|certs|username|timeout",
        value in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<f64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from), "\\PC{0,20}".prop_map(Value::from),
            prop::collection::vec("\\PC{0,8}", 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,8}", any::<i32>(), 0..4).prop_map(|map| json!(map)),
        ],
    ) {
        let bench = Bench::new();
        let body = json!({field: value});
        for (method, path) in [("PUT", format!("/{name}/1")), ("POST", format!("/{name}")), ("PATCH", format!("/{name}/1"))] {
            let answer = bench.ask(method, &path, &body);
            prop_assert!(answer.status < 500, "{} {}", answer.status, answer.text);
        }
    }
}
