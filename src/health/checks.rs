//! `checks` of an upstream, read once.
//!
//! The schema has filled the defaults of each section that is there. A section that is not
//! there is off, as with APISIX: without `active.healthy` nobody probes a healthy node,
//! without `active.unhealthy` no unhealthy one, and without `passive` answers say nothing.

use std::time::Duration;

use serde_json::Value;

use crate::shared::health::Limits;

/// How a probe talks to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A request.
    Http,
    /// A request over TLS.
    Https,
    /// A connection is all that is wanted.
    Tcp,
}

impl Way {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
        }
    }
}

/// A set of HTTP statuses: a bit for each up to 639.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statuses([u64; 10]);

impl Statuses {
    /// Whether `status` is one of them.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        let word = self.0.get(usize::from(status / 64)).copied().unwrap_or(0);
        word >> (status % 64) & 1 == 1
    }

    fn of(list: impl IntoIterator<Item = u16>) -> Self {
        let mut set = Self::default();
        for status in list {
            if let Some(word) = set.0.get_mut(usize::from(status / 64)) {
                *word |= 1 << (status % 64);
            }
        }
        set
    }
}

/// What a status says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts {
    /// `healthy.http_statuses`
    pub good: Statuses,
    /// `unhealthy.http_statuses`
    pub bad: Statuses,
    /// How many of each in a row.
    pub limits: Limits,
}

/// `checks.active`
#[derive(Debug, Clone, PartialEq)]
pub struct Active {
    /// `type`
    pub way: Way,
    /// For connecting, and again for the answer.
    pub timeout: Duration,
    /// Probes of one upstream under way at a time.
    pub concurrency: usize,
    /// Name to ask for, instead of the node's.
    pub host: Option<Box<str>>,
    /// Port to probe, instead of the node's.
    pub port: Option<u16>,
    /// `http_method`
    pub method: Box<str>,
    /// `http_path`
    pub path: Box<str>,
    /// `http_req_body`
    pub body: Box<str>,
    /// `https_verify_certificate`
    pub verify: bool,
    /// `https_sni`: instead of the name that is asked for.
    pub sni: Option<Box<str>>,
    /// `req_headers`: lines without their ends.
    pub headers: Vec<Box<str>>,
    /// Between two probes of a healthy node; `None`: it is not probed.
    pub healthy_interval: Option<Duration>,
    /// Between two probes of an unhealthy node; `None`: it is not probed.
    pub unhealthy_interval: Option<Duration>,
    /// What answers say.
    pub verdicts: Verdicts,
}

impl Active {
    /// Time between two probes of a node that is `healthy` or not.
    #[must_use]
    pub fn interval(&self, healthy: bool) -> Option<Duration> {
        if healthy { self.healthy_interval } else { self.unhealthy_interval }
    }
}

/// `checks`
#[derive(Debug, Clone, PartialEq)]
pub struct Checks {
    /// Probes.
    pub active: Active,
    /// What the answers to clients' requests say, where that is wanted.
    pub passive: Option<Verdicts>,
    /// What a listing calls the checks: the `type` of the active ones.
    pub kind: Way,
}

impl Checks {
    /// Reads what the schema let pass. What cannot be used is left out and told in the list.
    #[must_use]
    pub fn read(value: &Value) -> (Self, Vec<String>) {
        let mut odd = Vec::new();
        let none = Value::Null;
        let active = active(value.get("active").unwrap_or(&none), &mut odd);
        let passive = value.get("passive").map(|passive| Verdicts {
            good: statuses(passive, "healthy", &PASSIVE_GOOD),
            bad: statuses(passive, "unhealthy", &[429, 500, 503]),
            limits: limits(passive, [5, 5, 2, 7]),
        });
        let kind = active.way;
        (Self { active, passive, kind }, odd)
    }
}

const PASSIVE_GOOD: [u16; 19] =
    [200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308];

fn active(value: &Value, odd: &mut Vec<String>) -> Active {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(Box::from);
    let mut interval = |state: &str| {
        let seconds = value.get(state).and_then(|state| state.get("interval")?.as_u64());
        if seconds.is_none() {
            odd.push(format!("active.{state} is not there: {state} nodes are not probed"));
        }
        seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs)
    };
    let (healthy_interval, unhealthy_interval) = (interval("healthy"), interval("unhealthy"));
    let seconds = value.get("timeout").and_then(Value::as_f64).unwrap_or(1.0);
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1));
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let line = |line: &Value| {
        let text = line.as_str()?;
        // A line that ends early would be two.
        let whole = !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if !whole || !text.contains(':') {
            odd.push(format!("active.req_headers: {text:?} is no header line and is left out"));
            return None;
        }
        Some(Box::from(text))
    };
    let headers = value.get("req_headers").and_then(Value::as_array);
    let headers = headers.into_iter().flatten().filter_map(line).collect();
    Active {
        way: match value.get("type").and_then(Value::as_str) {
            Some("tcp") => Way::Tcp,
            Some("https") => Way::Https,
            _ => Way::Http,
        },
        timeout: timeout.clamp(Duration::from_millis(1), Duration::from_secs(3600)),
        concurrency: number("concurrency").map_or(10, |n| n.clamp(1, 10_000) as usize),
        host: text("host"),
        port: number("port").and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
        method: text("http_method").unwrap_or_else(|| "GET".into()),
        path: text("http_path").unwrap_or_else(|| "/".into()),
        body: text("http_req_body").unwrap_or_default(),
        verify: value.get("https_verify_certificate").and_then(Value::as_bool).unwrap_or(true),
        sni: text("https_sni"),
        headers,
        healthy_interval,
        unhealthy_interval,
        verdicts: Verdicts {
            good: statuses(value, "healthy", &[200, 302]),
            bad: statuses(value, "unhealthy", &[429, 404, 500, 501, 502, 503, 504, 505]),
            limits: limits(value, [2, 5, 2, 3]),
        },
    }
}

