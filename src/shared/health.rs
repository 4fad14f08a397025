//! Health of a node, one word that whoever picks the node, probes it or sends to it shares.
//!
//! A pick asks [`Word::is_healthy`], one atomic load; a report is one load while it changes
//! nothing. Nothing here sends a probe or knows an address: that is `health`.

use std::sync::atomic::{AtomicU64, Ordering};

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

impl Report {
    /// What enough of it make of a node.
    #[must_use]
    pub fn verdict(self) -> State {
        if self == Self::Success { State::Healthy } else { State::Unhealthy }
    }

    /// Its name in log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::HttpFailure => "HTTP",
            Self::TcpFailure => "TCP",
            Self::Timeout => "TIMEOUT",
        }
    }
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

impl Limits {
    fn of(self, report: Report) -> u8 {
        match report {
            Report::Success => self.successes,
            Report::HttpFailure => self.http_failures,
            Report::TcpFailure => self.tcp_failures,
            Report::Timeout => self.timeouts,
        }
    }
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

    /// The status after one more report, and how often it came in a row; `None` where it can no
    /// longer change anything, and is not counted.
    fn after(mut self, report: Report, limits: Limits) -> Option<(Self, u8)> {
        let limit = limits.of(report);
        let verdict = report.verdict();
        if limit == 0 || self.state == verdict {
            return None;
        }
        if report == Report::Success {
            self = Self { success: self.success, ..Self::fresh(self.state) };
        } else {
            self.success = 0;
        }
        let counter = match report {
            Report::Success => &mut self.success,
            Report::HttpFailure => &mut self.http_failure,
            Report::TcpFailure => &mut self.tcp_failure,
            Report::Timeout => &mut self.timeout_failure,
        };
        *counter = counter.saturating_add(1);
        let count = *counter;
        // The counters stay as they are: whoever asks later sees what the verdict came from.
        self.state = match self.state {
            _ if count >= limit => verdict,
            State::Healthy => State::MostlyHealthy,
            State::Unhealthy => State::MostlyUnhealthy,
            state => state,
        };
        Some((self, count))
    }
}

/// What a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The state before.
    pub before: State,
    /// The state now.
    pub now: State,
    /// Reports of this kind in a row.
    pub count: u8,
    /// How many of them make a verdict.
    pub limit: u8,
}

impl Counted {
    /// Whether the node starts or stops getting traffic.
    #[must_use]
    pub fn turns(self) -> bool {
        self.before.serves() != self.now.serves()
    }
}

/// A node's state and counters.
#[derive(Debug)]
pub struct Word(AtomicU64);

impl Default for Word {
    fn default() -> Self {
        Self(AtomicU64::new(Status::fresh(State::Healthy).pack()))
    }
}

impl Word {
    /// Whether the node gets traffic.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.status().state.serves()
    }

    /// State and counters.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::unpack(self.0.load(Ordering::Acquire))
    }

    /// Counts a report; `None` if it can change nothing.
    pub fn report(&self, report: Report, limits: Limits) -> Option<Counted> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let before = Status::unpack(word);
            let (after, count) = before.after(report, limits)?;
            let swap = self.0.compare_exchange_weak(
                word,
                after.pack(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swap {
                Ok(_) => {
                    let limit = limits.of(report);
                    return Some(Counted { before: before.state, now: after.state, count, limit });
                }
                Err(other) => word = other,
            }
        }
    }

    /// Sets the state by hand and clears the counters. Returns the state before.
    pub fn force(&self, state: State) -> State {
        Status::unpack(self.0.swap(Status::fresh(state).pack(), Ordering::AcqRel)).state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { successes: 2, http_failures: 3, tcp_failures: 2, timeouts: 0 };

    /// Reports in turn; each gives the state after it, `None` where nothing was counted.
    #[track_caller]
    fn check(reports: &[(Report, Option<State>)]) -> Status {
        let word = Word::default();
        for (at, (report, expected)) in reports.iter().enumerate() {
            let now = word.report(*report, LIMITS).map(|counted| counted.now);
            assert_eq!(now, *expected, "report number {at}");
        }
        word.status()
    }

    #[test]
    fn failures_in_a_row_take_a_node_out_and_successes_bring_it_back() {
        use Report::{HttpFailure as Bad, Success as Good};
        let out = [
            (Good, None),
            (Bad, Some(State::MostlyHealthy)),
            (Bad, Some(State::MostlyHealthy)),
            (Bad, Some(State::Unhealthy)),
            (Bad, None),
        ];
        let status = check(&out);
        assert!(!status.state.serves());
        assert_eq!(status.http_failure, 3, "what the verdict came from stays to be seen");
        let back = [(Good, Some(State::MostlyUnhealthy)), (Good, Some(State::Healthy))];
        let status = check(&[&out[..], &back[..]].concat());
        assert_eq!(status, Status { success: 2, ..Status::fresh(State::Healthy) });
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        use Report::{Success as Good, TcpFailure as Bad};
        let half = Some(State::MostlyHealthy);
        check(&[(Bad, half), (Good, half), (Bad, half), (Bad, Some(State::Unhealthy))]);
    }

    #[test]
    fn a_limit_of_zero_switches_a_report_off() {
        let word = Word::default();
        for _ in 0..300 {
            assert_eq!(word.report(Report::Timeout, LIMITS), None);
        }
        assert_eq!(word.status(), Status::fresh(State::Healthy));
    }

    #[test]
    fn a_state_set_by_hand_has_no_past() {
        let word = Word::default();
        word.report(Report::TcpFailure, LIMITS);
        assert_eq!(word.force(State::Unhealthy), State::MostlyHealthy);
        assert_eq!(word.status(), Status::fresh(State::Unhealthy));
    }

    #[test]
    fn reports_of_several_threads_are_all_counted() {
        let limits = Limits { http_failures: 254, ..LIMITS };
        let word = Word::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        word.report(Report::HttpFailure, limits);
                    }
                });
            }
        });
        assert_eq!(word.status().http_failure, 200);
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
