//! Chance, for pauses and the choice of an endpoint: nothing here is secret.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Any number.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// The pause after so many failures: it doubles from 200 ms to `longest`, and is up to half as
/// long again, so that gateways that lost the same etcd do not come back in step.
pub(super) fn pause(failures: u32, longest: Duration) -> Duration {
    let doubled = Duration::from_millis(200).saturating_mul(1 << failures.min(16));
    let pause = doubled.min(longest);
    let part = u32::try_from(random() % 1000).unwrap_or(0);
    pause + pause / 2 * part / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_half_of_it() {
        for _ in 0..100 {
            let (first, late) =
                (pause(0, Duration::from_secs(5)), pause(99, Duration::from_secs(5)));
            assert!((200..=300).contains(&first.as_millis()), "{first:?}");
            assert!((5000..=7500).contains(&late.as_millis()), "{late:?}");
        }
        assert_ne!(random(), random());
    }
}
