//! One tree of paths: of one host, or of all routes without one.
//!
//! Paths without a wildcard lie in a hash table, the literal prefixes of the others in
//! [`Prefixes`]. Routes with the same path form a *bucket*, in the order in which they are tried: higher
//! priority first, then the longer pattern, then the earlier definition.

use std::{
    cmp::{Ordering, Reverse},
    net::IpAddr,
    sync::Arc,
};

use super::{
    expr::{EvalError, Expr, Vars},
    host::HostPattern,
    index::{Filed, Index},
    ip::IpMatcher,
    method::Methods,
    pattern::Pattern,
    prefixes::Prefixes,
    table::{Table, index},
};

/// The conditions of a route, shared by all its paths and hosts. Small, because every look-up
/// fetches one that is in no cache.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) methods: Methods,
    pub(super) filter_fun: bool,
    /// What few routes have.
    pub(super) more: Option<Box<Conditions>>,
}

impl Rule {
    /// Whether there is no condition at all.
    fn is_open(&self) -> bool {
        self.methods.is_any() && !self.filter_fun && self.more.is_none()
    }
}

/// The less common conditions of a route.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Empty where hosts choose the tree instead.
    pub(super) hosts: Box<[HostPattern]>,
    pub(super) remote_addrs: Option<IpMatcher>,
    pub(super) vars: Option<Expr>,
}

/// One path of a route, before it is filed.
pub(super) struct Item<T> {
    pub(super) uri: Box<str>,
    /// Length of the literal prefix, and what follows; `None` for an exact path.
    pub(super) wild: Option<(usize, Arc<Pattern>)>,
    pub(super) priority: i64,
    pub(super) rule: Arc<Rule>,
    pub(super) value: T,
}

/// What one look-up asks, and what it learns on its way.
pub(super) struct Lookup<'q, T> {
    pub(super) path: &'q [u8],
    /// Lower case, without port.
    pub(super) host: Option<&'q [u8]>,
    /// As the client sent it.
    pub(super) authority: Option<&'q [u8]>,
    pub(super) method: &'q [u8],
    pub(super) method_bit: u16,
    pub(super) remote_addr: Option<IpAddr>,
    pub(super) vars: &'q dyn Vars,
    pub(super) filter: &'q mut dyn FnMut(&T) -> bool,
    pub(super) error: Option<EvalError>,
}

/// A route that matches.
pub(super) struct Found<'r, T> {
    pub(super) value: &'r T,
    pub(super) shape: Shape<'r>,
    /// The host pattern, where hosts are a condition.
    pub(super) host: Option<&'r HostPattern>,
}

/// What kind of path matched.
#[derive(Clone, Copy)]
pub(super) enum Shape<'r> {
    /// The path as it is.
    Exact,
    /// This, and a bare `*` behind it.
    Star(&'r [u8]),
    /// A pattern.
    Pattern(&'r Pattern),
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree<T> {
    /// From a path to its bucket.
    exact: Table,
    prefixes: Option<Box<Prefixes>>,
    large: Box<[Large]>,
    routes: Box<[Candidate<T>]>,
}

/// Routes that share a path, in one number: where they begin in [`Tree::routes`] and how many
/// they are, or which of [`Tree::large`] they are. One number less to fetch on every look-up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket(u32);

/// A bucket with more routes than a [`Bucket`] has room for.
#[derive(Debug)]
struct Large {
    first: usize,
    len: usize,
    index: Option<Box<Index>>,
}

impl Bucket {
    const LARGE: u32 = 1 << 31;
    const FIRST_BITS: u32 = 28;
    const LEN_MAX: usize = 7;

    /// The bucket of `len` routes from `first` on, if it fits into a number.
    fn small(first: usize, len: usize) -> Option<Self> {
        let fits = len <= Self::LEN_MAX && first < 1 << Self::FIRST_BITS;
        fits.then(|| Self(index(len) << Self::FIRST_BITS | index(first)))
    }

    /// The bucket whose [`Bucket::number`] is `number`.
    pub(super) fn of(number: u32) -> Self {
        Self(number)
    }

    /// The bucket as a number, to be kept.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    fn large(number: usize) -> Self {
        Self(Self::LARGE | index(number))
    }
}

#[derive(Debug)]
struct Candidate<T> {
    value: T,
    /// Whether the rule has no condition: then nobody needs to fetch it.
    open: bool,
    rule: Arc<Rule>,
    /// `None` for an exact path.
    pattern: Option<Arc<Pattern>>,
}

/// A tree of one single path, in one cache line: most hosts have no more, and with very many
/// hosts everything that a look-up touches is in no cache.
#[derive(Debug)]
pub(super) struct Lone<T> {
    candidate: Candidate<T>,
    /// Whether the pattern is the literal with a bare `*` behind it.
    star: bool,
    literal_len: u8,
    /// The exact path, or the literal prefix of the pattern.
    literal: [u8; LITERAL_MAX],
}

/// A longer literal makes a [`Tree`].
const LITERAL_MAX: usize = 26;

impl<T: Copy> Lone<T> {
    /// The only one of `items`, if there is just one and it is short enough.
    pub(super) fn new(items: &[Item<T>]) -> Option<Self> {
        let [item] = items else { return None };
        let key = item.key();
        let mut literal = [0; LITERAL_MAX];
        literal.get_mut(..key.len())?.copy_from_slice(key);
        let literal_len = u8::try_from(key.len()).ok()?;
        let star = item.wild.as_ref().is_some_and(|(prefix, p)| p.is_star_behind(*prefix));
        Some(Self { candidate: item.candidate(), star, literal_len, literal })
    }

    /// The route, if it matches.
    pub(super) fn find<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        let literal = &self.literal[..usize::from(self.literal_len)];
        if self.star {
            if !look.path.starts_with(literal) {
                return None;
            }
            return self.candidate.admit_rule(look, Shape::Star(literal));
        }
        let fits = match self.candidate.pattern {
            None => look.path == literal,
            Some(_) => look.path.starts_with(literal),
        };
        if fits { self.candidate.admits(look) } else { None }
    }
}

