//! The facts of APISIX's router tests, and a property against a matcher without any index.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::json;

use super::{
    expr::{NoVars, VarValue},
    *,
};

fn spec(value: u32, uri: &str) -> RouteSpec<u32> {
    RouteSpec {
        hosts: Vec::new(),
        uris: vec![uri.to_owned()],
        methods: Vec::new(),
        remote_addrs: None,
        vars: None,
        priority: 0,
        filter_fun: false,
        enabled: true,
        value,
    }
}

fn on(mut spec: RouteSpec<u32>, hosts: &[&str]) -> RouteSpec<u32> {
    spec.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    spec
}

fn prio(mut spec: RouteSpec<u32>, priority: i64) -> RouteSpec<u32> {
    spec.priority = priority;
    spec
}

fn get<'a>(host: &'a str, path: &'a str) -> Query<'a> {
    Query {
        host: Some(host.as_bytes()),
        path: path.as_bytes(),
        method: b"GET",
        remote_addr: Some(IpAddr::from([127, 0, 0, 1])),
    }
}

/// A router with a memory of what it captured.
struct Bench {
    router: Router<u32>,
    params: Params,
}

impl Bench {
    fn new(mode: Mode, specs: Vec<RouteSpec<u32>>) -> Self {
        Self { router: Router::build(mode, specs).unwrap(), params: Params::default() }
    }

    fn find(&mut self, query: &Query<'_>) -> Option<u32> {
        self.router.find(query, &NoVars, &mut |_| false, &mut self.params).copied()
    }

    #[track_caller]
    fn check(&mut self, host: &str, path: &str, want: Option<u32>) {
        assert_eq!(self.find(&get(host, path)), want, "{host}{path}");
    }

    fn matched(&self) -> (String, Option<String>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(self.params.matched_path()), self.params.matched_host().map(text))
    }
}

const MODES: [Mode; 3] = [Mode::Uri, Mode::HostUri, Mode::UriWithParameter];

#[test]
fn hosts_are_matched_in_every_mode() {
    for mode in MODES {
        let mut bench = Bench::new(mode, vec![on(spec(1, "/hello"), &["foo.cOm", "*.bar.com"])]);
        bench.check("foo.com", "/hello", Some(1));
        bench.check("FOO.com:9080", "/hello", Some(1));
        bench.check("foo.com.", "/hello", Some(1));
        bench.check("a.b.bar.com", "/hello", Some(1));
        bench.check("bar.com", "/hello", None);
        bench.check("www.foo.com", "/hello", None);
        bench.check("foo.com", "/not_found", None);
        bench.check("foo.com", "/hello/", None);
        let long = "x".repeat(300) + ".bar.com";
        bench.check(&long, "/hello", None);
        assert_eq!(bench.find(&Query { host: None, ..get("", "/hello") }), None);
    }
}

#[test]
fn a_host_beats_none_and_the_longest_wildcard_wins() {
    let mut bench = Bench::new(
        Mode::HostUri,
        vec![
            spec(1, "/server_port"),
            on(spec(2, "/*"), &["*.test.com"]),
            on(spec(3, "/*"), &["*.a.test.com"]),
            on(spec(4, "/only"), &["x.a.test.com"]),
            on(spec(5, "/low"), &["*"]),
            prio(spec(6, "/low"), 100),
        ],
    );
    bench.check("www.test.com", "/server_port", Some(2));
    bench.check("test.com", "/server_port", Some(1));
    bench.check("b.a.test.com", "/server_port", Some(3));
    bench.check("x.a.test.com", "/only", Some(4));
    bench.check("x.a.test.com", "/other", Some(3));
    bench.check("any.org", "/low", Some(5));
    bench.check("any.org", "/none", None);
    assert_eq!(bench.find(&Query { host: None, ..get("", "/low") }), Some(6));
}

#[test]
fn where_the_host_is_a_condition_the_path_comes_first() {
    for mode in [Mode::Uri, Mode::UriWithParameter] {
        let mut bench = Bench::new(
            mode,
            vec![
                on(spec(1, "/*"), &["foo.com"]),
                spec(2, "/server_port"),
                on(spec(3, "/server_port"), &["foo.com"]),
                on(spec(4, "/p"), &["foo.com:8080"]),
            ],
        );
        bench.check("foo.com", "/server_port", Some(2));
        bench.check("foo.com", "/x", Some(1));
        bench.check("foo.com:8080", "/p", Some(4));
        bench.check("foo.com:81", "/p", Some(1));
    }
}

