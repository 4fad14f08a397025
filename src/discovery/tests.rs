//! Tests of `discovery` with a registry that tells what it is told.

use std::sync::mpsc as std_mpsc;

use proptest::prelude::*;
use serde_json::json;

use super::{
    registry::{Life, each},
    *,
};
use crate::config::upstream::Node;

/// What the registry has to say next: the number of a feed, and what of it.
enum Say {
    Nodes(Vec<Node>),
    None(&'static str),
    Failed(&'static str),
}

struct Told {
    feeds: std_mpsc::Sender<Feed>,
    ends: std_mpsc::Sender<u64>,
    stale_max: Duration,
}

impl Registry for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn stale_max(&self) -> Duration {
        self.stale_max
    }

    fn config(&self) -> Value {
        json!({"a": 1})
    }

    fn run(self: Box<Self>, mut services: Services) -> Life {
        Box::pin(async move {
            while let Some(change) = services.next().await {
                match change {
                    Change::Begin(feed) => drop(self.feeds.send(feed)),
                    Change::End(id) => drop(self.ends.send(id)),
                }
            }
        })
    }
}

/// Scope and nodes of each call of [`OnNodes`].
type Heard = Arc<Mutex<Vec<(String, Option<usize>)>>>;

struct Rig {
    discovery: Discovery,
    feeds: std_mpsc::Receiver<Feed>,
    ends: std_mpsc::Receiver<u64>,
    heard: Heard,
}

fn rig(stale_max: Duration) -> Rig {
    let ((feeds, feed_inbox), (ends, end_inbox)) = (std_mpsc::channel(), std_mpsc::channel());
    let heard = Heard::default();
    let hears = Arc::clone(&heard);
    let on_nodes: OnNodes = Box::new(move |scope, _, upstream| {
        let count = upstream.map(|upstream| upstream.nodes.len());
        hears.lock().unwrap().push((scope.to_owned(), count));
    });
    let registry = Box::new(Told { feeds, ends, stale_max });
    let discovery = Discovery::start(vec![registry], on_nodes).unwrap();
    Rig { discovery, feeds: feed_inbox, ends: end_inbox, heard }
}

const SOON: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);

impl Rig {
    fn feed(&self) -> Feed {
        self.feeds.recv_timeout(SOON).unwrap()
    }

