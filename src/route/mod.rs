//! Which route a request belongs to: by host, path, method, address, variables and filter.
//!
//! A [`Router`] is built off the request path from all routes and then only read. [`Router::find`]
//! tries candidates in a fixed order and falls through to the next whenever a condition fails:
//!
//! 1. in [`Mode::HostUri`], the tree of the exact host, of ever shorter wildcards, then the tree
//!    of the routes without a host; in the other modes one tree, with the host as a condition;
//! 2. in a tree, the exact path, then ever shorter literal prefixes;
//! 3. with the same path, higher priority, then the longer pattern, then the earlier definition.
//!
//! That is the order of APISIX's three `apisix.router.http` modes. Start with `tree` for the
//! paths, `host` for the hosts, `index` for how 100,000 routes cost what one costs.

pub mod expr;
mod expr_ops;
mod host;
mod index;
pub mod ip;
mod method;
mod overlay;
mod params;
mod pattern;
mod prefixes;
mod radix;
pub mod reasons;
mod table;
mod tree;

use std::{collections::HashMap, error, fmt, hash::Hash, mem, net::IpAddr, sync::Arc};

use foldhash::HashSet;

pub use params::Params;

use expr::{Expr, Vars};
use host::{HOST_MAX, HostPattern, Hosts};
use ip::IpMatcher;
use method::Methods;
use overlay::{Matched, Overlay};
use pattern::Pattern;
use tree::{Conditions, Item, Lookup, Rule, Shape, Tree};

/// How hosts and paths are matched: `apisix.router.http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// `radixtree_uri`: the host is one condition among others.
    Uri,
    /// `radixtree_host_uri`: the host comes first.
    #[default]
    HostUri,
    /// `radixtree_uri_with_parameter`: as [`Self::Uri`], and `:name` in a path is a parameter.
    UriWithParameter,
}

impl Mode {
    /// The mode of that name in the configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "radixtree_uri" => Some(Self::Uri),
            "radixtree_host_uri" => Some(Self::HostUri),
            "radixtree_uri_with_parameter" => Some(Self::UriWithParameter),
            _ => None,
        }
    }
}

/// One route, as the configuration has it.
#[derive(Debug)]
pub struct RouteSpec<T> {
    /// `hosts`; empty for every host. The service's hosts if the route has none.
    pub hosts: Vec<String>,
    /// `uris`, or the one `uri`.
    pub uris: Vec<String>,
    /// `methods`; empty for every method.
    pub methods: Vec<String>,
    /// `remote_addrs`.
    pub remote_addrs: Option<IpMatcher>,
    /// `vars`.
    pub vars: Option<Expr>,
    /// `priority`; higher is tried first among routes with the same path.
    pub priority: i64,
    /// Whether the caller's filter (`filter_func`) has a say.
    pub filter_fun: bool,
    /// `status` is not 0.
    pub enabled: bool,
    /// What a match gives.
    pub value: T,
}

/// What the router looks at.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The `Host` field or the target's authority, as sent. Case, port and a trailing dot do not
    /// matter.
    pub host: Option<&'a [u8]>,
    /// The normalised path, or the form with `%2F` kept.
    pub path: &'a [u8],
    /// The method as sent.
    pub method: &'a [u8],
    /// The client's address, if it has one.
    pub remote_addr: Option<IpAddr>,
}

/// A path pattern that no tree can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// The pattern.
    pub uri: String,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid uri '{}': {}", self.uri, self.why)
    }
}

impl error::Error for BuildError {}

/// All routes, ready for look-ups from any number of threads. `T` is a number or the like: with
/// very many routes it is what a look-up has to fetch. Where all conditions leave a choice, the
/// smaller `T` counts as defined earlier.
#[derive(Debug)]
pub struct Router<T> {
    mode: Mode,
    base: Arc<Trees<T>>,
    over: Option<Box<Overlay<T>>>,
}

