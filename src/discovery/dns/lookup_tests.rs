//! Tests of `lookup`, against a zone in memory.

use std::{cell::RefCell, collections::HashMap};

use proptest::prelude::*;
use tokio::{runtime, task::LocalSet};

use super::*;

#[derive(Default)]
struct Zone {
    replies: HashMap<(String, Kind), Reply>,
    asked: RefCell<Vec<String>>,
}

impl Ask for Zone {
    async fn ask(&self, name: &str, kind: Kind) -> Reply {
        self.asked.borrow_mut().push(format!("{name} {}", kind.name()));
        let known = self.replies.get(&(name.to_owned(), kind)).cloned();
        known.unwrap_or_else(|| Reply::None("3 name error".to_owned(), Some(7)))
    }
}

impl Zone {
    fn has(mut self, name: &str, kind: Kind, reply: Reply) -> Self {
        self.replies.insert((name.to_owned(), kind), reply);
        self
    }

    fn a(self, name: &str, ips: &[&str], ttl: u32) -> Self {
        let records = ips.iter().map(|ip| Record::Address(ip.parse().unwrap())).collect();
        self.has(name, Kind::A, Reply::Records(records, ttl))
    }

    fn srv(self, name: &str, rows: &[(u16, u16, u16, &str)], ttl: u32) -> Self {
        let row = |&(priority, weight, port, target): &(u16, u16, u16, &str)| Record::Service {
            priority,
            weight,
            port,
            target: target.to_owned(),
        };
        self.has(name, Kind::Srv, Reply::Records(rows.iter().map(row).collect(), ttl))
    }
}

const ORDER: [Kind; 5] = [Kind::Last, Kind::Srv, Kind::A, Kind::Aaaa, Kind::Cname];

fn run(zone: &Rc<Zone>, order: &[Kind], last: Option<Kind>, port: Option<u16>) -> Outcome {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let wanted = Wanted { host: "s.test".to_owned(), port };
    LocalSet::new().block_on(&runtime, look_up(zone, order, last, &wanted))
}

/// `host:port=weight/priority` of each node, the TTL and what was asked.
#[track_caller]
fn found(zone: Zone, last: Option<Kind>, port: Option<u16>) -> (String, u32, String) {
    let zone = Rc::new(zone);
    let Outcome::Nodes { nodes, ttl, .. } = run(&zone, &ORDER, last, port) else {
        panic!("no nodes")
    };
    let text = |node: &Node| {
        let port = node.port.map_or("-".to_owned(), |port| port.to_string());
        format!("{}:{port}={}/{}", node.host, node.weight, node.priority)
    };
    let text = nodes.iter().map(text).collect::<Vec<_>>().join(" ");
    (text, ttl, zone.asked.borrow().join(", "))
}

#[test]
fn addresses_are_nodes_without_a_port_of_their_own() {
    let zone = || Zone::default().a("s.test", &["10.0.0.2", "10.0.0.1", "10.0.0.2"], 30);
    let (nodes, ttl, asked) = found(zone(), None, None);
    assert_eq!((&*nodes, ttl), ("10.0.0.1:-=1/0 10.0.0.2:-=1/0", 30));
    assert_eq!(asked, "s.test SRV, s.test A");
    let (nodes, _, asked) = found(zone(), Some(Kind::A), Some(81));
    assert_eq!((&*nodes, &*asked), ("10.0.0.1:81=1/0 10.0.0.2:81=1/0", "s.test A"));
}

#[test]
fn ipv6_comes_in_brackets_after_ipv4_was_asked_for() {
    let reply = Reply::Records(vec![Record::Address("::1".parse().unwrap())], 9);
    let (nodes, _, asked) = found(Zone::default().has("s.test", Kind::Aaaa, reply), None, None);
    assert_eq!((&*nodes, &*asked), ("[::1]:-=1/0", "s.test SRV, s.test A, s.test AAAA"));
}

