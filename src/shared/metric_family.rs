//! One metric with all its series: the cells that workers count into, and their sum.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::metrics::{DEFAULT_BUCKETS, Kind, LABEL_BYTES_MAX, MetricError, Spec};

thread_local! {
    /// Where a look-up writes its key, so that finding a series allocates nothing.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A number in one worker's map. For a histogram `value` is the sum of the observations.
#[derive(Default)]
struct Series {
    value: AtomicU64,
    /// Observations by bucket, the last one is above every bound.
    buckets: Box<[AtomicU64]>,
    /// Touched since the last sweep.
    touched: AtomicBool,
    dead: AtomicBool,
}

impl Series {
    fn add(&self, by: f64) {
        let add = |bits: u64| Some((f64::from_bits(bits) + by).to_bits());
        // The closure never refuses, so there is no error to look at.
        let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.touched.store(true, Ordering::Relaxed);
    }

    fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.touched.store(true, Ordering::Relaxed);
    }

    fn observe(&self, bounds: &[f64], value: f64) {
        let at = bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.add(value);
    }
}

type Lane = HashMap<Box<[u8]>, Arc<Series>, lru::DefaultHasher>;

/// One worker's series, on cache lines of their own.
#[repr(align(128))]
#[derive(Default)]
struct Padded(Mutex<Lane>);

/// A metric with all its series.
pub struct Family {
    pub(super) name: Box<str>,
    pub(super) help: Box<str>,
    pub(super) kind: Kind,
    pub(super) labels: Box<[Box<str>]>,
    pub(super) bounds: Box<[f64]>,
    idle_s: u64,
    series_max: usize,
    /// Where to count what could not be counted; the error counter itself has none.
    errors: Option<Arc<Family>>,
    lanes: Box<[Padded]>,
    /// Every series of any worker and when a sweep last saw it in use. Locked before a lane.
    known: RwLock<HashMap<Box<[u8]>, Option<u64>>>,
}

impl Family {
    pub(super) fn new(
        name: &str,
        spec: &Spec<'_>,
        workers: usize,
        (series_max, errors): (usize, Option<Arc<Family>>),
    ) -> Self {
        let buckets = if spec.buckets.is_empty() { DEFAULT_BUCKETS } else { spec.buckets };
        let mut bounds: Vec<f64> = match spec.kind {
            Kind::Histogram => buckets.iter().copied().filter(|bound| bound.is_finite()).collect(),
            _ => Vec::new(),
        };
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        // One more for the threads that are no workers; gauges are one value for all.
        let lanes = if spec.kind == Kind::Gauge { 1 } else { workers + 1 };
        Self {
            name: name.into(),
            help: spec.help.into(),
            kind: spec.kind,
            labels: spec.labels.iter().map(|label| Box::from(*label)).collect(),
            bounds: bounds.into(),
            idle_s: spec.idle_s,
            series_max,
            errors,
            lanes: (0..lanes).map(|_| Padded::default()).collect(),
            known: RwLock::default(),
        }
    }

    pub(super) fn same_declaration(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.labels == other.labels
            && self.bounds == other.bounds
            && self.idle_s == other.idle_s
    }

    /// Full name, prefix included.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it counts.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds `by` to a counter or gauge. `worker` is the caller's number; any other thread
    /// passes `usize::MAX`.
    ///
    /// # Errors
    ///
    /// Any [`MetricError`]; it has already been counted.
    pub fn inc<L: AsRef<[u8]>>(
        &self,
        worker: usize,
        labels: &[L],
        by: f64,
    ) -> Result<(), MetricError> {
        self.check_value(self.kind != Kind::Histogram, by)?;
        if self.kind == Kind::Counter && by < 0.0 {
            return Err(self.fail(MetricError::Negative));
        }
        self.with(worker, labels, |series| series.add(by))
    }