#[test]
fn paths_go_from_exact_to_ever_shorter_prefixes() {
    for mode in MODES {
        let mut bench = Bench::new(
            mode,
            vec![
                spec(1, "/*"),
                spec(2, "/foo*"),
                spec(3, "/foo/*"),
                spec(4, "/foo/bar"),
                spec(5, "/foo/bar/*"),
                spec(6, "*"),
            ],
        );
        for (path, want) in [
            ("/", 1),
            ("/x", 1),
            ("/foo", 2),
            ("/foobar", 2),
            ("/foo/", 3),
            ("/foo/ba", 3),
            ("/foo/bar", 4),
            ("/foo/bar/", 5),
            ("/foo/bar/x/y", 5),
            ("", 6),
        ] {
            bench.check("h", path, Some(want));
        }
    }
}

#[test]
fn priority_then_length_then_definition_decide() {
    for mode in MODES {
        let mut bench = Bench::new(
            mode,
            vec![
                prio(on(spec(1, "/server_port"), &["test.com"]), 1),
                prio(on(spec(2, "/server_port"), &["test.com"]), 2),
                on(spec(3, "/server_port*"), &["test.com"]),
                prio(on(spec(4, "/server_port*"), &["test.com"]), -1),
                on(spec(5, "/server_port*"), &["test.com"]),
            ],
        );
        bench.check("test.com", "/server_port", Some(2));
        bench.check("test.com", "/server_port/aa", Some(3));
    }
    let mut bench = Bench::new(
        Mode::UriWithParameter,
        vec![
            spec(1, "/api/:v/test/*subpath"),
            spec(2, "/api/:v/test/api/projects/:project_id"),
            spec(3, "/api/:v/test/api/projects/:project_id/clusters/:cluster_id/nodes/?"),
            prio(spec(4, "/api/:v/special/x"), -5),
        ],
    );
    bench.check("h", "/api/v4/test/api/projects/saas/clusters/123/nodes/", Some(3));
    bench.check("h", "/api/v4/test/api/projects/saas/clusters/123/nodes", Some(3));
    bench.check("h", "/api/v4/test/api", Some(1));
    bench.check("h", "/api/v4/test/api/projects/saas", Some(2));
    bench.check("h", "/api/v4/special/x", Some(4));
}

#[test]
fn parameters_are_captured_and_slashes_count() {
    let mut bench = Bench::new(
        Mode::UriWithParameter,
        vec![
            spec(1, "/name/:name/bar"),
            spec(2, "/:name/foo"),
            spec(3, "/user/:user"),
            spec(4, "/user/:user/age/:age"),
            spec(5, "/user/admin"),
            spec(6, "/file:list"),
        ],
    );
    bench.check("h", "/name/json/bar", Some(1));
    assert_eq!(bench.params.get(b"name"), Some(&b"json"[..]));
    assert_eq!(bench.matched(), ("/name/:name/bar".to_owned(), None));
    bench.check("h", "/name/with space/bar", Some(1));
    bench.check("h", "/name/te%2Fst/bar", Some(1));
    assert_eq!(bench.params.get(b"name"), Some(&b"te%2Fst"[..]));
    bench.check("h", "/name/json/", None);
    bench.check("h", "/name//bar", None);
    bench.check("h", "/json/foo", Some(2));
    bench.check("h", "/json/bbb/foo", None);
    bench.check("h", "/user/foo", Some(3));
    bench.check("h", "/user/foo/age/26", Some(4));
    let captured: Vec<_> = bench.params.iter().collect();
    assert_eq!(captured, [(&b"user"[..], &b"foo"[..]), (b"age", b"26")]);
    bench.check("h", "/user/admin", Some(5));
    assert_eq!(bench.params.iter().count(), 0);
    bench.check("h", "/file:list", Some(6));
    bench.check("h", "/file:xx", None);
    let mut plain = Bench::new(Mode::HostUri, vec![spec(1, "/name/:name/id")]);
    plain.check("h", "/name/json/id", None);
    plain.check("h", "/name/:name/id", Some(1));
}

