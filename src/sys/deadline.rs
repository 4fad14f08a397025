//! A timer that is set often and fires rarely.
//!
//! A connection waits many times, each with its own bound. Registering and removing a
//! timer each time would cost more than most of the waits: this one stays registered and
//! only looks, when it fires, whether the bound has moved meanwhile. Many that are due at the
//! same moment fire one after the other.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::{Sleep, sleep_until};

use super::turns;
use crate::clock;

/// Moving the registered timer forward is not worth it for less than this.
const EARLIER_BY: Duration = Duration::from_millis(50);

/// A lazily registered timer.
#[derive(Debug, Default)]
pub struct Deadline {
    sleep: Option<Pin<Box<Sleep>>>,
    due: Option<Instant>,
    /// The time is over, and `due` is when its turn comes.
    queued: bool,
}

impl Deadline {
    /// Ends `within` from now. [`Deadline::poll`] must be called for it to wake anybody.
    pub fn set(&mut self, within: Duration) {
        self.set_from(clock::now(), within);
    }

    /// Ends `within` from `now`, which the caller has just read.
    pub fn set_from(&mut self, now: Instant, within: Duration) {
        self.due = now.checked_add(within);
        self.queued = false;
    }

    /// Whether the time is over; registers the task otherwise.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut due) = self.due else { return Poll::Pending };
        loop {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due.into())));
            if sleep.deadline().into_std() > due + EARLIER_BY {
                sleep.as_mut().reset(due.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = clock::now();
            if now >= due {
                let wait = if self.queued { Duration::ZERO } else { turns::ending(now) };
                if wait.is_zero() {
                    self.due = None;
                    self.sleep = None;
                    return Poll::Ready(());
                }
                self.queued = true;
                due = now + wait;
                self.due = Some(due);
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

    #[tokio::test]
    async fn many_at_the_same_moment_end_one_after_the_other() {
        let began = Instant::now();
        let ends = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let tasks = tokio::task::LocalSet::new();
        for _ in 0..500 {
            let ends = std::rc::Rc::clone(&ends);
            tasks.spawn_local(async move {
                let never = std::future::pending::<()>();
                let within = Duration::from_millis(100);
                assert!(Deadline::default().limit(within, never).await.is_none());
                ends.borrow_mut().push(began.elapsed());
            });
        }
        tasks.await;
        let ends = ends.borrow();
        assert_eq!(ends.len(), 500);
        let (first, last) = (ends[0], ends[499]);
        assert!(first >= Duration::from_millis(100), "{first:?}");
        // Ten a millisecond; how much later a busy machine makes it is not asked.
        assert!(last >= Duration::from_millis(145), "{last:?}");
    }

    #[tokio::test]
    async fn a_new_bound_is_not_confused_with_the_turn_of_the_old_one() {
        let mut deadlines: Vec<Deadline> = (0..50).map(|_| Deadline::default()).collect();
        for deadline in &mut deadlines {
            deadline.set(Duration::ZERO);
        }
        poll_fn(|cx| {
            let ended =
                deadlines.iter_mut().map(|one| one.poll(&mut *cx)).filter(Poll::is_ready).count();
            if ended == 0 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let mut last = deadlines.pop().unwrap();
        assert!(last.queued);
        let tick = tokio::time::sleep(Duration::from_millis(30));
        assert!(last.limit(Duration::from_secs(60), tick).await.is_some());
    }
}
