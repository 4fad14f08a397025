//! The Control API.

use serde_json::{Value, json};

use crate::harness::{Gateway, Prefix, answer, ask, until};

/// Status and JSON body of `GET path` on the Control API.
#[track_caller]
fn get(gateway: &Gateway, path: &str) -> (u16, Value) {
    let (status, body) = answer(gateway.prefix.control, path).expect("no answer");
    let value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
    (status, value)
}

/// A request with a body; status, head and body of the answer.
fn send(gateway: &Gateway, method: &str, path: &str, body: &str) -> (u16, String, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: c\r\nX-Name: Joe\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    ask(gateway.prefix.control, &request).expect("no answer")
}

const OBJECTS: &str = r#"
routes:
  - {id: 1, uri: /a, service_id: s, plugins: {keeper: {key: canary-plain, ref: $env://CANARY}}}
  - {id: 2, uri: /b, upstream: {nodes: {"localhost:1980": 1}}}
services:
  - {id: s, upstream_id: u}
upstreams:
  - {id: u, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - {id: keeper, token: canary-metadata, host: h}
"#;

const KEEPER: &str = r#"
local core = require("apisix.core")
local schema = {
    type = "object",
    properties = { key = { type = "string" }, ref = { type = "string" } },
    encrypt_fields = { "key", "ref" },
}
local metadata_schema = {
    type = "object", properties = { token = { type = "string" } }, encrypt_fields = { "token" },
}
local _M = { version = 0.1, priority = 11, name = "keeper", schema = schema,
             metadata_schema = metadata_schema }
function _M.check_schema(conf, kind)
    return core.schema.check(kind == 2 and metadata_schema or schema, conf)
end
local seen = 0
function _M.control_api()
    return {
        { methods = { "GET" }, uris = { "/v1/plugin/keeper/table", "/v1/keeper" },
          handler = function(ctx)
              seen = seen + 1
              return 200, { seen = seen, q = core.request.get_uri_args(ctx).q }
          end },
        { methods = { "POST" }, uris = { "/v1/plugin/keeper/*" },
          handler = function()
              core.response.set_header("X-Keeper", ngx.var.request_method)
              core.response.exit(418, ngx.var.http_x_name .. ": "
                                 .. (core.request.get_body() or "none") .. " at " .. ngx.var.uri)
          end },
        { methods = { "DELETE" }, uris = { "/v1/plugin/keeper/none" },
          handler = function() return 204 end },
        { uris = { "/v1/plugin/keeper/broken" }, handler = function() error("on purpose") end },
        { uris = { "/elsewhere" }, handler = function() ngx.say("printed") end },
    }
end
return _M
"#;

fn keeper(more: &str) -> Gateway {
    let prefix = Prefix::new(&format!("moongate: {{add_plugins: [keeper]}}\n{more}"));
    prefix.write("plugins/keeper.lua", KEEPER);
    prefix.objects(OBJECTS);
    prefix.start()
}

#[test]
fn plugins_answer_on_the_control_api() {
    let gateway = keeper("");
    let (status, body) = get(&gateway, "/v1/keeper?q=1");
    assert_eq!((status, &body["q"]), (200, &json!("1")), "{body}");
    let (status, head, body) = send(&gateway, "GET", "/v1/plugin/keeper/table", "");
    assert_eq!(status, 200);
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}\n{body}");
    let (status, head, body) = send(&gateway, "POST", "/v1/plugin/keeper/deep/er", "text");
    assert_eq!((status, body.trim_end()), (418, "Joe: text at /v1/plugin/keeper/deep/er"));
    assert!(head.to_lowercase().contains("x-keeper: post"), "{head}");
    assert_eq!(send(&gateway, "DELETE", "/v1/plugin/keeper/none", "").0, 204);
    assert_eq!(send(&gateway, "GET", "/v1/plugin/keeper/broken", "").0, 500);
    gateway.logs("on purpose");
    let (status, _, body) = send(&gateway, "GET", "/elsewhere", "");
    assert_eq!((status, body.as_str()), (200, "printed\n"));
    for (method, path) in [
        ("GET", "/v1/plugin/keeper/other"),
        ("PUT", "/v1/keeper"),
        ("GET", "/v1/discovery/dns/dump"),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/routes"),
        ("GET", "/"),
    ] {
        let (status, head, body) = send(&gateway, method, path, "");
        assert_eq!(status, 404, "{method} {path}: {body}");
        assert!(head.to_lowercase().contains("content-type: text/html"), "{head}");
    }
}

#[test]
fn new_code_brings_its_own_endpoints() {
    let gateway = keeper("");
    assert_eq!(get(&gateway, "/v1/keeper").0, 200);
    gateway.prefix.write("plugins/keeper.lua", &KEEPER.replace("/v1/keeper\"", "/v1/kept\""));
    assert!(until(|| answer(gateway.prefix.control, "/v1/kept").is_some_and(|a| a.0 == 200)));
    assert_eq!(answer(gateway.prefix.control, "/v1/keeper").unwrap().0, 404);
    // The workers serve by it a moment before it is told.
    let newest = || {
        let (_, told) = get(&gateway, "/v1/plugins/generations");
        let list = told["generations"].as_array().unwrap().clone();
        let serving = told["serving"].as_u64().filter(|id| *id > 1)?;
        list.into_iter().find(|one| one["generation"] == serving && one["state"] == "serving")
    };
    assert!(until(|| newest().is_some()), "{}", gateway.log());
    let newest = newest().unwrap();
    let path = gateway.prefix.path.join("plugins/keeper.lua").display().to_string();
    assert!(newest["changed"].as_array().unwrap().contains(&json!(path)), "{newest}");
    let file = newest["files"].as_array().unwrap().iter().find(|file| file["path"] == *path);
    let file = file.unwrap_or_else(|| panic!("{newest}"));
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    assert!(file["mtime"].as_u64().unwrap() > 1_600_000_000, "{file}");
}

#[test]
fn code_that_is_refused_is_told_with_its_place() {
    let gateway = keeper("");
    let broken = KEEPER.replace("local seen = 0", "local seen = = 0");
    gateway.prefix.write("plugins/keeper.lua", &broken);
    let refused = || {
        let (_, told) = get(&gateway, "/v1/plugins/generations");
        let list = told["generations"].as_array().unwrap().clone();
        list.into_iter().find(|one| one["state"] == "refused")
    };
    assert!(until(|| refused().is_some()), "{}", gateway.log());
    let refused = refused().unwrap();
    let place = refused["place"].as_str().unwrap();
    assert!(place.contains("keeper.lua:") && refused["error"].is_string(), "{refused}");
    assert_eq!(get(&gateway, "/v1/keeper").0, 200);
}

#[test]
fn objects_are_shown_as_apisix_shows_them_but_for_secrets() {
    let gateway = keeper("");
    let (_, routes) = get(&gateway, "/v1/routes");
    let routes = routes.as_array().unwrap();
    assert_eq!(routes.len(), 2);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shape = ["key", "value", "has_domain", "createdIndex", "modifiedIndex"];
    assert_eq!(keys(&routes[0]), shape);
    assert_eq!((&routes[0]["has_domain"], &routes[1]["has_domain"]), (&json!(false), &json!(true)));
    let (_, one) = get(&gateway, "/v1/route/1");
    assert_eq!(one, routes[0]);
    let conf = &one["value"]["plugins"]["keeper"];
    assert_eq!(*conf, json!({"key": "***", "ref": "$env://CANARY"}));
    assert_eq!(get(&gateway, "/v1/upstream/u").1["value"]["type"], "roundrobin");
    let (_, metadatas) = get(&gateway, "/v1/plugin_metadatas");
    let metadata = json!({"id": "keeper", "token": "***", "host": "h"});
    assert_eq!(metadatas, json!([metadata]));
    assert_eq!(get(&gateway, "/v1/plugin_metadata/keeper"), (200, metadata));
    for (path, name) in [
        ("/v1/route/9", "route[9]"),
        ("/v1/service/9", "service[9]"),
        ("/v1/upstream/9", "upstream[9]"),
        ("/v1/plugin_metadata/cors", "plugin metadata[cors]"),
    ] {
        let error = json!({"error_msg": format!("{name} not found")});
        assert_eq!(get(&gateway, path), (404, error), "{path}");
    }
    assert_eq!(get(&gateway, "/v1/services").1[0]["value"]["upstream_id"], "u");
    assert_eq!(get(&gateway, "/v1/service/s").1["key"], "/apisix/services/s");
}

#[test]
fn the_schema_names_every_plugin() {
    let gateway = keeper("");
    let (status, schema) = get(&gateway, "/v1/schema");
    assert_eq!(status, 200);
    assert_eq!(schema["plugins"]["keeper"]["priority"], 11);
    assert_eq!(schema["plugins"]["keeper"]["metadata_schema"]["type"], "object");
    assert!(schema["plugins"]["key-auth"]["consumer_schema"].is_object());
    assert_eq!(schema["plugins"]["key-auth"]["type"], "auth");
    assert!(schema["main"]["upstream"].is_object() && schema["stream_plugins"].is_object());
}

#[test]
fn garbage_is_collected_when_asked() {
    let prefix =
        Prefix::new("moongate: {add_plugins: [waste]}\nnginx_config: {worker_processes: 1}");
    prefix.write(
        "plugins/waste.lua",
        r#"
local _M = { version = 0.1, priority = 12, name = "waste", schema = { type = "object" } }
function _M.check_schema() return true end
local freed = 0
function _M.control_api()
    return { { uris = { "/v1/waste" }, handler = function()
        local mark = newproxy(true)
        getmetatable(mark).__gc = function() freed = freed + 1 end
        return 200, { freed = freed }
    end } }
end
return _M
"#,
    );
    prefix.objects("routes: []");
    let gateway = prefix.start();
    assert_eq!(get(&gateway, "/v1/waste").1["freed"], 0);
    let freed = || {
        assert_eq!(send(&gateway, "POST", "/v1/gc", "").0, 200);
        get(&gateway, "/v1/waste").1["freed"].as_u64().unwrap()
    };
    assert!(until(|| freed() >= 1));
    assert_eq!(send(&gateway, "GET", "/v1/gc", "").0, 404);
}

#[test]
fn the_health_tells_what_serves() {
    let gateway = keeper("");
    let (status, health) = get(&gateway, "/v1/health");
    assert_eq!((status, &health["status"]), (200, &json!("ok")), "{health}");
    assert_eq!((&health["role"], &health["store"]), (&json!("traditional"), &Value::Null));
    assert_eq!(health["config"]["provider"], "yaml");
    assert!(!health["workers"].as_array().unwrap().is_empty());
    gateway.prefix.write("conf/apisix.yaml", "routes: [\n#END\n");
    let bad = || get(&gateway, "/v1/health").1["config"]["error"].is_string();
    assert!(until(bad));
    assert_eq!(get(&gateway, "/v1/health").1["status"], "degraded");
}

const EXPLAINED: &str = r#"
routes:
  - id: chosen
    name: the one
    uri: /a/*rest
    hosts: [shop.test]
    methods: [GET, POST]
    service_id: s
    plugin_config_id: p
    plugins:
      response-rewrite: {headers: {set: {X-A: "1"}}}
      echo: {body: x, _meta: {disable: true}}
      keeper: {key: canary-plain, _meta: {priority: 5000, filter: [["arg_x", "==", "1"]]}}
    filter_func: 'function(vars) return vars["arg_x"] ~= "no" end'
  - {id: shorter, uri: /*, hosts: [shop.test], plugins: {}}
  - {id: lower, uri: "/a/*other", hosts: ["*.test"], plugins: {}}
  - {id: method, uri: /a/b, hosts: [shop.test], methods: [PUT], plugins: {}}
  - {id: vars, uri: /a/b, hosts: [shop.test], vars: [["http_x_kind", "==", "gold"]], plugins: {}}
  - {id: client, uri: /a/b, hosts: [shop.test], remote_addrs: [192.0.2.0/24], plugins: {}}
  - {id: closed, uri: /a/b, hosts: [shop.test], status: 0, plugins: {}}
  - {id: host, uri: /a/b, host: other.test, plugins: {}}
  - {id: refuses, uri: /a/b, hosts: [shop.test], filter_func: "function(vars) return false end", plugins: {}}
  - {id: lost, uri: /lost, service_id: nowhere}
  - {id: raises, uri: /raises, filter_func: "function(vars) error('on purpose') end", plugins: {}}
services:
  - id: s
    upstream_id: u
    plugins: {response-rewrite: {body: service}, request-id: {}, key-auth: {}}
plugin_configs:
  - {id: p, plugins: {proxy-rewrite: {headers: {set: {X-P: "1"}}}}}
global_rules:
  - {id: g, plugins: {real-ip: {source: arg_ip}, ip-restriction: {whitelist: [0.0.0.0/0]}}}
consumers:
  - {username: jack, plugins: {key-auth: {key: canary-key}, limit-count: {count: 9, time_window: 60, key: remote_addr}}}
upstreams:
  - id: u
    type: chash
    key: remote_addr
    nodes:
      - {host: 127.0.0.1, port: 1980, weight: 2}
      - {host: localhost, port: 1981, weight: 1, priority: -1}
      - {host: 127.0.0.1, port: 1982, weight: 0}
"#;

fn explained() -> Gateway {
    let prefix = Prefix::new("moongate: {add_plugins: [keeper]}");
    prefix.write(
        "plugins/keeper.lua",
        &KEEPER.replace("local seen = 0", "_M.access = function() end\nlocal seen = 0"),
    );
    prefix.objects(EXPLAINED);
    prefix.start()
}

fn because<'a>(told: &'a Value, id: &str) -> &'a Value {
    let list = told["not_taken"]["nearest"].as_array().unwrap();
    let found = list.iter().find(|one| one["id"] == id);
    &found.unwrap_or_else(|| panic!("no {id} in {told:#}"))["because"]
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn an_explanation_tells_why_a_route_is_taken_and_others_are_not() {
    let gateway = explained();
    let (status, told) = get(&gateway, "/v1/explain?host=shop.test&uri=/a/b%3Fx%3D1");
    assert_eq!(status, 200, "{told:#}");
    let request = json!({"method": "GET", "host": "shop.test", "path": "/a/b", "args": "x=1",
                         "remote_addr": "127.0.0.1", "consumer": null});
    assert_eq!(told["request"], request);
    let route = &told["route"];
    assert_eq!((&route["id"], &route["name"]), (&json!("chosen"), &json!("the one")));
    assert_eq!((&route["service"], &route["plugin_config"]), (&json!("s"), &json!("p")));
    assert_eq!(route["matched_uri"], "/a/*rest");
    assert_eq!(route["params"], json!({"rest": "b"}));

    assert_eq!(because(&told, "method"), &json!({"method": {"methods": ["PUT"]}}));
    let vars = json!({"expression": ["http_x_kind", "==", "gold"], "value": null});
    assert_eq!(because(&told, "vars"), &json!({"vars": vars}));
    let client = json!({"remote_addr": {"remote_addrs": ["192.0.2.0/24"]}});
    assert_eq!(because(&told, "client"), &client);
    assert_eq!(because(&told, "closed"), &json!({"disabled": "its status is 0"}));
    assert_eq!(because(&told, "host"), &json!({"host": {"hosts": ["other.test"]}}));
    assert_eq!(because(&told, "refuses"), &json!({"filter_func": "it did not return true"}));
    for (id, word) in [("shorter", "longer prefix"), ("lower", "host fits more closely")] {
        let text = because(&told, id)["outranked"].as_str().unwrap();
        assert!(text.starts_with("route chosen comes first: ") && text.contains(word), "{text}");
    }
    let counts = json!({"disabled": 1, "filter_func": 1, "host": 1, "method": 1, "outranked": 2,
                        "remote_addr": 1, "uri": 2, "vars": 1});
    assert_eq!(told["not_taken"]["reasons"], counts);
    assert_eq!(told["not_taken"]["considered"], 11);
}

#[test]
fn an_explanation_tells_what_runs_and_where_it_comes_from() {
    let gateway = explained();
    let (_, told) = get(&gateway, "/v1/explain?host=shop.test&uri=/a/b%3Fx%3D1");
    let plugins = &told["plugins"];
    let want = ["request-id", "keeper", "key-auth", "proxy-rewrite", "response-rewrite"];
    assert_eq!(names(plugins), want, "{plugins:#}");
    let keeper = &plugins[1];
    assert_eq!((&keeper["priority"], &keeper["phases"]), (&json!(5000), &json!(["access"])));
    assert_eq!((&keeper["conf"]["key"], &keeper["filter"]["holds"]), (&json!("***"), &json!(true)));
    let from = |kind: &str, id: &str| json!({"kind": kind, "id": id});
    assert_eq!(plugins[0]["from"], from("service", "s"));
    assert_eq!(plugins[3]["from"], from("plugin_config", "p"));
    assert_eq!(plugins[4]["from"], from("route", "chosen"));
    assert_eq!(names(&told["global_rules"]), ["real-ip", "ip-restriction"]);
    assert_eq!(told["global_rules"][0]["from"], from("global_rule", "g"));
    let not_run = told["not_run"].as_array().unwrap();
    let why = |name: &str| &not_run.iter().find(|one| one["name"] == name).unwrap()["why"];
    assert_eq!(why("echo"), "disabled by its _meta");
    assert_eq!(why("response-rewrite"), "replaced");
    let access = told["phases"]["access"].as_array().unwrap();
    assert!(access.contains(&json!("keeper")) && access[0] == "ip-restriction", "{told:#}");

    let upstream = &told["upstream"];
    assert_eq!((&upstream["type"], &upstream["key"]), (&json!("chash"), &json!("remote_addr")));
    assert_eq!(upstream["from"], from("upstream", "u"));
    assert_eq!(upstream["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(upstream["nodes"][0]["state"], "unchecked");
    assert_eq!(upstream["picked_from"], json!(["127.0.0.1:1980"]));

    let path = "/v1/explain?host=shop.test&uri=/a/b%3Fx%3D2&consumer=jack";
    let (_, told) = get(&gateway, path);
    assert_eq!(told["plugins"][1]["filter"]["holds"], false);
    assert_eq!(told["route"]["consumer"], "jack");
    let plugins = told["plugins"].as_array().unwrap();
    let limit = plugins.iter().find(|one| one["name"] == "limit-count").unwrap();
    assert_eq!(limit["from"], from("consumer", "jack"));
    assert!(!told.to_string().contains("canary"), "{told:#}");
}

#[test]
fn an_explanation_hears_filters_and_tells_errors() {
    let gateway = explained();
    let (_, told) = get(&gateway, "/v1/explain?host=shop.test&uri=/a/b%3Fx%3Dno&method=POST");
    assert_eq!(told["route"]["id"], "shorter", "{told:#}");
    assert_eq!(because(&told, "chosen"), &json!({"filter_func": "it did not return true"}));
    let gold = "/v1/explain?host=shop.test&uri=/a/b&header.X-Kind=gold";
    assert_eq!(get(&gateway, gold).1["route"]["id"], "vars");
    let near = "/v1/explain?host=shop.test&uri=/a/b&remote_addr=192.0.2.7";
    assert_eq!(get(&gateway, near).1["route"]["id"], "client");

    let (_, told) = get(&gateway, "/v1/explain?host=nowhere&uri=/x&limit=2");
    assert_eq!((&told["route"], &told["upstream"]), (&Value::Null, &Value::Null));
    assert_eq!(names(&told["global_rules"]).len(), 2, "global rules run for a 404 as well");
    assert_eq!(told["not_taken"]["nearest"].as_array().unwrap().len(), 2);
    assert_eq!(told["not_taken"]["left_out"], 9);
    let (_, told) = get(&gateway, "/v1/explain?uri=/lost");
    assert_eq!(
        (&told["route"]["id"], &told["error"]),
        (&json!("lost"), &json!("service [nowhere] does not exist"))
    );
    let (_, told) = get(&gateway, "/v1/explain?uri=/raises");
    assert!(told["error"].is_string(), "{told:#}");
    assert!(because(&told, "raises")["unknown: filter_func"].is_string(), "{told:#}");
    for (query, word) in [
        ("", "uri is missing"),
        ("uri=/&nothing=1", "unknown argument"),
        ("uri=/%2e%2e%2fx", "invalid request"),
        ("host=shop.test&uri=/a/b&consumer=jill", "no consumer jill"),
    ] {
        let (status, told) = get(&gateway, &format!("/v1/explain?{query}"));
        let why = told["error_msg"].as_str().unwrap();
        assert!(status == 400 && why.contains(word), "{query}: {status} {why}");
    }
}
