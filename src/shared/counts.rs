//! Counters of the whole process that are no metric of a route.

use std::sync::atomic::{AtomicU64, Ordering};

/// Plain counters; each worker adds to them rarely.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Accepts that failed because no file descriptor was left.
    pub accept_pauses: AtomicU64,
    /// Plugin reloads that were refused.
    pub reloads_refused: AtomicU64,
    /// Plugin generations that were rolled back.
    pub rollbacks: AtomicU64,
    /// Open connections per worker.
    pub open: Vec<AtomicU64>,
    /// Requests per worker.
    pub requests: Vec<AtomicU64>,
}

impl Counts {
    /// Counters for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let cells = || (0..workers).map(|_| AtomicU64::new(0)).collect();
        Self { open: cells(), requests: cells(), ..Self::default() }
    }

    /// Adds one.
    pub fn add(cell: &AtomicU64) {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}
