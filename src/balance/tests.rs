//! Tests of the balancers.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};

use super::{Balancer, Kind, NodeSpec, Pick, PickCx, Plan, Shared, Tried};

fn nodes(weights: &[u32]) -> Vec<NodeSpec> {
    let node =
        |(at, &weight)| NodeSpec { host: format!("10.0.0.{at}"), port: 80, weight, priority: 0 };
    weights.iter().enumerate().map(node).collect()
}

fn with_priorities(list: &[(u32, i32)]) -> Vec<NodeSpec> {
    let weights: Vec<u32> = list.iter().map(|&(weight, _)| weight).collect();
    let mut nodes = nodes(&weights);
    for (node, &(_, priority)) in nodes.iter_mut().zip(list) {
        node.priority = priority;
    }
    nodes
}

fn balancer(kind: Kind, nodes: &[NodeSpec], seed: u64) -> Balancer {
    let shared = Shared::new(Instant::now());
    Balancer::new(Arc::new(Plan::new(kind, nodes, "u", &shared)), seed)
}

fn cx(tried: &Tried) -> PickCx<'_> {
    PickCx { key: None, tried, healthy: None, now: Instant::now() }
}

fn pick(balancer: &Balancer) -> usize {
    balancer.pick(&cx(&Tried::default())).unwrap().node()
}

fn run(balancer: &Balancer, count: usize) -> Vec<usize> {
    (0..count).map(|_| pick(balancer)).collect()
}

fn shares(picks: &[usize], len: usize) -> Vec<usize> {
    (0..len).map(|node| picks.iter().filter(|&&pick| pick == node).count()).collect()
}

const KINDS: [Kind; 4] = [Kind::RoundRobin, Kind::Chash, Kind::LeastConn, Kind::Ewma];

#[test]
fn a_round_gives_each_node_its_weight() {
    // The figures of APISIX's own tests for 1:2:3 and for a weight of 0.
    for seed in 0..20 {
        assert_eq!(
            shares(&run(&balancer(Kind::RoundRobin, &nodes(&[3, 2, 1]), seed), 12), 3),
            [6, 4, 2]
        );
        assert_eq!(
            shares(&run(&balancer(Kind::RoundRobin, &nodes(&[3, 0, 1]), seed), 12), 3),
            [9, 0, 3]
        );
    }
}

#[test]
fn a_heavy_node_is_spread_out() {
    let picks = run(&balancer(Kind::RoundRobin, &nodes(&[5, 1, 1]), 0), 70);
    let longest = picks.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
    // nginx's a a b a c a a: at most four in a row where two rounds meet.
    assert_eq!(longest, Some(4));
    assert!(picks.windows(7).all(|round| shares(round, 3) == [5, 1, 1]));
}

#[test]
fn workers_start_at_different_nodes() {
    let firsts: Vec<usize> =
        (0..400).map(|seed| pick(&balancer(Kind::RoundRobin, &nodes(&[1; 4]), seed))).collect();
    assert!(shares(&firsts, 4).iter().all(|&count| count > 50), "{:?}", shares(&firsts, 4));
}

#[test]
fn the_turns_of_a_node_that_is_down_are_shared_by_weight() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
        let balancer = balancer(Kind::RoundRobin, &nodes(&weights), 7);
        let (tried, healthy) = (Tried::default(), |node| node != 1);
        let picks: Vec<usize> = (0..3600)
            .map(|_| {
                let cx = PickCx { healthy: Some(&healthy), ..cx(&tried) };
                balancer.pick(&cx).unwrap().node()
            })
            .collect();
        let shares = shares(&picks, 4);
        let total = weights[0] + weights[2] + weights[3];
        for node in [0, 2, 3] {
            let fair = (3600 * weights[node] / total) as usize;
            assert!(shares[node].abs_diff(fair) <= 4, "{weights:?}: {shares:?}");
        }
        assert_eq!(shares[1], 0);
    }
}

#[test]
fn a_round_too_long_to_keep_is_fair_too() {
    let weights = [999_983, 500_009, 3];
    let picks = run(&balancer(Kind::RoundRobin, &nodes(&weights), 3), 30_000);
    let shares = shares(&picks, 3);
    assert!(shares[0].abs_diff(20_000) < 20 && shares[1].abs_diff(10_000) < 20, "{shares:?}");
}

#[test]
fn a_single_node_is_picked_whatever_is_known_about_it() {
    for kind in KINDS {
        let balancer = balancer(kind, &nodes(&[0]), 1);
        let mut tried = Tried::default();
        tried.mark(0);
        let cx = PickCx { healthy: Some(&|_| false), ..cx(&tried) };
        assert_eq!(balancer.pick(&cx).unwrap().node(), 0);
    }
}

