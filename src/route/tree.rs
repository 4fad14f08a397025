//! One tree of paths: of one host, or of all routes without one.
//!
//! Paths without a wildcard lie in a hash table, the literal prefixes of the others in
//! [`Prefixes`]. Routes with the same path form a *bucket*, in the order in which they are tried: higher
//! priority first, then the longer pattern, then the earlier definition.

use std::{
    cmp::{Ordering, Reverse},
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::Arc,
};

use foldhash::HashSet;

use super::{
    expr::{EvalError, Expr, Vars},
    host::HostPattern,
    index::{Filed, Index},
    ip::IpMatcher,
    method::Methods,
    pattern::{self, Pattern},
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
    /// Length of the literal prefix, and what follows its last slash; `None` for an exact path.
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
    /// Routes that do not serve any more, where newer ones are laid over these.
    pub(super) gone: Option<&'q HashSet<T>>,
    pub(super) error: Option<EvalError>,
}

/// A route that matches.
pub(super) struct Found<'r, T> {
    pub(super) value: &'r T,
    pub(super) shape: Shape<'r>,
    /// The host pattern, where hosts are a condition.
    pub(super) host: Option<&'r HostPattern>,
    pub(super) priority: i64,
}

/// What kind of path matched.
#[derive(Clone, Copy)]
pub(super) enum Shape<'r> {
    /// The path as it is.
    Exact,
    /// This, and a bare `*` behind it.
    Star(&'r [u8]),
    /// A pattern, and where in the path it begins.
    Pattern(usize, &'r Pattern),
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree<T> {
    /// From a path to its bucket.
    exact: Table,
    prefixes: Option<Box<Prefixes>>,
    large: Box<[Large]>,
    routes: Box<[Candidate<T>]>,
    /// Of each of `routes`, in their order.
    rules: Box<[Arc<Rule>]>,
    /// All that the routes have, each once.
    patterns: Box<[Arc<Pattern>]>,
    /// Of each of `routes`; empty if all are 0. Nothing but a comparison with another tree asks.
    priorities: Box<[i64]>,
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

/// A route of a tree. Small, so that those of very many routes stay in the cache.
#[derive(Debug)]
struct Candidate<T> {
    value: T,
    mark: Mark,
}

/// Which of [`Tree::patterns`] a route has, and whether its rule has no condition: then nobody
/// needs to fetch it.
#[derive(Debug, Clone, Copy)]
struct Mark(u32);

impl Mark {
    const OPEN: u32 = 1 << 31;
    /// An exact path.
    const EXACT: u32 = Self::OPEN - 1;

    fn new(pattern: Option<usize>, open: bool) -> Self {
        Self(pattern.map_or(Self::EXACT, index) | if open { Self::OPEN } else { 0 })
    }

    fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    fn pattern(self) -> Option<usize> {
        let number = self.0 & Self::EXACT;
        (number != Self::EXACT).then_some(number as usize)
    }
}

/// A tree of one single path, in one cache line: most hosts have no more, and with very many
/// hosts everything that a look-up touches is in no cache.
#[derive(Debug)]
pub(super) struct Lone<T> {
    value: T,
    rule: Arc<Rule>,
    /// `None` for an exact path.
    pattern: Option<Arc<Pattern>>,
    open: bool,
    /// Whether the pattern is the literal with a bare `*` behind it.
    star: bool,
    literal_len: u8,
    priority: i64,
    /// The exact path, or the literal prefix of the pattern.
    literal: [u8; LITERAL_MAX],
}

/// A longer literal makes a [`Tree`].
const LITERAL_MAX: usize = 26;

impl<T: Copy + Eq + Hash> Lone<T> {
    /// The only one of `items`, if there is just one and it is short enough.
    pub(super) fn new(items: &[Item<T>]) -> Option<Self> {
        let [item] = items else { return None };
        let key = item.key();
        let mut literal = [0; LITERAL_MAX];
        literal.get_mut(..key.len())?.copy_from_slice(key);
        let literal_len = u8::try_from(key.len()).ok()?;
        let star = item.wild.as_ref().is_some_and(|(_, pattern)| pattern.is_star());
        let (value, rule) = (item.value, Arc::clone(&item.rule));
        let pattern = item.wild.as_ref().map(|(_, pattern)| Arc::clone(pattern));
        let (priority, open) = (item.priority, rule.is_open());
        Some(Self { value, rule, pattern, open, star, literal_len, priority, literal })
    }

    /// The route, if it matches.
    pub(super) fn find<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        let literal = &self.literal[..usize::from(self.literal_len)];
        let shape = match &self.pattern {
            None if look.path == literal => Shape::Exact,
            Some(_) if self.star && look.path.starts_with(literal) => Shape::Star(literal),
            Some(pattern) if look.path.starts_with(literal) => {
                pattern_shape(pattern, pattern::tail_at(literal), look)?
            }
            _ => return None,
        };
        let rule = (!self.open).then_some(&*self.rule);
        admit(look, Found { value: &self.value, shape, host: None, priority: self.priority }, rule)
    }
}

impl<T: Copy + Eq + Hash> Tree<T> {
    /// Files `items`, which come in the order of definition.
    pub(super) fn new(mut items: Vec<Item<T>>) -> Self {
        items.sort_by(Item::compare);
        let keys: Vec<(bool, Vec<u8>)> =
            items.iter().map(|item| (item.wild.is_some(), item.key().to_vec())).collect();
        let mut patterns = Patterns::default();
        let routes: Box<[_]> = items.iter().map(|item| item.candidate(&mut patterns)).collect();
        let patterns: Box<[_]> = patterns.all.into();
        let mut exact = Vec::new();
        let mut prefixes = Vec::new();
        let mut large = Vec::new();
        let mut first = 0;
        for group in keys.chunk_by(|a, b| a == b) {
            let len = group.len();
            let bucket = Bucket::small(first, len).unwrap_or_else(|| {
                let members = items[first..first + len].iter().map(Item::filed);
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
        let plain = items.iter().all(|item| item.priority == 0);
        let priorities = items.iter().map(|item| item.priority).filter(|_| !plain).collect();
        Self {
            exact,
            prefixes: Prefixes::new(&prefixes),
            large: large.into(),
            routes,
            rules: items.into_iter().map(|item| item.rule).collect(),
            patterns,
            priorities,
        }
    }

    /// The first route that matches: exact path first, then ever shorter prefixes.
    pub(super) fn find<'r>(&'r self, look: &mut Lookup<'_, T>) -> Option<Found<'r, T>> {
        if let Some(bucket) = self.exact.get(look.path)
            && let Some(found) = self.try_bucket(Bucket::of(bucket), look.path.len(), look)
        {
            return Some(found);
        }
        let prefixes = self.prefixes.as_deref()?;
        prefixes.of(look.path).find_map(|(bucket, tail)| self.try_bucket(bucket, tail, look))
    }

    /// Tries the routes of `bucket`; their patterns begin at `tail` of the path.
    fn try_bucket<'r>(
        &'r self,
        bucket: Bucket,
        tail: usize,
        look: &mut Lookup<'_, T>,
    ) -> Option<Found<'r, T>> {
        let Bucket(number) = bucket;
        if number & Bucket::LARGE == 0 {
            let len = (number >> Bucket::FIRST_BITS) as usize;
            let first = number as usize & ((1 << Bucket::FIRST_BITS) - 1);
            return (first..first + len).find_map(|at| self.admits(at, tail, look));
        }
        let Large { first, len, index } = &self.large[(number & !Bucket::LARGE) as usize];
        match index {
            None => (*first..first + len).find_map(|at| self.admits(at, tail, look)),
            Some(index) => {
                let path = &look.path[tail..];
                index.visit(path, look.host, |rank| self.admits(first + rank, tail, look))
            }
        }
    }

    /// Checks every condition of the route at `at`, the cheap ones first and the caller's own
    /// last. Its pattern begins at `tail` of the path.
    fn admits<'r>(
        &'r self,
        at: usize,
        tail: usize,
        look: &mut Lookup<'_, T>,
    ) -> Option<Found<'r, T>> {
        let Candidate { value, mark } = &self.routes[at];
        let shape = match mark.pattern() {
            None => Shape::Exact,
            Some(number) => pattern_shape(&self.patterns[number], tail, look)?,
        };
        let rule = if mark.is_open() { None } else { Some(&*self.rules[at]) };
        let priority = self.priorities.get(at).copied().unwrap_or(0);
        admit(look, Found { value, shape, host: None, priority }, rule)
    }
}

/// The shape of a match by `pattern`, which begins at `tail` of the path; `None` if it does not
/// match.
fn pattern_shape<'r, T>(
    pattern: &'r Pattern,
    tail: usize,
    look: &Lookup<'_, T>,
) -> Option<Shape<'r>> {
    pattern.matches(&look.path[tail..]).then_some(Shape::Pattern(tail, pattern))
}

