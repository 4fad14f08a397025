//! Tests of [`super`]: what stays and what ends when upstreams change, with real nodes.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    config::{Item, item::Collection, packed::Packed},
    error::{Error, Kind as ErrorKind},
    shared::health::{Report, State},
    upstream::resolve,
};

fn registry() -> Registry {
    let names = Names::new(resolve::Options::default());
    Registry::new(Options { enabled: true, roots: None, names })
}

fn upstream(value: &Value) -> Arc<Upstream> {
    Upstream::read(value, None).unwrap()
}

/// A snapshot whose upstreams are these, by id.
fn snapshot(version: u64, upstreams: &[(&str, &Arc<Upstream>)]) -> Snapshot {
    let mut all = Collection::default();
    for (id, upstream) in upstreams {
        all.insert(Arc::new(Item {
            key: format!("/apisix/upstreams/{id}").into(),
            id: (*id).into(),
            created_index: 1,
            modified_index: version,
            hash: 0,
            value: Packed::of(&Value::Null),
            typed: Arc::clone(upstream),
        }));
    }
    all.version = version;
    Snapshot { upstreams: all, ..Snapshot::default() }
}

/// Nodes on these ports; probed once an hour, so that tests set the states.
fn quiet(ports: &[u16], passive: &Value) -> Arc<Upstream> {
    let nodes: Vec<Value> =
        ports.iter().map(|port| json!({"host": "127.0.0.1", "port": port, "weight": 1})).collect();
    let mut checks = json!({"active": {}});
    if !passive.is_null() {
        checks["passive"] = passive.clone();
    }
    upstream(&json!({"nodes": nodes, "checks": checks}))
}

fn states(watch: &Watch) -> Vec<(u16, State)> {
    watch.each().map(|(target, status)| (target.port, status.state)).collect()
}

#[test]
fn a_node_that_stays_keeps_its_state_and_others_begin_healthy() {
    let registry = registry();
    let first = quiet(&[1, 2], &Value::Null);
    registry.follow(&snapshot(1, &[("a", &first)]), None);
    let before = registry.of("/apisix/upstreams/a", &first).unwrap();
    before.force(before.find("127.0.0.1", 2, None).unwrap(), State::Unhealthy);
    let second = quiet(&[2, 3], &Value::Null);
    registry.follow(&snapshot(2, &[("a", &second)]), None);
    assert!(registry.of("/apisix/upstreams/a", &first).is_none(), "a version that is over");
    let after = registry.of("/apisix/upstreams/a", &second).unwrap();
    assert_eq!(states(&after), [(2, State::Unhealthy), (3, State::Healthy)]);
    assert!(!after.is_healthy(0) && after.is_healthy(1) && after.is_healthy(9));
    assert_eq!(after.turns(), 1);
    registry.follow(&snapshot(3, &[]), None);
    assert!(registry.all().is_empty() && registry.get("/apisix/upstreams/a").is_none());
}

#[test]
fn what_did_not_change_is_the_same_watch() {
    let registry = registry();
    let (a, b) = (quiet(&[1], &Value::Null), quiet(&[2], &Value::Null));
    registry.follow(&snapshot(1, &[("a", &a), ("b", &b)]), None);
    let before = registry.get("/apisix/upstreams/a").unwrap();
    let other = quiet(&[3], &Value::Null);
    registry.follow(&snapshot(2, &[("a", &a), ("b", &other)]), None);
    assert!(Arc::ptr_eq(&before, &registry.get("/apisix/upstreams/a").unwrap()));
    let keys: Vec<_> = registry.all().iter().map(|watch| watch.key.to_string()).collect();
    assert_eq!(keys, ["/apisix/upstreams/a", "/apisix/upstreams/b"]);
}

#[test]
fn nodes_that_a_registry_tells_are_watched_while_the_upstream_is_there() {
    let registry = registry();
    let named = |text: &str| {
        let value =
            json!({"service_name": text, "discovery_type": "dns", "checks": {"active": {}}});
        upstream(&value)
    };
    let key = "/apisix/upstreams/a";
    let (first, second) = (named("s"), named("t"));
    registry.follow(&snapshot(1, &[("a", &first)]), None);
    assert!(registry.get(key).is_none(), "nothing is known yet");
    let with = |up: &Upstream, ports: &[u16]| up.with_nodes(&quiet(ports, &Value::Null).nodes);
    let told = with(&first, &[1, 2]);
    registry.moved(key, first.id + 100, Some(&told));
    assert!(registry.get(key).is_none(), "of an upstream that is not there");
    registry.moved(key, first.id, Some(&told));
    let watch = registry.of(key, &told).unwrap();
    watch.force(watch.find("127.0.0.1", 2, None).unwrap(), State::Unhealthy);
    let told = with(&first, &[2, 3]);
    registry.moved(key, first.id, Some(&told));
    let watch = registry.of(key, &told).unwrap();
    assert_eq!(states(&watch), [(2, State::Unhealthy), (3, State::Healthy)]);
    // Another upstream under the same key, whose service is known already.
    let told = with(&second, &[2]);
    second.sought.as_ref().unwrap().set_found(Ok(Arc::clone(&told)));
    registry.follow(&snapshot(2, &[("a", &second)]), None);
    let watch = registry.of(key, &told).unwrap();
    assert_eq!(states(&watch), [(2, State::Unhealthy)]);
    registry.moved(key, first.id, Some(&with(&first, &[9])));
    assert!(registry.of(key, &told).is_some(), "the one before has no say");
    registry.moved(key, second.id, None);
    assert!(registry.get(key).is_none());
    registry.moved(key, second.id, Some(&told));
    registry.follow(&snapshot(3, &[]), None);
    registry.moved(key, second.id, Some(&told));
    assert!(registry.all().is_empty());
}