#[test]
fn no_nodes_or_only_weight_zero_gives_none() {
    for kind in KINDS {
        for list in [nodes(&[]), nodes(&[0, 0])] {
            assert!(balancer(kind, &list, 1).pick(&cx(&Tried::default())).is_none());
        }
    }
}

#[test]
fn every_node_is_tried_once_then_none_is_left() {
    for kind in KINDS {
        let balancer = balancer(kind, &nodes(&[1; 70]), 5);
        let mut tried = Tried::default();
        for _ in 0..70 {
            let node = balancer.pick(&cx(&tried)).unwrap().node();
            assert!(!tried.has(node), "{kind:?}");
            tried.mark(node);
        }
        assert!(balancer.pick(&cx(&tried)).is_none(), "{kind:?}");
        tried.clear();
        assert!(balancer.pick(&cx(&tried)).is_some());
    }
}

#[test]
fn a_lower_priority_waits_until_the_higher_one_is_used_up() {
    for kind in KINDS {
        let list = with_priorities(&[(1, -1), (1, 10), (1, 10), (1, 0), (0, 99)]);
        let balancer = balancer(kind, &list, 5);
        let mut tried = Tried::default();
        let mut order = Vec::new();
        while let Some(pick) = balancer.pick(&cx(&tried)) {
            tried.mark(pick.node());
            order.push(pick.node());
        }
        order[..2].sort_unstable();
        assert_eq!(order, [1, 2, 3, 0], "{kind:?}");
    }
}

#[test]
fn unhealthy_nodes_are_skipped_unless_all_are() {
    for kind in KINDS {
        let balancer = balancer(kind, &with_priorities(&[(1, 1), (1, 1), (1, 0)]), 5);
        let mut tried = Tried::default();
        let healthy = |node| node == 2;
        let only = PickCx { healthy: Some(&healthy), ..cx(&tried) };
        assert_eq!(balancer.pick(&only).unwrap().node(), 2, "{kind:?}");
        let none = PickCx { healthy: Some(&|_| false), ..cx(&tried) };
        assert!(balancer.pick(&none).unwrap().node() < 2, "{kind:?}");
        // The one healthy node was tried: a node known to be down is no alternative.
        tried.mark(2);
        let left = PickCx { healthy: Some(&healthy), ..cx(&tried) };
        assert!(balancer.pick(&left).is_none(), "{kind:?}");
    }
}

#[test]
fn where_all_are_unhealthy_all_take_turns() {
    for weights in [[1, 1, 1, 1], [1, 2, 3, 4]] {
        let balancer = balancer(Kind::RoundRobin, &nodes(&weights), 7);
        let tried = Tried::default();
        let cx = PickCx { healthy: Some(&|_| false), ..cx(&tried) };
        let picks: Vec<usize> = (0..1000).map(|_| balancer.pick(&cx).unwrap().node()).collect();
        let total: u32 = weights.iter().sum();
        for (share, weight) in shares(&picks, 4).into_iter().zip(weights) {
            let fair = (1000 * weight / total) as usize;
            assert!(share.abs_diff(fair) <= 4, "{weights:?}: {share} of {fair}");
        }
    }
}

fn hash_pick(balancer: &Balancer, key: usize, tried: &Tried) -> usize {
    let key = format!("key-{key}");
    let cx = PickCx { key: Some(key.as_bytes()), ..cx(tried) };
    balancer.pick(&cx).unwrap().node()
}

#[test]
fn a_key_keeps_its_node_and_only_the_keys_of_a_leaver_move() {
    let all = nodes(&[1; 10]);
    let mut fewer = all.clone();
    fewer.remove(4);
    let (full, less) = (balancer(Kind::Chash, &all, 1), balancer(Kind::Chash, &fewer, 99));
    let mut tried = Tried::default();
    let mut moved = 0;
    let mut shares = [0; 10];
    for key in 0..20_000 {
        let node = hash_pick(&full, key, &tried);
        let after = hash_pick(&less, key, &tried);
        let after = if after >= 4 { after + 1 } else { after };
        shares[node] += 1;
        if node == 4 {
            moved += 1;
            // Walking on from a failed node leads where its keys would go without it.
            tried.mark(4);
            assert_eq!(hash_pick(&full, key, &tried), after);
            tried.clear();
        } else {
            assert_eq!(node, after);
        }
    }
    assert!((1000..3000).contains(&moved), "{moved}");
    assert!(shares.iter().all(|share| (1000..3000).contains(share)), "{shares:?}");
}

#[test]
fn the_order_of_the_list_does_not_matter_to_a_key() {
    let list = nodes(&[1, 2, 3, 4]);
    let reversed: Vec<NodeSpec> = list.iter().rev().cloned().collect();
    let (one, two) = (balancer(Kind::Chash, &list, 1), balancer(Kind::Chash, &reversed, 1));
    for key in 0..5000 {
        let tried = Tried::default();
        assert_eq!(hash_pick(&one, key, &tried), 3 - hash_pick(&two, key, &tried));
    }
}

