//! The configuration as it serves: a snapshot with the router built from it.

use std::sync::Arc;

use crate::{
    config::{
        Item, Snapshot,
        merge::{self, GlobalRules},
        route::Route,
        runs::Runs,
    },
    route::{Mode, RouteSpec, Router, check_uri, expr::Expr, ip::IpMatcher},
};

/// Everything a request is served by, swapped as one.
#[derive(Debug)]
pub struct Live {
    /// The objects.
    pub snapshot: Arc<Snapshot>,
    /// Finds the route: its place in `routes`.
    pub router: Router<u32>,
    /// The routes that serve.
    pub routes: Vec<Arc<Item<Route>>>,
    /// All global rules as one, if there are any.
    pub globals: Option<Arc<Runs>>,
    /// What is odd about the routes: they do not serve.
    pub problems: Vec<String>,
}

impl Live {
    /// Builds the router for `snapshot`. What did not change in `before` keeps its identity.
    #[must_use]
    pub fn build(snapshot: Arc<Snapshot>, mode: Mode, before: Option<&Self>) -> Self {
        let mut problems = Vec::new();
        let mut specs = Vec::new();
        let mut routes = Vec::new();
        for route in snapshot.routes.iter() {
            // More routes than that do not fit into memory.
            let number = u32::try_from(routes.len()).unwrap_or(u32::MAX);
            match spec(route, &snapshot, mode, number) {
                Ok(spec) => {
                    specs.push(spec);
                    routes.push(Arc::clone(route));
                }
                Err(problem) => {
                    problems.push(format!("route [{}] does not serve: {problem}", route.id));
                }
            }
        }
        let router = Router::build(mode, specs).unwrap_or_else(|error| {
            // Every path was checked one by one above, so this cannot happen.
            problems.push(error.to_string());
            Router::empty(mode)
        });
        let rules = merge::global_rules(&snapshot.global_rules);
        problems.extend(rules.errors.iter().cloned());
        let globals = globals(&rules, before);
        Self { snapshot, router, routes, globals, problems }
    }
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
        vars: typed.vars.as_ref().map(Expr::compile).transpose()?,
        priority: typed.priority,
        filter_fun: typed.filter_func.is_some(),
        enabled: typed.enabled,
        value: number,
    })
}
