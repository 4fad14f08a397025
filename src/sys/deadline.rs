//! A timer that is set often and fires rarely.
//!
//! A connection waits many times, each with its own bound. Registering and removing a
//! timer each time would cost more than most of the waits: this one stays registered and
//! only looks, when it fires, whether the bound has moved meanwhile.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

use crate::clock;

/// Moving the registered timer forward is not worth it for less than this.
const EARLIER_BY: Duration = Duration::from_millis(50);

/// A lazily registered timer.
#[derive(Debug, Default)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    due: Option<Instant>,
}

impl Deadline {
    /// Ends `within` from now. [`Deadline::poll`] must be called for it to wake anybody.
    pub fn set(&mut self, within: Duration) {
        self.set_from(clock::now(), within);
    }

    /// Ends `within` from `now`, which the caller has just read.
    pub fn set_from(&mut self, now: Instant, within: Duration) {
        self.due = now.checked_add(within);
    }

    /// Whether the time is over; registers the task otherwise.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else { return Poll::Pending };
        loop {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due.into())));
            if sleep.deadline().into_std() > due + EARLIER_BY {
                sleep.as_mut().reset(due.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if clock::now() >= due {
                self.due = None;
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due.into());
        }
    }

    /// Waits for `future`, at most for `within`; `None` if it took longer.
    pub async fn limit<F: Future>(&mut self, within: Duration, future: F) -> Option<F::Output> {
        self.limit_from(None, within, future).await
    }

    /// [`Deadline::limit`] from `now`, if the caller has just read the clock.
    pub async fn limit_from<F: Future>(
        &mut self,
        now: Option<Instant>,
        within: Duration,
        future: F,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut set = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if !set {
                self.set_from(now.unwrap_or_else(clock::now), within);
                set = true;
            }
            self.poll(cx).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shorter_bound_ends_earlier_than_the_registered_timer() {
        let mut deadline = Deadline::default();
        let tick = tokio::time::sleep(Duration::from_millis(1));
        assert!(deadline.limit(Duration::from_secs(60), tick).await.is_some());
        let started = Instant::now();
        let never = std::future::pending::<()>();
        assert!(deadline.limit(Duration::from_millis(80), never).await.is_none());
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(80) && took < Duration::from_secs(5), "{took:?}");
    }

    #[tokio::test]
    async fn a_longer_bound_survives_the_registered_timer() {
        let mut deadline = Deadline::default();
        let tick = tokio::time::sleep(Duration::from_millis(1));
        assert!(deadline.limit(Duration::from_millis(60), tick).await.is_some());
        let longer = tokio::time::sleep(Duration::from_millis(150));
        assert!(deadline.limit(Duration::from_secs(5), longer).await.is_some());
    }
}
