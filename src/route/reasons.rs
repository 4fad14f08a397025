//! Why a route is taken for a request, or is not: slow, and in words.
//!
//! [`judge`] looks at one route by itself, by the conditions and not by the trees, and gives it a
//! [`Rank`] if all hold. Of all routes the one of the highest rank, and of equals the one that was
//! defined first, is the one that [`Router::find`](super::Router::find) finds; a test compares
//! both with each other.

use serde_json::{Value, json};

use super::{
    Mode, Query,
    expr::{Expr, VarValue, Vars},
    host::{HOST_MAX, HostPattern, normalise},
    ip::IpMatcher,
    method::{Methods, bit},
    pattern::{self, Pattern},
};

/// The conditions of a route, as it is configured.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'r> {
    /// Its hosts, or its service's.
    pub hosts: &'r [Box<str>],
    /// Its paths.
    pub uris: &'r [Box<str>],
    /// Its methods.
    pub methods: &'r [Box<str>],
    /// Its clients.
    pub remote_addrs: &'r [Box<str>],
    /// Its expression.
    pub vars: Option<&'r Value>,
    /// Its priority.
    pub priority: i64,
    /// `status` is not 0.
    pub enabled: bool,
    /// What its `filter_func` says.
    pub filter: Filter,
}

/// What a `filter_func` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// There is none, or it lets the request pass.
    Passes,
    /// It does not let it pass.
    Refuses,
    /// It was not asked.
    Unknown,
}

/// A condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No path fits.
    Uri,
    /// No host fits.
    Host,
    /// The method is not among those of the route.
    Method,
    /// The client is not among those of the route.
    RemoteAddr,
    /// The expression does not hold.
    Vars,
    /// `filter_func` refused.
    FilterFunc,
    /// `filter_func` was not asked.
    FilterUnknown,
    /// `status` is 0.
    Disabled,
}

impl Reason {
    /// All of them, the one that leaves a route farthest away first.
    pub const ALL: [Self; 8] = [
        Self::Uri,
        Self::Host,
        Self::Method,
        Self::RemoteAddr,
        Self::Vars,
        Self::FilterFunc,
        Self::FilterUnknown,
        Self::Disabled,
    ];

    /// What it is called in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Host => "host",
            Self::Method => "method",
            Self::RemoteAddr => "remote_addr",
            Self::Vars => "vars",
            Self::FilterFunc => "filter_func",
            Self::FilterUnknown => "unknown: filter_func",
            Self::Disabled => "disabled",
        }
    }
}

/// How good a match is: the greater comes first. In the order of the fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// 2 for a host by name, 1 for a wildcard, 0 where hosts choose nothing.
    host: u8,
    host_len: usize,
    exact: bool,
    prefix_len: usize,
    priority: i64,
    uri_len: usize,
}

impl Rank {
    /// By what this comes before `lesser`, in words.
    #[must_use]
    pub fn over(&self, lesser: &Self) -> &'static str {
        if (self.host, self.host_len) != (lesser.host, lesser.host_len) {
            "its host fits more closely"
        } else if self.exact != lesser.exact {
            "its uri is the path itself"
        } else if self.prefix_len != lesser.prefix_len {
            "its uri has a longer prefix before the wildcard"
        } else if self.priority != lesser.priority {
            "its priority is higher"
        } else if self.uri_len != lesser.uri_len {
            "its uri is longer"
        } else {
            "it was defined earlier"
        }
    }
}

/// What came of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What does not hold, in the order of [`Reason::ALL`]; [`judge`] may stop at the first.
    pub failed: Vec<Reason>,
    /// How good the match is, if only [`Reason::FilterUnknown`] is against it, or nothing.
    pub rank: Option<Rank>,
    /// Bytes of the path that are as in one of the route's.
    pub common: usize,
}

impl Judgement {
    /// Whether the route takes the request, as far as is known.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.failed.is_empty()
    }
}

/// Judges a route. With `all` every condition is looked at, else none after the first that fails.
#[must_use]
pub fn judge(
    mode: Mode,
    terms: &Terms<'_>,
    query: &Query<'_>,
    vars: &dyn Vars,
    all: bool,
) -> Judgement {
    let mut failed = Vec::new();
    let common = terms.uris.iter().map(|uri| common_len(uri.as_bytes(), query.path)).max();
    let common = common.unwrap_or(0);
    let paths = terms.uris.iter().filter_map(|uri| path_rank(mode, uri, query.path));
    let paths: Vec<PathRank> = paths.collect();
    let host = host_rank(mode, terms.hosts, query.host);
    let mut holds = |reason, holds: &dyn Fn() -> bool| {
        if (all || failed.is_empty()) && !holds() {
            failed.push(reason);
        }
    };
    holds(Reason::Uri, &|| !paths.is_empty());
    holds(Reason::Host, &|| host.is_some());
    holds(Reason::Method, &|| method_fits(terms.methods, query.method));
    holds(Reason::RemoteAddr, &|| address_fits(terms.remote_addrs, query));
    holds(Reason::Vars, &|| terms.vars.is_none_or(|rule| eval(rule, vars)));
    holds(Reason::FilterFunc, &|| terms.filter != Filter::Refuses);
    holds(Reason::FilterUnknown, &|| terms.filter != Filter::Unknown);
    holds(Reason::Disabled, &|| terms.enabled);
    let open = failed.iter().all(|reason| *reason == Reason::FilterUnknown) && terms.enabled;
    let rank = match (host, open) {
        (Some((host, host_len)), true) => paths
            .into_iter()
            .map(|(exact, prefix_len, uri_len)| {
                let priority = terms.priority;
                Rank { host, host_len, exact, prefix_len, priority, uri_len }
            })
            .max(),
        _ => None,
    };
    Judgement { failed, rank, common }
}

