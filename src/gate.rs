//! What one worker serves with: configuration, VM, connections, caches.
//!
//! Everything here belongs to one thread. Configuration and code arrive from the control
//! thread as finished values and are swapped between two requests.

use std::{
    cell::{Cell, RefCell},
    path::Path,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::Duration,
};

use foldhash::HashMap;
use tokio::sync::Notify;

use crate::{
    balance,
    config::{
        Item, Local, Snapshot,
        merge::{self, UpstreamSource},
        raw::Kind,
        route::Route,
        runs::{Matched, Runs},
        snippet::Sites,
        upstream::Upstream,
    },
    discovery::Discovery,
    error::{self, Result},
    exchange::Exchange,
    health,
    live::Live,
    log::access::AccessLog,
    lua::{Vm, pace::Pace, versions::Versions},
    parse::client_addr::ClientAddr,
    pipeline::target::Target,
    sys::tasks::{Seldom, Tasks},
    upstream::{Client, resolve::Resolver},
};

/// Remembered routes that are looked at in one step of a sweep.
const SWEEP_STEP: usize = 256;

/// How long small changes wait for others before somebody sweeps.
const SWEEP_DELAY: Duration = Duration::from_secs(1);

/// How long after a change targets of services are looked at once more.
const SEEKERS_DELAY: Duration = Duration::from_secs(5);

/// Room for numbers of routes to come.
const READY_SPARE: usize = 1024;

/// Copies of requests that one worker has on their way at a time.
const MIRRORS_MAX: usize = 1024;

/// Bytes of their bodies in memory; large bodies lie in files.
const MIRRORS_BYTES_MAX: usize = 64 << 20;

/// Exchanges kept for the next request.
const SPARE_EXCHANGES_MAX: usize = 128;

/// How far the worker is on its way out.
#[derive(Debug, Default)]
pub struct Drain {
    /// Tasks of open connections, to be woken when `closing` is set. A connection registers
    /// once, so that a wait for its next request costs nothing.
    pub wakers: RefCell<HashMap<u64, Waker>>,
    /// Answers carry `Connection: close`.
    pub announced: Cell<bool>,
    /// Idle connections close at once.
    pub closing: Cell<bool>,
    /// Connections that have not sent their first request close too: somebody who was just
    /// let in gets a moment to say what he wants.
    pub closing_fresh: Cell<bool>,
    /// Wakes tunnels when `closing` is set.
    pub notify: Notify,
}

impl Drain {
    /// Tells all connections to close as soon as they are idle.
    pub fn close(&self) {
        self.closing.set(true);
        self.notify.notify_waiters();
        for waker in self.wakers.borrow().values() {
            waker.wake_by_ref();
        }
    }
}

/// What a route needs to serve, by its number in [`Live::route`].
#[derive(Default)]
struct Ready {
    matched: Option<Rc<Matched>>,
    target: Option<Rc<Target>>,
    /// It was put together of objects as they were then.
    epoch: u64,
}

/// A route's merge result. Holds the route, so its address is not given to another.
struct Remembered {
    version: u64,
    matched: Rc<Matched>,
}

impl Remembered {
    /// Whether the route is still one of `snapshot`.
    fn is_of(&self, snapshot: &Snapshot) -> bool {
        let route = &self.matched.merged.route;
        snapshot.routes.get(&route.id).is_some_and(|current| Arc::ptr_eq(current, route))
    }
}

