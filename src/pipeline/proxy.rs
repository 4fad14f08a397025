//! Picking nodes and trying them until one answers.

use std::{net::IpAddr, rc::Rc, time::Instant};

use super::{Made, answered, mirror, target::Target};
use crate::{
    balance::{Pick, PickCx, Tried},
    clock,
    config::{
        merge::UpstreamSource,
        upstream::{HashOn, Upstream},
    },
    error::{Error, Kind, Result},
    exchange::{Asked, Attempt, Exchange, Orders, Origin, body::Room, vars},
    gate::Gate,
    health,
    log::error_log::Level,
    lua::{hold_body, log_line},
    phase::{self, Verdict},
    upstream::{Answer, Node, Sending, Try},
};

/// The upstream of `x`, ready to be sent to: a plugin's choice, or the route's, which is `own`
/// if it was ready before.
fn choose(gate: &Gate, x: &Exchange, own: Option<Rc<Target>>) -> Result<Rc<Target>> {
    if let Some(chosen) = &x.upstream.chosen {
        return gate.made_target(chosen, x.upstream.chosen_key.as_deref().unwrap_or("plugin"));
    }
    let by_id = |id: &str| {
        let item = x.snapshot.as_ref().and_then(|snapshot| snapshot.upstreams.get(id));
        let Some(item) = item else {
            return Err(Kind::MissingReference { kind: "upstream", id: id.to_owned() }.into());
        };
        gate.target(&item.typed, &item.key)
    };
    if let Some(id) = &x.upstream.chosen_id {
        return by_id(id);
    }
    if let Some(own) = own {
        return Ok(own);
    }
    match x.matched.as_ref().map(|matched| &matched.merged.upstream) {
        Some(UpstreamSource::Id(id)) => by_id(id),
        Some(UpstreamSource::Inline { upstream, key, .. }) => gate.target(upstream, key),
        Some(UpstreamSource::None) | None => Err(Kind::NoUpstream.into()),
    }
}

/// The same, also where nothing is known yet of the service that the upstream names.
async fn chosen(gate: &Gate, x: &mut Exchange, own: Option<Rc<Target>>) -> Result<Rc<Target>> {
    match choose(gate, x, own) {
        Err(error) if *error.kind() == Kind::Discovering => {
            let target = Box::pin(discovered(gate, x)).await;
            x.now = clock::now();
            target
        }
        chosen => chosen,
    }
}

/// Waits until something is known.
async fn discovered(gate: &Gate, x: &Exchange) -> Result<Rc<Target>> {
    let mut hearing = gate.discovery.hear();
    loop {
        match choose(gate, x, None) {
            Err(error) if *error.kind() == Kind::Discovering => {
                if !hearing.next().await {
                    return Err(error);
                }
            }
            chosen => return chosen,
        }
    }
}

/// What consistent hashing hashes for `x`.
fn hash_key(x: &Exchange, upstream: &Upstream) -> Vec<u8> {
    let name = upstream.key.as_deref().unwrap_or("");
    let var = |name: &str| vars::get(x, name.as_bytes()).map(std::borrow::Cow::into_owned);
    let key = match upstream.hash_on {
        HashOn::Vars => var(name),
        HashOn::Header => var(&format!("http_{}", name.replace('-', "_").to_ascii_lowercase())),
        HashOn::Cookie => {
            vars::cookie(x, name.trim_start_matches("cookie_").as_bytes()).map(<[u8]>::to_vec)
        }
        HashOn::Consumer => var("consumer_name"),
        HashOn::VarsCombinations => Some(combine(x, name)),
    };
    key.filter(|key| !key.is_empty()).or_else(|| var("remote_addr")).unwrap_or_default()
}

/// `$host$uri` and the like, with the values of the variables.
fn combine(x: &Exchange, template: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = rest[at + 1..].trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if let Some(value) = vars::get(x, &rest.as_bytes()[..end]) {
            out.extend_from_slice(&value);
        }
        rest = rest[end..].trim_start_matches('}');
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Proxies `x` to a node of its upstream; `own` is the route's, if it is ready.
pub(super) async fn send(
    gate: &Rc<Gate>,
    x: &mut Exchange,
    own: Option<Rc<Target>>,
) -> Result<Made> {
    let bytes_max = x.body_bytes_max.unwrap_or(0);
    if bytes_max > 0 && x.body.length.is_some_and(|length| length > bytes_max) {
        return Err(Kind::BodyTooLarge { bytes_max }.into());
    }
    let target = chosen(gate, x, own).await?;
    if phase::before_proxy(x).await? == Verdict::Answer {
        return Ok(Made::Body(answered(x)));
    }
    if x.body.present && wants_whole_body(x) {
        buffer(gate, x).await?;
    }
    Tries::new(gate, x, target).run(x).await
}

/// Whether the request body is read before the upstream is asked: a plugin says so, or the
/// route, or there are two to send it to.
fn wants_whole_body(x: &Exchange) -> bool {
    if x.upstream.mirrored {
        return true;
    }
    let route = || x.matched.as_ref().is_some_and(|found| found.merged.route.typed.buffer_request);
    x.body.buffered.unwrap_or_else(route)
}

async fn buffer(gate: &Gate, x: &mut Exchange) -> Result<()> {
    let room = {
        let local = gate.local.borrow();
        Room {
            bytes_max: x.body_bytes_max.unwrap_or(local.client_max_body_size),
            memory_bytes_max: local.client_body_buffer_size,
            dir: Rc::clone(&gate.temp_dir),
        }
    };
    hold_body(x, &room).await?;
    x.now = clock::now();
    Ok(())
}

/// All tries of one request.
struct Tries<'g> {
    gate: &'g Rc<Gate>,
    target: Rc<Target>,
    tried: Tried,
    left: u32,
    give_up: Option<Instant>,
    key: Vec<u8>,
    upgrade: bool,
    sending: Sending,
    /// Goes upstream instead of the request.
    asked: Option<Asked>,
    /// Whether a plugin chose another peer for the current try.
    elsewhere: bool,
}