#[test]
fn srv_brings_ports_weights_and_priorities() {
    let rows = [(10, 60, 1980, "a."), (10, 20, 0, "b."), (20, 0, 1982, "c.")];
    let zone = Zone::default()
        .srv("s.test", &rows, 30)
        .a("a.", &["127.0.0.1"], 60)
        .a("b.", &["127.0.0.2"], 5)
        .a("c.", &["127.0.0.3"], 60);
    let (nodes, ttl, _) = found(zone, None, None);
    let want = "127.0.0.1:1980=60/-10 127.0.0.2:-=20/-10 127.0.0.3:1982=1/-20";
    assert_eq!((&*nodes, ttl), (want, 5), "the shortest TTL counts");
}

#[test]
fn the_port_of_the_name_is_before_that_of_srv() {
    let zone = Zone::default().srv("s.test", &[(0, 1, 1980, "a.")], 3).a("a.", &["1.1.1.1"], 3);
    assert_eq!(found(zone, None, Some(99)).0, "1.1.1.1:99=1/0");
}

#[test]
fn several_addresses_of_a_host_share_its_weight() {
    let zone = Zone::default()
        .srv("s.test", &[(0, 5, 1, "a."), (0, 5, 2, "b.")], 3)
        .a("a.", &["1.1.1.1", "1.1.1.2", "1.1.1.3"], 3)
        .a("b.", &["1.1.1.4", "1.1.1.5"], 3);
    let want = "1.1.1.1:1=10/0 1.1.1.2:1=10/0 1.1.1.3:1=10/0 1.1.1.4:2=15/0 1.1.1.5:2=15/0";
    assert_eq!(found(zone, None, None).0, want);
}

#[test]
fn a_host_that_is_not_there_is_left_out_and_told() {
    let zone = Zone::default().srv("s.test", &[(0, 1, 1, "a."), (0, 1, 2, "b.")], 30);
    let zone = Rc::new(zone.a("b.", &["1.1.1.4"], 30));
    match run(&zone, &ORDER, None, None) {
        Outcome::Nodes { nodes, ttl, odd, .. } => {
            assert_eq!((nodes.len(), ttl), (1, 7), "and asked for again soon");
            assert!(odd.unwrap().contains("failed to resolve SRV record a.: 3 name error"));
        }
        other => panic!("{other:?}"),
    }
    let zone = Rc::new(Zone::default().srv("s.test", &[(0, 1, 1, "a.")], 30));
    assert!(
        matches!(run(&zone, &ORDER, None, None), Outcome::None(why, Some(7)) if why.contains("a."))
    );
}

#[test]
fn a_host_that_nobody_can_tell_of_fails_all() {
    let zone = Zone::default()
        .srv("s.test", &[(0, 1, 1, "a."), (0, 1, 2, "b.")], 30)
        .a("a.", &["1.1.1.1"], 30)
        .has("b.", Kind::A, Reply::Silence("no answer".to_owned()));
    assert!(
        matches!(run(&Rc::new(zone), &ORDER, None, None), Outcome::Failed(why) if why.contains("b."))
    );
}

#[test]
fn a_service_that_is_not_offered_has_no_nodes() {
    let zone = Zone::default().srv("s.test", &[(0, 0, 0, ".")], 30);
    let (nodes, _, asked) = found(zone, None, None);
    assert_eq!((&*nodes, &*asked), ("", "s.test SRV"), "the root is not asked for");
}

#[test]
fn aliases_are_followed_to_a_bound() {
    let alias = |to: &str| Reply::Records(vec![Record::Alias(to.to_owned())], 3);
    let zone = Zone::default().has("s.test", Kind::Cname, alias("t.")).a("t.", &["1.1.1.1"], 3);
    assert_eq!(found(zone, None, None).0, "1.1.1.1:-=1/0");
    let zone = Zone::default().has("s.test", Kind::Cname, alias("t.")).has(
        "t.",
        Kind::Cname,
        alias("s.test"),
    );
    let zone = Rc::new(zone);
    assert!(matches!(run(&zone, &ORDER, None, None), Outcome::None(..)));
    assert!(zone.asked.borrow().len() < 50, "{}", zone.asked.borrow().len());
}

