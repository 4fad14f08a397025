//! Which node gets the next try. Pure: no socket, no clock, no configuration type.
//!
//! [`Plan`] is the immutable half, built once per version of an upstream and shared by all
//! workers; [`Balancer`] is a worker's own half (whose turn it is); [`Shared`] is what all
//! workers and all versions have in common (connections in flight, latencies).
//! Start at [`Balancer::pick`].
//!
//! Health and earlier tries are the caller's knowledge and come in with [`PickCx`].

mod chash;
mod ewma;
mod least_conn;
mod priority;
mod round_robin;
mod stat;
#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use priority::Group;
pub use stat::{NodeStat, Shared};

/// One node as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name or address literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Share of the traffic; a node of weight 0 is never picked while there is another node.
    pub weight: u32,
    /// Nodes of a lower priority are used only when no node of a higher one is left.
    pub priority: i32,
}

impl NodeSpec {
    /// `host:port`, the identity of a node across versions.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// How an upstream spreads its requests: its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Consistent hashing of a key.
    Chash,
    /// Fewest connections in flight per weight.
    LeastConn,
    /// Lowest decayed latency of two random nodes.
    Ewma,
}

impl Kind {
    /// The kind with this configured name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "roundrobin" => Some(Self::RoundRobin),
            "chash" => Some(Self::Chash),
            "least_conn" => Some(Self::LeastConn),
            "ewma" => Some(Self::Ewma),
            _ => None,
        }
    }
}

/// Nodes that this request has tried already. Up to 64 nodes need no allocation.
#[derive(Debug, Default, Clone)]
pub struct Tried {
    first: u64,
    rest: Vec<u64>,
}

impl Tried {
    /// Remembers `node`.
    pub fn mark(&mut self, node: usize) {
        if node < 64 {
            self.first |= 1 << node;
            return;
        }
        let word = node / 64 - 1;
        if self.rest.len() <= word {
            self.rest.resize(word + 1, 0);
        }
        self.rest[word] |= 1 << (node % 64);
    }

    /// Whether `node` was marked.
    #[must_use]
    pub fn has(&self, node: usize) -> bool {
        let word =
            if node < 64 { self.first } else { self.rest.get(node / 64 - 1).copied().unwrap_or(0) };
        word >> (node % 64) & 1 == 1
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.first = 0;
        self.rest.clear();
    }
}

/// What one pick has to know.
pub struct PickCx<'a> {
    /// The hash key of `chash`; other kinds ignore it. Without one the empty key is hashed.
    pub key: Option<&'a [u8]>,
    /// Nodes not to pick again.
    pub tried: &'a Tried,
    /// Health of a node by its index; `None` where nothing checks health.
    /// If it says no to every node, health is ignored.
    pub healthy: Option<&'a dyn Fn(usize) -> bool>,
    /// Now, for `ewma`.
    pub now: Instant,
}

impl PickCx<'_> {
    fn allows(&self, node: usize) -> bool {
        !self.tried.has(node) && self.healthy.is_none_or(|healthy| healthy(node))
    }
}

/// The immutable half of a balancer: one per version of an upstream, for all workers.
#[derive(Debug)]
pub struct Plan {
    kind: Kind,
    nodes_len: usize,
    /// By priority, highest first; without nodes of weight 0.
    groups: Box<[Group]>,
    /// Per node, for the kinds that measure; empty for the others.
    stats: Box<[Arc<NodeStat>]>,
}

impl Plan {
    /// Prepares `nodes` for `kind`. `scope` names the upstream and stays the same while its
    /// nodes come and go, so that the counts of `least_conn` survive.
    #[must_use]
    pub fn new(kind: Kind, nodes: &[NodeSpec], scope: &str, shared: &Shared) -> Self {
        let stats = match kind {
            Kind::RoundRobin | Kind::Chash => Box::default(),
            Kind::LeastConn => nodes.iter().map(|node| shared.node(scope, node)).collect(),
            // The latency of a node is the same whoever asks.
            Kind::Ewma => nodes.iter().map(|node| shared.node("", node)).collect(),
        };
        let groups = if nodes.len() > 1 { priority::groups(kind, nodes) } else { Box::default() };
        Self { kind, nodes_len: nodes.len(), groups, stats }
    }