#[test]
fn a_single_change_touches_no_other_watch() {
    let registry = registry();
    let (a, b) = (quiet(&[1], &Value::Null), quiet(&[2], &Value::Null));
    registry.follow(&snapshot(1, &[("a", &a), ("b", &b)]), None);
    let before = registry.get("/apisix/upstreams/b").unwrap();
    let touched = [(Kind::Upstreams, "a".to_owned())];
    let other = quiet(&[3], &Value::Null);
    registry.follow(&snapshot(2, &[("a", &other), ("b", &b)]), Some(&touched));
    let after = registry.of("/apisix/upstreams/a", &other).unwrap();
    assert_eq!(states(&after), [(3, State::Healthy)]);
    registry.follow(&snapshot(3, &[("b", &b)]), Some(&touched));
    assert!(registry.get("/apisix/upstreams/a").is_none());
    assert!(Arc::ptr_eq(&before, &registry.get("/apisix/upstreams/b").unwrap()));
}

#[test]
fn upstreams_without_checks_and_a_registry_that_is_off_watch_nobody() {
    let plain = upstream(&json!({"nodes": [{"host": "127.0.0.1", "port": 1, "weight": 1}]}));
    let registry = registry();
    registry.follow(&snapshot(1, &[("a", &plain)]), None);
    assert!(registry.of("/apisix/upstreams/a", &plain).is_none());
    assert!(registry.of_plugin("mine", &plain).is_none() && registry.all().is_empty());
    let names = Names::new(resolve::Options::default());
    let off = Registry::new(Options { enabled: false, roots: None, names });
    let checked = quiet(&[1], &Value::Null);
    off.follow(&snapshot(1, &[("a", &checked)]), None);
    assert!(off.all().is_empty() && off.of_plugin("mine", &checked).is_none());
}

#[test]
fn the_watch_of_a_plugins_upstream_lasts_as_long_as_somebody_has_it() {
    let registry = registry();
    let mine = quiet(&[1], &Value::Null);
    let watch = registry.of_plugin("mine", &mine).unwrap();
    let same = registry.of_plugin("mine", &quiet(&[1], &Value::Null)).unwrap();
    assert!(Arc::ptr_eq(&watch, &same), "each worker reads an upstream of its own");
    assert_eq!(registry.all().len(), 1);
    drop((watch, same));
    assert!(registry.get("mine").is_none() && registry.all().is_empty());
}

#[test]
fn a_watch_that_was_ended_is_not_given_out_again() {
    let registry = registry();
    let mine = quiet(&[1], &Value::Null);
    let watch = registry.of_plugin("mine", &mine).unwrap();
    registry.end(&watch);
    assert!(registry.get("mine").is_none());
    let anew = registry.of_plugin("mine", &mine).unwrap();
    assert!(!Arc::ptr_eq(&watch, &anew));
    registry.end(&watch);
    assert!(registry.get("mine").is_some(), "somebody else's");
}

#[test]
fn nodes_that_are_probed_at_one_port_are_one() {
    let registry = registry();
    let both = upstream(&json!({
        "nodes": [{"host": "127.0.0.1", "port": 1, "weight": 1},
                  {"host": "127.0.0.1", "port": 2, "weight": 1}],
        "checks": {"active": {"port": 9}},
    }));
    let watch = registry.of_plugin("mine", &both).unwrap();
    assert_eq!(states(&watch), [(9, State::Healthy)]);
    watch.force(watch.targets().next().unwrap(), State::Unhealthy);
    assert!(!watch.is_healthy(0) && !watch.is_healthy(1));
}

#[test]
fn what_a_node_is_asked_for_is_the_most_explicit_name() {
    let registry = registry();
    let mut at = 0;
    let mut asked = |rest: Value| {
        let mut value = json!({
            "nodes": [{"host": "node.test", "port": 1, "weight": 1}],
            "checks": {"active": {}},
        });
        for (name, part) in rest.as_object().unwrap() {
            value[name] = part.clone();
        }
        at += 1;
        let watch = registry.of_plugin(&at.to_string(), &upstream(&value)).unwrap();
        let target = watch.targets().next().unwrap();
        format!("{} {}", target.asked, target.name)
    };
    assert_eq!(asked(json!({})), "node.test node.test(node.test:1)");
    let host = json!({"checks": {"active": {"host": "h"}}});
    assert_eq!(asked(host), "h h(node.test:1)");
    let rewrite = json!({"pass_host": "rewrite", "upstream_host": "r"});
    assert_eq!(asked(rewrite), "r node.test(node.test:1)");
}

