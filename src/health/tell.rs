//! Lines about nodes in the error log, no more than anybody can read.

use std::{
    fmt::{self, Display},
    sync::atomic::{AtomicU64, Ordering},
};

use super::watch::Target;
use crate::{
    clock,
    error::Error,
    log::error_log::Level,
    log_at,
    shared::health::{Counted, Report, State},
};

/// Lines within one second. A thousand nodes that fail together are one event.
const LINES_PER_SECOND: u64 = 50;

/// An error with its cause.
pub(super) struct Whole<'e>(pub(super) &'e Error);

impl Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::error::Error::source(self.0) {
            Some(cause) => write!(f, "{} ({cause})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A bound on lines: the second in the upper half, lines in it in the lower.
struct Bound {
    now: AtomicU64,
    left_out: AtomicU64,
}

impl Bound {
    const fn new() -> Self {
        Self { now: AtomicU64::new(0), left_out: AtomicU64::new(0) }
    }

    /// Whether one more line may be written within `second`; if so, how many were not before.
    fn take(&self, second: u64) -> Option<u64> {
        let next = |now: u64| {
            let lines = if now >> 32 == second & 0xffff_ffff { now & 0xffff_ffff } else { 0 };
            (lines < LINES_PER_SECOND).then_some((second << 32) | (lines + 1))
        };
        match self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(_) => Some(self.left_out.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// Changes of state are told apart from what led to them: they must not drown.
static COUNTS: Bound = Bound::new();
static TURNS: Bound = Bound::new();

/// Tells what `report` did to a node, and why it was made.
pub(super) fn counted(target: &Target, report: Report, counted: Counted, why: &dyn Display) {
    let second = clock::wall().as_secs();
    if let Some(left_out) = COUNTS.take(second) {
        // The words people search their logs for.
        log_at!(
            Level::Warn,
            "[healthcheck] (upstream#{}) {} {} increment ({}/{}) for '{}': {why}{}",
            target.key,
            report.verdict().as_str(),
            report.name(),
            counted.count,
            counted.limit,
            target.name,
            more(left_out)
        );
    }
    if counted.turns() {
        turned(target, counted.now, why);
    }
}

/// Tells that a node starts or stops getting traffic.
pub(super) fn turned(target: &Target, now: State, why: &dyn Display) {
    let second = clock::wall().as_secs();
    if let Some(left_out) = TURNS.take(second) {
        let gets = if now.serves() { "gets traffic again" } else { "gets no more traffic" };
        log_at!(
            Level::Warn,
            "node {} of {} is {} and {gets}: {why}{}",
            target.name,
            target.key,
            now.as_str(),
            more(left_out)
        );
    }
}

fn more(left_out: u64) -> String {
    match left_out {
        0 => String::new(),
        lines => format!(" ({lines} lines like this were left out)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_so_many_lines_and_the_rest_are_counted() {
        let bound = Bound::new();
        assert!((0..LINES_PER_SECOND).all(|_| bound.take(7) == Some(0)));
        assert_eq!((bound.take(7), bound.take(7)), (None, None));
        assert_eq!(bound.take(8), Some(2));
        assert_eq!(bound.take(8), Some(0));
    }
}
