//! The judgement of each route by itself agrees with the router's.

use std::net::IpAddr;

use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::route::{Params, RouteSpec, Router};

/// Variables by name.
struct Known(Vec<(&'static str, &'static str)>);

impl Vars for Known {
    fn get(&self, name: &str) -> Option<VarValue<'_>> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| VarValue::from(*value))
    }
}

/// A route in both forms.
#[derive(Debug, Clone)]
struct Made {
    hosts: Vec<Box<str>>,
    uris: Vec<Box<str>>,
    methods: Vec<Box<str>>,
    addrs: Vec<Box<str>>,
    vars: Option<Value>,
    priority: i64,
    enabled: bool,
    filter: Option<bool>,
}

impl Made {
    fn terms(&self) -> Terms<'_> {
        Terms {
            hosts: &self.hosts,
            uris: &self.uris,
            methods: &self.methods,
            remote_addrs: &self.addrs,
            vars: self.vars.as_ref(),
            priority: self.priority,
            enabled: self.enabled,
            filter: if self.filter == Some(false) { Filter::Refuses } else { Filter::Passes },
        }
    }

    fn spec(&self, value: u32) -> RouteSpec<u32> {
        let text = |list: &[Box<str>]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        RouteSpec {
            hosts: text(&self.hosts),
            uris: text(&self.uris),
            methods: text(&self.methods),
            remote_addrs: (!self.addrs.is_empty())
                .then(|| IpMatcher::new(self.addrs.iter()).unwrap()),
            vars: self.vars.as_ref().map(|rule| Expr::compile(rule).unwrap()),
            priority: self.priority,
            filter_fun: self.filter.is_some(),
            enabled: self.enabled,
            value,
        }
    }
}

const HOSTS: &[&str] =
    &["a.com", "A.com", "*.a.com", "*a.com", "b.a.com", "*", "a.com:80", "*.b.a.com"];