/// Routes, filed by host and path.
#[derive(Debug)]
struct Trees<T> {
    hosts: Hosts<T>,
    /// Routes without a host, or all of them where the host is only a condition.
    any: Tree<T>,
}

/// Changed routes, to be laid over others.
#[derive(Debug)]
pub struct Changes<T> {
    /// The routes as they are now.
    pub specs: Vec<RouteSpec<T>>,
    /// Which of the older routes are not as they were, or not at all.
    pub gone: HashSet<T>,
    /// Of routes in `specs` that are defined where an older one was: which one.
    pub places: foldhash::HashMap<T, T>,
}

impl<T: Copy + Eq + Hash + Ord> Router<T> {
    /// Builds the router. Disabled routes are left out.
    ///
    /// # Errors
    /// [`BuildError`] for the first path that [`check_uri`] refuses.
    pub fn build(
        mode: Mode,
        specs: impl IntoIterator<Item = RouteSpec<T>>,
    ) -> Result<Self, BuildError> {
        Ok(Self { mode, base: Arc::new(Trees::build(mode, specs)?), over: None })
    }

    /// A router that matches nothing.
    #[must_use]
    pub fn empty(mode: Mode) -> Self {
        Self { mode, base: Arc::new(Trees::default()), over: None }
    }

    /// The routes that this router was built with, with `changes` over them; changes that were
    /// laid over them before are forgotten. Takes as long as the changes are many.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn changed(&self, changes: Changes<T>) -> Result<Self, BuildError> {
        let Changes { specs, gone, places } = changes;
        let trees = Trees::build(self.mode, specs)?;
        let over = Some(Box::new(Overlay { trees, gone, places }));
        Ok(Self { mode: self.mode, base: Arc::clone(&self.base), over })
    }

    /// The mode the router was built for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The first route that matches. `vars` is asked only for routes with an expression, `filter`
    /// only for those with [`RouteSpec::filter_fun`], after all other conditions held. `params`
    /// gets what the match captured; it is cleared first.
    pub fn find(
        &self,
        query: &Query<'_>,
        vars: &dyn Vars,
        filter: &mut dyn FnMut(&T) -> bool,
        params: &mut Params,
    ) -> Option<&T> {
        params.clear();
        let mut room = [0; HOST_MAX];
        let host = query.host.and_then(|host| host::normalise(host, &mut room));
        let mut look = Lookup {
            path: query.path,
            host,
            authority: query.host,
            method: query.method,
            method_bit: method::bit(query.method),
            remote_addr: query.remote_addr,
            vars,
            filter,
            gone: self.over.as_ref().map(|over| &over.gone),
            error: None,
        };
        let found = match &self.over {
            None => self.base.find(&mut look),
            Some(over) => over.find(&self.base, &mut look),
        };
        params.set_error(look.error);
        let (found, in_host) = found?;
        match found.shape {
            Shape::Exact => params.set_path(&[query.path]),
            Shape::Star(prefix) => {
                params.capture(pattern::REST_NAME, &query.path[prefix.len()..]);
                params.set_path(&[prefix, b"*"]);
            }
            Shape::Pattern(at, pattern) => {
                let (before, tail) = query.path.split_at(at);
                pattern.capture(tail, params);
                params.set_path(&[before, pattern.text()]);
            }
        }
        let name = host.unwrap_or_default();
        match (found.host, in_host) {
            (Some(host), _) | (None, Some(Some(host))) => params.set_host(&host.shown(name)),
            (None, Some(None)) => params.set_host(&[name]),
            (None, None) => {}
        }
        Some(found.value)
    }
}

impl<T> Default for Trees<T>
where
    T: Copy + Eq + Hash,
{
    fn default() -> Self {
        Self { hosts: Hosts::new(Vec::new()), any: Tree::new(Vec::new()) }
    }
}

