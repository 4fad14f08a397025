//! The configuration as it serves: a snapshot with the router built from it.
//!
//! A small change to very many routes is laid over the router that is there ([`Live::after`]):
//! what it costs does not depend on how many routes there are. When enough has been laid over,
//! somebody builds a new one ([`Live::is_heavy`]) where nobody waits for it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use foldhash::{HashMap, HashSet};

use crate::{
    config::{
        Item, Snapshot,
        merge::{self, GlobalRules},
        raw::Kind,
        route::Route,
        runs::Runs,
    },
    route::{Changes, Mode, RouteSpec, Router, check_uri, expr::Expr, ip::IpMatcher},
};

/// Fewer routes than these are built anew in a moment.
const MANY: usize = if cfg!(test) { 4 } else { 2_000 };

/// Changed routes laid over, from which on it is time for a new router.
const HEAVY: usize = 512;

/// With so many the next change waits for a new router: whoever builds them is too slow.
const MOST: usize = 8 * HEAVY;

/// Everything a request is served by, swapped as one.
#[derive(Debug)]
pub struct Live {
    /// The objects.
    pub snapshot: Arc<Snapshot>,
    /// Finds the route: its number for [`Live::route`].
    pub router: Router<u32>,
    base: Arc<Base>,
    /// Routes that came or changed since; numbered behind those of `base`.
    more: Vec<Arc<Item<Route>>>,
    over: Over,
    /// All global rules as one, if there are any.
    pub globals: Option<Arc<Runs>>,
    /// What is odd about the routes: they do not serve.
    pub problems: Vec<String>,
}

/// The routes that a router was built from, by their numbers.
#[derive(Debug, Default)]
struct Base {
    routes: Vec<Arc<Item<Route>>>,
    /// By id, once somebody asks.
    numbers: OnceLock<HashMap<Arc<str>, u32>>,
}

impl Base {
    fn number(&self, id: &str) -> Option<u32> {
        let numbers = self.numbers.get_or_init(|| {
            (0..).zip(&self.routes).map(|(number, route)| (Arc::clone(&route.id), number)).collect()
        });
        numbers.get(id).copied()
    }
}

/// What is laid over a base.
#[derive(Debug, Default, Clone)]
struct Over {
    /// Numbers of routes in the base that are not as they were.
    gone: HashSet<u32>,
    /// The routes that serve instead and besides, by id: the number, and that of the place where
    /// it was defined.
    now: HashMap<Arc<str>, (u32, u32)>,
}

impl Live {
    /// Builds the router for `snapshot`. What did not change in `before` keeps its identity.
    #[must_use]
    pub fn build(snapshot: Arc<Snapshot>, mode: Mode, before: Option<&Self>) -> Self {
        let mut problems = Vec::new();
        let mut specs = Vec::new();
        let mut routes = Vec::new();
        for route in snapshot.routes.iter() {
            match spec(route, &snapshot, mode, number(routes.len())) {
                Ok(spec) => specs.push(spec),
                Err(problem) => problems.push(does_not_serve(&route.id, &problem)),
            }
            // Also one that does not serve has a place among the others.
            routes.push(Arc::clone(route));
        }
        let router = Router::build(mode, specs).unwrap_or_else(|error| {
            // Every path was checked one by one above, so this cannot happen.
            problems.push(error.to_string());
            Router::empty(mode)
        });
        let rules = merge::global_rules(&snapshot.global_rules);
        problems.extend(rules.errors.iter().cloned());
        let globals = globals(&rules, before);
        let base = Arc::new(Base { routes, numbers: OnceLock::new() });
        Self { snapshot, router, base, more: Vec::new(), over: Over::default(), globals, problems }
    }

    /// The configuration `snapshot`, which differs from the one of `before` in the objects
    /// `touched` at most.
    #[must_use]
    pub fn after(
        before: &Self,
        snapshot: Arc<Snapshot>,
        touched: &[(Kind, String)],
        mode: Mode,
    ) -> Self {
        let hosts = |id: &str, of: &Snapshot| {
            of.services.get(id).map(|service| service.typed.hosts.clone()).unwrap_or_default()
        };
        // Routes without hosts have those of their service; which ones, nobody has written down.
        let rehosted = touched.iter().any(|(kind, id)| {
            *kind == Kind::Services && hosts(id, &snapshot) != hosts(id, &before.snapshot)
        });
        let few = snapshot.routes.len() < MANY;
        let other = before.router.mode() != mode || before.base.routes.len() < MANY;
        let much = touched.len() >= HEAVY || before.weight() >= MOST;
        if few || rehosted || other || much {
            return Self::build(snapshot, mode, Some(before));
        }
        let ids = touched.iter().filter(|(kind, _)| *kind == Kind::Routes);
        match before.laid(&snapshot, ids.map(|(_, id)| &**id), mode) {
            Some(live) => live,
            None => Self::build(snapshot, mode, Some(before)),
        }
    }

