//! An upstream that is watched: its checks, its nodes and their words.

use std::{
    collections::HashMap,
    fmt::{self, Display},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::sync::{Notify, Semaphore};

use super::{
    checks::{Active, Checks, Verdicts, Way},
    prober::Job,
    tell,
};
use crate::{
    config::{
        item::Fingerprint,
        upstream::{Node, PassHost, Upstream},
    },
    error,
    shared::health::{Report, State, Status, Word},
    upstream::tls::TlsClient,
};

/// What all probes of one upstream have in common.
pub(super) struct Gear {
    /// The settings.
    pub active: Active,
    /// `concurrency`
    pub permits: Semaphore,
    /// For https; the text says why there is none.
    pub tls: Result<Option<TlsClient>, String>,
    /// Certificate chain and key (PEM) that `tls` shows.
    pub identity: Option<(String, String)>,
}

/// A node as it is probed.
pub struct Target {
    /// The upstream, such as `/apisix/routes/1`.
    pub key: Arc<str>,
    /// As configured.
    pub host: Box<str>,
    /// If `host` is an address.
    pub ip: Option<IpAddr>,
    /// Where it is probed.
    pub port: u16,
    /// `active.host`, or `host`.
    pub hostname: Box<str>,
    /// What it is asked for: `Host`, and the name within TLS.
    pub asked: Box<str>,
    /// `hostname(host:port)`
    pub name: Box<str>,
    /// State and counters; the same for as long as the upstream has the node.
    pub word: Arc<Word>,
    /// Raised when somebody else than the probe changed the state.
    pub changed: Notify,
    /// Grows when a node of the upstream starts or stops getting traffic.
    turns: Arc<AtomicU32>,
    seen: Mutex<Option<IpAddr>>,
}

impl Target {
    /// The address to show: the node's own, or the one its name had at the last probe.
    #[must_use]
    pub fn address(&self) -> String {
        match *self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(ip) => ip.to_string(),
            None => self.host.to_string(),
        }
    }

    /// Remembers the address that a probe uses.
    pub fn see(&self, addr: SocketAddr) {
        if self.ip.is_none() {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(addr.ip());
        }
    }

    /// Counts what somebody saw; says whether the node started or stopped getting traffic.
    pub fn report(&self, verdicts: &Verdicts, report: Report, why: &dyn Display) -> bool {
        let Some(counted) = self.word.report(report, verdicts.limits) else { return false };
        if counted.turns() {
            self.turns.fetch_add(1, Ordering::AcqRel);
        }
        tell::counted(self, report, counted, why);
        counted.turns()
    }

    /// What makes it the same node, whatever is asked of it.
    fn identity(&self) -> Identity<'_> {
        (&self.host, self.port, &self.hostname)
    }
}

type Identity<'t> = (&'t str, u16, &'t str);

/// What a status says; 0 stands for an answer that is none.
pub(super) fn verdict(verdicts: &Verdicts, status: u16) -> Option<Report> {
    if verdicts.good.has(status) {
        Some(Report::Success)
    } else if verdicts.bad.has(status) || status == 0 {
        Some(Report::HttpFailure)
    } else {
        None
    }
}

/// How a try at a node ended, as whoever sent a request sees it.
#[derive(Debug)]
pub enum Tried<'a> {
    /// With an answer of this status.
    Answered(u16),
    /// Without one.
    Failed(&'a error::Error),
}

/// An upstream that is watched.
pub struct Watch {
    /// Such as `/apisix/routes/1`.
    pub key: Arc<str>,
    /// [`Upstream::hash`] of the version that is watched.
    pub(super) version: Fingerprint,
    checks: Checks,
    pub(super) gear: Arc<Gear>,
    /// Each node once.
    pub(super) jobs: Box<[Arc<Job>]>,
    /// For each node of the upstream: its word, and its place in `jobs`.
    members: Box<[(Arc<Word>, usize)]>,
    turns: Arc<AtomicU32>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Watch {
    /// Whether member number `at` of the upstream gets traffic. One that does not exist is
    /// nobody's fault: true.
    #[inline]
    #[must_use]
    pub fn is_healthy(&self, at: usize) -> bool {
        self.members.get(at).is_none_or(|(word, _)| word.is_healthy())
    }

    /// Counts how a try at member number `at` ended, if passive checks are on.
    pub fn tried(&self, at: usize, tried: &Tried<'_>) {
        let Some(passive) = &self.checks.passive else { return };
        let Some(target) = self.members.get(at).and_then(|(_, job)| self.jobs.get(*job)) else {
            return;
        };
        let changed = match *tried {
            Tried::Answered(status) => match verdict(passive, status) {
                Some(report) => {
                    target.report(passive, report, &format_args!("it answered {status}"))
                }
                None => return,
            },
            Tried::Failed(error) => {
                let report = match error.kind() {
                    error::Kind::UpstreamTimeout { .. } => Report::Timeout,
                    error::Kind::Connect { .. } | error::Kind::UpstreamClosed { .. } => {
                        Report::TcpFailure
                    }
                    error::Kind::BadAnswer { .. } => Report::HttpFailure,
                    // The client's fault, or ours.
                    _ => return,
                };
                target.report(passive, report, &tell::Whole(error))
            }
        };
        if changed {
            target.changed.notify_one();
        }
    }

    /// Counts what a plugin saw of a node; by the active or the passive limits.
    pub fn reported(&self, target: &Target, report: Report, active: bool) {
        let verdicts = match &self.checks.passive {
            Some(passive) if !active => passive,
            _ => &self.checks.active.verdicts,
        };
        if target.report(verdicts, report, &"a plugin says so") {
            target.changed.notify_one();
        }
    }

    /// What an answer of this status says.
    #[must_use]
    pub fn verdict(&self, status: u16, active: bool) -> Option<Report> {
        match &self.checks.passive {
            Some(passive) if !active => verdict(passive, status),
            _ => verdict(&self.checks.active.verdicts, status),
        }
    }

    /// Sets the state of a node by hand.
    pub fn force(&self, target: &Target, state: State) {
        if target.word.force(state).serves() != state.serves() {
            self.turns.fetch_add(1, Ordering::AcqRel);
            tell::turned(target, state, &"set by hand");
            target.changed.notify_one();
        }
    }

    /// The node at `host` (as configured, or the address its name has) and `port`.
    #[must_use]
    pub fn find(&self, host: &str, port: u16, hostname: Option<&str>) -> Option<&Target> {
        let same = |target: &&Target| {
            target.port == port
                && (*target.host == *host || target.address() == host)
                && hostname.is_none_or(|name| *target.hostname == *name)
        };
        self.targets().find(same)
    }

    /// Every node once.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.jobs.iter().map(|job| &***job)
    }