impl<'g> Tries<'g> {
    fn new(gate: &'g Rc<Gate>, x: &mut Exchange, target: Rc<Target>) -> Self {
        let local = gate.local.borrow();
        let upstream = &*target.upstream;
        let websocket = x.matched.as_ref().is_some_and(|matched| matched.enable_websocket);
        let needs_key = upstream.balance == crate::config::upstream::Balance::Chash;
        let key = if needs_key { hash_key(x, upstream) } else { Vec::new() };
        Self {
            gate,
            left: target.tries(),
            give_up: upstream.retry_timeout.and_then(|within| x.now.checked_add(within)),
            key,
            upgrade: websocket && x.head.upgrade(),
            sending: match &x.upstream.asked {
                Some(_) => Sending::default(),
                None => Sending::of(
                    x,
                    local.proxy_replay_buffer,
                    x.body_bytes_max.unwrap_or(local.client_max_body_size),
                ),
            },
            asked: x.upstream.asked.clone(),
            elsewhere: false,
            tried: Tried::default(),
            target,
        }
    }

    async fn run(mut self, x: &mut Exchange) -> Result<Made> {
        let mut last: Option<Error> = None;
        while self.left > 0 {
            let Some(pick) = self.pick(x.now) else { break };
            if let Some(failed) = last.take() {
                // The last one of all is told by whoever answers for it.
                log_line(Level::Error, x, &told(&failed));
            }
            let member = pick.node();
            self.tried.mark(member);
            self.left -= 1;
            if std::mem::take(&mut x.upstream.mirrored) {
                mirror::start(self.gate, x, self.target.host(member));
            }
            if phase::balancer(x).await? == Verdict::Answer {
                return Ok(Made::Body(answered(x)));
            }
            if let Some(orders) = &x.upstream.orders {
                self.allow_more(orders.more_tries);
            }
            let failed = match self.try_member(x, member).await {
                Ok(made) => {
                    self.tell(member, &health::Tried::Answered(x.response.status));
                    pick.report(x.now.duration_since(x.started), x.now);
                    return Ok(made);
                }
                Err(failed) => failed,
            };
            self.tell(member, &health::Tried::Failed(&failed.error));
            if !self.may_repeat(x, &failed) {
                return Err(failed.error);
            }
            self.sending.restart();
            last = Some(failed.error);
        }
        Err(last.unwrap_or_else(|| Kind::NoNode.into()))
    }

    /// The next node: one that was not tried and is healthy, as far as that is known.
    fn pick(&self, now: Instant) -> Option<Pick> {
        let watch = self.target.watch.as_deref();
        let healthy = |member| watch.is_none_or(|watch| watch.is_healthy(member));
        self.target.balancer.pick(&PickCx {
            key: Some(&self.key),
            tried: &self.tried,
            healthy: watch.is_some().then_some(&healthy),
            now,
        })
    }

    /// Lets passive checks know how a try ended; what a plugin sent elsewhere says nothing of
    /// the member.
    fn tell(&self, member: usize, tried: &health::Tried<'_>) {
        if let Some(watch) = &self.target.watch
            && !self.elsewhere
        {
            watch.tried(member, tried);
        }
    }

    /// Allows tries beyond the upstream's own; its nodes may come again then.
    fn allow_more(&mut self, tries: u32) {
        if tries > 0 {
            self.left = self.left.saturating_add(tries);
            self.tried.clear();
        }
    }

