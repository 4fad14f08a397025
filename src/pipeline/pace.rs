//! A bound of how fast a client gets its answer: `$limit_rate`, as nginx keeps it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::respond::Sink;
use crate::{clock, error::Result, exchange::Exchange, sys::deadline::Deadline};

/// What may leave at once, as a time of the rate: nginx lets a second's worth go first.
const AHEAD: Duration = Duration::from_secs(1);

/// Longest time between two pieces.
const PAUSE: Duration = Duration::from_millis(250);

/// Sends `data`, in pieces with pauses between them if the answer's rate is bounded.
///
/// # Errors
///
/// As [`Sink::data`].
pub(super) async fn data<S: Sink>(x: &mut Exchange, sink: &mut S, data: Bytes) -> Result<()> {
    if x.response.rate == 0 {
        return sink.data(x, data).await;
    }
    // On the heap: hardly any answer has use for the room.
    Box::pin(slowly(x, sink, data)).await
}

async fn slowly<S: Sink>(x: &mut Exchange, sink: &mut S, mut data: Bytes) -> Result<()> {
    let begun = *x.response.rate_since.get_or_insert_with(clock::now);
    while !data.is_empty() {
        let allowed = allowed(x.response.rate, begun).saturating_sub(x.response.body_bytes_sent);
        if allowed == 0 {
            sink.flush(x).await?;
            sleep(pause(x.response.rate)).await;
            continue;
        }
        let size = usize::try_from(allowed).unwrap_or(usize::MAX).min(data.len());
        sink.data(x, data.split_to(size)).await?;
    }
    Ok(())
}

async fn sleep(time: Duration) {
    // Nothing else ends it.
    let _ = Deadline::default().limit(time, std::future::pending::<()>()).await;
}

/// Bytes that may have been sent by now.
fn allowed(rate: u64, begun: Instant) -> u64 {
    let time = begun.elapsed() + AHEAD;
    let bytes = u128::from(rate) * time.as_millis() / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The time of a piece worth sending: a kilobyte, but no longer than [`PAUSE`].
fn pause(rate: u64) -> Duration {
    Duration::from_millis((1_024_000 / rate.max(1)).max(1)).min(PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_goes_first_and_the_rest_follows_in_time() {
        let now = clock::now();
        assert!((1000..1100).contains(&allowed(1000, now)));
        let earlier = now.checked_sub(Duration::from_secs(2)).unwrap();
        assert!((3000..3100).contains(&allowed(1000, earlier)));
        assert_eq!(pause(1), PAUSE);
        assert_eq!(pause(1 << 30), Duration::from_millis(1));
    }
}