    /// Grows when a node starts or stops getting traffic.
    #[must_use]
    pub fn turns(&self) -> u32 {
        self.turns.load(Ordering::Acquire)
    }

    /// What the checks are called.
    #[must_use]
    pub fn kind(&self) -> Way {
        self.checks.kind
    }

    /// Every node with its status.
    pub fn each(&self) -> impl Iterator<Item = (&Target, Status)> {
        self.targets().map(|target| (target, target.word.status()))
    }
}

/// What a watch is made of.
pub(super) struct Plan {
    key: Arc<str>,
    checks: Checks,
    /// Each node once.
    targets: Vec<Target>,
    /// Place in `targets` of each node of the upstream.
    members: Vec<usize>,
    turns: Arc<AtomicU32>,
}

impl Plan {
    /// The nodes of `upstream`; those that `before` has as well keep their words.
    pub(super) fn new(
        key: &Arc<str>,
        upstream: &Upstream,
        checks: Checks,
        before: Option<&Watch>,
    ) -> Self {
        let turns = before.map(|before| Arc::clone(&before.turns)).unwrap_or_default();
        let old = before.into_iter().flat_map(Watch::targets);
        let old: HashMap<Identity<'_>, &Target> = old.map(|old| (old.identity(), old)).collect();
        let mut places: HashMap<(Box<str>, u16), usize> = HashMap::new();
        let (mut targets, mut members) = (Vec::<Target>::new(), Vec::new());
        for node in &upstream.nodes {
            let port = node.port.or(upstream.scheme.default_port()).unwrap_or(80);
            let port = checks.active.port.unwrap_or(port);
            let mut target = target(key, upstream, (node, port), &checks.active);
            target.turns = Arc::clone(&turns);
            // All of one upstream have the same host name, or their hosts'.
            let place = *places.entry((target.host.clone(), port)).or_insert(targets.len());
            members.push(place);
            if place == targets.len() {
                if let Some(same) = old.get(&target.identity()) {
                    target.word = Arc::clone(&same.word);
                }
                targets.push(target);
            }
        }
        Self { key: Arc::clone(key), checks, targets, members, turns }
    }

    /// The settings of the probes.
    pub(super) fn active(&self) -> &Active {
        &self.checks.active
    }

    /// A watch whose nodes are looked after by what `start` makes of them; a node that is to be
    /// asked the same by the same `gear` as in `before` stays in its hands.
    pub(super) fn watch(
        self,
        version: Fingerprint,
        gear: Arc<Gear>,
        before: Option<&Watch>,
        mut start: impl FnMut(Target, &Arc<Gear>) -> Arc<Job>,
    ) -> Watch {
        let same = before.filter(|before| Arc::ptr_eq(&before.gear, &gear));
        let old = same.into_iter().flat_map(|before| before.jobs.iter());
        let old: HashMap<Identity<'_>, &Arc<Job>> = old.map(|job| (job.identity(), job)).collect();
        let mut take = |target: Target| match old.get(&target.identity()) {
            Some(job) if job.asked == target.asked => Arc::clone(job),
            _ => start(target, &gear),
        };
        let jobs: Box<[Arc<Job>]> = self.targets.into_iter().map(&mut take).collect();
        let member = |at: usize| Some((Arc::clone(&jobs.get(at)?.word), at));
        let members = self.members.into_iter().filter_map(member).collect();
        let (key, checks, turns) = (self.key, self.checks, self.turns);
        Watch { key, version, checks, gear, jobs, members, turns }
    }
}

fn target(
    key: &Arc<str>,
    upstream: &Upstream,
    (node, port): (&Node, u16),
    active: &Active,
) -> Target {
    let host = &*node.host;
    let hostname = active.host.as_deref().unwrap_or(host);
    let rewritten = (upstream.pass_host == PassHost::Rewrite).then_some(&upstream.upstream_host);
    let own = active.host.as_deref().or(node.domain.as_deref()).unwrap_or(host);
    let asked = rewritten.and_then(|host| host.as_deref()).unwrap_or(own);
    Target {
        key: Arc::clone(key),
        host: host.into(),
        ip: node.ip,
        port,
        hostname: hostname.into(),
        asked: asked.into(),
        name: format!("{hostname}({host}:{port})").into(),
        word: Arc::default(),
        changed: Notify::new(),
        turns: Arc::default(),
        seen: Mutex::new(None),
    }
}
