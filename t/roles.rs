//! Roles: a control plane and a data plane that share an etcd.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::{
    harness::{Gateway, Prefix, answer, ask, until, upstream},
    server::{Folder, Server, free_port},
};

const KEY: &str = "a-key-of-this-test-and-no-other";

/// A `config.yaml` for `role` with the etcd at `url`.
fn config(role: &str, (url, admin): (&str, u16), more: &str) -> String {
    format!(
        "deployment:
  role: {role}
  role_{role}: {{config_provider: etcd}}
  admin:
    admin_key: [{{name: admin, key: {KEY}, role: admin}}]
    admin_listen: {{ip: 127.0.0.1, port: {admin}}}
  etcd: {{host: ['{url}'], prefix: /roles, timeout: 5}}
moongate: {{{more}}}"
    )
}

/// Status and body of a request to an Admin API.
fn admin(port: u16, method: &str, path: &str, body: &Value) -> (u16, String) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} /apisix/admin/{path} HTTP/1.1\r\nHost: a\r\nX-API-KEY: {KEY}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (status, _, body) = ask(port, &request).expect("no Admin API");
    (status, body)
}

fn health(gateway: &Gateway) -> Value {
    let (_, text) = answer(gateway.prefix.control, "/v1/health").expect("no Control API");
    serde_json::from_str(&text).expect("no JSON")
}

fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

const LATE: &str = r#"
local core = require("apisix.core")
local _M = { version = 0.1, priority = 13, name = "late", schema = { type = "object" } }
function _M.check_schema() return true end
function _M.access() return 200, "late answers" end
return _M
"#;

#[test]
fn what_a_control_plane_writes_a_data_plane_serves() {
    let folder = Folder::new("roles");
    let etcd = Server::alone(&folder.0);
    let (first, second) = (free_port(), free_port());
    let prefix = |role: &str, port, more: &str| {
        let prefix = Prefix::new(&config(role, (&etcd.url(), port), more));
        prefix.write("plugins/late.lua", LATE);
        prefix
    };
    let control = prefix("control_plane", first, "add_plugins: [late]").start();
    let data = prefix("data_plane", second, "").start();

    let upstream = upstream("node");
    let nodes = json!({format!("127.0.0.1:{upstream}"): 1});
    let route = json!({"uri": "/a", "upstream": {"type": "roundrobin", "nodes": nodes}});
    let (status, body) = admin(first, "PUT", "routes/1", &route);
    assert_eq!(status, 201, "{body}");
    data.comes("/a", 200, "node:");
    assert_eq!(admin(first, "DELETE", "routes/1", &Value::Null).0, 200);
    data.comes("/a", 404, "");

    assert!(!is_open(control.prefix.port), "a control plane serves no clients");
    assert!(!is_open(second), "a data plane has no Admin API");
    let of = |gateway: &Gateway| {
        let health = health(gateway);
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        (text(&health["role"]), text(&health["config"]["provider"]), text(&health["status"]))
    };
    assert_eq!(of(&control), ("control_plane".into(), "etcd".into(), "ok".into()));
    assert_eq!(of(&data), ("data_plane".into(), "etcd".into(), "ok".into()));
    assert!(health(&data)["store"]["revision"].as_u64().is_some_and(|revision| revision > 1));
    assert_eq!(health(&data)["store"]["connected"], true);

    follows_the_list(&data, first);
}

/// The data plane loads what the control plane lists, once that tells.
fn follows_the_list(data: &Gateway, port: u16) {
    let loaded = || {
        let (_, text) = answer(data.prefix.control, "/v1/plugins").expect("no Control API");
        let plugins: Value = serde_json::from_str(&text).expect("no JSON");
        let loaded = plugins["loaded"].as_array().expect("no list").clone();
        loaded.iter().any(|plugin| plugin["name"] == "late")
    };
    assert!(!loaded(), "nobody has told it");
    let route = json!({"uri": "/late", "plugins": {"late": {}}});
    assert_eq!(admin(port, "PUT", "routes/2", &route).0, 201);
    assert_eq!(admin(port, "PUT", "plugins/reload", &Value::Null), (200, "done".into()));
    assert!(until(loaded), "{}", data.log());
    data.comes("/late", 200, "late answers");

    let other = LATE.replace("late answers", "later answers");
    data.prefix.write("plugins/late.lua", &other);
    data.comes("/late", 200, "later answers");
}

#[test]
fn a_role_without_its_provider_does_not_start() {
    for (role, provider, want) in [
        ("control_plane", "yaml", "must be etcd, not \"yaml\""),
        ("control_plane", "embedded", "must be etcd, not \"embedded\""),
        ("data_plane", "embedded", "must be etcd, yaml or json, not \"embedded\""),
        ("traditional", "xds", "must be etcd, yaml, json or embedded, not \"xds\""),
    ] {
        let text =
            format!("deployment: {{role: {role}, role_{role}: {{config_provider: {provider}}}}}");
        let output = Prefix::new(&text).run(&["start"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{role} with {provider} started");
        let want = format!("deployment.role_{role}.config_provider {want}");
        assert!(told.contains(&want), "{want}: {told}");
    }
}