#[test]
fn what_matched_is_told() {
    for mode in MODES {
        let mut bench = Bench::new(
            mode,
            vec![
                on(spec(1, "/hello"), &["foo.com"]),
                on(spec(2, "/w/*"), &["*.com"]),
                spec(3, "/free/*"),
            ],
        );
        bench.check("Foo.com:80", "/hello", Some(1));
        assert_eq!(bench.matched(), ("/hello".to_owned(), Some("foo.com".to_owned())));
        bench.check("foo.com", "/w/x", Some(2));
        assert_eq!(bench.matched(), ("/w/*".to_owned(), Some("*.com".to_owned())));
        assert_eq!(bench.params.get(b":ext"), Some(&b"x"[..]));
        bench.check("foo.com", "/free/x/y", Some(3));
        assert_eq!(bench.matched(), ("/free/*".to_owned(), None));
        bench.check("foo.org", "/none", None);
        assert_eq!(bench.matched(), (String::new(), None));
    }
}

#[test]
fn every_condition_falls_through() {
    for mode in MODES {
        let rule = json!([["arg_k", "==", "v"]]);
        let runaway = json!([["arg_k", "~~", "^(a+)+$"]]);
        let bad = "a".repeat(40) + "!";
        let wild = |value| on(spec(value, "/a/*"), &["*.h"]);
        let mut specs = vec![on(spec(1, "/a/b"), &["x.h"]), wild(2), wild(3), wild(4), wild(5)];
        specs[0].methods = vec!["POST".to_owned()];
        specs[1].remote_addrs = Some(IpMatcher::new(["10.0.0.0/8"]).unwrap());
        specs[2].vars = Some(Expr::compile(&rule).unwrap());
        specs[3].vars = Some(Expr::compile(&runaway).unwrap());
        specs[4].filter_fun = true;
        specs.push(RouteSpec { enabled: false, ..spec(6, "/a/b") });
        specs.push(spec(7, "/*"));
        let router = Router::build(mode, specs).unwrap();
        let mut params = Params::default();
        let mut find = |query: Query<'_>, k: &str, filter: bool| {
            let vars = Arg(k.to_owned());
            let mut asked = Vec::new();
            let mut filter = |value: &u32| {
                asked.push(*value);
                filter
            };
            let found = router.find(&query, &vars, &mut filter, &mut params).copied();
            (found, asked, params.eval_error().is_some())
        };
        let base = get("x.h", "/a/b");
        assert_eq!(find(Query { method: b"POST", ..base }, "v", true), (Some(1), vec![], false));
        let inside = Some(IpAddr::from([10, 1, 1, 1]));
        assert_eq!(
            find(Query { remote_addr: inside, ..base }, "", false),
            (Some(2), vec![], false)
        );
        assert_eq!(find(base, "v", false), (Some(3), vec![], false));
        assert_eq!(find(base, "aa", false), (Some(4), vec![], false));
        assert_eq!(find(base, "", true), (Some(5), vec![5], false));
        assert_eq!(find(base, "", false), (Some(7), vec![5], false));
        assert_eq!(find(base, &bad, false), (Some(7), vec![5], true));
        assert_eq!(find(Query { remote_addr: None, ..base }, "", false), (Some(7), vec![5], false));
    }
}

struct Arg(String);

impl expr::Vars for Arg {
    fn get(&self, name: &str) -> Option<VarValue<'_>> {
        (name == "arg_k").then_some(VarValue::Str(Cow::Borrowed(self.0.as_bytes())))
    }
}

#[test]
fn a_bad_pattern_is_named() {
    let error = Router::build(Mode::UriWithParameter, [spec(1, "/:a/(")]).unwrap_err();
    assert_eq!(error.uri, "/:a/(");
    assert!(error.to_string().starts_with("invalid uri '/:a/(': invalid regular expression"));
    assert!(check_uri(Mode::HostUri, "/:a/(").is_ok());
    assert!(check_uri(Mode::HostUri, "/*/(").is_err());
    assert_eq!(Mode::from_name("radixtree_host_uri"), Some(Mode::default()));
    assert_eq!(Mode::from_name("radix"), None);
    assert_eq!(Router::<u32>::build(Mode::Uri, []).unwrap().mode(), Mode::Uri);
}