    fn hosts(&self, upstream: &Arc<Upstream>) -> String {
        match self.discovery.found(upstream, "/u") {
            Ok(found) => {
                let name = |node: &Node| format!("{}:{}", node.host, node.port.unwrap_or(0));
                found.nodes.iter().map(name).collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }
}

fn upstream(service: &str) -> Arc<Upstream> {
    let value = json!({"type": "roundrobin", "discovery_type": "told", "service_name": service});
    Upstream::read(&value, None).unwrap()
}

fn node(last: u8) -> Node {
    let host = format!("10.0.0.{last}");
    let ip = host.parse().ok();
    let (host, metadata, domain) = (host.into(), None, None);
    Node { host, ip, port: None, weight: 1, priority: 0, metadata, domain }
}

impl Say {
    fn to(self, feed: &Feed) {
        match self {
            Self::Nodes(nodes) => feed.nodes(nodes),
            Self::None(why) => feed.none(why),
            Self::Failed(why) => feed.failed(why),
        }
    }
}

#[test]
fn nodes_come_and_go() {
    let rig = rig(HOUR);
    let up = upstream("s");
    assert_eq!(rig.hosts(&up), "no valid upstream node: the registry has not answered yet");
    let feed = rig.feed();
    assert_eq!((feed.service(), feed.args()), ("s", None));
    feed.nodes(vec![node(2), node(1)]);
    assert_eq!(rig.hosts(&up), "10.0.0.1:80 10.0.0.2:80");
    let first = rig.discovery.found(&up, "/u").unwrap();
    assert!(up.sought.as_ref().unwrap().is_current(&first));
    feed.nodes(vec![node(1), node(2)]);
    let same = rig.discovery.found(&up, "/u").unwrap();
    assert!(Arc::ptr_eq(&first, &same), "an equal list is not handed out again");
    feed.nodes(vec![node(2)]);
    assert_eq!(rig.hosts(&up), "10.0.0.2:80");
    assert!(!up.sought.as_ref().unwrap().is_current(&first));
    feed.none("gone");
    assert_eq!(rig.hosts(&up), "no valid upstream node: gone");
    feed.nodes(Vec::new());
    assert_eq!(rig.hosts(&up), "no valid upstream node");
    let heard = rig.heard.lock().unwrap();
    let counts: Vec<_> = heard.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [Some(2), Some(1), None, Some(0)]);
}

#[test]
fn nodes_are_used_on_while_the_registry_is_silent() {
    let rig = rig(HOUR);
    let up = upstream("s");
    rig.hosts(&up);
    let feed = rig.feed();
    feed.nodes(vec![node(1)]);
    let before = rig.discovery.found(&up, "/u").unwrap();
    feed.failed("no answer");
    feed.failed("no answer");
    assert!(Arc::ptr_eq(&before, &rig.discovery.found(&up, "/u").unwrap()));
    let dump = rig.discovery.dump("told").unwrap();
    let service = &dump["services"]["s"];
    assert_eq!((&service["stale"], &service["error"]), (&json!(true), &json!("no answer")));
    assert_eq!(service["nodes"][0]["host"], "10.0.0.1");
    assert!(rig.discovery.metrics().contains("stale{registry=\"told\",service=\"s\"} 1"));
    feed.nodes(vec![node(1)]);
    let dump = rig.discovery.dump("told").unwrap();
    assert_eq!(dump["services"]["s"]["stale"], false);
    assert_eq!(dump["config"], json!({"a": 1}));
    assert!(rig.discovery.dump("other").is_none());
}

#[test]
fn but_not_for_ever() {
    let rig = rig(Duration::from_millis(20));
    let up = upstream("s");
    rig.hosts(&up);
    let feed = rig.feed();
    feed.nodes(vec![node(1)]);
    thread::sleep(Duration::from_millis(30));
    feed.failed("no answer");
    assert_eq!(rig.hosts(&up), "no valid upstream node: no answer");
    feed.nodes(vec![node(1)]);
    assert_eq!(rig.hosts(&up), "10.0.0.1:80");
}

#[test]
fn a_first_failure_is_an_answer() {
    let rig = rig(HOUR);
    let up = upstream("s");
    rig.hosts(&up);
    rig.feed().failed("refused");
    assert_eq!(rig.hosts(&up), "no valid upstream node: refused");
}

#[test]
fn a_service_is_asked_for_once_and_ends_with_its_last_upstream() {
    let rig = rig(HOUR);
    let (one, two) = (upstream("s"), upstream("s"));
    rig.hosts(&one);
    let feed = rig.feed();
    feed.nodes(vec![node(1)]);
    assert_eq!(rig.hosts(&two), "10.0.0.1:80", "what is known is handed out at once");
    assert!(rig.feeds.try_recv().is_err());
    drop(one);
    assert!(rig.ends.try_recv().is_err());
    assert_eq!(rig.hosts(&two), "10.0.0.1:80");
    drop(two);
    assert_eq!(rig.ends.recv_timeout(SOON).unwrap(), feed.id());
    feed.nodes(vec![node(2)]);
    assert!(rig.discovery.dump("told").unwrap()["services"].as_object().unwrap().is_empty());
    let again = upstream("s");
    rig.hosts(&again);
    assert_ne!(rig.feed().id(), feed.id());
}

#[test]
fn what_is_not_configured_is_named() {
    let rig = rig(HOUR);
    let refused = |value: Value| {
        let upstream = Upstream::read(&value, None).unwrap();
        rig.discovery.found(&upstream, "/u").unwrap_err().to_string()
    };
    let nacos = json!({"service_name": "s", "discovery_type": "nacos"});
    assert_eq!(refused(nacos), "discovery nacos is uninitialized");
    assert_eq!(refused(json!({"service_name": "s"})), "discovery server need appoint");
    let nodes = json!({"nodes": [{"host": "127.0.0.1", "port": 1, "weight": 1}]});
    let plain = Upstream::read(&nodes, None).unwrap();
    assert!(Arc::ptr_eq(&plain, &rig.discovery.found(&plain, "/u").unwrap()));
}

#[test]
fn arguments_make_another_service() {
    let rig = rig(HOUR);
    let with = |args: Value| {
        let value = json!({"service_name": "s", "discovery_type": "told", "discovery_args": args});
        Upstream::read(&value, None).unwrap()
    };
    let (one, two) = (with(json!({"group_name": "a"})), with(json!({"group_name": "b"})));
    rig.hosts(&one);
    rig.feed().nodes(vec![node(1)]);
    rig.hosts(&two);
    let feed = rig.feed();
    assert_eq!(feed.args(), Some(&json!({"group_name": "b"})));
    feed.nodes(vec![node(2)]);
    assert_eq!((&*rig.hosts(&one), &*rig.hosts(&two)), ("10.0.0.1:80", "10.0.0.2:80"));
}

#[test]
fn a_waiting_request_hears_of_the_first_answer() {
    let rig = rig(HOUR);
    let up = upstream("s");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut hearing = rig.discovery.hear();
    assert!(matches!(rig.discovery.found(&up, "/u").unwrap_err().kind(), error::Kind::Discovering));
    let feed = rig.feed();
    let telling = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        feed.nodes(vec![node(1)]);
    });
    assert!(runtime.block_on(hearing.next()));
    assert_eq!(rig.hosts(&up), "10.0.0.1:80");
    telling.join().unwrap();
}