#[test]
fn points_are_those_of_nginx() {
    // crc32("127.0.0.1\01980" + 4 zero bytes), then chained; computed with Python's zlib.
    let node = |port| NodeSpec { host: "127.0.0.1".to_owned(), port, weight: 1, priority: 0 };
    let balancer = balancer(Kind::Chash, &[node(1980), node(1981), node(1982)], 1);
    for (key, port) in NGINX_KEYS {
        let tried = Tried::default();
        let cx = PickCx { key: Some(key.as_bytes()), ..cx(&tried) };
        assert_eq!(balancer.pick(&cx).unwrap().node(), port - 1980, "{key}");
    }
}

const NGINX_KEYS: [(&str, usize); 11] = [
    ("", 1982),
    ("1", 1982),
    ("device-1", 1981),
    ("192.168.0.1", 1981),
    ("10.1.2.3", 1981),
    ("alice", 1982),
    ("user-42", 1982),
    ("été", 1981),
    ("bob", 1981),
    ("carol", 1980),
    ("dave", 1981),
];

#[test]
fn chash_shares_follow_the_weights_and_huge_weights_stay_bounded() {
    for weights in [[1, 3], [1_000_003, 3_000_017]] {
        let balancer = balancer(Kind::Chash, &nodes(&weights), 1);
        let tried = Tried::default();
        let picks: Vec<usize> = (0..10_000).map(|key| hash_pick(&balancer, key, &tried)).collect();
        assert!(shares(&picks, 2)[0].abs_diff(2500) < 700, "{:?}", shares(&picks, 2));
    }
}

#[test]
fn least_conn_levels_connections_by_weight() {
    let balancer = balancer(Kind::LeastConn, &nodes(&[1, 2, 5]), 1);
    let held: Vec<Pick> = (0..80).map(|_| balancer.pick(&cx(&Tried::default())).unwrap()).collect();
    let count = |node| balancer.plan().in_flight(node).unwrap();
    assert_eq!([count(0), count(1), count(2)], [10, 20, 50]);
    drop(held);
    assert_eq!([count(0), count(1), count(2)], [0, 0, 0]);
}

#[test]
fn equal_idle_nodes_take_turns_in_least_conn() {
    let picks = run(&balancer(Kind::LeastConn, &nodes(&[1, 1, 1]), 1), 30);
    assert_eq!(shares(&picks, 3), [10, 10, 10]);
}

#[test]
fn counts_survive_a_new_version_and_end_with_the_last_user() {
    let shared = Shared::new(Instant::now());
    let plan =
        |list: &[NodeSpec], scope: &str| Arc::new(Plan::new(Kind::LeastConn, list, scope, &shared));
    let old = Balancer::new(plan(&nodes(&[1]), "u"), 1);
    let held: Vec<Pick> = (0..3).map(|_| old.pick(&cx(&Tried::default())).unwrap()).collect();
    let new = Balancer::new(plan(&nodes(&[1, 1]), "u"), 1);
    drop(old);
    assert_eq!(new.plan().in_flight(0), Some(3));
    assert_eq!(plan(&nodes(&[1]), "other").in_flight(0), Some(0));
    // The busy old node is left alone until the new one has caught up.
    let more: Vec<Pick> = (0..3).map(|_| new.pick(&cx(&Tried::default())).unwrap()).collect();
    assert!(more.iter().all(|pick| pick.node() == 1));
    drop((held, more));
    assert_eq!(new.plan().in_flight(0), Some(0));
}

#[test]
fn eight_threads_never_lose_a_connection() {
    let shared = Shared::new(Instant::now());
    let plan = Arc::new(Plan::new(Kind::LeastConn, &nodes(&[1, 1, 2]), "u", &shared));
    let workers: Vec<_> = (0..8)
        .map(|seed| {
            let balancer_plan = Arc::clone(&plan);
            thread::spawn(move || {
                let balancer = Balancer::new(balancer_plan, seed);
                let mut held = Vec::new();
                for round in 0..5000 {
                    held.push(balancer.pick(&cx(&Tried::default())).unwrap());
                    if round % 3 == 0 {
                        held.clear();
                    }
                }
                let mut rest: HashMap<usize, u32> = HashMap::new();
                held.iter().for_each(|pick| *rest.entry(pick.node()).or_default() += 1);
                (held, rest)
            })
        })
        .collect();
    let done: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    for node in 0..3 {
        let expected: u32 = done.iter().filter_map(|(_, rest)| rest.get(&node)).sum();
        assert_eq!(plan.in_flight(node), Some(expected));
    }
    drop(done);
    assert!((0..3).all(|node| plan.in_flight(node) == Some(0)));
}