#[test]
fn an_index_changes_nothing_but_the_time() {
    let mut specs: Vec<_> = (0..400u32).map(|n| spec(n, &format!("/:t/r{n}"))).collect();
    specs.extend((0..400).map(|n| on(spec(1000 + n, "/:t/x/:id"), &[&format!("h{n}.com")])));
    specs.push(spec(2000, "/:t/:u"));
    specs.push(prio(spec(2001, "/:t/r7"), 1));
    specs.push(spec(2002, "/*"));
    specs
        .extend((0..30u32).map(|n| spec(3000 + n, &format!("/{}z", ":p/".repeat(n as usize + 3)))));
    specs.push(on(spec(4000, "/:t/x/:id"), &["*.org", "h3.com"]));
    let mut bench = Bench::new(Mode::UriWithParameter, specs);
    bench.check("h", "/a/r5", Some(5));
    bench.check("h", "/a/r7", Some(2001));
    bench.check("h", "/a/other", Some(2000));
    bench.check("h7.com", "/a/x/1", Some(1007));
    bench.check("h3.com", "/a/x/1", Some(1003));
    bench.check("a.org", "/a/x/1", Some(4000));
    bench.check("no.com", "/a/x/1", Some(2002));
    bench.check("h", "/a/b/c/z", Some(3000));
    bench.check("h", &format!("/{}z", "q/".repeat(32)), Some(3029));
    bench.check("h", &"/a".repeat(500), Some(2002));
}

/// What the router does, without trees, tables or indexes.
fn linear(mode: Mode, specs: &[RouteSpec<u32>], query: &Query<'_>) -> Option<u32> {
    let mut room = [0; HOST_MAX];
    let name = query.host.and_then(|host| host::normalise(host, &mut room)).unwrap_or_default();
    let params = mode == Mode::UriWithParameter;
    let mut best: Option<(_, u32)> = None;
    for (number, spec) in specs.iter().enumerate() {
        if !spec.methods.is_empty() && !spec.methods.iter().any(|m| m.as_bytes() == query.method) {
            continue;
        }
        for uri in &spec.uris {
            let prefix = pattern::prefix_len(uri, params);
            let fits = match prefix {
                None => uri.as_bytes() == query.path,
                Some(prefix) => {
                    let at = pattern::tail_at(&uri.as_bytes()[..prefix]);
                    query.path.starts_with(&uri.as_bytes()[..prefix])
                        && Pattern::new(&uri[at..], params).unwrap().matches(&query.path[at..])
                }
            };
            let hosts = spec.hosts.iter().map(|host| {
                let suffix = host.strip_prefix('*');
                let fits = match suffix {
                    Some(suffix) => name.ends_with(suffix.as_bytes()),
                    None => name == host.as_bytes(),
                };
                // Exact hosts first, then by length of the suffix.
                fits.then(|| suffix.map_or(usize::MAX, str::len) + usize::from(suffix.is_some()))
            });
            let host = if spec.hosts.is_empty() { Some(0) } else { hosts.flatten().max() };
            let Some(host) = host.filter(|_| fits) else { continue };
            let host = if mode == Mode::HostUri { host } else { 0 };
            let path = (prefix.is_none(), prefix);
            let rank = (host, path, spec.priority, uri.len(), std::cmp::Reverse(number));
            if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, spec.value));
            }
        }
    }
    best.map(|(_, value)| value)
}

fn any_spec() -> impl Strategy<Value = RouteSpec<u32>> {
    let uri = prop_oneof![
        "(/[ab]{1,2}){0,3}/?",
        "(/[ab]{1,2}){0,2}/?\\*",
        "(/(:[xy]|[ab])){1,3}(/|/\\*|/\\*r)?",
        "(/[ab]){0,1}/\\*/[ab]",
    ];
    let host = prop::sample::select(&["a.x", "b.x", "*.x", "*.b.x", "*b.x", "*"][..]);
    let hosts = prop::collection::vec(host.prop_map(str::to_owned), 0..3);
    let method = prop::sample::select(&["GET", "PUT", "BREW"][..]).prop_map(str::to_owned);
    let methods = prop::collection::vec(method, 0..2);
    (prop::collection::vec(uri, 1..3), hosts, methods, -1..2i64).prop_map(
        |(uris, hosts, methods, priority)| RouteSpec {
            uris,
            hosts,
            methods,
            priority,
            ..spec(0, "")
        },
    )
}

