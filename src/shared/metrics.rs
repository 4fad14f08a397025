//! Metrics of the process: every worker counts into its own cells, a scrape adds them up.
//!
//! A series lives in a map per worker behind a lock that only a scrape ever contends, so an
//! increment by label values is one uncontended lock and one look-up, and one through a kept
//! [`Cell`] is one atomic add. Gauges have one map for all workers, because the last `set` of
//! any worker must win. The number of series per family is bounded; what does not fit is
//! counted in `nginx_metric_errors_total`, and never becomes a series.
//!
//! Start at [`Registry::counter`], then [`Family::inc`]; [`Registry::render`] is the scrape.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

pub use super::metric_family::{Cell, Family};
use super::metric_text;

/// Most series of one family unless the registry says otherwise.
pub const SERIES_MAX: usize = 10_000;

/// Longer label values are cut, in bytes: a value may come from a client.
pub const LABEL_BYTES_MAX: usize = 1024;

/// Upper bounds of a histogram that names none.
pub const DEFAULT_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0,
    5.0, 10.0,
];

const ERRORS: &str = "nginx_metric_errors_total";

/// What a family counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; summed over workers.
    Counter,
    /// Goes up and down; one value for all workers.
    Gauge,
    /// Counts observations by upper bound; summed over workers.
    Histogram,
}

/// Why a metric was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricError {
    /// The number of label values is not the number of labels.
    Labels {
        /// Declared labels.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// A counter cannot go down.
    Negative,
    /// NaN.
    NotANumber,
    /// The family is of another kind.
    WrongKind,
    /// The family has as many series as it may.
    TooManySeries,
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Labels { expected, given } => {
                write!(f, "wrong number of label values: expected {expected}, got {given}")
            }
            Self::Negative => f.write_str("a counter cannot be increased by a negative value"),
            Self::NotANumber => f.write_str("the value is not a number"),
            Self::WrongKind => f.write_str("this metric is of another kind"),
            Self::TooManySeries => f.write_str("this metric has too many series"),
        }
    }
}

impl std::error::Error for MetricError {}

/// How a family is declared.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// What it counts.
    pub kind: Kind,
    /// Name without the registry's prefix.
    pub name: &'a str,
    /// One sentence for the reader of the scrape.
    pub help: &'a str,
    /// Label names.
    pub labels: &'a [&'a str],
    /// Upper bounds of a histogram; empty means [`DEFAULT_BUCKETS`].
    pub buckets: &'a [f64],
    /// [`Registry::sweep`] drops a series untouched for this many seconds; 0 keeps it.
    pub idle_s: u64,
}

/// All metrics of the process.
pub struct Registry {
    prefix: Box<str>,
    workers: usize,
    series_max: usize,
    errors: Arc<Family>,
    families: RwLock<BTreeMap<Box<str>, Arc<Family>>>,
}

impl Registry {
    /// A registry for `workers` workers; every name gets `prefix`.
    #[must_use]
    pub fn new(prefix: &str, workers: usize) -> Self {
        Self::with_series_max(prefix, workers, SERIES_MAX)
    }

    /// Like [`Registry::new`] with another bound of series per family.
    #[must_use]
    pub fn with_series_max(prefix: &str, workers: usize, series_max: usize) -> Self {
        let help = "Number of nginx-lua-prometheus errors";
        let spec =
            Spec { kind: Kind::Counter, name: ERRORS, help, labels: &[], buckets: &[], idle_s: 0 };
        let name = format!("{prefix}{ERRORS}");
        let errors = Arc::new(Family::new(&name, &spec, workers, (series_max, None)));
        let families = BTreeMap::from([(name.into(), Arc::clone(&errors))]);
        let families = RwLock::new(families);
        Self { prefix: prefix.into(), workers, series_max, errors, families }
    }

    /// What every name begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Declares a counter.
    ///
    /// # Errors
    ///
    /// See [`Registry::declare`].
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<Arc<Family>, String> {
        let kind = Kind::Counter;
        self.declare(&Spec { kind, name, help, labels, buckets: &[], idle_s: 0 })
    }

    /// Declares a gauge.
    ///
    /// # Errors
    ///
    /// See [`Registry::declare`].
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<Arc<Family>, String> {
        let kind = Kind::Gauge;
        self.declare(&Spec { kind, name, help, labels, buckets: &[], idle_s: 0 })
    }

    /// Declares a histogram; no `buckets` means [`DEFAULT_BUCKETS`].
    ///
    /// # Errors
    ///
    /// See [`Registry::declare`].
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Arc<Family>, String> {
        self.declare(&Spec { kind: Kind::Histogram, name, help, labels, buckets, idle_s: 0 })
    }

    /// Declares a family, or returns the one that was declared in the same way.
    ///
    /// # Errors
    ///
    /// A sentence if a name is malformed, or the name is taken by a different declaration.
    pub fn declare(&self, spec: &Spec<'_>) -> Result<Arc<Family>, String> {
        let name = format!("{}{}", self.prefix, spec.name);
        check_names(&name, spec)?;
        let bound = (self.series_max, Some(Arc::clone(&self.errors)));
        let family = Family::new(&name, spec, self.workers, bound);
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = families.get(name.as_str()) {
            return match old.same_declaration(&family) {
                true => Ok(Arc::clone(old)),
                false => Err(format!("metric {name} is already declared in another way")),
            };
        }
        let family = Arc::new(family);
        families.insert(name.into(), Arc::clone(&family));
        Ok(family)
    }

    /// Forgets a family and its series, so that it may be declared anew. Says if there was one.
    pub fn remove(&self, name: &str) -> bool {
        let name = format!("{}{name}", self.prefix);
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let removed = families.remove(name.as_str());
        if let Some(family) = &removed {
            family.reset();
        }
        removed.is_some()
    }

    /// Drops the series of families with `idle_s` that nobody touched for that long.
    /// Call it every few seconds, with any clock that counts seconds.
    pub fn sweep(&self, now_s: u64) {
        for family in self.list() {
            family.sweep(now_s);
        }
    }

    /// Everything in the Prometheus text format, in order of name and label values.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        for family in self.list() {
            metric_text::family(&mut out, &family);
        }
        out
    }

    fn list(&self) -> Vec<Arc<Family>> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        families.values().map(Arc::clone).collect()
    }
}

fn check_names(name: &str, spec: &Spec<'_>) -> Result<(), String> {
    let word = |text: &str, colon: bool| {
        let ok = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (colon && byte == b':');
        !text.is_empty() && !text.as_bytes()[0].is_ascii_digit() && text.bytes().all(ok)
    };
    if !word(name, true) {
        return Err(format!("metric name \"{name}\" is invalid"));
    }
    for label in spec.labels {
        let reserved = spec.kind == Kind::Histogram && *label == "le";
        if !word(label, false) || label.starts_with("__") || reserved {
            return Err(format!("metric {name}: label name \"{label}\" is invalid"));
        }
    }
    Ok(())
}
