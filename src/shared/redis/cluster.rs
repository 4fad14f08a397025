//! Sends a job to the node of a cluster that has its key.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Until,
    command::{Command, Job, SLOTS},
    node::{Goal, Node},
    options::{Address, Options},
    reply::{Error, Reply},
};

/// Redirections that one call follows.
const REDIRECTS_MAX: usize = 5;

/// The wait before a slot that moves is tried again.
const MOVING: Duration = Duration::from_millis(20);

/// What one node may take to tell the slots.
const ASK: Duration = Duration::from_secs(1);

/// How often the slots are read anew, and how often at most.
const REFRESH: Duration = Duration::from_secs(10);
const REFRESH_MIN: Duration = Duration::from_millis(100);

/// Nodes that a cluster may have here.
const NODES_MAX: usize = 1_000;

#[derive(Debug)]
struct Slots {
    /// Slot -> index of its master in `nodes`.
    owners: Vec<Option<u16>>,
    nodes: Vec<Arc<Node>>,
}

#[derive(Debug, Clone)]
enum Table {
    Unknown,
    Known(Arc<Slots>),
    /// No node tells the slots, and none ever did.
    Failed(Arc<str>),
}

/// A cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    options: Options,
    seeds: Vec<Address>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    table: watch::Sender<Table>,
    wake: Notify,
    /// Whether calls came since the slots were read.
    used: AtomicBool,
    closed: AtomicBool,
    handle: Handle,
}

impl Cluster {
    /// Starts what reads the slots; it ends with [`Cluster::close`].
    pub(super) fn start(options: &Options, seeds: &[Address], handle: &Handle) -> Arc<Self> {
        let cluster = Arc::new(Self {
            options: options.clone(),
            seeds: seeds.to_vec(),
            nodes: Mutex::default(),
            table: watch::Sender::new(Table::Unknown),
            wake: Notify::new(),
            used: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            handle: handle.clone(),
        });
        handle.spawn(keep(Arc::clone(&cluster)));
        cluster
    }