/// Checks all but the path; `rule` is `None` if there is no condition.
fn admit<'r, T: Eq + Hash>(
    look: &mut Lookup<'_, T>,
    found: Found<'r, T>,
    rule: Option<&'r Rule>,
) -> Option<Found<'r, T>> {
    if look.gone.is_some_and(|gone| gone.contains(found.value)) {
        return None;
    }
    let Some(rule) = rule else { return Some(found) };
    if !rule.methods.contains(look.method_bit, look.method) {
        return None;
    }
    let host = match &rule.more {
        Some(more) => more.admit(look)?,
        None => None,
    };
    if rule.filter_fun && !(look.filter)(found.value) {
        return None;
    }
    Some(Found { host, ..found })
}

/// The patterns of a tree while it is built, and where each of them is.
#[derive(Default)]
struct Patterns {
    all: Vec<Arc<Pattern>>,
    places: HashMap<*const Pattern, usize>,
}

impl Patterns {
    fn place(&mut self, pattern: &Arc<Pattern>) -> usize {
        let next = self.all.len();
        let place = *self.places.entry(Arc::as_ptr(pattern)).or_insert(next);
        if place == next {
            self.all.push(Arc::clone(pattern));
        }
        place
    }
}

impl<T: Copy> Item<T> {
    fn candidate(&self, patterns: &mut Patterns) -> Candidate<T> {
        let pattern = self.wild.as_ref().map(|(_, pattern)| patterns.place(pattern));
        Candidate { value: self.value, mark: Mark::new(pattern, self.rule.is_open()) }
    }

    fn filed(&self) -> Filed<'_> {
        let hosts = self.rule.more.as_ref().map_or(&[][..], |more| &more.hosts);
        let exact: Option<Vec<_>> = hosts.iter().map(HostPattern::exact).collect();
        let pattern = self.wild.as_ref().map(|(_, pattern)| &**pattern);
        Filed { pattern, hosts: exact.unwrap_or_default() }
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
