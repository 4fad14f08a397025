//! The better of two random nodes by decayed latency: close to the best choice, without
//! every worker falling upon the same node.

use super::priority::Member;

/// Of two different allowed members chosen by `random` the one with the lower `score`.
pub(super) fn pick(
    members: &[Member],
    score: impl Fn(usize) -> f64,
    random: u64,
    allows: impl Fn(usize) -> bool,
) -> Option<usize> {
    let allowed = || members.iter().map(|member| member.node).filter(|&node| allows(node));
    let count = allowed().count() as u64;
    if count < 2 {
        return allowed().next();
    }
    let (high, low) = (random >> 32, random & 0xffff_ffff);
    let one = high % count;
    let mut two = low % (count - 1);
    if two >= one {
        two += 1;
    }
    let nth = |at: u64| allowed().nth(usize::try_from(at).ok()?);
    let (one, two) = (nth(one)?, nth(two)?);
    Some(if score(one) > score(two) { two } else { one })
}