impl<T: Copy> Tree<T> {
    /// Files `items`, which come in the order of definition.
    pub(super) fn new(mut items: Vec<Item<T>>) -> Self {
        items.sort_by(Item::compare);
        let keys: Vec<(bool, Vec<u8>)> =
            items.iter().map(|item| (item.wild.is_some(), item.key().to_vec())).collect();
        let routes: Box<[_]> = items.iter().map(Item::candidate).collect();
        let mut exact = Vec::new();
        let mut prefixes = Vec::new();
        let mut large = Vec::new();
        let mut first = 0;
        for group in keys.chunk_by(|a, b| a == b) {
            let len = group.len();
            let bucket = Bucket::small(first, len).unwrap_or_else(|| {
                let members = routes[first..first + len].iter().map(Candidate::filed);
                large.push(Large { first, len, index: Index::new(members) });
                Bucket::large(large.len() - 1)
            });
            first += len;
            match &group[0] {
                (false, key) => exact.push((&key[..], bucket.0)),
                (true, key) => prefixes.push((&key[..], bucket)),
            }
        }
        let exact = Table::new(exact);
        Self { exact, prefixes: Prefixes::new(&prefixes), large: large.into(), routes }
    }

    /// The first route that matches: exact path first, then ever shorter prefixes.
    pub(super) fn find<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        if let Some(bucket) = self.exact.get(look.path)
            && let Some(found) = self.try_bucket(Bucket::of(bucket), look)
        {
            return Some(found);
        }
        let prefixes = self.prefixes.as_deref()?;
        prefixes.of(look.path).find_map(|bucket| self.try_bucket(bucket, look))
    }

    fn try_bucket<'r>(&'r self, bucket: Bucket, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        let Bucket(number) = bucket;
        if number & Bucket::LARGE == 0 {
            let len = (number >> Bucket::FIRST_BITS) as usize;
            let first = number as usize & ((1 << Bucket::FIRST_BITS) - 1);
            return self.routes[first..first + len].iter().find_map(|route| route.admits(look));
        }
        let large = &self.large[(number & !Bucket::LARGE) as usize];
        let routes = &self.routes[large.first..large.first + large.len];
        match &large.index {
            None => routes.iter().find_map(|route| route.admits(look)),
            Some(index) => index.visit(look.path, look.host, |rank| routes[rank].admits(look)),
        }
    }
}

impl<T: Copy> Item<T> {
    fn candidate(&self) -> Candidate<T> {
        Candidate {
            value: self.value,
            open: self.rule.is_open(),
            rule: Arc::clone(&self.rule),
            pattern: self.wild.as_ref().map(|(_, pattern)| Arc::clone(pattern)),
        }
    }

    fn key(&self) -> &[u8] {
        let len = self.wild.as_ref().map_or(self.uri.len(), |(prefix, _)| *prefix);
        &self.uri.as_bytes()[..len]
    }

    fn compare(&self, other: &Self) -> Ordering {
        let rank = |item: &Self| (Reverse(item.priority), Reverse(item.uri.len()));
        (self.wild.is_some().cmp(&other.wild.is_some()))
            .then_with(|| self.key().cmp(other.key()))
            .then_with(|| rank(self).cmp(&rank(other)))
    }
}

impl<T> Candidate<T> {
    fn filed(&self) -> Filed<'_> {
        let hosts = self.rule.more.as_ref().map_or(&[][..], |more| &more.hosts);
        let exact: Option<Vec<_>> = hosts.iter().map(HostPattern::exact).collect();
        Filed { pattern: self.pattern.as_deref(), hosts: exact.unwrap_or_default() }
    }

    /// Checks every condition, the cheap ones first and the caller's own last.
    fn admits<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        let shape = match self.pattern.as_deref() {
            None => Shape::Exact,
            Some(pattern) if pattern.matches(look.path) => Shape::Pattern(pattern),
            Some(_) => return None,
        };
        self.admit_rule(look, shape)
    }

    /// Checks all but the path.
    fn admit_rule<'r>(
        &'r self,
        look: &mut Lookup<'_, T>,
        shape: Shape<'r>,
    ) -> Option<Found<'r, T>> {
        if self.open {
            return Some(Found { value: &self.value, shape, host: None });
        }
        let rule = &*self.rule;
        if !rule.methods.contains(look.method_bit, look.method) {
            return None;
        }
        let host = match &rule.more {
            Some(more) => more.admit(look)?,
            None => None,
        };
        if rule.filter_fun && !(look.filter)(&self.value) {
            return None;
        }
        Some(Found { value: &self.value, shape, host })
    }
}

impl Conditions {
    /// The host that fits, if there is a condition on it; the outer `None` if any condition fails.
    fn admit<T>(&self, look: &mut Lookup<'_, T>) -> Option<Option<&HostPattern>> {
        let mut host = None;
        if !self.hosts.is_empty() {
            let name = look.host?;
            host = Some(self.hosts.iter().find(|known| known.matches(name, look.authority))?);
        }
        if let Some(addresses) = &self.remote_addrs
            && !addresses.matches(look.remote_addr?)
        {
            return None;
        }
        match self.vars.as_ref().map_or(Ok(true), |vars| vars.eval(look.vars)) {
            Ok(holds) => holds.then_some(host),
            Err(error) => {
                look.error = Some(error);
                None
            }
        }
    }
}
