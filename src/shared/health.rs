//! Health of upstream nodes, shared by all workers, as active and passive checks report it.
//!
//! A [`Checker`] belongs to one upstream and holds one word per node: its state and how many
//! successes and failures came in a row. A pick asks [`Checker::is_healthy`], one atomic load.
//! Nothing here sends a probe or knows an address beyond its text.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

/// State of a node. Traffic goes to the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No failure since the last verdict.
    Healthy,
    /// Healthy, with failures below the limit.
    MostlyHealthy,
    /// Unhealthy, with successes below the limit.
    MostlyUnhealthy,
    /// Failed as often as the limit says.
    Unhealthy,
}

impl State {
    /// Whether a node in this state gets traffic.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }

    /// The name in the Control API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::MostlyHealthy => "mostly_healthy",
            Self::MostlyUnhealthy => "mostly_unhealthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// One observation of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// An answer with a status that counts as healthy.
    Success,
    /// An answer with a status that counts as unhealthy.
    HttpFailure,
    /// No connection, or it broke.
    TcpFailure,
    /// No answer in time.
    Timeout,
}

/// How many reports in a row change the state; 0 makes reports of that kind count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `healthy.successes`
    pub successes: u8,
    /// `unhealthy.http_failures`
    pub http_failures: u8,
    /// `unhealthy.tcp_failures`
    pub tcp_failures: u8,
    /// `unhealthy.timeouts`
    pub timeouts: u8,
}

/// State and counters of a node at one moment. Kept as four counters of one byte and the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Successes in a row.
    pub success: u8,
    /// HTTP failures since the last success.
    pub http_failure: u8,
    /// TCP failures since the last success.
    pub tcp_failure: u8,
    /// Time-outs since the last success.
    pub timeout_failure: u8,
}

impl Status {
    const fn fresh(state: State) -> Self {
        Self { state, success: 0, http_failure: 0, tcp_failure: 0, timeout_failure: 0 }
    }

    fn pack(self) -> u64 {
        let counters =
            [self.success, self.http_failure, self.tcp_failure, self.timeout_failure, 0, 0, 0, 0];
        u64::from_le_bytes(counters) | (self.state as u64) << 32
    }

    fn unpack(word: u64) -> Self {
        let [success, http_failure, tcp_failure, timeout_failure, state, ..] = word.to_le_bytes();
        let state = match state {
            0 => State::Healthy,
            1 => State::MostlyHealthy,
            2 => State::MostlyUnhealthy,
            _ => State::Unhealthy,
        };
        Self { state, success, http_failure, tcp_failure, timeout_failure }
    }

    /// The status after one more report.
    fn after(mut self, report: Report, limits: Limits) -> Self {
        let (counter, limit, verdict) = match report {
            Report::Success => (&mut self.success, limits.successes, State::Healthy),
            Report::HttpFailure => (&mut self.http_failure, limits.http_failures, State::Unhealthy),
            Report::TcpFailure => (&mut self.tcp_failure, limits.tcp_failures, State::Unhealthy),
            Report::Timeout => (&mut self.timeout_failure, limits.timeouts, State::Unhealthy),
        };
        // What a report can no longer change is not counted.
        if limit == 0 || self.state == verdict {
            return self;
        }
        *counter = counter.saturating_add(1);
        if *counter >= limit {
            return Self::fresh(verdict);
        }
        if report == Report::Success {
            self = Self { success: self.success, ..Self::fresh(self.state) };
        } else {
            self.success = 0;
        }
        self.state = match self.state {
            State::Healthy => State::MostlyHealthy,
            State::Unhealthy => State::MostlyUnhealthy,
            state => state,
        };
        self
    }
}

/// The nodes of one upstream.
pub struct Checker {
    nodes: Box<[(Box<str>, AtomicU64)]>,
    version: AtomicU32,
}

impl Checker {
    /// A checker of these nodes, all healthy but for what `before` knows about the same names.
    #[must_use]
    pub fn new<'a>(nodes: impl IntoIterator<Item = &'a str>, before: Option<&Checker>) -> Self {
        let word = |name: &str| {
            let known = before.and_then(|before| before.status(before.find(name)?));
            AtomicU64::new(known.unwrap_or(Status::fresh(State::Healthy)).pack())
        };
        let nodes = nodes.into_iter().map(|name| (name.into(), word(name))).collect();
        let version = before.map_or(0, |before| before.version().wrapping_add(1));
        Self { nodes, version: AtomicU32::new(version) }
    }

    /// Whether node number `at` gets traffic. One that does not exist is nobody's fault: true.
    #[must_use]
    pub fn is_healthy(&self, at: usize) -> bool {
        self.status(at).is_none_or(|status| status.state.serves())
    }

    /// Number of the node of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|(node, _)| &**node == name)
    }

    /// State and counters of node number `at`.
    #[must_use]
    pub fn status(&self, at: usize) -> Option<Status> {
        self.nodes.get(at).map(|(_, word)| Status::unpack(word.load(Ordering::Acquire)))
    }

    /// Counts a report. Returns the new state if it changed, so that it may be logged.
    pub fn report(&self, at: usize, report: Report, limits: Limits) -> Option<State> {
        let (_, word) = self.nodes.get(at)?;
        let next = |word| Some(Status::unpack(word).after(report, limits).pack());
        // The closure never refuses: both arms hold the word before.
        let (Ok(old) | Err(old)) = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        let old = Status::unpack(old);
        let new = old.after(report, limits);
        self.changed(old.state, new.state)
    }

    /// Sets the state by hand and clears the counters, as the Control API does.
    pub fn force(&self, at: usize, state: State) -> Option<State> {
        let (_, word) = self.nodes.get(at)?;
        let old = word.swap(Status::fresh(state).pack(), Ordering::AcqRel);
        self.changed(Status::unpack(old).state, state)
    }

    /// Grows whenever a node starts or stops getting traffic: a pick list older than this is stale.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// Every node by name, for the Control API and metrics.
    pub fn each(&self) -> impl Iterator<Item = (&str, Status)> {
        let status = |word: &AtomicU64| Status::unpack(word.load(Ordering::Acquire));
        self.nodes.iter().map(move |(name, word)| (&**name, status(word)))
    }

    fn changed(&self, old: State, new: State) -> Option<State> {
        if old.serves() != new.serves() {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        (old != new).then_some(new)
    }
}