    /// One node: through a pooled connection, and if that was too old, through a fresh one.
    async fn try_member(
        &mut self,
        x: &mut Exchange,
        member: usize,
    ) -> std::result::Result<Made, Try> {
        let orders = x.upstream.orders.take();
        self.elsewhere = orders.as_ref().is_some_and(|orders| orders.peer.is_some());
        let no_node = |error| Try { error, sent: false, reused: false };
        let node = match &orders {
            None => self.node(x, member).await.map_err(no_node)?,
            Some(orders) => Box::pin(self.ordered(x, member, orders)).await.map_err(no_node)?,
        };
        let picked = &self.target.members[member];
        x.upstream.picked = Some(match orders.and_then(|orders| orders.peer) {
            None => (Rc::clone(&picked.host), picked.port),
            Some(peer) => (peer.ip().to_string().into(), peer.port()),
        });
        loop {
            x.upstream.attempts.push(Attempt::start(&node, x.now));
            let client = &self.gate.client;
            let sent = match &self.asked {
                None => client.send(x, &node, &mut self.sending, self.upgrade).await,
                Some(asked) => client.call(x, &node, asked).await.map(Answer::Response),
            };
            match sent {
                Ok(answer) => {
                    x.response.origin = Origin::Upstream;
                    return Ok(match answer {
                        Answer::Response(body) => Made::Body(body),
                        Answer::Tunnel(tunnel) => Made::Tunnel(tunnel),
                    });
                }
                Err(failed) if failed.reused && self.may_repeat(x, &failed) => {
                    // The pool's connection had died: not the node's fault, no try lost.
                    x.upstream.attempts.pop();
                    self.sending.restart();
                }
                Err(failed) => {
                    if let Some(attempt) = x.upstream.attempts.last_mut() {
                        attempt.status = crate::rescue::status(&failed.error);
                        attempt.response_time = Some(attempt.started.elapsed());
                    }
                    return Err(failed);
                }
            }
        }
    }

    /// How to talk to `member`: prepared, unless its name must be resolved or the route
    /// has time limits of its own.
    async fn node(&self, x: &Exchange, member: usize) -> Result<Rc<Node>> {
        let timeout = x.matched.as_ref().and_then(|matched| matched.timeout.as_deref().copied());
        if let (None, Some(node)) = (timeout, self.target.prepared(member)) {
            return Ok(node);
        }
        let ip = self.address(member).await?;
        let timeout = timeout.unwrap_or(self.target.upstream.timeout);
        Ok(Rc::new(self.target.node(member, ip, &timeout)))
    }

    /// How to talk to whom a plugin chose instead of `member`.
    async fn ordered(&self, x: &Exchange, member: usize, orders: &Orders) -> Result<Rc<Node>> {
        let mut node = match orders.peer {
            None => Node::clone(&*self.node(x, member).await?),
            Some(peer) => {
                let timeout = x.matched.as_ref().and_then(|matched| matched.timeout.as_deref());
                let timeout = timeout.copied().unwrap_or(self.target.upstream.timeout);
                self.target.node_at(member, peer, orders.host.as_deref(), &timeout)
            }
        };
        let [connect, send, read] = orders.timeouts;
        node.connect_timeout = connect.unwrap_or(node.connect_timeout);
        node.send_timeout = send.unwrap_or(node.send_timeout);
        node.read_timeout = read.unwrap_or(node.read_timeout);
        if let Some((idle_timeout, requests)) = orders.keep {
            node.keep.idle_timeout = idle_timeout;
            node.keep.requests = requests;
        }
        node.keep.size = orders.pool_size.unwrap_or(node.keep.size);
        Ok(Rc::new(node))
    }

    async fn address(&self, member: usize) -> Result<IpAddr> {
        let member = &self.target.members[member];
        if let Some(ip) = member.ip {
            return Ok(ip);
        }
        match self.gate.resolver.cached(&member.host, clock::now()) {
            Some(known) => known,
            None => self.gate.resolver.resolve(&member.host).await,
        }
    }

    fn may_repeat(&self, x: &Exchange, failed: &Try) -> bool {
        let late = self.give_up.is_some_and(|at| clock::now() >= at);
        if !failed.error.retryable() || late {
            return false;
        }
        if !failed.sent {
            return true;
        }
        let idempotent = is_idempotent(&x.method);
        // A call is made of what was read before: it can always be written again.
        let repeatable = self.asked.is_some() || self.sending.repeatable();
        if idempotent && !repeatable {
            log_line(
                Level::Warn,
                x,
                "no retry: the request body is larger than proxy_replay_buffer",
            );
        }
        idempotent && repeatable
    }
}

/// What a node may have begun to do is only repeated if doing it twice does no harm
/// (RFC 9110, section 9.2.2).
pub(super) fn is_idempotent(method: &[u8]) -> bool {
    !matches!(method, b"POST" | b"LOCK" | b"PATCH")
}

/// An error with its cause.
pub(super) fn told(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error} ({cause})"),
        None => error.to_string(),
    }
}

impl Attempt {
    pub(super) fn start(node: &Node, now: Instant) -> Self {
        Self {
            addr: node.addr,
            addr_text: Rc::clone(&node.addr_text),
            status: 0,
            connect_time: None,
            header_time: None,
            response_time: None,
            bytes: (0, 0),
            head_bytes: 0,
            started: now,
        }
    }
}
