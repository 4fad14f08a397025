//! A service's nodes, in a form that can be compared.

use std::{collections::HashMap, net::Ipv6Addr};

use crate::config::upstream::Node;

/// Nodes of one service at most: what a DNS message over TCP can hold, and then some. A balancer
/// works out its order for all of them.
pub(super) const NODES_MAX: usize = 4096;

/// Brings `nodes` into the order that does not depend on who told them when: higher priority
/// first, then by host and port. A node told twice is one with both weights, bare IPv6
/// addresses get their brackets, and what is beyond [`NODES_MAX`] is left out: how many is the
/// second value.
pub(super) fn settle(nodes: Vec<Node>) -> (Vec<Node>, usize) {
    type Identity = (Box<str>, Option<u16>, i32);
    let mut places: HashMap<Identity, usize> = HashMap::with_capacity(nodes.len());
    let mut settled: Vec<Node> = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        if node.host.parse::<Ipv6Addr>().is_ok() {
            node.host = format!("[{}]", node.host).into();
        }
        let identity = (node.host.clone(), node.port, node.priority);
        match places.get(&identity).and_then(|at| settled.get_mut(*at)) {
            Some(same) => same.weight = same.weight.saturating_add(node.weight),
            None => {
                places.insert(identity, settled.len());
                settled.push(node);
            }
        }
    }
    settled.sort_by(|a, b| {
        let key = |node: &Node| (std::cmp::Reverse(node.priority), node.ip, node.port);
        key(a).cmp(&key(b)).then_with(|| a.host.cmp(&b.host))
    });
    let over = settled.len().saturating_sub(NODES_MAX);
    settled.truncate(NODES_MAX);
    (settled, over)
}

/// How many nodes of `new` are not in `old`, and the other way round. A node is the same by host
/// and port, whatever else changed.
pub(super) fn difference(old: &[Node], new: &[Node]) -> (usize, usize) {
    let names = |nodes: &[Node]| -> std::collections::HashSet<(Box<str>, Option<u16>)> {
        nodes.iter().map(|node| (node.host.clone(), node.port)).collect()
    };
    let (old, new) = (names(old), names(new));
    (new.difference(&old).count(), old.difference(&new).count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node(host: u8, port: u16, weight: u32, priority: i32) -> Node {
        let host = format!("10.0.0.{host}");
        Node {
            ip: host.parse().ok(),
            host: host.into(),
            port: Some(port),
            weight,
            priority,
            metadata: None,
            domain: None,
        }
    }

    fn any() -> impl Strategy<Value = Vec<Node>> {
        let one = (0..6_u8, 80..83_u16, 0..4_u32, -2..2_i32);
        prop::collection::vec(one.prop_map(|(h, p, w, r)| node(h, p, w, r)), 0..24)
    }

    proptest! {
        #[test]
        fn a_list_told_in_another_order_is_the_same(
            pair in any().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        ) {
            prop_assert_eq!(settle(pair.0), settle(pair.1));
        }

        #[test]
        fn settling_keeps_all_weight_and_names_each_node_once(list in any()) {
            let total = |nodes: &[Node]| nodes.iter().map(|node| u64::from(node.weight)).sum::<u64>();
            let (settled, over) = settle(list.clone());
            prop_assert_eq!((total(&settled), over), (total(&list), 0));
            let names: std::collections::HashSet<_> =
                settled.iter().map(|n| (n.host.clone(), n.port, n.priority)).collect();
            prop_assert_eq!(names.len(), settled.len());
            prop_assert!(settled.is_sorted_by(|a, b| a.priority >= b.priority));
            prop_assert_eq!(settle(settled.clone()).0, settled);
        }

        #[test]
        fn differences_lead_from_one_list_to_the_other(old in any(), new in any()) {
            let (old, new) = (settle(old).0, settle(new).0);
            let (came, went) = difference(&old, &new);
            let names = |list: &[Node]| {
                let all = list.iter().map(|n| (n.host.clone(), n.port));
                all.collect::<std::collections::HashSet<_>>().len()
            };
            prop_assert_eq!(names(&old) + came, names(&new) + went);
            prop_assert_eq!(difference(&new, &old), (went, came));
        }
    }

    #[test]
    fn too_many_nodes_are_cut_and_counted() {
        let many = (0..5000_u16).map(|port| node(1, port + 1, 1, 0)).collect();
        let (settled, over) = settle(many);
        assert_eq!((settled.len(), over), (NODES_MAX, 5000 - NODES_MAX));
    }

    #[test]
    fn ipv6_addresses_get_brackets_once() {
        let mut six = node(1, 80, 1, 0);
        (six.host, six.ip) = ("::1".into(), "::1".parse().ok());
        let (settled, _) = settle(vec![six]);
        assert_eq!(&*settled[0].host, "[::1]");
        assert_eq!(&*settle(settled).0[0].host, "[::1]");
    }
}