    /// Sets a gauge.
    ///
    /// # Errors
    ///
    /// Any [`MetricError`]; it has already been counted.
    pub fn set<L: AsRef<[u8]>>(&self, labels: &[L], value: f64) -> Result<(), MetricError> {
        self.check_value(self.kind == Kind::Gauge, value)?;
        self.with(0, labels, |series| series.set(value))
    }

    /// Counts one observation of a histogram.
    ///
    /// # Errors
    ///
    /// Any [`MetricError`]; it has already been counted.
    pub fn observe<L: AsRef<[u8]>>(
        &self,
        worker: usize,
        labels: &[L],
        value: f64,
    ) -> Result<(), MetricError> {
        self.check_value(self.kind == Kind::Histogram, value)?;
        self.with(worker, labels, |series| series.observe(&self.bounds, value))
    }

    /// A handle to one series, for callers that count into it again and again.
    ///
    /// # Errors
    ///
    /// Any [`MetricError`]; it has already been counted.
    pub fn cell<L: AsRef<[u8]>>(
        self: &Arc<Self>,
        worker: usize,
        labels: &[L],
    ) -> Result<Cell, MetricError> {
        let series = self.with(worker, labels, Arc::clone)?;
        Ok(Cell { family: Arc::clone(self), series })
    }

    /// Forgets one series in all workers.
    ///
    /// # Errors
    ///
    /// [`MetricError::Labels`]; it has already been counted.
    pub fn del<L: AsRef<[u8]>>(&self, labels: &[L]) -> Result<(), MetricError> {
        self.check_labels(labels.len())?;
        let mut key = Vec::new();
        encode(&mut key, labels);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(key.as_slice());
        self.forget(&key);
        Ok(())
    }