    /// Closes all connections for good.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
        for (_, node) in self.nodes.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            node.close();
        }
    }

    /// Runs `job` on the master of its slot, following redirections.
    pub(super) async fn call(&self, job: &Job, until: Until) -> Result<Reply, Error> {
        self.used.store(true, Ordering::Relaxed);
        let mut node = self.node_of(job.slot(), until).await?;
        let mut asking = false;
        for _ in 0..REDIRECTS_MAX {
            let error = match node.call_with(job, until, asking).await {
                Err(error) => error,
                reply => return reply,
            };
            asking = false;
            match &error {
                Error::Server { code, detail } if code == "MOVED" || code == "ASK" => {
                    let Some(address) = redirection(detail) else { return Err(error) };
                    node = self.node_at(&address)?;
                    asking = code == "ASK";
                    if !asking {
                        self.wake.notify_one();
                    }
                }
                Error::Server { code, .. } if code == "TRYAGAIN" => {
                    if timeout_at(until.at, sleep(MOVING)).await.is_err() {
                        return Err(error);
                    }
                }
                Error::Server { code, .. } if code != "CLUSTERDOWN" && code != "READONLY" => {
                    return Err(error);
                }
                _ => {
                    // The master may have changed; the next call finds out.
                    self.wake.notify_one();
                    return Err(error);
                }
            }
        }
        Err(Error::Unavailable(format!("more than {REDIRECTS_MAX} redirections in the cluster")))
    }

    async fn node_of(&self, slot: Option<u16>, until: Until) -> Result<Arc<Node>, Error> {
        let mut table = self.table.borrow().clone();
        if matches!(table, Table::Unknown | Table::Failed(_)) {
            self.wake.notify_one();
        }
        if let Table::Unknown = table {
            let mut changes = self.table.subscribe();
            let settled = changes.wait_for(|table| !matches!(table, Table::Unknown));
            table = match timeout_at(until.at, settled).await {
                Ok(Ok(table)) => table.clone(),
                _ => {
                    let limit = until.limit.as_millis();
                    let why = format!("no node of the cluster told its slots within {limit} ms");
                    return Err(Error::Unavailable(why));
                }
            };
        }
        match table {
            Table::Known(slots) => {
                let owner = match slot {
                    Some(slot) => slots.owners.get(usize::from(slot)).copied().flatten(),
                    None => Some(0),
                };
                let node = owner.and_then(|at| slots.nodes.get(usize::from(at)));
                node.map(Arc::clone).ok_or_else(|| {
                    self.wake.notify_one();
                    Error::Unavailable("no node of the cluster has the slot of this key".to_owned())
                })
            }
            Table::Failed(why) => Err(Error::Unavailable(why.to_string())),
            Table::Unknown => Err(Error::Unavailable("the slots are not known".to_owned())),
        }
    }

    /// The node at an address, new ones included.
    fn node_at(&self, address: &Address) -> Result<Arc<Node>, Error> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(address) {
            return Ok(Arc::clone(node));
        }
        if nodes.len() >= NODES_MAX || self.closed.load(Ordering::Acquire) {
            return Err(Error::Unavailable(format!("no place for node {address}")));
        }
        let node = Node::start(&self.options, Goal::Address(address.clone()), &self.handle);
        nodes.insert(address.clone(), Arc::clone(&node));
        Ok(node)
    }

    /// Asks all nodes that are known, one after the other, for the slots.
    async fn refresh(&self) {
        let mut known: Vec<Address> = {
            let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.keys().cloned().collect()
        };
        known.extend(
            self.seeds.iter().filter(|seed| !known.contains(seed)).cloned().collect::<Vec<_>>(),
        );
        let mut why = String::from("the cluster has no node");
        for address in &known {
            match self.slots_from(address).await {
                Ok(slots) => {
                    self.table.send_replace(Table::Known(Arc::new(slots)));
                    return;
                }
                Err(error) => why = format!("cluster node {address}: {error}"),
            }
        }
        self.table.send_if_modified(|table| {
            if let Table::Known(_) = table {
                return false;
            }
            *table = Table::Failed(Arc::from(why));
            true
        });
    }

    async fn slots_from(&self, address: &Address) -> Result<Slots, Error> {
        let node = self.node_at(address)?;
        let job = Job::Command(Command::build(&["CLUSTER", "SLOTS"]));
        let reply = node.call(&job, Until { at: Instant::now() + ASK, limit: ASK }).await?;
        let ranges = ranges(&reply, address);
        if ranges.is_empty() {
            return Err(Error::Unavailable("it has no slots".to_owned()));
        }
        let mut masters: Vec<&Address> = Vec::new();
        let mut owners = vec![None; usize::from(SLOTS)];
        for (first, last, master) in &ranges {
            let at = masters.iter().position(|known| known == &master).unwrap_or_else(|| {
                masters.push(master);
                masters.len() - 1
            });
            let owner = u16::try_from(at).ok();
            let range = usize::from(*first)..=usize::from(*last);
            owners.get_mut(range).into_iter().flatten().for_each(|slot| *slot = owner);
        }
        let nodes = masters.iter().map(|master| self.node_at(master)).collect::<Result<_, _>>()?;
        self.forget_all_but(&masters);
        Ok(Slots { owners, nodes })
    }

    /// Closes connections to nodes that have no slots any more.
    fn forget_all_but(&self, masters: &[&Address]) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|address, node| {
            let wanted = masters.contains(&address);
            if !wanted {
                node.close();
            }
            wanted
        });
    }
}

/// `12182 127.0.0.1:7001`.
fn redirection(detail: &str) -> Option<Address> {
    Address::parse(detail.split_ascii_whitespace().nth(1)?)
}

/// First slot, last slot, master. A node that does not know its own name sends an empty one:
/// it is where it was asked.
fn ranges(reply: &Reply, asked: &Address) -> Vec<(u16, u16, Address)> {
    let Reply::List(entries) = reply else { return Vec::new() };
    let read = |entry: &Reply| {
        let Reply::List(entry) = entry else { return None };
        let [Reply::Int(first), Reply::Int(last), Reply::List(master), ..] = &entry[..] else {
            return None;
        };
        let [host, Reply::Int(port), ..] = &master[..] else { return None };
        let host = match host.text() {
            Some("?") => return None,
            Some("") | None => asked.host.clone(),
            Some(host) => host.to_owned(),
        };
        let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        let address = Address { host, port: u16::try_from(*port).ok()? };
        (first <= last && last < SLOTS).then_some((first, last, address))
    };
    entries.iter().filter_map(read).collect()
}

/// Reads the slots when asked to and, while calls come, now and then.
async fn keep(cluster: Arc<Cluster>) {
    while !cluster.closed.load(Ordering::Acquire) {
        let woken = timeout(REFRESH, cluster.wake.notified()).await.is_ok();
        if cluster.closed.load(Ordering::Acquire) {
            return;
        }
        // Without calls the connections are let go.
        if !cluster.used.swap(false, Ordering::Relaxed) && !woken {
            continue;
        }
        cluster.refresh().await;
        sleep(REFRESH_MIN).await;
    }
}