#[test]
fn passive_checks_count_only_what_says_something_of_the_node() {
    let registry = registry();
    let limits = json!({"healthy": {"successes": 1}, "unhealthy": {
        "http_failures": 2, "tcp_failures": 1, "timeouts": 1}});
    let watch = registry.of_plugin("mine", &quiet(&[1, 2, 3, 4], &limits)).unwrap();
    let state = |at: usize| states(&watch)[at].1;
    let answered = |at, status| watch.tried(at, &Tried::Answered(status));
    let failed = |at, kind: ErrorKind| watch.tried(at, &Tried::Failed(&Error::from(kind)));
    let node = || "n".to_owned();

    answered(0, 500);
    assert_eq!(state(0), State::MostlyHealthy);
    answered(0, 404);
    answered(0, 503);
    assert_eq!(state(0), State::Unhealthy);
    answered(0, 200);
    assert_eq!(state(0), State::Healthy);

    failed(1, ErrorKind::ClientGone);
    failed(1, ErrorKind::NoNode);
    failed(1, ErrorKind::Resolve { host: node() });
    assert_eq!(state(1), State::Healthy);
    failed(1, ErrorKind::Connect { node: node() });
    failed(2, ErrorKind::UpstreamTimeout { what: "read", node: node() });
    failed(3, ErrorKind::UpstreamClosed { node: node(), reused: false });
    assert!((1..4).all(|at| state(at) == State::Unhealthy && !watch.is_healthy(at)));

    let without = registry.of_plugin("other", &quiet(&[1], &Value::Null)).unwrap();
    without.tried(0, &Tried::Answered(500));
    assert_eq!(states(&without), [(1, State::Healthy)], "without passive checks");
}

#[test]
fn a_plugin_reports_by_the_limits_it_names() {
    let registry = registry();
    let passive = json!({"unhealthy": {"http_statuses": [418], "http_failures": 1}});
    let watch = registry.of_plugin("mine", &quiet(&[1], &passive)).unwrap();
    assert_eq!(watch.verdict(418, false), Some(Report::HttpFailure));
    assert_eq!((watch.verdict(418, true), watch.verdict(302, true)), (None, Some(Report::Success)));
    let target = watch.targets().next().unwrap();
    watch.reported(target, Report::HttpFailure, true);
    assert_eq!(target.word.status().state, State::MostlyHealthy);
    watch.reported(target, Report::HttpFailure, false);
    assert_eq!(target.word.status().state, State::Unhealthy);
}

/// A node that answers each connection's requests with `answer`; says how many it took.
fn node(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut buf = [0; 4096];
                while matches!(stream.read(&mut buf), Ok(1..)) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (addr, taken)
}

/// Waits for `what`, as long as a slow machine may need.
#[track_caller]
fn wait(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "it never happened");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn probed(addr: SocketAddr, more: &Value) -> Arc<Upstream> {
    let mut active = json!({
        "timeout": 5,
        "healthy": {"interval": 1, "successes": 1},
        "unhealthy": {"interval": 1, "http_failures": 1, "tcp_failures": 1},
    });
    for (name, value) in more.as_object().unwrap() {
        active[name] = value.clone();
    }
    upstream(&json!({
        "nodes": [{"host": "127.0.0.1", "port": addr.port(), "weight": 1}],
        "checks": {"active": active},
    }))
}

#[track_caller]
fn check(answer: &'static str, more: &Value, expected: State) {
    let (addr, taken) = node(answer);
    let registry = registry();
    let watch = registry.of_plugin("mine", &probed(addr, more)).unwrap();
    let target = watch.targets().next().unwrap();
    if expected == State::Healthy {
        watch.force(target, State::Unhealthy);
    }
    wait(|| target.word.status().state == expected);
    assert!(taken.load(Ordering::SeqCst) > 0);
}

#[test]
fn a_probe_judges_by_the_final_status() {
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &json!({}), State::Healthy);
    let early = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
    check(early, &json!({}), State::Unhealthy);
    check("HTTP/1.0 302 Found\r\n\r\n", &json!({}), State::Healthy);
    check("SSH-2.0-OpenSSH_9.2\r\n\r\n", &json!({}), State::Unhealthy);
    check("", &json!({"type": "tcp"}), State::Healthy);
}

#[test]
fn a_probe_of_a_closed_port_is_a_failure_of_tcp() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = registry();
    let watch = registry.of_plugin("mine", &probed(addr, &json!({}))).unwrap();
    let status = || watch.each().next().unwrap().1;
    wait(|| status().state == State::Unhealthy);
    assert_eq!((status().tcp_failure, status().http_failure), (1, 0));
}

#[test]
fn probes_end_with_the_watch() {
    let (addr, taken) = node("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    let registry = registry();
    let watch = registry.of_plugin("mine", &probed(addr, &json!({}))).unwrap();
    wait(|| taken.load(Ordering::SeqCst) >= 2);
    drop(watch);
    // One may be under way.
    std::thread::sleep(Duration::from_millis(200));
    let count = taken.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(taken.load(Ordering::SeqCst), count);
}