fn numbered(mut specs: Vec<RouteSpec<u32>>) -> Vec<RouteSpec<u32>> {
    (0..).zip(&mut specs).for_each(|(number, spec)| spec.value = number);
    specs
}

fn copy(spec: &RouteSpec<u32>) -> RouteSpec<u32> {
    RouteSpec {
        hosts: spec.hosts.clone(),
        uris: spec.uris.clone(),
        methods: spec.methods.clone(),
        remote_addrs: None,
        vars: None,
        ..*spec
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_trying_every_route(
        specs in prop::collection::vec(any_spec(), 0..60).prop_map(numbered),
        queries in prop::collection::vec(
            ("[ab]\\.x|a\\.b\\.x|b\\.b\\.x|c", "(/[ab]{0,2}){1,4}", "GET|PUT|BREW|FOO"),
            8,
        ),
    ) {
        for mode in MODES {
            let mut bench = Bench::new(mode, specs.iter().map(copy).collect());
            for (host, path, method) in &queries {
                let query = Query { method: method.as_bytes(), ..get(host, path) };
                let want = linear(mode, &specs, &query);
                let shown = |value: Option<u32>| value.map(|v| format!("{:?}", specs[v as usize]));
                let found = bench.find(&query);
                prop_assert_eq!(found, want, "{:?} {} {}{}: {:?} instead of {:?}",
                    mode, method, host, path, shown(found), shown(want));
            }
        }
    }

    /// Routes that were changed, taken out and added are found as if all had been built anew.
    #[test]
    fn changes_laid_over_agree_too(
        specs in prop::collection::vec(any_spec(), 0..40).prop_map(numbered),
        changes in prop::collection::vec((any::<bool>(), any_spec()), 40),
        chosen in prop::collection::vec(0..4_u8, 40),
        more in prop::collection::vec(any_spec(), 0..6),
        queries in prop::collection::vec(
            ("[ab]\\.x|a\\.b\\.x|b\\.b\\.x|c", "(/[ab]{0,2}){1,4}", "GET|PUT|BREW|FOO"),
            8,
        ),
    ) {
        let mut all = Vec::new();
        let mut over = Changes { specs: vec![], gone: HashSet::default(), places: Default::default() };
        for ((spec, (stays, change)), chosen) in specs.iter().zip(&changes).zip(chosen) {
            if chosen > 0 {
                all.push(copy(spec));
                continue;
            }
            over.gone.insert(spec.value);
            if *stays {
                let value = 1000 + spec.value;
                over.places.insert(value, spec.value);
                over.specs.push(RouteSpec { value, ..copy(change) });
                all.push(RouteSpec { value, ..copy(change) });
            }
        }
        for (value, spec) in (2000..).zip(&more) {
            over.specs.push(RouteSpec { value, ..copy(spec) });
            all.push(RouteSpec { value, ..copy(spec) });
        }
        for mode in MODES {
            let base = Router::build(mode, specs.iter().map(copy)).unwrap();
            let changes = Changes {
                specs: over.specs.iter().map(copy).collect(),
                gone: over.gone.clone(),
                places: over.places.clone(),
            };
            let router = base.changed(changes).unwrap();
            let mut bench = Bench { router, params: Params::default() };
            for (host, path, method) in &queries {
                let query = Query { method: method.as_bytes(), ..get(host, path) };
                prop_assert_eq!(bench.find(&query), linear(mode, &all, &query),
                    "{:?} {} {}{}: {:?} over {:?}", mode, method, host, path, over.specs, specs);
            }
        }
    }

    #[test]
    fn no_input_panics(
        host in prop::collection::vec(any::<u8>(), 0..12),
        path in prop::collection::vec(any::<u8>(), 0..20),
        uri in "[/:*a(.?]{0,8}",
        route_host in "[*a.:\\[\\]]{0,5}",
    ) {
        for mode in MODES {
            let one = on(spec(1, &uri), &[&route_host]);
            let Ok(router) = Router::build(mode, [one, spec(2, &uri)]) else { continue };
            let query = Query { host: Some(&host), path: &path, ..get("", "") };
            router.find(&query, &NoVars, &mut |_| true, &mut Params::default());
        }
    }
}
