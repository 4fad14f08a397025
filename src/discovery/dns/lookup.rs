//! From a name to nodes: which records are asked for, and what they mean. Knows no wire format.

use std::{collections::BTreeMap, future::Future, net::IpAddr, rc::Rc};

use tokio::task::JoinSet;

use crate::config::{discovery::Record as Kind, upstream::Node};

/// Hosts of one SRV answer at most: each is a question of its own.
const TARGETS_MAX: usize = 256;

/// Such questions of one service at a time.
const TARGETS_AT_ONCE: usize = 16;

/// Names that lead to each other by `CNAME` where nobody follows them for us.
const ALIASES_MAX: u8 = 8;

/// Up to here weights are multiplied by the numbers of addresses, as APISIX does; beyond, shares
/// are rounded.
const MULTIPLE_MAX: u32 = 1 << 12;

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// An address.
    Address(IpAddr),
    /// A host with its port.
    Service {
        /// Lower is used first.
        priority: u16,
        /// Share among those of the same priority.
        weight: u16,
        /// 0: not said.
        port: u16,
        /// The host's name, with its last dot.
        target: String,
    },
    /// Another name.
    Alias(String),
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Records of the kind asked for, at least one, and the shortest TTL in seconds.
    Records(Vec<Record>, u32),
    /// A server says that there are none, and for how many seconds that holds.
    None(String, Option<u32>),
    /// Every server refused to tell, such as with SERVFAIL.
    Refused(String),
    /// No server said anything that can be read.
    Silence(String),
}

/// Somebody who can be asked.
pub(super) trait Ask: 'static {
    /// Asks for the records of one kind of `name`.
    fn ask(&self, name: &str, kind: Kind) -> impl Future<Output = Reply>;
}

/// What is known of a service after asking.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// Its nodes; none if the zone says that the service is not offered.
    Nodes {
        nodes: Vec<Node>,
        /// Shortest TTL on the way, in seconds.
        ttl: u32,
        /// What they were found by.
        kind: Kind,
        /// What was left out, if anything.
        odd: Option<String>,
    },
    /// There is no such name.
    None(String, Option<u32>),
    /// Nobody could tell.
    Failed(String),
}

/// A service's name: the host to ask for, and the port of all its nodes if one is said.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

/// Looks for `wanted` by the kinds of `order`; `last` is what answered the last time. The first
/// kind that there is counts. A kind is passed over if a server says that there is none, or
/// cannot tell; but not the one that answered last, and not in silence: nodes must not lose their
/// ports because a message was lost.
pub(super) async fn look_up<A: Ask>(
    ask: &Rc<A>,
    order: &[Kind],
    last: Option<Kind>,
    wanted: &Wanted,
) -> Outcome {
    let (mut no, mut no_ttl, mut refused) = (None, None::<u32>, None);
    let mut host = wanted.host.clone();
    for hop in 0..=ALIASES_MAX {
        let mut alias = None;
        for kind in kinds(order, last.filter(|_| hop == 0)) {
            match ask.ask(&host, kind).await {
                Reply::Records(records, ttl) => match (kind, records.first()) {
                    (Kind::Cname, Some(Record::Alias(name))) => {
                        alias = Some(name.clone());
                        break;
                    }
                    (Kind::Srv, _) => return services(ask, records, ttl, wanted.port).await,
                    _ => return addresses(records, ttl, kind, wanted.port),
                },
                Reply::None(why, ttl) => {
                    no.get_or_insert(why);
                    no_ttl = Some(ttl.unwrap_or(u32::MAX).min(no_ttl.unwrap_or(u32::MAX)));
                }
                Reply::Refused(why) if last == Some(kind) => return Outcome::Failed(why),
                Reply::Refused(why) => refused = Some(why),
                Reply::Silence(why) => return Outcome::Failed(why),
            }
        }
        match alias {
            Some(name) => host = name,
            None => break,
        }
    }
    match (refused, no) {
        (Some(why), _) => Outcome::Failed(why),
        (None, Some(why)) => Outcome::None(why, no_ttl.filter(|ttl| *ttl < u32::MAX)),
        (None, None) => Outcome::None("too many aliases".to_owned(), None),
    }
}

/// The kinds to ask for in turn, each once.
fn kinds(order: &[Kind], last: Option<Kind>) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(order.len());
    for kind in order {
        let kind = if *kind == Kind::Last { last } else { Some(*kind) };
        if let Some(kind) = kind.filter(|kind| !kinds.contains(kind)) {
            kinds.push(kind);
        }
    }
    kinds
}

fn node(ip: IpAddr, port: Option<u16>, weight: u32, priority: i32) -> Node {
    let host = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let host = host.into_boxed_str();
    Node { host, ip: Some(ip), port, weight, priority, metadata: None, domain: None }
}

fn addresses(records: Vec<Record>, ttl: u32, kind: Kind, port: Option<u16>) -> Outcome {
    let mut ips: Vec<IpAddr> = records.into_iter().filter_map(address).collect();
    // An address that is there twice does not get twice the load.
    ips.sort_unstable();
    ips.dedup();
    let nodes = ips.into_iter().map(|ip| node(ip, port, 1, 0)).collect();
    Outcome::Nodes { nodes, ttl, kind, odd: None }
}