#[test]
fn silence_is_no_reason_to_take_another_kind() {
    let silence = || Reply::Silence("no answer".to_owned());
    let zone = Zone::default().has("s.test", Kind::Srv, silence()).a("s.test", &["1.1.1.1"], 3);
    assert_eq!(run(&Rc::new(zone), &ORDER, None, None), Outcome::Failed("no answer".to_owned()));
}

#[test]
fn a_refused_kind_is_passed_over_unless_it_answered_last() {
    let refused = || Reply::Refused("2 server failure".to_owned());
    let zone = || Zone::default().has("s.test", Kind::Srv, refused()).a("s.test", &["1.1.1.1"], 3);
    assert_eq!(found(zone(), None, None).0, "1.1.1.1:-=1/0");
    let failed = run(&Rc::new(zone()), &ORDER, Some(Kind::Srv), None);
    assert_eq!(failed, Outcome::Failed("2 server failure".to_owned()));
    let zone = Zone::default().has("s.test", Kind::A, refused());
    let failed = run(&Rc::new(zone), &ORDER, None, None);
    assert_eq!(failed, Outcome::Failed("2 server failure".to_owned()), "nothing but a no is a no");
}

#[test]
fn a_name_that_is_not_there_is_asked_for_by_each_kind_once() {
    let zone = Rc::new(Zone::default());
    let outcome = run(&zone, &ORDER, Some(Kind::A), None);
    assert_eq!(outcome, Outcome::None("3 name error".to_owned(), Some(7)));
    assert_eq!(zone.asked.borrow().join(" "), "s.test A s.test SRV s.test AAAA s.test CNAME");
}

#[test]
fn too_many_hosts_are_cut_and_told() {
    let names: Vec<String> = (0..300).map(|n| format!("h{n}.")).collect();
    let rows: Vec<_> = names.iter().map(|name| (0, 1, 80, name.as_str())).collect();
    let zone = names
        .iter()
        .fold(Zone::default().srv("s.test", &rows, 9), |zone, name| zone.a(name, &["1.1.1.1"], 9));
    let zone = Rc::new(zone);
    let Outcome::Nodes { odd: Some(odd), .. } = run(&zone, &ORDER, None, None) else {
        panic!("not told")
    };
    assert!(odd.contains("300 hosts"), "{odd}");
    assert_eq!(zone.asked.borrow().len(), 1 + TARGETS_MAX);
}

proptest! {
    #[test]
    fn hosts_share_the_load_by_their_weights(
        rows in prop::collection::vec((0..100_u16, 1..40_usize), 1..12),
    ) {
        let offers: Vec<Offer> = rows.iter().enumerate().map(|(at, &(weight, count))| Offer {
            ips: (0..count).map(|n| IpAddr::from([10, 0, u8::try_from(at).unwrap(), u8::try_from(n).unwrap()])).collect(),
            priority: 0, weight, port: 80,
        }).collect();
        let nodes = shared(&offers, None);
        prop_assert!(nodes.iter().all(|node| node.weight > 0));
        let of = |at: usize| -> f64 {
            let mine = |node: &&Node| matches!(node.ip, Some(IpAddr::V4(ip)) if usize::from(ip.octets()[2]) == at);
            nodes.iter().filter(mine).map(|node| f64::from(node.weight)).sum()
        };
        let total: f64 = (0..offers.len()).map(of).sum();
        let weights: f64 = offers.iter().map(|offer| f64::from(offer.weight.max(1))).sum();
        for (at, offer) in offers.iter().enumerate() {
            let (share, want) = (of(at) / total, f64::from(offer.weight.max(1)) / weights);
            prop_assert!((share - want).abs() < 0.03, "{share} instead of {want}");
        }
    }
}