/// All checkers of the process by upstream, such as `/apisix/routes/1`.
#[derive(Default)]
pub struct Board(RwLock<BTreeMap<Box<str>, Arc<Checker>>>);

impl Board {
    /// The checker of an upstream.
    #[must_use]
    pub fn get(&self, upstream: &str) -> Option<Arc<Checker>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(upstream).map(Arc::clone)
    }

    /// Puts a checker for these nodes; nodes that stay keep their state.
    pub fn put<'a>(
        &self,
        upstream: &str,
        nodes: impl IntoIterator<Item = &'a str>,
    ) -> Arc<Checker> {
        let mut board = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = board.get(upstream).map(Arc::clone);
        let checker = Arc::new(Checker::new(nodes, before.as_deref()));
        board.insert(upstream.into(), Arc::clone(&checker));
        checker
    }

    /// Forgets an upstream.
    pub fn remove(&self, upstream: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(upstream);
    }

    /// All upstreams with their checkers, in order of name.
    #[must_use]
    pub fn all(&self) -> Vec<(Box<str>, Arc<Checker>)> {
        let board = self.0.read().unwrap_or_else(PoisonError::into_inner);
        board.iter().map(|(name, checker)| (name.clone(), Arc::clone(checker))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { successes: 2, http_failures: 3, tcp_failures: 2, timeouts: 0 };

    #[test]
    fn failures_in_a_row_take_a_node_out_and_successes_bring_it_back() {
        let checker = Checker::new(["a:80", "b:80"], None);
        let report = |report| checker.report(0, report, LIMITS);
        assert_eq!(report(Report::HttpFailure), Some(State::MostlyHealthy));
        assert_eq!(report(Report::HttpFailure), None);
        assert!(checker.is_healthy(0));
        assert_eq!(report(Report::HttpFailure), Some(State::Unhealthy));
        assert!(!checker.is_healthy(0) && checker.is_healthy(1));
        assert_eq!(checker.version(), 1);
        assert_eq!(report(Report::Success), Some(State::MostlyUnhealthy));
        assert!(!checker.is_healthy(0));
        assert_eq!(report(Report::Success), Some(State::Healthy));
        assert_eq!(checker.version(), 2);
        assert_eq!(checker.status(0), Some(Status::fresh(State::Healthy)));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let checker = Checker::new(["a:80"], None);
        checker.report(0, Report::TcpFailure, LIMITS);
        checker.report(0, Report::Success, LIMITS);
        checker.report(0, Report::TcpFailure, LIMITS);
        assert!(checker.is_healthy(0));
        checker.report(0, Report::TcpFailure, LIMITS);
        assert!(!checker.is_healthy(0));
    }

    #[test]
    fn a_limit_of_zero_switches_a_report_off() {
        let checker = Checker::new(["a:80"], None);
        for _ in 0..300 {
            assert_eq!(checker.report(0, Report::Timeout, LIMITS), None);
        }
        assert_eq!(checker.status(0), Some(Status::fresh(State::Healthy)));
        assert!(checker.is_healthy(7), "a node that is not there");
        assert_eq!(checker.report(7, Report::Timeout, LIMITS), None);
    }

    #[test]
    fn a_node_that_stays_keeps_its_state() {
        let board = Board::default();
        let first = board.put("/apisix/routes/1", ["a:80", "b:80"]);
        first.force(1, State::Unhealthy);
        let second = board.put("/apisix/routes/1", ["b:80", "c:80"]);
        assert!(!second.is_healthy(0) && second.is_healthy(1));
        assert!(second.version() > first.version());
        let states: Vec<_> = second.each().map(|(name, status)| (name, status.state)).collect();
        assert_eq!(states, [("b:80", State::Unhealthy), ("c:80", State::Healthy)]);
        board.remove("/apisix/routes/1");
        assert!(board.get("/apisix/routes/1").is_none() && board.all().is_empty());
    }

    #[test]
    fn a_status_survives_packing() {
        for state in
            [State::Healthy, State::MostlyHealthy, State::MostlyUnhealthy, State::Unhealthy]
        {
            let status =
                Status { state, success: 1, http_failure: 2, tcp_failure: 255, timeout_failure: 4 };
            assert_eq!(Status::unpack(status.pack()), status);
        }
    }
}
