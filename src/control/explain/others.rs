//! The routes that do not serve a request, and why each does not.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value, json};

use crate::{
    config::{Item, route::Route},
    live::Live,
    route::{
        Mode, Query,
        expr::Vars,
        reasons::{Filter, Judgement, Rank, Reason, Terms, failing, judge},
    },
    worker::{Found, Stood},
};

/// Values of a condition that are shown.
const VALUES_MAX: usize = 20;

/// What a route is called that fits, where another fits better.
const OUTRANKED: &str = "outranked";

/// How near a route came: how far its conditions hold, how much of its path fits, and of equals
/// the one that was defined first.
type Near = (usize, usize, Reverse<usize>);

/// What the walk found.
pub(super) struct Walked {
    considered: usize,
    /// By the first condition that does not hold.
    counts: BTreeMap<&'static str, usize>,
    /// The nearest ones.
    shown: Vec<Value>,
    /// The best of all routes by the walk alone.
    pub(super) best: Option<Arc<Item<Route>>>,
}

impl Walked {
    pub(super) fn shown(&self) -> Value {
        let left_out = self.counts.values().sum::<usize>() - self.shown.len();
        json!({
            "considered": self.considered,
            "reasons": self.counts,
            "left_out": left_out,
            "nearest": self.shown,
        })
    }
}

/// What the walk asks of each route.
struct Asking<'f> {
    live: &'f Live,
    mode: Mode,
    query: Query<'f>,
    vars: &'f dyn Vars,
    /// Routes that the router does not know, with the reason.
    broken: BTreeMap<&'f str, &'f str>,
    /// Routes whose `filter_func` said no.
    refused: HashSet<&'f str>,
    chosen: Option<&'f Arc<Item<Route>>>,
    /// Why the chosen one comes first.
    rank: Option<Rank>,
}

/// Looks at all routes but the chosen one; of those that came nearest, at `limit`, the answer tells.
pub(super) fn walk(found: &Found, stood: &Stood, limit: usize) -> Walked {
    let asking = Asking::new(found, stood);
    let mut counts = BTreeMap::new();
    let mut nearest: BinaryHeap<Reverse<(Near, usize)>> = BinaryHeap::new();
    let mut kept: BTreeMap<usize, &Arc<Item<Route>>> = BTreeMap::new();
    let mut best: Option<(Rank, &Arc<Item<Route>>)> = None;
    let mut considered = 0;
    for (at, route) in asking.live.snapshot.routes.iter().enumerate() {
        considered += 1;
        let judged = asking.judge(route, false);
        if let Some(rank) = judged.rank.as_ref().filter(|_| judged.fits())
            && best.as_ref().is_none_or(|(known, _)| rank > known)
        {
            best = Some((rank.clone(), route));
        }
        if asking.is_chosen(route) {
            continue;
        }
        let reason = asking.first(route, &judged);
        *counts.entry(reason).or_insert(0) += 1;
        nearest.push(Reverse((near(&judged, at), at)));
        kept.insert(at, route);
        if nearest.len() > limit
            && let Some(Reverse((_, farthest))) = nearest.pop()
        {
            kept.remove(&farthest);
        }
    }
    let nearest = nearest.into_sorted_vec();
    let shown = nearest.iter().filter_map(|Reverse((_, at))| kept.get(at));
    Walked {
        considered,
        counts,
        shown: shown.map(|route| asking.shown(route)).collect(),
        best: best.map(|(_, route)| Arc::clone(route)),
    }
}

fn near(judged: &Judgement, at: usize) -> Near {
    let held = judged.failed.first().map_or(Reason::ALL.len(), |reason| *reason as usize);
    (held, judged.common, Reverse(at))
}

impl<'f> Asking<'f> {
    fn new(found: &'f Found, stood: &'f Stood) -> Self {
        let live = &*found.live;
        let ids = found.refused.iter().filter_map(|number| Some(&*live.route(*number)?.id));
        // As `Live` words it.
        let broken = live.problems.iter().filter_map(|problem| {
            let (id, why) = problem.strip_prefix("route [")?.split_once("] does not serve: ")?;
            Some((id, why))
        });
        let mut asking = Self {
            live,
            mode: live.router.mode(),
            query: stood.query(),
            vars: stood,
            broken: broken.collect(),
            refused: ids.collect(),
            chosen: found.merged.as_ref().map(|merged| &merged.route),
            rank: None,
        };
        asking.rank = asking.chosen.and_then(|route| asking.judge(route, false).rank);
        asking
    }

