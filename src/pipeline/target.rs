//! An upstream as one worker uses it: its nodes, its balancer, how to talk to it.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    balance::{Balancer, Kind as BalanceKind, NodeSpec, Plan},
    config::upstream::{Balance, PassHost, Scheme, Timeout, Upstream},
    error::{Error, Kind, Result},
    gate::Gate,
    health::Watch,
    upstream::{
        Node,
        pool::KeepAlive,
        tls::{TlsClient, TlsOptions, Trust},
    },
};

/// One node.
#[derive(Debug)]
pub struct Member {
    /// As configured.
    pub host: Rc<str>,
    /// If `host` is an address.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// `host:port` for `Host`, without a default port.
    authority: Rc<[u8]>,
}

/// An upstream, ready to be sent to.
#[derive(Debug)]
pub struct Target {
    /// The object, or what it is with the nodes of its service.
    pub upstream: Arc<Upstream>,
    /// The object, if it names a service.
    seeker: Option<Arc<Upstream>>,
    /// Its nodes, in the balancer's order.
    pub members: Vec<Member>,
    /// Picks one.
    pub balancer: Balancer,
    /// Knows which members are healthy, if anybody checks.
    pub watch: Option<Arc<Watch>>,
    keep: KeepAlive,
    tls: Option<Rc<TlsClient>>,
    /// For members whose host is an address, with the upstream's own time limits.
    prepared: Vec<Option<Rc<Node>>>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.object().prepared.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Target {
    /// Prepares `configured` with the nodes of `upstream`, which is the same unless a registry
    /// told them; `scope` names it across versions.
    ///
    /// # Errors
    ///
    /// [`Kind::NoUpstream`] without nodes, [`Kind::Unsupported`] for what moongate cannot do.
    pub fn new(
        configured: &Arc<Upstream>,
        upstream: &Arc<Upstream>,
        scope: &str,
        gate: &Gate,
    ) -> Result<Self> {
        let kind = match &upstream.balance {
            Balance::RoundRobin => BalanceKind::RoundRobin,
            Balance::Chash => BalanceKind::Chash,
            Balance::LeastConn => BalanceKind::LeastConn,
            Balance::Ewma => BalanceKind::Ewma,
            Balance::Other(_) => return Err(Kind::Unsupported("this balancer type").into()),
        };
        if upstream.nodes.is_empty() {
            return Err(Kind::NoUpstream.into());
        }
        let tls = match upstream.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(Rc::new(tls_client(upstream)?)),
            _ => return Err(Kind::Unsupported("this upstream scheme").into()),
        };
        let default_port = upstream.scheme.default_port().unwrap_or(80);
        let members: Vec<Member> = upstream
            .nodes
            .iter()
            .map(|node| member(&node.host, node.ip, node.port, default_port))
            .collect();
        let specs: Vec<NodeSpec> = upstream
            .nodes
            .iter()
            .zip(&members)
            .map(|(node, member)| NodeSpec {
                host: node.host.to_string(),
                port: member.port,
                weight: node.weight,
                priority: node.priority,
            })
            .collect();
        let plan = Arc::new(Plan::new(kind, &specs, scope, &gate.shared));
        let seed = 0x9e37_79b9 ^ (gate.worker as u64) << 17 ^ upstream.id;
        let keep = keepalive(upstream, gate);
        let mut target = Self {
            upstream: Arc::clone(upstream),
            seeker: configured.sought.is_some().then(|| Arc::clone(configured)),
            members,
            balancer: Balancer::new(plan, seed),
            watch: None,
            keep,
            tls,
            prepared: Vec::new(),
        };
        target.object().prepared.fetch_add(1, Ordering::AcqRel);
        target.prepared = (0..target.members.len())
            .map(|at| {
                let ip = target.members[at].ip?;
                Some(Rc::new(target.node(at, ip, &target.upstream.timeout)))
            })
            .collect();
        Ok(target)
    }

    /// How to talk to `member`, if its host is an address.
    #[must_use]
    pub fn prepared(&self, member: usize) -> Option<Rc<Node>> {
        self.prepared.get(member).cloned().flatten()
    }

    /// Whether anybody but the workers' targets still holds the upstream.
    #[must_use]
    pub fn in_use(&self) -> bool {
        let object = self.object();
        Arc::strong_count(object) > object.prepared.load(Ordering::Acquire)
    }

    /// Whether the upstream names a service.
    #[must_use]
    pub fn seeks(&self) -> bool {
        self.seeker.is_some()
    }