/// Whether it is the path itself, the length of the literal prefix, and the length of all.
type PathRank = (bool, usize, usize);

fn path_rank(mode: Mode, uri: &str, path: &[u8]) -> Option<PathRank> {
    let params = mode == Mode::UriWithParameter;
    let Some(prefix) = pattern::prefix_len(uri, params) else {
        return (uri.as_bytes() == path).then_some((true, path.len(), path.len()));
    };
    let literal = &uri.as_bytes()[..prefix];
    if !path.starts_with(literal) {
        return None;
    }
    let at = pattern::tail_at(literal);
    let pattern = Pattern::new(&uri[at..], params).ok()?;
    pattern.matches(&path[at..]).then_some((false, prefix, uri.len()))
}

fn common_len(uri: &[u8], path: &[u8]) -> usize {
    uri.iter().zip(path).take_while(|(a, b)| a == b).count()
}

/// How closely one of `hosts` fits; `None` if none does.
fn host_rank(mode: Mode, hosts: &[Box<str>], sent: Option<&[u8]>) -> Option<(u8, usize)> {
    if hosts.is_empty() {
        return Some((0, 0));
    }
    let mut room = [0; HOST_MAX];
    let name = normalise(sent?, &mut room)?;
    let mut patterns = hosts.iter().map(|host| HostPattern::new(host));
    if mode != Mode::HostUri {
        // One condition among others.
        return patterns.any(|host| host.matches(name, sent)).then_some((0, 0));
    }
    patterns.filter_map(|host| host.closeness(name)).max()
}

fn method_fits(methods: &[Box<str>], method: &[u8]) -> bool {
    let names: Vec<&str> = methods.iter().map(|name| &**name).collect();
    Methods::new(&names).contains(bit(method), method)
}

fn address_fits(addrs: &[Box<str>], query: &Query<'_>) -> bool {
    if addrs.is_empty() {
        return true;
    }
    let set = IpMatcher::new(addrs.iter());
    set.is_ok_and(|set| query.remote_addr.is_some_and(|addr| set.matches(addr)))
}

fn eval(rule: &Value, vars: &dyn Vars) -> bool {
    Expr::compile(rule).is_ok_and(|expr| expr.eval(vars).unwrap_or(false))
}

/// The part of `rule` that keeps it from holding, with the value of the variable that it compares.
/// `None` if it holds.
#[must_use]
pub fn failing(rule: &Value, vars: &dyn Vars) -> Option<Value> {
    let holds = Expr::compile(rule).map(|expr| expr.eval(vars));
    let why = match holds {
        Ok(Ok(true)) => return None,
        Ok(Ok(false)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(why) => Some(why),
    };
    let list = rule.as_array().map_or(&[][..], Vec::as_slice);
    let parts = match list {
        // A list of one comparison is the comparison.
        [only] if is_comparison(only) => return Some(compared(only, why, vars)),
        [Value::Array(_), ..] => list,
        [Value::String(op), rest @ ..] if op.eq_ignore_ascii_case("and") => rest,
        _ => &[],
    };
    let whole = |part: &Value| if is_comparison(part) { json!([part]) } else { part.clone() };
    let first = parts.iter().find_map(|part| failing(&whole(part), vars));
    first.or_else(|| Some(compared(rule, why, vars)))
}

/// Whether it is `[name, operator, value]`.
fn is_comparison(rule: &Value) -> bool {
    let joins = ["and", "or", "!or", "!and"];
    let first = rule.get(0).and_then(Value::as_str);
    first.is_some_and(|first| !joins.iter().any(|join| join.eq_ignore_ascii_case(first)))
}

fn compared(rule: &Value, error: Option<String>, vars: &dyn Vars) -> Value {
    let mut shown = json!({"expression": rule});
    let Some(map) = shown.as_object_mut() else { return shown };
    if let Some(name) = rule.get(0).and_then(Value::as_str).filter(|_| is_comparison(rule)) {
        map.insert("value".to_owned(), vars.get(name).as_ref().map_or(Value::Null, value));
    }
    map.extend(error.map(|error| ("error".to_owned(), error.into())));
    shown
}

fn value(of: &VarValue<'_>) -> Value {
    match of {
        VarValue::Str(text) => String::from_utf8_lossy(text).into_owned().into(),
        VarValue::Num(number) => json!(number),
        VarValue::Bool(truth) => json!(truth),
        VarValue::List(list) => list.iter().map(value).collect(),
    }
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod tests;