#[test]
fn ewma_leaves_a_slow_node_until_its_latency_has_faded() {
    let start = Instant::now();
    let shared = Shared::new(start);
    let plan = Arc::new(Plan::new(Kind::Ewma, &nodes(&[1, 1, 1]), "u", &shared));
    let balancer = Balancer::new(Arc::clone(&plan), 9);
    let tried = Tried::default();
    let at = |now| PickCx { now, ..cx(&tried) };
    // Measures each node once: 500 ms for node 0, 5 ms for the others.
    let mut measured = [false; 3];
    while measured.contains(&false) {
        let pick = balancer.pick(&at(start)).unwrap();
        let slow = if pick.node() == 0 { 500 } else { 5 };
        if !measured[pick.node()] {
            pick.report(Duration::from_millis(slow), start);
            measured[pick.node()] = true;
        }
        if measured == [false, true, true] {
            plan.stats[0].measure(Duration::from_millis(500), start);
            measured[0] = true;
        }
    }
    let later = start + Duration::from_secs(1);
    let picks: Vec<usize> = (0..1000).map(|_| balancer.pick(&at(later)).unwrap().node()).collect();
    assert_eq!(shares(&picks, 3)[0], 0);
    assert!((plan.stats[0].latency(later) - 0.5 * (-0.1_f64).exp()).abs() < 1e-6);
    let much_later = start + Duration::from_secs(61);
    let picks: Vec<usize> =
        (0..3000).map(|_| balancer.pick(&at(much_later)).unwrap().node()).collect();
    assert!(shares(&picks, 3).iter().all(|&share| share > 800), "{:?}", shares(&picks, 3));
}

#[test]
fn ewma_takes_samples_by_the_time_between_them() {
    let start = Instant::now();
    let shared = Shared::new(start);
    let stat = shared.node("", &nodes(&[1])[0]);
    stat.measure(Duration::from_millis(100), start);
    let later = start + Duration::from_secs(10);
    stat.measure(Duration::from_millis(900), later);
    let fading = (-1.0_f64).exp();
    let expected = 0.1 * fading + 0.9 * (1.0 - fading);
    assert!((stat.latency(later) - expected).abs() < 1e-6);
    // A clock that seems to go backwards fades nothing.
    assert!((stat.latency(start) - expected).abs() < 1e-6);
}

#[test]
fn entries_of_nodes_that_left_are_dropped() {
    let shared = Shared::new(Instant::now());
    for port in 0..5000 {
        let node = NodeSpec { host: "h".to_owned(), port, weight: 1, priority: 0 };
        drop(shared.node("u", &node));
    }
    assert!(shared.len() < 200);
}

#[test]
fn kinds_are_known_by_their_configured_names() {
    let names = ["roundrobin", "chash", "least_conn", "ewma"];
    assert_eq!(names.map(|name| Kind::from_name(name).unwrap()), KINDS);
    assert_eq!(Kind::from_name("random"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn only_allowed_nodes_are_picked_and_one_is_whenever_there_is_one(
        list in prop::collection::vec((0_u32..6, -1_i32..2), 2..80),
        seed in any::<u64>(),
        tried_bits in any::<u128>(),
        down_bits in any::<u128>(),
        key in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let list = with_priorities(&list);
        let mut tried = Tried::default();
        (0..list.len()).filter(|node| tried_bits >> node & 1 == 1).for_each(|node| tried.mark(node));
        let up = |node: usize| down_bits >> node & 1 == 0;
        let usable = |node: &usize| list[*node].weight > 0;
        let any_up = (0..list.len()).filter(usable).any(up);
        let allowed: Vec<usize> = (0..list.len())
            .filter(usable)
            .filter(|&node| !tried.has(node) && (up(node) || !any_up))
            .collect();
        let best = allowed.iter().map(|&node| list[node].priority).max();
        for kind in KINDS {
            let balancer = balancer(kind, &list, seed);
            for _ in 0..3 {
                let cx = PickCx { key: Some(&key), healthy: Some(&up), ..cx(&tried) };
                let picked = balancer.pick(&cx).map(|pick| pick.node());
                prop_assert_eq!(picked.is_some(), !allowed.is_empty());
                if let Some(node) = picked {
                    prop_assert!(allowed.contains(&node));
                    prop_assert_eq!(Some(list[node].priority), best);
                }
            }
        }
    }

    #[test]
    fn a_round_of_any_weights_is_exact(
        weights in prop::collection::vec(0_u32..9, 2..12),
        seed in any::<u64>(),
    ) {
        let total: u32 = weights.iter().sum();
        if total > 0 {
            let picks = run(&balancer(Kind::RoundRobin, &nodes(&weights), seed), total as usize);
            let expected: Vec<usize> = weights.iter().map(|&weight| weight as usize).collect();
            prop_assert_eq!(shares(&picks, weights.len()), expected);
        }
    }
}