const URIS: &[&str] = &[
    "/",
    "/*",
    "/a",
    "/a*",
    "/a/*",
    "/a/b",
    "/a/:x",
    "/:x",
    "/:x/b",
    "/a/:x/*rest",
    "/a/b*",
    "/a/b/c",
    "*",
    "/a/*name",
];
const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/c/b", "/a/:x", "/*"];

fn some(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<Box<str>>> {
    prop::collection::vec(select(from), 0..=most)
        .prop_map(|list| list.into_iter().map(Box::from).collect())
}

fn made() -> impl Strategy<Value = Made> {
    let uris = prop::collection::vec(select(URIS), 1..3);
    let uris = uris.prop_map(|list| list.into_iter().map(Box::from).collect());
    let rules = select(vec![
        json!([["k", "==", "v"]]),
        json!([["k", "==", "w"]]),
        json!([["OR", ["k", "==", "w"], ["l", "~~", "^x"]]]),
        json!([]),
    ]);
    let lists = (some(HOSTS, 2), uris, some(&["GET", "POST", "PROPFIND"], 2));
    let rest = (
        some(&["127.0.0.1", "10.0.0.0/8"], 1),
        option::weighted(0.3, rules),
        -1..2_i64,
        prop::bool::weighted(0.9),
        option::weighted(0.3, any::<bool>()),
    );
    (lists, rest).prop_map(|((hosts, uris, methods), (addrs, vars, priority, enabled, filter))| {
        Made { hosts, uris, methods, addrs, vars, priority, enabled, filter }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn the_highest_rank_is_what_the_router_finds(
        routes in prop::collection::vec(made(), 1..12),
        mode in select(vec![Mode::Uri, Mode::HostUri, Mode::UriWithParameter]),
        (host, path) in (option::of(select(
            vec!["a.com", "b.a.com", "c.b.a.com", "A.COM:80", "x", ".a.com"])), select(PATHS)),
        (method, addr) in (select(vec!["GET", "POST", "PUT", "PROPFIND"]),
            option::of(select(vec!["127.0.0.1", "10.1.1.1"]))),
        (k, l) in (option::of(select(vec!["v", "w"])), select(vec!["x1", "y"])),
    ) {
        let mut vars = vec![("l", l)];
        vars.extend(k.map(|k| ("k", k)));
        let vars = Known(vars);
        let query = Query {
            host: host.map(str::as_bytes),
            path: path.as_bytes(),
            method: method.as_bytes(),
            remote_addr: addr.map(|addr: &str| addr.parse::<IpAddr>().unwrap()),
        };
        let specs = (0..).zip(&routes).map(|(number, route)| route.spec(number));
        let router = Router::build(mode, specs).unwrap();
        let mut passes = |at: &u32| routes[*at as usize].filter != Some(false);
        let found = router.find(&query, &vars, &mut passes, &mut Params::default()).copied();

        let mut best: Option<(Rank, u32)> = None;
        for (number, route) in (0..).zip(&routes) {
            let judged = judge(mode, &route.terms(), &query, &vars, false);
            let whole = judge(mode, &route.terms(), &query, &vars, true);
            prop_assert_eq!(&judged.rank, &whole.rank);
            prop_assert_eq!(judged.failed.first(), whole.failed.first());
            prop_assert_eq!(judged.rank.is_some(), judged.fits());
            if let Some(rank) = judged.rank
                && best.as_ref().is_none_or(|(known, _)| rank > *known)
            {
                best = Some((rank, number));
            }
        }
        prop_assert_eq!(found, best.map(|(_, number)| number), "{:?}", routes);
    }
}

fn route() -> Made {
    Made {
        hosts: vec!["a.com".into()],
        uris: vec!["/a/b".into()],
        methods: vec!["GET".into()],
        addrs: vec!["10.0.0.0/8".into()],
        vars: Some(json!([["k", "==", "v"]])),
        priority: 0,
        enabled: false,
        filter: Some(false),
    }
}

#[test]
fn all_that_does_not_hold_is_told_in_order() {
    let query = Query { host: Some(b"x"), path: b"/a/c", method: b"PUT", remote_addr: None };
    let (route, vars) = (route(), Known(Vec::new()));
    let judged = judge(Mode::HostUri, &route.terms(), &query, &vars, true);
    let names: Vec<_> = judged.failed.iter().map(|reason| reason.name()).collect();
    let want = ["uri", "host", "method", "remote_addr", "vars", "filter_func", "disabled"];
    assert_eq!(names, want);
    assert_eq!((judged.rank, judged.common), (None, 3));
    let first = judge(Mode::HostUri, &route.terms(), &query, &vars, false);
    assert_eq!(first.failed, [Reason::Uri]);
}

#[test]
fn a_filter_that_nobody_asked_is_not_taken_for_a_no() {
    let query = Query { host: None, path: b"/a", method: b"GET", remote_addr: None };
    let uris = ["/a".into()];
    let terms = Terms {
        hosts: &[],
        uris: &uris,
        methods: &[],
        remote_addrs: &[],
        vars: None,
        priority: 0,
        enabled: true,
        filter: Filter::Unknown,
    };
    let judged = judge(Mode::Uri, &terms, &query, &Known(Vec::new()), true);
    assert_eq!(judged.failed, [Reason::FilterUnknown]);
    assert!(judged.rank.is_some() && !judged.fits());
}

#[test]
fn the_comparison_that_fails_is_found() {
    let vars = Known(vec![("k", "v"), ("n", "1")]);
    let check = |rule: Value, want: Option<Value>| {
        assert_eq!(failing(&rule, &vars), want, "{rule}");
    };
    check(json!([["k", "==", "v"]]), None);
    let value = |rule: Value, value: Value| Some(json!({"expression": rule, "value": value}));
    check(json!([["k", "==", "w"]]), value(json!(["k", "==", "w"]), json!("v")));
    check(
        json!([["k", "==", "v"], ["gone", "==", "w"], ["n", "==", "2"]]),
        value(json!(["gone", "==", "w"]), Value::Null),
    );
    let either = json!(["OR", ["k", "==", "w"], ["n", "==", "2"]]);
    check(json!([["k", "==", "v"], either]), Some(json!({"expression": either})));
    let both = json!(["AND", ["k", "==", "v"], ["n", ">", 1]]);
    check(both, value(json!(["n", ">", 1]), json!("1")));
    check(json!([["k", "!", "==", "v"]]), value(json!(["k", "!", "==", "v"]), json!("v")));
    let wrong = failing(&json!([["k", "??", "v"]]), &vars).unwrap();
    assert!(wrong["error"].as_str().unwrap().contains("invalid operator"), "{wrong}");
}

#[test]
fn ranks_tell_what_decided() {
    let vars = Known(Vec::new());
    let rank = |hosts: &[&str], uri: &str, priority| {
        let mut made = Made { addrs: vec![], vars: None, enabled: true, filter: None, ..route() };
        made.hosts = hosts.iter().map(|host| Box::from(*host)).collect();
        (made.uris, made.priority) = (vec![uri.into()], priority);
        let query =
            Query { host: Some(b"a.com"), path: b"/a/b", method: b"GET", remote_addr: None };
        judge(Mode::HostUri, &made.terms(), &query, &vars, true).rank.unwrap()
    };
    let over = |greater: Rank, lesser: Rank| {
        assert!(greater >= lesser);
        greater.over(&lesser)
    };
    assert!(over(rank(&["a.com"], "/*", 0), rank(&["*"], "/a/b", 9)).contains("host"));
    assert!(over(rank(&[], "/a/b", 0), rank(&[], "/a/*", 9)).contains("path itself"));
    assert!(over(rank(&[], "/a/*", 0), rank(&[], "/*", 9)).contains("longer prefix"));
    assert!(over(rank(&[], "/*", 1), rank(&[], "/*", 0)).contains("priority"));
    assert!(over(rank(&[], "/*name", 0), rank(&[], "/*", 0)).contains("uri is longer"));
    assert!(over(rank(&[], "/*", 0), rank(&[], "/*", 0)).contains("earlier"));
}
