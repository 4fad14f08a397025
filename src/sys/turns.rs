//! What happens to many at the same moment, spread over a few more.
//!
//! Ten thousand connections whose time is over are ten thousand answers to write and sockets to
//! close. Done in one go, everybody else on the worker would wait for all of them.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// The time between two slots: the precision of the timers that wait for them.
const SLOT: Duration = Duration::from_millis(1);

/// How many get the same slot.
const PER_SLOT: u32 = 10;

/// Nobody waits longer than this; whoever would have to goes at once.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Hands out slots.
#[derive(Debug, Default, Clone, Copy)]
struct Turns {
    /// The slot that is handed out now, and how many have it.
    slot: Option<(Instant, u32)>,
}

impl Turns {
    /// How long the caller, who comes at `now`, has to wait for its slot.
    fn take(&mut self, now: Instant) -> Duration {
        let (slot, taken) = match self.slot {
            Some((slot, taken)) if taken < PER_SLOT && now < slot + SLOT => (slot, taken + 1),
            Some((slot, _)) if now < slot + SLOT => (slot + SLOT, 1),
            _ => (now, 1),
        };
        let wait = slot.saturating_duration_since(now);
        if wait > WAIT_MAX {
            return Duration::ZERO;
        }
        self.slot = Some((slot, taken));
        wait
    }
}

/// How long whoever wants to do something for a connection whose time is over at `now` has to
/// wait for its turn on this worker.
pub fn ending(now: Instant) -> Duration {
    thread_local! {
        static ENDINGS: Cell<Turns> = const { Cell::new(Turns { slot: None }) };
    }
    let mut turns = ENDINGS.get();
    let wait = turns.take(now);
    ENDINGS.set(turns);
    wait
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_at_once_and_a_burst_is_spread() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let waits: Vec<Duration> = (0..95).map(|_| turns.take(now)).collect();
        assert!(waits[..10].iter().all(Duration::is_zero), "{waits:?}");
        for (at, wait) in waits.iter().enumerate() {
            assert_eq!(*wait, SLOT * (u32::try_from(at).unwrap() / PER_SLOT), "the {at}th");
        }
        // Somebody who comes later waits for those before, and for no longer.
        assert_eq!(turns.take(now + SLOT * 4), SLOT * 5);
        assert_eq!(turns.take(now + SLOT * 50), Duration::ZERO);
    }

    #[test]
    fn nobody_waits_for_more_than_a_second() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let waits: Vec<Duration> = (0..50_000).map(|_| turns.take(now)).collect();
        assert_eq!(waits.iter().max(), Some(&WAIT_MAX));
        assert!(waits[20_000..].iter().all(Duration::is_zero));
        assert_eq!(turns.take(now + WAIT_MAX + SLOT), Duration::ZERO);
    }
}
