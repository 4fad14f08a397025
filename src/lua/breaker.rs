//! Keeps code that overran its time again and again from running for a while.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use crate::clock;

/// When code is suspended: `moongate.watchdog`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Overruns within the window that suspend; 0 never suspends.
    pub overruns_max: usize,
    /// The window.
    pub window: Duration,
    /// How long it stays suspended.
    pub suspend: Duration,
}

/// The overruns of one piece of code: a plan, a `filter_func`, a timer.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    overruns: RefCell<Vec<Instant>>,
    until: Cell<Option<Instant>>,
}

impl Breaker {
    /// Whether it is suspended. Reads no clock while it is not.
    pub(crate) fn is_suspended(&self) -> bool {
        self.until.get().is_some() && self.suspended(clock::now()).is_some()
    }

    /// How long it is still suspended; `None` if it may run.
    pub(crate) fn suspended(&self, now: Instant) -> Option<Duration> {
        let until = self.until.get()?;
        let left = until.checked_duration_since(now).filter(|left| !left.is_zero());
        if left.is_none() {
            self.until.set(None);
        }
        left
    }

    /// Whether an overrun was noted that counts towards the next suspension.
    pub(crate) fn is_counting(&self) -> bool {
        !self.overruns.borrow().is_empty()
    }

    /// Notes an overrun. True if this one suspended the code.
    pub(crate) fn overran(&self, limits: &Limits, now: Instant) -> bool {
        if limits.overruns_max == 0 {
            return false;
        }
        let mut overruns = self.overruns.borrow_mut();
        overruns.retain(|at| now.saturating_duration_since(*at) < limits.window);
        overruns.push(now);
        if overruns.len() < limits.overruns_max {
            return false;
        }
        overruns.clear();
        self.until.set(now.checked_add(limits.suspend));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        overruns_max: 3,
        window: Duration::from_secs(10),
        suspend: Duration::from_secs(30),
    };

    #[test]
    fn the_third_overrun_in_the_window_suspends_for_a_while() {
        let breaker = Breaker::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!breaker.overran(&LIMITS, at(0)));
        assert!(!breaker.overran(&LIMITS, at(5)));
        assert!(!breaker.overran(&LIMITS, at(11)), "the first one is too old by now");
        assert_eq!(breaker.suspended(at(11)), None);
        assert!(breaker.overran(&LIMITS, at(12)));
        assert_eq!(breaker.suspended(at(13)), Some(Duration::from_secs(29)));
        assert_eq!(breaker.suspended(at(42)), None);
        assert!(!breaker.overran(&LIMITS, at(43)), "it starts anew");
    }

    #[test]
    fn zero_never_suspends() {
        let breaker = Breaker::default();
        let limits = Limits { overruns_max: 0, ..LIMITS };
        let now = Instant::now();
        assert!((0..100).all(|_| !breaker.overran(&limits, now)));
        assert_eq!(breaker.suspended(now), None);
    }
}
