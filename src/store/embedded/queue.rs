//! A bounded line of work from anywhere to the threads of the store.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Items that wait, with the bytes they hold on to.
pub(super) struct Queue<T> {
    line: Mutex<Line<T>>,
    ready: Condvar,
    items_max: usize,
    bytes_max: usize,
}

struct Line<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

/// What [`Queue::take`] found.
pub(super) enum Taken<T> {
    /// Items, in order; none if the time ran out.
    Items(Vec<T>),
    /// The queue is closed and empty.
    Closed,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may wait.
    Full,
    /// Nobody works on it any more.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(items_max: usize, bytes_max: usize) -> Self {
        let line = Line { items: VecDeque::new(), bytes: 0, closed: false };
        Self { line: Mutex::new(line), ready: Condvar::new(), items_max, bytes_max }
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item. One that is larger than all may be together is taken if nothing else waits.
    pub(super) fn push(&self, item: T, bytes: usize) -> Result<(), Refused> {
        let mut line = self.line();
        if line.closed {
            return Err(Refused::Closed);
        }
        let full = line.bytes.saturating_add(bytes) > self.bytes_max;
        if line.items.len() >= self.items_max || (full && !line.items.is_empty()) {
            return Err(Refused::Full);
        }
        line.bytes = line.bytes.saturating_add(bytes);
        line.items.push_back((item, bytes));
        drop(line);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for items, but not longer than `most`, and takes up to `items` of them that hold
    /// about `bytes` together.
    pub(super) fn take(&self, most: Option<Duration>, items: usize, bytes: usize) -> Taken<T> {
        let mut line = self.line();
        let idle = |line: &mut Line<T>| line.items.is_empty() && !line.closed;
        line = match most {
            None => self.ready.wait_while(line, idle).unwrap_or_else(PoisonError::into_inner),
            Some(most) => {
                let waited = self.ready.wait_timeout_while(line, most, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if line.items.is_empty() && line.closed {
            return Taken::Closed;
        }
        let mut taken = Vec::new();
        let mut sum = 0_usize;
        while taken.len() < items
            && sum < bytes
            && let Some((item, size)) = line.items.pop_front()
        {
            line.bytes -= size.min(line.bytes);
            sum = sum.saturating_add(size);
            taken.push(item);
        }
        Taken::Items(taken)
    }

    /// Takes nothing more; what waits is still worked on.
    pub(super) fn close(&self) {
        self.line().closed = true;
        self.ready.notify_all();
    }

    /// Takes nothing more, and drops what waits.
    pub(super) fn abandon(&self) {
        let items = {
            let mut line = self.line();
            line.closed = true;
            line.bytes = 0;
            std::mem::take(&mut line.items)
        };
        self.ready.notify_all();
        drop(items);
    }
}