/// One worker's half of everything.
pub struct Gate {
    /// Number of the worker.
    pub worker: usize,
    /// The servers and locations of snippets, if there are any besides the routes.
    pub sites: Option<Sites>,
    /// config.yaml.
    pub local: RefCell<Rc<Local>>,
    /// Who the client is behind a proxy.
    pub client_addr: RefCell<Rc<ClientAddr>>,
    /// Objects and router.
    pub live: RefCell<Rc<Arc<Live>>>,
    #[allow(clippy::redundant_allocation)] // A request counts on this worker's `Rc` alone.
    snapshot: RefCell<Rc<Arc<Snapshot>>>,
    #[allow(clippy::redundant_allocation)] // As above.
    globals: RefCell<Option<Rc<Arc<Runs>>>>,
    /// The VMs, among them the one that serves new requests.
    pub vms: Versions,
    /// Connections to nodes.
    pub client: Client,
    /// Copies of requests on their way to a second server.
    pub mirrors: Tasks,
    /// How many of them found no room.
    pub mirrors_lost: Seldom,
    /// Name resolution.
    pub resolver: Rc<Resolver>,
    /// Balancer state of all workers.
    pub shared: Arc<balance::Shared>,
    /// Health of nodes.
    pub health: Arc<health::Registry>,
    /// Services that upstreams name instead of nodes.
    pub discovery: Arc<Discovery>,
    targets: RefCell<HashMap<u64, Rc<Target>>>,
    matched: RefCell<HashMap<usize, Remembered>>,
    /// Of the routes of `live` that have served since they have their numbers.
    ready: RefCell<Vec<Ready>>,
    /// Raised when something changed that routes refer to.
    epoch: Cell<u64>,
    /// Whether somebody sweeps or is about to.
    sweeping: Cell<bool>,
    /// The same of earlier objects, until somebody has time to drop it.
    past: RefCell<Vec<Vec<Ready>>>,
    #[allow(clippy::vec_box)] // The boxes are what is kept.
    spare: RefCell<Vec<Box<Exchange>>>,
    /// Captures of the router, reused from request to request.
    pub params: RefCell<crate::route::Params>,
    /// The access log.
    pub access: RefCell<AccessLog>,
    /// Shutdown.
    pub drain: Drain,
    /// Open client connections.
    pub connections: Cell<usize>,
    /// Requests served.
    pub requests: Cell<u64>,
    /// Requests in work.
    pub running: Cell<usize>,
    /// Counts of the whole process.
    pub counts: Arc<crate::shared::counts::Counts>,
    /// Where request bodies go that are too large for memory.
    pub temp_dir: Rc<Path>,
}

/// What a gate is made of.
pub struct Parts {
    /// Number of the worker.
    pub worker: usize,
    /// config.yaml.
    pub local: Rc<Local>,
    /// What its snippets say of servers and locations.
    pub sites: Option<Sites>,
    /// Objects and router.
    pub live: Arc<Live>,
    /// The VM.
    pub vm: Rc<Vm>,
    /// Connections to nodes.
    pub client: Client,
    /// Name resolution.
    pub resolver: Rc<Resolver>,
    /// Balancer state of all workers.
    pub shared: Arc<balance::Shared>,
    /// Health of nodes.
    pub health: Arc<health::Registry>,
    /// Services that upstreams name instead of nodes.
    pub discovery: Arc<Discovery>,
    /// The access log.
    pub access: AccessLog,
    /// Counts of the whole process.
    pub counts: Arc<crate::shared::counts::Counts>,
    /// Where request bodies go that are too large for memory.
    pub temp_dir: Rc<Path>,
}

