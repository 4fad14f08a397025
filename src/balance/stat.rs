//! What is known about a node by all workers together, and outlives a version of the
//! configuration: connections in flight, and the decayed latency.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::NodeSpec;

/// After this time an old latency has 1/e of its weight.
const DECAY_SECONDS: f64 = 10.0;

/// A latency this old says nothing any more.
const LATENCY_AGE_MAX: Duration = Duration::from_secs(60);

/// The measurements of all nodes, one per process.
///
/// An entry lives as long as some plan or some request in flight uses it: a new version
/// of an upstream, built before the old one is dropped, goes on counting where it was.
#[derive(Debug)]
pub struct Shared {
    nodes: Mutex<Nodes>,
    epoch: Instant,
}

#[derive(Debug, Default)]
struct Nodes {
    by_name: HashMap<(Box<str>, Box<str>), Weak<NodeStat>>,
    /// Size at which dead entries are looked for.
    sweep_at: usize,
}

impl Shared {
    /// An empty table; `now` is any moment before the first measurement.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { nodes: Mutex::default(), epoch: now }
    }

    /// The entry of `node` within `scope`. Takes a lock: for building plans only.
    pub(super) fn node(&self, scope: &str, node: &NodeSpec) -> Arc<NodeStat> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.by_name.len() > nodes.sweep_at {
            nodes.by_name.retain(|_, stat| stat.strong_count() > 0);
            nodes.sweep_at = nodes.by_name.len() * 2 + 64;
        }
        let slot = nodes.by_name.entry((scope.into(), node.name().into())).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let stat = Arc::new(NodeStat::new(self.epoch));
            *slot = Arc::downgrade(&stat);
            stat
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).by_name.len()
    }
}

/// The measurements of one node.
#[derive(Debug)]
pub struct NodeStat {
    connections: AtomicU32,
    /// Seconds, as the bits of an `f64`.
    latency: AtomicU64,
    /// Microseconds since `epoch` plus 1; 0 before the first measurement.
    measured_at: AtomicU64,
    epoch: Instant,
}

impl NodeStat {
    fn new(epoch: Instant) -> Self {
        Self {
            connections: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            measured_at: AtomicU64::new(0),
            epoch,
        }
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    pub(super) fn begin(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Latency in seconds as of `now`: it fades while nothing is measured, so that a node
    /// that was slow once gets another chance. 0 if unknown.
    pub(super) fn latency(&self, now: Instant) -> f64 {
        let old = f64::from_bits(self.latency.load(Relaxed));
        old * self.fading(self.measured_at.load(Relaxed), self.stamp(now))
    }

    /// Takes a new measurement in.
    pub(super) fn measure(&self, took: Duration, now: Instant) {
        let (before, stamp) = (self.measured_at.load(Relaxed), self.stamp(now));
        // Two workers at once: one of two samples of the same moment is enough.
        if self.measured_at.compare_exchange(before, stamp, Relaxed, Relaxed).is_err() {
            return;
        }
        let fading = self.fading(before, stamp);
        let old = f64::from_bits(self.latency.load(Relaxed));
        let new = old * fading + took.as_secs_f64() * (1.0 - fading);
        self.latency.store(new.to_bits(), Relaxed);
    }

    fn stamp(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.epoch).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX - 1) + 1
    }

    fn fading(&self, from: u64, to: u64) -> f64 {
        let age = Duration::from_micros(to.saturating_sub(from));
        if from == 0 || age > LATENCY_AGE_MAX {
            return 0.0;
        }
        (-age.as_secs_f64() / DECAY_SECONDS).exp()
    }
}