    /// This with the routes `ids` as they are in `snapshot`.
    fn laid<'i>(
        &self,
        snapshot: &Arc<Snapshot>,
        ids: impl Iterator<Item = &'i str>,
        mode: Mode,
    ) -> Option<Self> {
        let (mut more, mut over) = (self.more.clone(), self.over.clone());
        let mut problems: Vec<String> = self.problems.clone();
        for id in ids {
            over.gone.extend(self.base.number(id));
            let place = over.now.remove(id).map(|(_, place)| place);
            let gone = does_not_serve(id, "");
            problems.retain(|problem| !problem.starts_with(&gone));
            if let Some(route) = snapshot.routes.get(id) {
                let new = number(self.base.routes.len() + more.len());
                // A route that went and came again is defined at the end.
                let old = self.base.number(id).filter(|_| self.snapshot.routes.get(id).is_some());
                over.now.insert(Arc::clone(&route.id), (new, place.or(old).unwrap_or(new)));
                more.push(Arc::clone(route));
            }
        }
        let by_place: BTreeMap<u32, u32> =
            over.now.values().map(|(number, place)| (*place, *number)).collect();
        let mut specs = Vec::with_capacity(by_place.len());
        for number in by_place.values() {
            let route = more.get((*number as usize).checked_sub(self.base.routes.len())?)?;
            match spec(route, snapshot, mode, *number) {
                Ok(spec) => specs.push(spec),
                Err(problem) => problems.push(does_not_serve(&route.id, &problem)),
            }
        }
        problems.sort();
        problems.dedup();
        let places = over.now.values().copied().collect();
        let changes = Changes { specs, gone: over.gone.clone(), places };
        let router = self.router.changed(changes).ok()?;
        let rules = merge::global_rules(&snapshot.global_rules);
        let globals = globals(&rules, Some(self));
        let (snapshot, base) = (Arc::clone(snapshot), Arc::clone(&self.base));
        Some(Self { snapshot, router, base, more, over, globals, problems })
    }

    /// Whether so much is laid over the router that a new one should be built.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.weight() >= HEAVY
    }

    fn weight(&self) -> usize {
        self.more.len() + self.over.gone.len()
    }

    /// The route with this number.
    #[must_use]
    pub fn route(&self, number: u32) -> Option<&Arc<Item<Route>>> {
        let at = number as usize;
        match at.checked_sub(self.base.routes.len()) {
            None => self.base.routes.get(at),
            Some(at) => self.more.get(at),
        }
    }

    /// Above all numbers of routes.
    #[must_use]
    pub fn numbers(&self) -> usize {
        self.base.routes.len() + self.more.len()
    }

    /// Whether routes have the same numbers as in `other`.
    #[must_use]
    pub fn numbers_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
    }
}

/// More routes than that do not fit into memory.
fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn does_not_serve(id: &str, problem: &str) -> String {
    format!("route [{id}] does not serve: {problem}")
}

fn globals(rules: &GlobalRules, before: Option<&Live>) -> Option<Arc<Runs>> {
    if rules.plugins.is_empty() {
        return None;
    }
    let same = |known: &Arc<Runs>| {
        known.plugins.len() == rules.plugins.len()
            && known.plugins.iter().zip(&rules.plugins).all(|(a, b)| Arc::ptr_eq(a, b))
    };
    let known = before.and_then(|live| live.globals.as_ref()).filter(|known| same(known));
    Some(known.map_or_else(|| Arc::new(Runs::from(rules)), Arc::clone))
}

