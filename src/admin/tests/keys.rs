//! Who is let in.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{ADMIN_KEY, Bench, config};

#[test]
fn a_client_with_many_wrong_keys_waits_even_with_a_right_one() {
    let bench = Bench::new();
    let wrong = [("x-api-key", "canary-wrong")];
    let path = "/apisix/admin/routes";
    let refused = json!({"error_msg": "failed to check token", "description": "wrong apikey"});
    bench.send("GET", path, &wrong, "").is(401, &refused);
    let limited = |_| bench.send("GET", path, &wrong, "").status == 429;
    assert!((0..200).map(limited).filter(|limited| *limited).count() > 100);
    let answer = bench.ask("GET", "/routes", &Value::Null);
    answer.is(429, &json!({"error_msg": "too many requests with a wrong apikey"}));
    assert_eq!(answer.field("retry-after"), "1");
    let other: IpAddr = "127.0.0.2".parse().unwrap();
    bench.send_from(other, ("GET", path), &[("x-api-key", ADMIN_KEY)], "").status(200);
    let notes = bench.notes.lock().unwrap();
    assert!(notes.len() >= 200 && !notes.concat().contains("canary"));
}

#[test]
fn addresses_that_may_not_ask_get_a_page() {
    let bench = Bench::new();
    let far: IpAddr = "192.0.2.1".parse().unwrap();
    let key = [("x-api-key", ADMIN_KEY)];
    let answer = bench.send_from(far, ("GET", "/apisix/admin/routes"), &key, "");
    answer.status(403);
    assert_eq!(answer.field("content-type"), "text/html");
    assert!(answer.text.contains("403 Forbidden"));
}

#[test]
fn without_a_key_nothing_is_changed() {
    let mut config = config();
    config["deployment"]["admin"]["admin_key"] =
        json!([{"name": "admin", "key": "", "role": "admin"}]);
    let bench = Bench::with(&config);
    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let answer = bench.ask(method, "/routes/1", &json!({}));
        answer.status(503);
        assert!(answer.text.contains("the Admin API has no key"), "{}", answer.text);
    }
    bench.ask("GET", "/routes", &Value::Null).status(401);
    assert!(bench.store.writes().is_empty());
}

#[test]
fn keys_may_be_switched_off() {
    let mut config = config();
    config["deployment"]["admin"]["admin_key_required"] = json!(false);
    let bench = Bench::with(&config);
    let consumer = json!({"username": "jack"}).to_string();
    bench.send("PUT", "/apisix/admin/consumers", &[], consumer).status(201);
}

#[test]
fn browsers_are_answered_only_if_they_should_be() {
    let mut config = config();
    config["deployment"]["admin"]["enable_admin_cors"] = json!(false);
    let bench = Bench::with(&config);
    let answer = bench.send("OPTIONS", "/apisix/admin/routes", &[], "");
    answer.status(404);
    assert_eq!(answer.field("access-control-allow-origin"), "");
    let answer = bench.ask("GET", "/routes", &Value::Null);
    assert_eq!(answer.field("access-control-allow-origin"), "");
    assert!(answer.field("server").starts_with("APISIX/"));
}

#[test]
fn streams_are_routed_only_where_there_are_some() {
    let mut config = config();
    config["apisix"]["proxy_mode"] = json!("http");
    let bench = Bench::with(&config);
    let error = json!({"error_msg": "stream mode is disabled, can not add stream routes"});
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
        bench.ask(method, "/stream_routes/1", &Value::Null).is(400, &error);
    }
}
