//! What a worker does beside its requests, bounded in number and in the memory it holds.

use std::{
    cell::Cell,
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

/// Tasks of one worker that nobody waits for. They end with the worker's runtime.
#[derive(Debug)]
pub struct Tasks {
    held: Rc<Held>,
    tasks_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Held {
    tasks: Cell<usize>,
    bytes: Cell<usize>,
}

/// One task's part of the bounds, free again when it ends or is cut.
struct Place {
    held: Rc<Held>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.tasks.update(|tasks| tasks - 1);
        self.held.bytes.update(|bytes| bytes - self.bytes);
    }
}

impl Tasks {
    /// Room for `tasks_max` tasks that hold `bytes_max` bytes together.
    #[must_use]
    pub fn new(tasks_max: usize, bytes_max: usize) -> Self {
        Self { held: Rc::default(), tasks_max, bytes_max }
    }

    /// Runs the task that `make` makes and that holds `bytes`, if there is room: whether it does.
    /// Call it in a `LocalSet`.
    pub fn run<F>(&self, bytes: usize, make: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = ()> + 'static,
    {
        let held = &*self.held;
        if held.tasks.get() >= self.tasks_max || bytes > self.bytes_max - held.bytes.get() {
            return false;
        }
        held.tasks.update(|tasks| tasks + 1);
        held.bytes.update(|all| all + bytes);
        let place = Place { held: Rc::clone(&self.held), bytes };
        let task = make();
        tokio::task::spawn_local(async move {
            let _place = place;
            task.await;
        });
        true
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.tasks.get()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Counts what may happen more often than anybody wants to read about.
#[derive(Debug, Default)]
pub struct Seldom {
    told: Cell<Option<Instant>>,
    count: Cell<u64>,
}

impl Seldom {
    /// The time between two lines.
    const EVERY: Duration = Duration::from_secs(1);

    /// It happened at `now`: how often since it was told last, if it is to be told now.
    pub fn note(&self, now: Instant) -> Option<u64> {
        self.count.update(|count| count + 1);
        if self.told.get().is_some_and(|told| now.saturating_duration_since(told) < Self::EVERY) {
            return None;
        }
        self.told.set(Some(now));
        Some(self.count.take())
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{LocalSet, yield_now};

    use super::*;

    #[tokio::test]
    async fn as_many_run_as_there_is_room_for_and_their_end_makes_room() {
        let set = LocalSet::new();
        set.run_until(async {
            let tasks = Tasks::new(3, 100);
            let (end, ended) = tokio::sync::watch::channel(false);
            let wait = || {
                let mut ended = ended.clone();
                async move {
                    let _ = ended.wait_for(|ended| *ended).await;
                }
            };
            assert!(tasks.run(60, wait) && tasks.run(40, wait));
            assert!(!tasks.run(1, || async { unreachable!("there is no room") }), "bytes");
            assert!(tasks.run(0, wait));
            assert!(!tasks.run(0, wait), "tasks");
            assert_eq!(tasks.len(), 3);
            end.send(true).unwrap();
            while !tasks.is_empty() {
                yield_now().await;
            }
            assert!(tasks.run(100, || async {}) && !tasks.run(101, || async {}));
        })
        .await;
    }

    #[tokio::test]
    async fn a_task_that_is_cut_gives_its_room_back() {
        let (tasks, set) = (Tasks::new(1, 1), LocalSet::new());
        set.run_until(async { assert!(tasks.run(1, std::future::pending::<()>)) }).await;
        assert_eq!(tasks.len(), 1);
        drop(set);
        assert!(tasks.is_empty());
    }

    #[test]
    fn what_happens_all_the_time_is_told_once_a_second_with_its_number() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let at = |ms| seldom.note(start + Duration::from_millis(ms));
        assert_eq!(at(0), Some(1));
        assert!((1..100).all(|ms| at(ms).is_none()));
        assert_eq!(at(1000), Some(100));
        assert_eq!((at(1999), at(5000)), (None, Some(2)));
    }
}