    /// The object as configured, or as a plugin made it.
    fn object(&self) -> &Arc<Upstream> {
        self.seeker.as_ref().unwrap_or(&self.upstream)
    }

    /// Whether the service of the upstream, if it names one, still has these nodes.
    #[inline]
    #[must_use]
    pub fn is_current(&self) -> bool {
        let sought = self.seeker.as_ref().and_then(|seeker| seeker.sought.as_ref());
        sought.is_none_or(|sought| sought.is_current(&self.upstream))
    }

    /// What goes into `Host` for `member`; `None` for what the client sent.
    #[must_use]
    pub fn host(&self, member: usize) -> Option<Rc<[u8]>> {
        match self.upstream.pass_host {
            PassHost::Pass => None,
            PassHost::Node => Some(Rc::clone(&self.members[member].authority)),
            PassHost::Rewrite => {
                self.upstream.upstream_host.as_ref().map(|host| Rc::from(host.as_bytes()))
            }
        }
    }

    /// How to talk to `member` at `ip`.
    #[must_use]
    pub fn node(&self, member: usize, ip: IpAddr, timeout: &Timeout) -> Node {
        let host = self.host(member);
        let member = &self.members[member];
        let addr = SocketAddr::new(ip, member.port);
        Node {
            addr,
            addr_text: addr.to_string().into(),
            tls: self.tls.as_ref().map(|tls| (Rc::clone(tls), Rc::clone(&member.host))),
            host,
            keep: self.keep,
            connect_timeout: timeout.connect,
            send_timeout: timeout.send,
            read_timeout: timeout.read,
        }
    }

    /// How to talk to `peer`, which a plugin chose instead of `member`, by the name `host`.
    #[must_use]
    pub fn node_at(
        &self,
        member: usize,
        peer: SocketAddr,
        host: Option<&str>,
        timeout: &Timeout,
    ) -> Node {
        let mut node = self.node(member, peer.ip(), timeout);
        node.addr = peer;
        node.addr_text = peer.to_string().into();
        let Some(host) = host else { return node };
        if let Some((_, name)) = &mut node.tls {
            *name = host.into();
        }
        if self.upstream.pass_host == PassHost::Node {
            node.host = Some(Rc::from(host.as_bytes()));
        }
        node
    }

    /// How many tries there may be.
    #[must_use]
    pub fn tries(&self) -> u32 {
        let others = u32::try_from(self.members.len()).unwrap_or(u32::MAX).saturating_sub(1);
        self.upstream.retries.unwrap_or(others).saturating_add(1)
    }
}

fn member(host: &str, ip: Option<IpAddr>, port: Option<u16>, default_port: u16) -> Member {
    let port = port.unwrap_or(default_port);
    let authority = if port == default_port { host.to_owned() } else { format!("{host}:{port}") };
    Member { host: Rc::from(host), ip, port, authority: Rc::from(authority.as_bytes()) }
}

fn keepalive(upstream: &Upstream, gate: &Gate) -> KeepAlive {
    match &upstream.keepalive_pool {
        Some(pool) => KeepAlive {
            size: pool.size,
            idle_timeout: pool.idle_timeout.min(Duration::from_secs(24 * 3600)),
            requests: u32::try_from(pool.requests).unwrap_or(u32::MAX),
        },
        None => default_keepalive(gate),
    }
}

/// How connections are kept unless the upstream says otherwise.
pub(super) fn default_keepalive(gate: &Gate) -> KeepAlive {
    let local = gate.local.borrow();
    KeepAlive {
        size: local.upstream_keepalive,
        idle_timeout: local.upstream_keepalive_timeout,
        requests: u32::try_from(local.upstream_keepalive_requests).unwrap_or(u32::MAX),
    }
}

fn tls_client(upstream: &Upstream) -> Result<TlsClient> {
    let text = |name: &str| upstream.tls.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let verify =
        upstream.tls.as_ref().and_then(|tls| tls.get("verify")?.as_bool()).unwrap_or(false);
    let (cert, key) = (text("client_cert"), text("client_key"));
    let client = cert.as_deref().zip(key.as_deref());
    TlsClient::new(&TlsOptions {
        trust: if verify { Trust::PublicRoots } else { Trust::Anyone },
        client,
        alpn: &[],
    })
    .map_err(|error| {
        Error::from(Kind::Unsupported("the upstream's tls settings")).because(error.to_string())
    })
}