#[test]
fn each_ends_what_nobody_wants() {
    struct PerService(std_mpsc::Sender<String>);
    struct Ends(std_mpsc::Sender<String>, String);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.send(format!("end {}", self.1));
        }
    }
    impl Registry for PerService {
        fn name(&self) -> &'static str {
            "told"
        }
        fn stale_max(&self) -> Duration {
            HOUR
        }
        fn config(&self) -> Value {
            Value::Null
        }
        fn run(self: Box<Self>, services: Services) -> Life {
            Box::pin(each(services, move |feed| {
                let events = self.0.clone();
                async move {
                    let _ = events.send(format!("begin {}", feed.service()));
                    let _ends = Ends(events, feed.service().to_owned());
                    std::future::pending::<()>().await;
                }
            }))
        }
    }
    let (events, inbox) = std_mpsc::channel();
    let on_nodes: OnNodes = Box::new(|_, _, _| {});
    let discovery = Discovery::start(vec![Box::new(PerService(events))], on_nodes).unwrap();
    let up = upstream("s");
    let _ = discovery.found(&up, "/u");
    assert_eq!(inbox.recv_timeout(SOON).unwrap(), "begin s");
    drop(up);
    assert_eq!(inbox.recv_timeout(SOON).unwrap(), "end s");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is told in whatever order: everybody has what was told last, or what was
    /// known before a silence.
    #[test]
    fn everybody_has_what_was_told_last(
        says in prop::collection::vec((0..4_u8, prop::collection::vec(0..4_u8, 0..4)), 1..30),
    ) {
        let rig = rig(HOUR);
        let early = upstream("s");
        rig.hosts(&early);
        let feed = rig.feed();
        let mut want = "no valid upstream node: the registry has not answered yet".to_owned();
        let mut known = false;
        for (what, hosts) in says {
            let say = match what {
                0 => Say::None("no such"),
                1 => Say::Failed("silence"),
                _ => Say::Nodes(hosts.iter().map(|host| node(*host)).collect()),
            };
            match &say {
                Say::None(_) => want = "no valid upstream node: no such".to_owned(),
                Say::Failed(_) if known => {}
                Say::Failed(_) => want = "no valid upstream node: silence".to_owned(),
                Say::Nodes(_) => {
                    let hosts: std::collections::BTreeSet<_> = hosts.iter().collect();
                    let names: Vec<_> = hosts.iter().map(|n| format!("10.0.0.{n}:80")).collect();
                    want = match &names[..] {
                        [] => "no valid upstream node".to_owned(),
                        names => names.join(" "),
                    };
                }
            }
            known = true;
            say.to(&feed);
            prop_assert_eq!(rig.hosts(&early), want.clone());
            prop_assert_eq!(rig.hosts(&upstream("s")), want.clone());
        }
    }
}
