//! Nodes by priority: one group per priority, each prepared for the way of picking.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Kind, NodeSpec, chash::Ring, round_robin::Order};

/// A node that may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// Index in the configured list.
    pub(super) node: usize,
    /// Above 0.
    pub(super) weight: u32,
}

/// The nodes of one priority.
#[derive(Debug)]
pub(super) enum Group {
    RoundRobin(Order),
    Chash(Ring),
    LeastConn(Box<[Member]>),
    Ewma(Box<[Member]>),
}

impl Group {
    /// Indices of its nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> {
        let members = match self {
            Self::RoundRobin(order) => order.members(),
            Self::Chash(ring) => ring.members(),
            Self::LeastConn(members) | Self::Ewma(members) => members,
        };
        members.iter().map(|member| member.node)
    }
}

/// Groups of `nodes`, the highest priority first. Nodes of weight 0 are left out.
pub(super) fn groups(kind: Kind, nodes: &[NodeSpec]) -> Box<[Group]> {
    let mut by_priority: BTreeMap<Reverse<i32>, Vec<Member>> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.weight > 0) {
        let member = Member { node: index, weight: node.weight };
        by_priority.entry(Reverse(node.priority)).or_default().push(member);
    }
    by_priority
        .into_values()
        .map(|members| {
            let members = members.into_boxed_slice();
            match kind {
                Kind::RoundRobin => Group::RoundRobin(Order::new(members)),
                Kind::Chash => Group::Chash(Ring::new(members, nodes)),
                Kind::LeastConn => Group::LeastConn(members),
                Kind::Ewma => Group::Ewma(members),
            }
        })
        .collect()
}

/// Greatest common divisor of all weights; 1 for none.
pub(super) fn weight_unit(members: &[Member]) -> u32 {
    let unit = members.iter().fold(0, |unit, member| {
        let (mut large, mut small) = (unit, member.weight);
        while small != 0 {
            (large, small) = (small, large % small);
        }
        large
    });
    unit.max(1)
}