    /// Forgets all series.
    pub fn reset(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        for lane in &self.lanes {
            for (_, series) in lock(lane).drain() {
                series.dead.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Calls `then` with the sums over all workers: label values, value, buckets.
    pub(super) fn sums(&self) -> BTreeMap<Vec<Vec<u8>>, (f64, Vec<u64>)> {
        let mut sums = BTreeMap::new();
        for lane in &self.lanes {
            // Copied out first: a worker must not wait for the adding up.
            let copy: Vec<_> =
                lock(lane).iter().map(|(key, series)| (key.clone(), Arc::clone(series))).collect();
            for (key, series) in copy {
                let (value, buckets) = sums
                    .entry(decode(&key))
                    .or_insert_with(|| (0.0, vec![0; self.bounds.len() + 1]));
                *value += f64::from_bits(series.value.load(Ordering::Relaxed));
                for (sum, bucket) in buckets.iter_mut().zip(&series.buckets) {
                    *sum += bucket.load(Ordering::Relaxed);
                }
            }
        }
        sums
    }

    fn with<L: AsRef<[u8]>, R>(
        &self,
        worker: usize,
        labels: &[L],
        then: impl FnOnce(&Arc<Series>) -> R,
    ) -> Result<R, MetricError> {
        self.check_labels(labels.len())?;
        KEY.with_borrow_mut(|key| {
            encode(key, labels);
            let lane = &self.lanes[worker.min(self.lanes.len() - 1)];
            if let Some(series) = lock(lane).get(key.as_slice()) {
                return Ok(then(series));
            }
            self.create(lane, key).map(|series| then(&series))
        })
    }

    #[cold]
    fn create(&self, lane: &Padded, key: &[u8]) -> Result<Arc<Series>, MetricError> {
        let full = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.len() >= self.series_max && !known.contains_key(key)
        };
        if full {
            return Err(self.fail(MetricError::TooManySeries));
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.series_max && !known.contains_key(key) {
            return Err(self.fail(MetricError::TooManySeries));
        }
        known.entry(key.into()).or_insert(None);
        let buckets = match self.kind {
            Kind::Histogram => (0..=self.bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            _ => Box::default(),
        };
        let create = || Arc::new(Series { buckets, ..Series::default() });
        Ok(Arc::clone(lock(lane).entry(key.into()).or_insert_with(create)))
    }

    pub(super) fn sweep(&self, now_s: u64) {
        if self.idle_s == 0 {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for lane in &self.lanes {
            for (key, series) in lock(lane).iter() {
                if series.touched.swap(false, Ordering::Relaxed)
                    && let Some(seen) = known.get_mut(key)
                {
                    *seen = Some(now_s);
                }
            }
        }
        // A series goes only when it is idle in every worker: a sum must not fall.
        known.retain(|key, seen| {
            let idle = now_s.saturating_sub(*seen.get_or_insert(now_s));
            if idle > self.idle_s {
                self.forget(key);
            }
            idle <= self.idle_s
        });
    }

    /// Removes a key from every lane; the caller holds `known`.
    fn forget(&self, key: &[u8]) {
        for lane in &self.lanes {
            if let Some(series) = lock(lane).remove(key) {
                series.dead.store(true, Ordering::Relaxed);
            }
        }
    }

    fn check_labels(&self, given: usize) -> Result<(), MetricError> {
        let expected = self.labels.len();
        match given == expected {
            true => Ok(()),
            false => Err(self.fail(MetricError::Labels { expected, given })),
        }
    }

    fn check_value(&self, right_kind: bool, value: f64) -> Result<(), MetricError> {
        match (right_kind, value.is_nan()) {
            (false, _) => Err(self.fail(MetricError::WrongKind)),
            (true, true) => Err(self.fail(MetricError::NotANumber)),
            (true, false) => Ok(()),
        }
    }

    #[cold]
    fn fail(&self, error: MetricError) -> MetricError {
        if let Some(errors) = &self.errors {
            let lane = &errors.lanes[errors.lanes.len() - 1];
            // Not through `inc`: the key buffer of this thread may be in use right now.
            let series = lock(lane).get(&[][..]).map(Arc::clone);
            if let Ok(series) = series.map_or_else(|| errors.create(lane, &[]), Ok) {
                series.add(1.0);
            }
        }
        error
    }
}

/// A kept handle to one series of one worker. After `del`, `reset` or expiry it counts into
/// nothing; ask [`Cell::is_live`] and fetch it again.
#[derive(Clone)]
pub struct Cell {
    family: Arc<Family>,
    series: Arc<Series>,
}

impl Cell {
    /// Adds to a counter or gauge; a negative or NaN step of a counter is ignored.
    pub fn inc(&self, by: f64) {
        match self.family.kind {
            Kind::Counter if by >= 0.0 => self.series.add(by),
            Kind::Gauge if !by.is_nan() => self.series.add(by),
            _ => {}
        }
    }

    /// Sets a gauge; nothing for other kinds.
    pub fn set(&self, value: f64) {
        if self.family.kind == Kind::Gauge && !value.is_nan() {
            self.series.set(value);
        }
    }

    /// Counts one observation of a histogram; nothing for other kinds.
    pub fn observe(&self, value: f64) {
        if self.family.kind == Kind::Histogram && !value.is_nan() {
            self.series.observe(&self.family.bounds, value);
        }
    }

    /// Whether the series is still scraped.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.series.dead.load(Ordering::Relaxed)
    }
}

fn lock(lane: &Padded) -> MutexGuard<'_, Lane> {
    lane.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Label values with their lengths, so that ("a", "b") and ("ab", "") differ.
fn encode<L: AsRef<[u8]>>(key: &mut Vec<u8>, labels: &[L]) {
    key.clear();
    for label in labels {
        let label = label.as_ref();
        let label = &label[..label.len().min(LABEL_BYTES_MAX)];
        key.extend_from_slice(&(label.len() as u16).to_le_bytes());
        key.extend_from_slice(label);
    }
}

fn decode(mut key: &[u8]) -> Vec<Vec<u8>> {
    let mut labels = Vec::new();
    while let Some((len, rest)) = key.split_first_chunk::<2>() {
        let (label, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)).min(rest.len()));
        labels.push(label.to_vec());
        key = rest;
    }
    labels
}
