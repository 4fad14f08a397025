//! Long work of a worker, in small slices: requests are served in between.
//!
//! A step that yields lets others have one turn, but a request needs several: it is read, sent
//! on, and answered later. So after a slice of work the worker rests for longer than that.

use std::{cell::Cell, time::Duration};

use tokio::time::Instant;

/// How much work may come between two rests.
const SLICE: Duration = Duration::from_micros(200);

/// How long a rest is at least: the timer knows nothing shorter.
const REST: Duration = Duration::from_millis(1);

/// Who else wants the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    OtherThreads,
    Requests,
}

/// How fast a piece of work goes.
#[derive(Debug)]
pub struct Pace {
    beside: Beside,
    begun: Cell<Instant>,
    spent: Cell<Duration>,
}

impl Pace {
    /// Nobody waits for the worker.
    #[must_use]
    pub fn at_once() -> Self {
        Self::beside(Beside::Nobody)
    }

    /// On a thread of its own, whose processor others may want: a kernel that does not preempt
    /// would let them wait for its next tick, which is up to 4 ms away.
    #[must_use]
    pub fn polite() -> Self {
        Self::beside(Beside::OtherThreads)
    }

    /// Beside requests.
    #[must_use]
    pub fn sliced() -> Self {
        Self::beside(Beside::Requests)
    }

    fn beside(beside: Beside) -> Self {
        Self { beside, begun: Cell::new(Instant::now()), spent: Cell::default() }
    }

    /// Whether there are requests to be served beside.
    #[must_use]
    pub fn is_sliced(&self) -> bool {
        self.beside == Beside::Requests
    }

    /// Between two steps: others have their turn.
    pub async fn step(&self) {
        match self.beside {
            Beside::Nobody => return,
            Beside::OtherThreads => return std::thread::yield_now(),
            Beside::Requests => {}
        }
        let spent = self.spent.get() + self.begun.get().elapsed();
        if spent < SLICE {
            self.spent.set(spent);
            tokio::task::yield_now().await;
        } else {
            self.spent.set(Duration::ZERO);
            tokio::time::sleep(REST).await;
        }
        self.begun.set(Instant::now());
    }
}