impl<T: Copy + Eq + Hash> Trees<T> {
    fn build(
        mode: Mode,
        specs: impl IntoIterator<Item = RouteSpec<T>>,
    ) -> Result<Self, BuildError> {
        let mut any = Vec::new();
        let mut groups: Vec<(HostPattern, Vec<Item<T>>)> = Vec::new();
        let mut numbers: HashMap<HostPattern, usize> = HashMap::new();
        let mut patterns = HashMap::new();
        for mut spec in specs.into_iter().filter(|spec| spec.enabled) {
            let uris = mem::take(&mut spec.uris);
            let paths = uris.iter().map(|uri| parse_uri(mode, uri, &mut patterns));
            let paths = paths.collect::<Result<Vec<_>, _>>()?;
            let hosts = spec.hosts.iter().map(|host| HostPattern::new(host));
            let (trees, condition): (Vec<_>, Box<[_]>) = match mode {
                Mode::HostUri => (hosts.collect(), Box::default()),
                _ => (Vec::new(), hosts.collect()),
            };
            let (priority, value) = (spec.priority, spec.value);
            let rule = Arc::new(rule_of(spec, condition));
            let items = || paths.iter().map(|path| path.item(&rule, priority, value));
            if trees.is_empty() {
                any.extend(items());
            }
            for host in trees {
                let next = groups.len();
                let number = *numbers.entry(host.clone()).or_insert(next);
                if number == next {
                    groups.push((host, Vec::new()));
                }
                groups[number].1.extend(items());
            }
        }
        Ok(Self { hosts: Hosts::new(groups), any: Tree::new(any) })
    }

    /// The first route that matches.
    fn find<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Matched<'r, T>> {
        match self.hosts.find(look) {
            Some((found, wildcard)) => Some((found, Some(wildcard))),
            None => self.any.find(look).map(|found| (found, None)),
        }
    }
}

/// Whether `uri` can be a path in `mode`.
///
/// # Errors
/// [`BuildError`] says what is wrong, for instance with a regular expression behind a wildcard.
pub fn check_uri(mode: Mode, uri: &str) -> Result<(), BuildError> {
    parse_uri(mode, uri, &mut HashMap::new()).map(drop)
}

/// A path, taken apart once for all hosts of its route.
struct ParsedUri<'s> {
    uri: &'s str,
    wild: Option<(usize, Arc<Pattern>)>,
}

impl ParsedUri<'_> {
    fn item<T>(&self, rule: &Arc<Rule>, priority: i64, value: T) -> Item<T> {
        let rule = Arc::clone(rule);
        Item { uri: self.uri.into(), wild: self.wild.clone(), rule, priority, value }
    }
}

/// Takes `uri` apart. Patterns are shared: what follows the literal prefix is the same in very
/// many routes.
fn parse_uri<'s>(
    mode: Mode,
    uri: &'s str,
    patterns: &mut HashMap<String, Arc<Pattern>>,
) -> Result<ParsedUri<'s>, BuildError> {
    let params = mode == Mode::UriWithParameter;
    let Some(prefix) = pattern::prefix_len(uri, params) else {
        return Ok(ParsedUri { uri, wild: None });
    };
    let tail = &uri[pattern::tail_at(&uri.as_bytes()[..prefix])..];
    let pattern = match patterns.get(tail) {
        Some(pattern) => Arc::clone(pattern),
        None => {
            let invalid = |why| BuildError { uri: uri.to_owned(), why };
            let pattern = Arc::new(Pattern::new(tail, params).map_err(invalid)?);
            patterns.insert(tail.to_owned(), Arc::clone(&pattern));
            pattern
        }
    };
    Ok(ParsedUri { uri, wild: Some((prefix, pattern)) })
}

fn rule_of<T>(spec: RouteSpec<T>, hosts: Box<[HostPattern]>) -> Rule {
    let more = Conditions { hosts, remote_addrs: spec.remote_addrs, vars: spec.vars };
    let any = !more.hosts.is_empty() || more.remote_addrs.is_some() || more.vars.is_some();
    Rule {
        methods: Methods::new(&spec.methods),
        filter_fun: spec.filter_fun,
        more: any.then(|| Box::new(more)),
    }
}

#[cfg(test)]
mod tests;
