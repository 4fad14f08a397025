//! Fewest connections per weight, counted over all workers.

use std::sync::Arc;

use super::{priority::Member, stat::NodeStat};

/// The allowed member with the smallest `(connections + 1) / weight`. Looking starts at
/// `start`, so that equal nodes take turns.
pub(super) fn pick(
    members: &[Member],
    stats: &[Arc<NodeStat>],
    start: usize,
    allows: impl Fn(usize) -> bool,
) -> Option<usize> {
    let (before, after) = members.split_at_checked(start)?;
    let mut best: Option<(u64, &Member)> = None;
    for member in after.iter().chain(before).filter(|member| allows(member.node)) {
        let load = u64::from(stats[member.node].in_flight()) + 1;
        // Cross-multiplied: both factors fit 32 bits (and a bit), so no division is needed.
        if best.is_none_or(|(least, other)| {
            load * u64::from(other.weight) < least * u64::from(member.weight)
        }) {
            best = Some((load, member));
        }
    }
    best.map(|(_, member)| member.node)
}