    fn is_chosen(&self, route: &Arc<Item<Route>>) -> bool {
        self.chosen.is_some_and(|chosen| Arc::ptr_eq(chosen, route))
    }

    fn judge(&self, route: &Arc<Item<Route>>, all: bool) -> Judgement {
        let typed = &route.typed;
        let filter = match &typed.filter_func {
            None => Filter::Passes,
            Some(_) if self.is_chosen(route) => Filter::Passes,
            Some(_) if self.refused.contains(&*route.id) => Filter::Refuses,
            Some(_) => Filter::Unknown,
        };
        let terms = Terms {
            hosts: self.hosts(typed),
            uris: &typed.uris,
            methods: &typed.methods,
            remote_addrs: &typed.remote_addrs,
            vars: typed.vars.as_deref(),
            priority: typed.priority,
            enabled: typed.enabled && !self.broken.contains_key(&*route.id),
            filter,
        };
        judge(self.mode, &terms, &self.query, self.vars, all)
    }

    /// The route's hosts, or those of its service.
    fn hosts<'r>(&'r self, route: &'r Route) -> &'r [Box<str>] {
        let service = route.service_id.as_ref().and_then(|id| self.live.snapshot.services.get(id));
        match service {
            Some(service) if route.hosts.is_empty() => &service.typed.hosts,
            _ => &route.hosts,
        }
    }

    /// Whether the chosen route comes before one that `judged` speaks of, however its
    /// `filter_func` decides.
    fn outranks(&self, judged: &Judgement) -> bool {
        let (Some(chosen), Some(rank)) = (&self.rank, &judged.rank) else { return false };
        chosen >= rank
    }

    /// Why the route is not taken, in one word.
    fn first(&self, route: &Item<Route>, judged: &Judgement) -> &'static str {
        if self.broken.contains_key(&*route.id) {
            return "does_not_serve";
        }
        if self.outranks(judged) {
            return OUTRANKED;
        }
        judged.failed.first().map_or("unexplained", |reason| reason.name())
    }

    fn shown(&self, route: &Arc<Item<Route>>) -> Value {
        let judged = self.judge(route, true);
        let mut because = Map::new();
        for reason in &judged.failed {
            let name = reason.name().to_owned();
            match reason {
                Reason::FilterUnknown if self.outranks(&judged) => {}
                Reason::Disabled => match self.broken.get(&*route.id) {
                    Some(why) => drop(because.insert("does_not_serve".into(), (*why).into())),
                    None => drop(because.insert(name, "its status is 0".into())),
                },
                _ => drop(because.insert(name, self.detail(*reason, &route.typed))),
            }
        }
        if self.outranks(&judged)
            && let (Some(chosen), Some(rank)) = (&self.rank, &judged.rank)
            && let Some(winner) = self.chosen
        {
            let text = format!("route {} comes first: {}", winner.id, chosen.over(rank));
            because.insert(OUTRANKED.to_owned(), text.into());
        }
        json!({
            "id": *route.id,
            "name": route.typed.name.as_deref(),
            "uris": values(&route.typed.uris),
            "priority": route.typed.priority,
            "because": because,
        })
    }

    /// What the condition wants, or which part of it does not hold.
    fn detail(&self, reason: Reason, route: &Route) -> Value {
        match reason {
            Reason::Uri => "no uri of it fits the path".into(),
            Reason::Host => json!({"hosts": values(self.hosts(route))}),
            Reason::Method => json!({"methods": values(&route.methods)}),
            Reason::RemoteAddr => json!({"remote_addrs": values(&route.remote_addrs)}),
            Reason::Vars => {
                route.vars.as_ref().and_then(|rule| failing(rule, self.vars)).unwrap_or_default()
            }
            Reason::FilterFunc => "it did not return true".into(),
            Reason::FilterUnknown => "it was not asked, or failed".into(),
            Reason::Disabled => Value::Null,
        }
    }
}

fn values(list: &[Box<str>]) -> Value {
    let mut shown: Vec<Value> = list.iter().take(VALUES_MAX).map(|text| (**text).into()).collect();
    if list.len() > VALUES_MAX {
        shown.push(format!("and {} more", list.len() - VALUES_MAX).into());
    }
    shown.into()
}
