//! Smooth weighted round robin: over any stretch each node gets its share, and a heavy
//! node's turns are spread out instead of coming in a row.
//!
//! The order of a whole round is computed once where it is short enough, so that a pick is
//! one step in an array whatever the number of nodes. A turn whose node may not be used goes
//! to the others in proportion to *their* weights, never simply to the next in line.

use std::cell::{Cell, RefCell};

use super::priority::{Member, weight_unit};

/// Bound of `nodes * turns` up to which a round is worked out ahead: a quarter of a
/// million additions, and at most a few hundred KiB.
const ROUND_STEPS_MAX: u64 = 1 << 18;

/// In which order the members take their turns.
#[derive(Debug)]
pub(super) struct Order {
    members: Box<[Member]>,
    round: Round,
}

#[derive(Debug)]
enum Round {
    /// All weights are equal: one after the other.
    Even,
    /// Positions in `members`, one round.
    Known(Box<[u32]>),
    /// Too long to keep: worked out at each pick.
    Live,
}

/// Whose turn it is on one worker.
#[derive(Debug)]
pub(super) struct Turn {
    at: Cell<usize>,
    /// Credit of each member where turns are worked out at the pick; empty until then.
    credit: RefCell<Vec<i64>>,
}

impl Turn {
    /// Starts at `offset`, taken modulo the length of the round.
    pub(super) fn new(offset: u64) -> Self {
        // Half the range: `at + 1` cannot overflow before the first modulo.
        let at = usize::try_from(offset >> 33).unwrap_or(0);
        Self { at: Cell::new(at), credit: RefCell::default() }
    }

    /// The current place in a round of `len`, and moves on.
    pub(super) fn next(&self, len: usize) -> usize {
        let at = self.at.get();
        let at = if at < len { at } else { at % len.max(1) };
        self.at.set(at + 1);
        at
    }
}

impl Order {
    pub(super) fn new(members: Box<[Member]>) -> Self {
        let unit = weight_unit(&members);
        let turns: u64 = members.iter().map(|member| u64::from(member.weight / unit)).sum();
        let round = if turns == members.len() as u64 {
            Round::Even
        } else if turns.saturating_mul(members.len() as u64) <= ROUND_STEPS_MAX {
            let mut credit = Vec::new();
            let steps = (0..turns).filter_map(|_| smooth(&members, &mut credit, |_| true));
            Round::Known(steps.filter_map(|step| u32::try_from(step).ok()).collect())
        } else {
            Round::Live
        };
        Self { members, round }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The node whose turn it is, among those that `allows` lets through.
    pub(super) fn pick(&self, turn: &Turn, allows: impl Fn(usize) -> bool) -> Option<usize> {
        let at = match &self.round {
            Round::Even => Some(turn.next(self.members.len())),
            Round::Known(round) => Some(round[turn.next(round.len())] as usize),
            Round::Live => None,
        };
        if let Some(node) = at.map(|at| self.members[at].node)
            && allows(node)
        {
            return Some(node);
        }
        let mut credit = turn.credit.borrow_mut();
        if credit.is_empty() && at.is_none() {
            // A random start here too: as if some turns had been taken.
            for _ in 0..turn.next(self.members.len()) {
                smooth(&self.members, &mut credit, |_| true);
            }
        }
        smooth(&self.members, &mut credit, allows).map(|at| self.members[at].node)
    }
}

/// One turn: every allowed member earns its weight, the richest is picked and pays what
/// all of them earned. Gives the position in `members`.
fn smooth(
    members: &[Member],
    credit: &mut Vec<i64>,
    allows: impl Fn(usize) -> bool,
) -> Option<usize> {
    credit.resize(members.len(), 0);
    let mut earned = 0;
    let mut best: Option<usize> = None;
    for (at, member) in members.iter().enumerate().filter(|(_, member)| allows(member.node)) {
        let weight = i64::from(member.weight);
        earned += weight;
        credit[at] += weight;
        if best.is_none_or(|best| credit[at] > credit[best]) {
            best = Some(at);
        }
    }
    credit[best?] -= earned;
    best
}