impl Gate {
    /// A gate ready to serve.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let snapshot = Rc::new(Arc::clone(&parts.live.snapshot));
        let globals = parts.live.globals.clone().map(Rc::new);
        let client_addr = ClientAddr::new(&parts.local).unwrap_or_default();
        Self {
            worker: parts.worker,
            sites: parts.sites,
            client_addr: RefCell::new(Rc::new(client_addr)),
            local: RefCell::new(parts.local),
            live: RefCell::new(Rc::new(parts.live)),
            snapshot: RefCell::new(snapshot),
            globals: RefCell::new(globals),
            vms: Versions::new(parts.vm, Arc::clone(&parts.counts.bad_generation)),
            client: parts.client,
            mirrors: Tasks::new(MIRRORS_MAX, MIRRORS_BYTES_MAX),
            mirrors_lost: Seldom::default(),
            resolver: parts.resolver,
            shared: parts.shared,
            health: parts.health,
            discovery: parts.discovery,
            targets: RefCell::default(),
            matched: RefCell::default(),
            ready: RefCell::default(),
            epoch: Cell::default(),
            sweeping: Cell::default(),
            past: RefCell::default(),
            spare: RefCell::default(),
            params: RefCell::default(),
            access: RefCell::new(parts.access),
            drain: Drain::default(),
            connections: Cell::new(0),
            requests: Cell::new(0),
            running: Cell::new(0),
            counts: parts.counts,
            temp_dir: parts.temp_dir,
        }
    }

    /// Serves new requests by `live`. Running ones keep what they started with.
    pub fn swap_live(&self, live: Arc<Live>) {
        let before = self.live.replace(Rc::new(Arc::clone(&live)));
        let same = |kind| before.snapshot.kind_version(kind) == live.snapshot.kind_version(kind);
        if !live.numbers_as(&before) {
            self.past.borrow_mut().push(self.ready.take());
        } else if ![Kind::Services, Kind::Upstreams, Kind::PluginConfigs].into_iter().all(same) {
            self.epoch.set(self.epoch.get() + 1);
        }
        *self.snapshot.borrow_mut() = Rc::new(Arc::clone(&live.snapshot));
        *self.globals.borrow_mut() = live.globals.clone().map(Rc::new);
    }

    /// Forgets what belongs to objects that are gone, a few at a time: there may be 100,000. Many
    /// small changes in a row cost one sweep.
    pub async fn sweep(self: Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        if self.past.borrow().is_empty() {
            tokio::time::sleep(SWEEP_DELAY).await;
        }
        self.sweeping.set(false);
        let keys: Vec<usize> = self.matched.borrow().keys().copied().collect();
        let pace = Pace::sliced();
        self.forget_past(&pace).await;
        for some in keys.chunks(SWEEP_STEP) {
            pace.step().await;
            let live = Rc::clone(&self.live.borrow());
            let mut matched = self.matched.borrow_mut();
            for key in some {
                if matched.get(key).is_some_and(|known| !known.is_of(&live.snapshot)) {
                    matched.remove(key);
                }
            }
        }
        self.targets.borrow_mut().retain(|_, target| target.in_use());
        self.vms.serving().sweep();
        let seek = self.targets.borrow().values().any(|target| target.seeks());
        if seek {
            // The control thread frees objects a moment after this. A service that only a target
            // wants would be asked for until the next change.
            tokio::time::sleep(SEEKERS_DELAY).await;
            self.targets.borrow_mut().retain(|_, target| target.in_use());
        }
    }

    /// Drops what was ready under earlier objects.
    async fn forget_past(&self, pace: &Pace) {
        loop {
            let Some(mut past) = self.past.borrow_mut().pop() else { return };
            while !past.is_empty() {
                pace.step().await;
                past.truncate(past.len().saturating_sub(SWEEP_STEP));
            }
        }
    }

    /// Counts a request until the result is dropped, also when its client goes away.
    pub fn count(&self) -> Running<'_> {
        self.requests.set(self.requests.get() + 1);
        self.running.set(self.running.get() + 1);
        Running(&self.running)
    }

    /// An exchange for a new request.
    pub fn exchange(&self) -> Box<Exchange> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back an exchange whose request is over.
    pub fn recycle(&self, mut x: Box<Exchange>) {
        x.head.fields.shrink(16 << 10);
        x.response.fields.shrink(16 << 10);
        // Nobody may keep old objects alive by waiting for its next request.
        (x.snapshot, x.matched, x.globals) = (None, None, None);
        x.response.printed.clear();
        x.response.printed.shrink_to(16 << 10);
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_EXCHANGES_MAX {
            spare.push(x);
        }
    }

    /// Gives `x` the configuration it will see from start to end.
    pub fn bind(&self, x: &mut Exchange) {
        x.snapshot = Some(Rc::clone(&self.snapshot.borrow()));
        x.globals.clone_from(&self.globals.borrow());
    }

    /// Route number `number` of `live`, which serves now, with all that belongs to it; and the
    /// route's own upstream, if it can be sent to.
    ///
    /// # Errors
    ///
    /// A reference that leads nowhere.
    pub fn ready(&self, live: &Live, number: u32) -> Result<(Rc<Matched>, Option<Rc<Target>>)> {
        let (at, epoch) = (number as usize, self.epoch.get());
        if let Some(ready) = self.ready.borrow().get(at)
            && let Some(matched) = &ready.matched
            && ready.epoch == epoch
            && ready.target.as_ref().is_none_or(|target| target.is_current())
        {
            return Ok((Rc::clone(matched), ready.target.clone()));
        }
        let missing = || error::Kind::MissingReference { kind: "route", id: number.to_string() };
        let route = live.route(number).ok_or_else(missing)?;
        let matched = self.matched(route, &live.snapshot)?;
        let own = match &matched.merged.upstream {
            UpstreamSource::Id(id) => {
                live.snapshot.upstreams.get(id).map(|item| (&item.typed, &item.key))
            }
            UpstreamSource::Inline { upstream, key, .. } => Some((upstream, key)),
            UpstreamSource::None => None,
        };
        let target = own.and_then(|(upstream, key)| self.target(upstream, key).ok());
        if target.is_none() && own.is_some_and(|(upstream, _)| upstream.sought.is_some()) {
            // Its nodes may be known in a moment.
            return Ok((matched, None));
        }
        let mut all = self.ready.borrow_mut();
        if all.len() < live.numbers() {
            if all.capacity() < live.numbers() {
                // Routes that come one by one are no reason to move all others each time.
                let more = live.numbers() + READY_SPARE - all.len();
                all.reserve_exact(more);
            }
            all.resize_with(live.numbers(), Ready::default);
        }
        all[at] = Ready { matched: Some(Rc::clone(&matched)), target: target.clone(), epoch };
        Ok((matched, target))
    }

    /// Route, service and plugin_config put together; remembered while they stay the same.
    fn matched(&self, route: &Arc<Item<Route>>, snapshot: &Snapshot) -> Result<Rc<Matched>> {
        let key = Arc::as_ptr(route) as usize;
        if let Some(known) = self.matched.borrow().get(&key)
            && known.version == snapshot.version
        {
            return Ok(Rc::clone(&known.matched));
        }
        let merged = merge::merged(route, snapshot)?;
        let mut all = self.matched.borrow_mut();
        let known = all.get(&key).filter(|known| same_parts(&known.matched.merged, &merged));
        let matched = match known {
            Some(known) => Rc::clone(&known.matched),
            None => Rc::new(Matched::from(merged)),
        };
        all.insert(key, Remembered { version: snapshot.version, matched: Rc::clone(&matched) });
        Ok(matched)
    }

    /// The balancer state of an upstream, made at its first use.
    ///
    /// # Errors
    ///
    /// What keeps a target from being made of it, such as a certificate that is none.
    pub fn target(&self, upstream: &Arc<Upstream>, scope: &str) -> Result<Rc<Target>> {
        self.target_with(upstream, scope, |health, upstream| health.of(scope, upstream))
    }

    /// The same for an upstream that a plugin made.
    ///
    /// # Errors
    ///
    /// As [`Gate::target`].
    pub fn made_target(&self, upstream: &Arc<Upstream>, scope: &str) -> Result<Rc<Target>> {
        self.target_with(upstream, scope, |health, upstream| health.of_plugin(scope, upstream))
    }

    fn target_with(
        &self,
        upstream: &Arc<Upstream>,
        scope: &str,
        watch: impl FnOnce(&health::Registry, &Upstream) -> Option<Arc<health::Watch>>,
    ) -> Result<Rc<Target>> {
        if let Some(target) = self.targets.borrow().get(&upstream.id)
            && target.is_current()
        {
            return Ok(Rc::clone(target));
        }
        let found = self.discovery.found(upstream, scope)?;
        let mut target = Target::new(upstream, &found, scope, self)?;
        target.watch = watch(&self.health, &found);
        let target = Rc::new(target);
        self.targets.borrow_mut().insert(upstream.id, Rc::clone(&target));
        Ok(target)
    }
}

/// A request in work.
pub struct Running<'g>(&'g Cell<usize>);

impl std::ops::Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn same_parts(a: &merge::Merged, b: &merge::Merged) -> bool {
    let same = |a: Option<usize>, b: Option<usize>| a == b;
    Arc::ptr_eq(&a.route, &b.route)
        && same(a.service.as_ref().map(address), b.service.as_ref().map(address))
        && same(a.plugin_config.as_ref().map(address), b.plugin_config.as_ref().map(address))
}

fn address<T>(item: &Arc<T>) -> usize {
    Arc::as_ptr(item) as usize
}