    /// Number of nodes, those of weight 0 included.
    #[must_use]
    pub fn nodes_len(&self) -> usize {
        self.nodes_len
    }

    /// Connections in flight to a node, summed over all workers; `None` unless `least_conn`.
    #[must_use]
    pub fn in_flight(&self, node: usize) -> Option<u32> {
        let stat = self.stats.get(node)?;
        (self.kind == Kind::LeastConn).then(|| stat.in_flight())
    }
}

/// A worker's half of a balancer: the shared plan, and whose turn it is here.
#[derive(Debug)]
pub struct Balancer {
    plan: Arc<Plan>,
    turns: Box<[round_robin::Turn]>,
    random: Cell<u64>,
}

impl Balancer {
    /// A balancer that starts at a place given by `seed`, so that the workers do not all
    /// begin with the same node.
    #[must_use]
    pub fn new(plan: Arc<Plan>, seed: u64) -> Self {
        let random = Cell::new(seed);
        let turns = plan.groups.iter().map(|_| round_robin::Turn::new(next(&random))).collect();
        Self { plan, turns, random }
    }

    /// The plan it works by.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The index of the node to try next, or `None` if none is left.
    ///
    /// An upstream of one node gives that node every time, tried, unhealthy or not.
    pub fn pick(&self, cx: &PickCx<'_>) -> Option<Pick> {
        let plan = &*self.plan;
        match plan.nodes_len {
            0 => return None,
            1 => return Some(self.hold(0)),
            _ => {}
        }
        // Asked first, and nearly always answered by the first node: a look in vain would cost
        // a turn, and every second node of an unhealthy upstream would get nothing.
        let mut nodes = plan.groups.iter().flat_map(Group::nodes);
        let healthy = cx.healthy.filter(|healthy| nodes.any(healthy));
        // Sending to a node that is thought to be down beats sending to none.
        self.find(&PickCx { healthy, ..*cx }).map(|node| self.hold(node))
    }

    fn find(&self, cx: &PickCx<'_>) -> Option<usize> {
        let plan = &*self.plan;
        plan.groups.iter().zip(&self.turns).find_map(|(group, turn)| {
            let allows = |node| cx.allows(node);
            match group {
                Group::RoundRobin(order) => order.pick(turn, allows),
                Group::Chash(ring) => ring.pick(cx.key.unwrap_or_default(), allows),
                Group::LeastConn(members) => {
                    least_conn::pick(members, &plan.stats, turn.next(members.len()), allows)
                }
                Group::Ewma(members) => {
                    let score = |node: usize| plan.stats[node].latency(cx.now);
                    ewma::pick(members, score, next(&self.random), allows)
                }
            }
        })
    }

    fn hold(&self, node: usize) -> Pick {
        let held = match (self.plan.kind, self.plan.stats.get(node)) {
            (Kind::LeastConn, Some(stat)) => Held::connection(Arc::clone(stat)),
            (Kind::Ewma, Some(stat)) => Held::Latency(Arc::clone(stat)),
            _ => Held::Nothing,
        };
        Pick { node, held }
    }
}

/// A picked node. Keep it until the try ended: dropping it gives the connection back
/// to `least_conn`.
#[derive(Debug)]
#[must_use = "dropping it says that the try has ended"]
pub struct Pick {
    node: usize,
    held: Held,
}

impl Pick {
    /// Index of the node in the list the plan was made of.
    #[must_use]
    pub fn node(&self) -> usize {
        self.node
    }

    /// Tells `ewma` how long this try took, connecting included; other kinds ignore it.
    /// Call it once, for the try that answered the client.
    pub fn report(&self, took: Duration, now: Instant) {
        if let Held::Latency(stat) = &self.held {
            stat.measure(took, now);
        }
    }
}

#[derive(Debug)]
enum Held {
    Nothing,
    Connection(Arc<NodeStat>),
    Latency(Arc<NodeStat>),
}

impl Held {
    fn connection(stat: Arc<NodeStat>) -> Self {
        stat.begin();
        Self::Connection(stat)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Connection(stat) = self {
            stat.end();
        }
    }
}

/// splitmix64: spreads well from any seed, and is not meant to be a secret.
fn next(state: &Cell<u64>) -> u64 {
    let seed = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    state.set(seed);
    let mut mixed = seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