fn address(record: Record) -> Option<IpAddr> {
    match record {
        Record::Address(ip) => Some(ip),
        Record::Service { .. } | Record::Alias(_) => None,
    }
}

/// One SRV record whose host has been asked for.
struct Offer {
    ips: Vec<IpAddr>,
    priority: u16,
    weight: u16,
    port: u16,
}

/// The hosts of SRV records, with their addresses. One that does not exist is left out; one that
/// nobody can tell of fails all, since the others would get its load.
async fn services<A: Ask>(
    ask: &Rc<A>,
    records: Vec<Record>,
    mut ttl: u32,
    port: Option<u16>,
) -> Outcome {
    let mut odd = None;
    let found = match hosts(ask, &records, &mut odd).await {
        Ok(found) => found,
        Err(why) => return Outcome::Failed(why),
    };
    let (mut offers, mut missing) = (Vec::new(), None);
    for record in records {
        let Record::Service { priority, weight, port, target } = record else { continue };
        match found.get(&target) {
            Some(Host::Found(ips, its)) => {
                ttl = ttl.min(*its);
                offers.push(Offer { ips: ips.clone(), priority, weight, port });
            }
            Some(Host::Missing(why, its)) => {
                ttl = ttl.min(its.unwrap_or(ttl));
                missing = Some(format!("failed to resolve SRV record {target}: {why}"));
            }
            // The root stands for: not offered here. Or beyond the bound, which was told.
            None => {}
        }
    }
    match missing {
        Some(why) if offers.is_empty() => return Outcome::None(why, Some(ttl)),
        missing => odd = odd.or(missing),
    }
    Outcome::Nodes { nodes: shared(&offers, port), ttl, kind: Kind::Srv, odd }
}

enum Host {
    Found(Vec<IpAddr>, u32),
    Missing(String, Option<u32>),
}

/// Asks for each host once, some at a time.
async fn hosts<A: Ask>(
    ask: &Rc<A>,
    records: &[Record],
    odd: &mut Option<String>,
) -> Result<BTreeMap<String, Host>, String> {
    let mut names: Vec<String> = Vec::new();
    for record in records {
        if let Record::Service { target, .. } = record
            && target != "."
        {
            names.push(target.clone());
        }
    }
    names.sort_unstable();
    names.dedup();
    if names.len() > TARGETS_MAX {
        *odd = Some(format!("{} hosts, only {TARGETS_MAX} are used", names.len()));
        names.truncate(TARGETS_MAX);
    }
    let (mut found, mut asking) = (BTreeMap::new(), JoinSet::new());
    let mut names = names.into_iter();
    loop {
        while asking.len() < TARGETS_AT_ONCE
            && let Some(name) = names.next()
        {
            let ask = Rc::clone(ask);
            asking.spawn_local(async move { (host(&*ask, &name).await, name) });
        }
        match asking.join_next().await {
            None => return Ok(found),
            Some(Ok((Ok(host), name))) => drop(found.insert(name, host)),
            Some(Ok((Err(why), name))) => {
                return Err(format!("failed to resolve SRV record {name}: {why}"));
            }
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

/// Addresses of a host: IPv4, or IPv6 if there are none.
async fn host(ask: &impl Ask, name: &str) -> Result<Host, String> {
    let mut none = Host::Missing(String::new(), None);
    for kind in [Kind::A, Kind::Aaaa] {
        match ask.ask(name, kind).await {
            Reply::Records(records, ttl) => {
                let mut ips: Vec<IpAddr> = records.into_iter().filter_map(address).collect();
                ips.sort_unstable();
                ips.dedup();
                return Ok(Host::Found(ips, ttl));
            }
            Reply::None(why, ttl) => none = Host::Missing(why, ttl),
            Reply::Refused(why) | Reply::Silence(why) => return Err(why),
        }
    }
    Ok(none)
}

/// Nodes of SRV records: a host's weight is shared by its addresses. Weight 0 counts as 1, and a
/// lower priority in DNS is a higher one here, both as in APISIX.
fn shared(offers: &[Offer], port: Option<u16>) -> Vec<Node> {
    let counts = offers.iter().map(|offer| u32::try_from(offer.ips.len()).unwrap_or(u32::MAX));
    let multiple = counts.clone().try_fold(1_u32, |multiple, count| {
        let common = multiple / divisor(multiple, count.max(1));
        common.checked_mul(count.max(1)).filter(|multiple| *multiple <= MULTIPLE_MAX)
    });
    let multiple = multiple.unwrap_or(MULTIPLE_MAX);
    let mut nodes = Vec::new();
    for (offer, count) in offers.iter().zip(counts) {
        let weight = (u32::from(offer.weight.max(1)) * multiple / count.max(1)).max(1);
        let own = Some(offer.port).filter(|port| *port > 0);
        let priority = -i32::from(offer.priority);
        nodes.extend(offer.ips.iter().map(|ip| node(*ip, port.or(own), weight, priority)));
    }
    nodes
}

/// The greatest common divisor.
fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