fn spec(
    route: &Arc<Item<Route>>,
    snapshot: &Snapshot,
    mode: Mode,
    number: u32,
) -> Result<RouteSpec<u32>, String> {
    let typed = &route.typed;
    for uri in &typed.uris {
        check_uri(mode, uri).map_err(|error| error.to_string())?;
    }
    let service = typed.service_id.as_ref().and_then(|id| snapshot.services.get(id));
    let hosts = match service {
        Some(service) if typed.hosts.is_empty() => &service.typed.hosts,
        _ => &typed.hosts,
    };
    let text = |list: &[Box<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let remote_addrs = match &typed.remote_addrs[..] {
        [] => None,
        list => Some(IpMatcher::new(list.iter())?),
    };
    Ok(RouteSpec {
        hosts: text(hosts),
        uris: text(&typed.uris),
        methods: text(&typed.methods),
        remote_addrs,
        vars: typed.vars.as_deref().map(Expr::compile).transpose()?,
        priority: typed.priority,
        filter_fun: typed.filter_func.is_some(),
        enabled: typed.enabled,
        value: number,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        config::{
            check::{ObjectChange, PluginChecker, SchemaType, Verdict, apply_changes},
            raw::RawItem,
        },
        route::{Params, Query, expr::NoVars},
    };

    struct Any;

    impl PluginChecker for Any {
        fn check(&mut self, _: &str, _: SchemaType, _: &mut Value) -> Verdict {
            Verdict::Ok
        }
    }

    fn lay(before: &Live, changes: Vec<ObjectChange>) -> Live {
        let applied = apply_changes(&before.snapshot, changes, &mut Any);
        assert!(applied.snapshot.refusals.is_empty(), "{:?}", applied.snapshot.refusals);
        Live::after(before, Arc::new(applied.snapshot), &applied.touched.unwrap(), Mode::HostUri)
    }

    fn route(id: u8, what: u8) -> ObjectChange {
        let value = match what {
            0 => None,
            // Refused by the router alone.
            1 => Some(json!({"id": id, "uri": "/*/(", "plugins": {}})),
            2 => Some(json!({"id": id, "uri": "/*", "service_id": "s"})),
            3 => Some(json!({"id": id, "uri": "/a", "service_id": "s", "host": "b.c"})),
            4 => Some(json!({"id": id, "uri": "/a", "priority": 1, "plugins": {}})),
            _ => Some(json!({"id": id, "uris": ["/a*", "/b"], "plugins": {}})),
        };
        let now = value.map(|value| RawItem::new(&id.to_string(), Ok(value), None));
        ObjectChange { kind: Kind::Routes, id: id.to_string(), now }
    }

    fn service(hosts: bool) -> ObjectChange {
        let hosts = if hosts { json!(["a.c"]) } else { json!(["b.c"]) };
        let value = json!({"id": "s", "hosts": hosts});
        let now = Some(RawItem::new("s", Ok(value), None));
        ObjectChange { kind: Kind::Services, id: "s".into(), now }
    }

    fn found(live: &Live) -> Vec<Option<String>> {
        let hosts = ["a.c", "b.c", "x"].into_iter();
        let pairs = hosts.flat_map(|host| ["/a", "/b", "/az", "/q"].map(|path| (host, path)));
        let find = |(host, path): (&'static str, &'static str)| {
            let query = Query {
                host: Some(host.as_bytes()),
                path: path.as_bytes(),
                method: b"GET",
                remote_addr: None,
            };
            let mut params = Params::default();
            let number = live.router.find(&query, &NoVars, &mut |_| false, &mut params).copied()?;
            Some(live.route(number).unwrap().id.to_string())
        };
        pairs.map(find).collect()
    }

    proptest! {
        #[test]
        fn one_by_one_is_as_all_at_once(
            steps in prop::collection::vec((0..10_u8, 0..7_u8), 1..80),
        ) {
            let start = (1..8).map(|id| route(id, id - 1)).chain([service(true)]).collect();
            let empty = Live::build(Arc::default(), Mode::HostUri, None);
            let mut live = lay(&empty, start);
            for (id, what) in steps {
                let change = if id == 0 { service(what > 3) } else { route(id, what) };
                live = lay(&live, vec![change]);
                let anew = Live::build(Arc::clone(&live.snapshot), Mode::HostUri, None);
                prop_assert_eq!(found(&live), found(&anew));
                let (mut want, mut have) = (anew.problems, live.problems.clone());
                want.sort();
                have.sort();
                prop_assert_eq!(have, want);
            }
        }
    }

    #[test]
    fn a_change_to_many_routes_keeps_their_numbers() {
        let empty = Live::build(Arc::default(), Mode::HostUri, None);
        let live = lay(&empty, (2..10).map(|id| route(id, 5)).chain([service(true)]).collect());
        let next = lay(&live, vec![route(3, 4)]);
        assert!(next.numbers_as(&live) && next.numbers() == live.numbers() + 1);
        assert!(!lay(&next, vec![service(false)]).numbers_as(&next), "its routes have other hosts");
        let (mut live, mut built) = (next, 0);
        for round in 0..2 * MOST {
            assert!(live.is_heavy() || live.weight() < HEAVY, "round {round}");
            let next = lay(&live, vec![route(3, 4), route(4, 0), route(4, 5)]);
            built += usize::from(!next.numbers_as(&live));
            live = next;
        }
        assert!((3..=5).contains(&built), "built anew {built} times");
    }
}
