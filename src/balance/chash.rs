//! Consistent hashing: a ring of points, the node of the first point at or after the key.
//!
//! The points are those of nginx's `hash ... consistent`, which APISIX uses as well, so that
//! a move from either keeps the keys where they were.

use crc32fast::Hasher;

use super::{
    NodeSpec,
    priority::{Member, weight_unit},
};

/// Points per unit of weight.
const POINTS: u64 = 160;

/// Bound of the points of one ring (8 bytes each); beyond it weights are scaled down.
const POINTS_MAX: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Ring {
    members: Box<[Member]>,
    /// Ascending by hash.
    points: Box<[Point]>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    hash: u32,
    /// Position in `members`.
    member: u32,
}

impl Ring {
    /// The ring of `members`, which index into `nodes`.
    pub(super) fn new(members: Box<[Member]>, nodes: &[NodeSpec]) -> Self {
        let names: Vec<String> = members.iter().map(|member| nodes[member.node].name()).collect();
        let unit = u64::from(weight_unit(&members));
        let total: u64 = members.iter().map(|member| u64::from(member.weight) / unit).sum();
        let total_max = (POINTS_MAX / POINTS).max(1);
        let mut points = Vec::new();
        for (at, (member, name)) in (0_u32..).zip(members.iter().zip(&names)) {
            let mut share = u64::from(member.weight) / unit;
            if total > total_max {
                share = (share.saturating_mul(total_max) / total).max(1);
            }
            points.extend(hashes(name, share * POINTS).map(|hash| Point { hash, member: at }));
        }
        // By name where two nodes have the same point: the order of the list must not matter.
        points.sort_unstable_by(|a, b| {
            let names = || names[a.member as usize].cmp(&names[b.member as usize]);
            a.hash.cmp(&b.hash).then_with(names)
        });
        Self { members, points: points.into_boxed_slice() }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The node of `key`, or the next one on the ring that `allows` lets through.
    pub(super) fn pick(&self, key: &[u8], allows: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = crc32fast::hash(key);
        let start = self.points.partition_point(|point| point.hash < hash);
        let (before, after) = self.points.split_at_checked(start)?;
        let mut nodes =
            after.iter().chain(before).map(|point| self.members[point.member as usize].node);
        let first = nodes.next()?;
        if allows(first) {
            return Some(first);
        }
        // Only now, and once: a full walk is thousands of points.
        if !self.members.iter().any(|member| allows(member.node)) {
            return None;
        }
        nodes.find(|&node| allows(node))
    }
}

/// The points of one node: each hash covers the name and the hash before it.
fn hashes(name: &str, count: u64) -> impl Iterator<Item = u32> {
    let name: Vec<u8> = name.bytes().map(|byte| if byte == b':' { 0 } else { byte }).collect();
    let mut base = Hasher::new();
    base.update(&name);
    let mut previous = 0_u32;
    (0..count).map(move |_| {
        let mut hasher = base.clone();
        hasher.update(&previous.to_le_bytes());
        previous = hasher.finalize();
        previous
    })
}