fn statuses(value: &Value, state: &str, default: &[u16]) -> Statuses {
    let list = value.get(state).and_then(|state| state.get("http_statuses")?.as_array());
    match list {
        Some(list) => {
            let status = |status: &Value| u16::try_from(status.as_u64()?).ok();
            Statuses::of(list.iter().filter_map(status))
        }
        None => Statuses::of(default.iter().copied()),
    }
}

/// `default`: successes, HTTP failures, TCP failures, time-outs.
fn limits(value: &Value, default: [u8; 4]) -> Limits {
    let number = |state: &str, name: &str, default: u8| {
        let number = value.get(state).and_then(|state| state.get(name)?.as_u64());
        number.map_or(default, |number| u8::try_from(number).unwrap_or(u8::MAX))
    };
    let [successes, http_failures, tcp_failures, timeouts] = default;
    Limits {
        successes: number("healthy", "successes", successes),
        http_failures: number("unhealthy", "http_failures", http_failures),
        tcp_failures: number("unhealthy", "tcp_failures", tcp_failures),
        timeouts: number("unhealthy", "timeouts", timeouts),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_that_are_not_there_are_off() {
        let (checks, odd) = Checks::read(&json!({"active": {}}));
        assert_eq!((checks.active.interval(true), checks.active.interval(false)), (None, None));
        assert!(checks.passive.is_none());
        assert_eq!(odd.len(), 2);
        assert_eq!(checks.active.timeout, Duration::from_secs(1));
        assert_eq!((checks.active.concurrency, checks.active.way), (10, Way::Http));
        let limits = Limits { successes: 2, http_failures: 5, tcp_failures: 2, timeouts: 3 };
        assert_eq!(checks.active.verdicts.limits, limits);
        assert!(checks.active.verdicts.good.has(302) && checks.active.verdicts.bad.has(404));
        assert!(!checks.active.verdicts.good.has(404) && !checks.active.verdicts.bad.has(900));
    }

    #[test]
    fn everything_is_read() {
        let (checks, odd) = Checks::read(&json!({
            "active": {
                "type": "https", "timeout": 0.25, "concurrency": 3, "host": "h", "port": 81,
                "http_method": "POST", "http_path": "/p?q", "http_req_body": "b",
                "https_verify_certificate": false, "req_headers": ["A: b", "C: d\r\nE: f"],
                "healthy": {"interval": 3, "successes": 1, "http_statuses": [418]},
                "unhealthy": {"interval": 7, "http_failures": 4, "tcp_failures": 5,
                              "timeouts": 6, "http_statuses": [500]},
            },
            "passive": {"healthy": {"successes": 0}, "unhealthy": {"timeouts": 9}},
        }));
        let active = &checks.active;
        assert_eq!((active.way, active.timeout.as_millis()), (Way::Https, 250));
        assert_eq!((active.concurrency, active.port, active.verify), (3, Some(81), false));
        assert_eq!((&*active.method, &*active.path, &*active.body), ("POST", "/p?q", "b"));
        assert_eq!(active.interval(true), Some(Duration::from_secs(3)));
        assert_eq!(active.interval(false), Some(Duration::from_secs(7)));
        assert_eq!(active.headers, [Box::from("A: b")]);
        assert!(odd.len() == 1 && odd[0].contains("C: d"), "{odd:?}");
        assert!(active.verdicts.good.has(418) && !active.verdicts.good.has(200));
        let limits = Limits { successes: 1, http_failures: 4, tcp_failures: 5, timeouts: 6 };
        assert_eq!(active.verdicts.limits, limits);
        let passive = checks.passive.unwrap();
        let limits = Limits { successes: 0, http_failures: 5, tcp_failures: 2, timeouts: 9 };
        assert_eq!(passive.limits, limits);
        assert!(passive.good.has(226) && passive.bad.has(503) && !passive.bad.has(502));
    }

    #[test]
    fn numbers_out_of_bounds_are_cut() {
        let (checks, _) = Checks::read(&json!({"active": {
            "timeout": -1, "concurrency": 0, "port": 70000,
            "healthy": {"interval": 0}, "unhealthy": {"interval": 1, "tcp_failures": 1000},
        }}));
        assert_eq!(checks.active.timeout, Duration::from_secs(1));
        assert_eq!((checks.active.concurrency, checks.active.port), (1, None));
        assert_eq!(checks.active.interval(true), None);
        assert_eq!(checks.active.verdicts.limits.tcp_failures, 255);
    }
}
