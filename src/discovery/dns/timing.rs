//! When a name is asked for again. Pure.

use std::time::Duration;

use crate::config::discovery::Dns;

/// First pause after servers did not answer; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Longest such pause: servers that return are noticed within it.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Pauses are shortened by up to this share, so that names learnt at once do not stay together.
const SPREAD: f64 = 0.05;

/// Bounds of what answers say of their time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    ttl_min: Duration,
    ttl_max: Duration,
    negative_ttl_max: Duration,
}

impl Timing {
    pub(super) fn new(options: &Dns) -> Self {
        let Dns { ttl_min, ttl_max, negative_ttl_max, .. } = *options;
        Self { ttl_min, ttl_max, negative_ttl_max }
    }

    /// How long an answer is good whose shortest TTL is `ttl` seconds. A TTL with the highest bit
    /// set counts as 0 (RFC 2181, section 8).
    pub(super) fn good(&self, ttl: u32) -> Duration {
        let ttl = if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl };
        let ttl = Duration::from_secs(ttl.into());
        ttl.min(self.ttl_max).max(self.ttl_min)
    }

    /// How long a "no" is believed: what the zone says (RFC 2308), within bounds.
    pub(super) fn negative(&self, ttl: Option<u32>) -> Duration {
        let said = ttl.map_or(self.negative_ttl_max, |ttl| Duration::from_secs(ttl.into()));
        said.min(self.negative_ttl_max).max(self.ttl_min.min(self.negative_ttl_max))
    }

    /// The pause after the `failures`th question in a row that nobody answered.
    pub(super) fn retry(failures: u32) -> Duration {
        RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(RETRY_MAX)
    }
}

/// `pause`, shortened by a share that is another for each name and each time.
pub(super) fn spread(pause: Duration, name: u64, time: u64) -> Duration {
    #[allow(clippy::cast_precision_loss)] // It is about spreading, not about the number.
    let share = (name as f64 * 0.618_033_988_75 + time as f64 * 0.754_877_666_25).fract();
    pause.mul_f64(1.0 - SPREAD * share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn timing(ttl_min: u64, ttl_max: u64, negative: u64) -> Timing {
        let options = Dns::read(&json!({
            "servers": ["127.0.0.1"], "ttl_min": ttl_min, "ttl_max": ttl_max,
            "negative_ttl_max": negative,
        }));
        Timing::new(&options.unwrap())
    }

    proptest! {
        #[test]
        fn an_answer_is_good_within_the_bounds(
            ttl in any::<u32>(), negative in any::<Option<u32>>(),
            least in 1..100_u64, more in 0..1000_u64, longest in 1..100_u64,
        ) {
            let timing = timing(least, least + more, longest);
            let good = timing.good(ttl).as_secs();
            prop_assert!((least..=least + more).contains(&good));
            if (least..=least + more).contains(&ttl.into()) {
                prop_assert_eq!(good, u64::from(ttl));
            }
            let no = timing.negative(negative).as_secs();
            prop_assert!(no >= 1 && no <= longest);
            if let Some(said) = negative && (least..=longest).contains(&said.into()) {
                prop_assert_eq!(no, u64::from(said));
            }
        }

        #[test]
        fn pauses_are_spread_a_little(ms in 1..1_000_000_u64, name in any::<u32>(), n in 0..9_u64) {
            let pause = Duration::from_millis(ms);
            let spread = spread(pause, name.into(), n);
            prop_assert!(spread <= pause && spread >= pause.mul_f64(1.0 - SPREAD - 1e-9));
        }

        #[test]
        fn retries_slow_down_to_a_bound(failures in 1..u32::MAX - 1) {
            let (now, next) = (Timing::retry(failures), Timing::retry(failures + 1));
            prop_assert!(now >= RETRY_FIRST && now <= next && next <= RETRY_MAX);
        }
    }

    #[test]
    fn a_negative_ttl_is_none() {
        assert_eq!(timing(1, 300, 5).good(0x8000_0001), Duration::from_secs(1));
        assert_eq!(timing(1, 300, 5).good(300), Duration::from_secs(300));
    }

    #[test]
    fn retries_begin_at_once() {
        let pauses = [1, 2, 3, 4, 5].map(|n| Timing::retry(n).as_secs());
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
    }
}
