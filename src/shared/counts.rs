//! Counters of the whole process that are no metric of a route.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Plain counters; each worker adds to them rarely.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Accepts that failed because no file descriptor was left.
    pub accept_pauses: AtomicU64,
    /// Plugin generations that came to serve.
    pub reloads_accepted: AtomicU64,
    /// Plugin reloads that were refused.
    pub reloads_refused: AtomicU64,
    /// Plugin generations that were rolled back.
    pub rollbacks: AtomicU64,
    /// Versions of the objects that came to serve.
    pub configs_accepted: AtomicU64,
    /// Times the objects' file was refused as a whole.
    pub configs_refused: AtomicU64,
    /// Copies of requests for a second server that were not sent: too many were on their way.
    pub mirrors_dropped: AtomicU64,
    /// The last generation that a worker found bad; every worker looks at it.
    pub bad_generation: Arc<AtomicU64>,
    /// When the logs were opened anew by their paths (SIGUSR1), in milliseconds since 1970.
    pub logs_reopened_ms: AtomicU64,
    /// Lua VMs per worker.
    pub vms: Vec<AtomicU64>,
    /// Timers of all VMs per worker.
    pub timers: Vec<AtomicU64>,
    /// Bytes of Lua memory per worker.
    pub lua_bytes: Vec<AtomicU64>,
    /// Open connections per worker.
    pub open: Vec<AtomicU64>,
    /// Requests per worker, written once a second.
    pub requests: Vec<AtomicU64>,
    /// Requests in work per worker, written once a second.
    pub running: Vec<AtomicU64>,
    /// Connections that carry many calls, per worker, written once a second.
    pub mux_connections: Vec<AtomicU64>,
    /// Calls in flight on these, per worker, written once a second.
    pub mux_calls: Vec<AtomicU64>,
    /// Copies of requests on their way to a second server, per worker, written once a second.
    pub mirrors: Vec<AtomicU64>,
}

impl Counts {
    /// Counters for `workers` workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let cells = || (0..workers).map(|_| AtomicU64::new(0)).collect();
        Self {
            open: cells(),
            requests: cells(),
            running: cells(),
            mux_connections: cells(),
            mux_calls: cells(),
            mirrors: cells(),
            vms: cells(),
            timers: cells(),
            lua_bytes: cells(),
            ..Self::default()
        }
    }

    /// Adds one.
    pub fn add(cell: &AtomicU64) {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}
