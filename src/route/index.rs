//! Finds the few routes worth trying where very many share one literal prefix.
//!
//! Ten thousand patterns such as `/:tenant/orders-17` all sit at the prefix `/`, and in the modes
//! where the host is only a condition, ten thousand hosts may share `/`. Trying them in turn
//! would cost milliseconds. Most of them differ in a literal segment or in the host, so each is
//! filed under a hash of those; a look-up makes one probe for each *shape* of pattern at hand.
//! The index only narrows: whoever is found is still checked in full, in the usual order.

use std::collections::HashMap;

use memchr::memchr;

use super::{
    pattern::{Pattern, Segment},
    table::{Table, hash, index},
};

/// Below this many routes, trying each is as quick.
const WORTH_IT: usize = 8;
/// Shapes beyond this many are filed without a hash.
const SHAPES_MAX: usize = 16;
/// Segments of a request that are looked at.
const SEGMENTS_MAX: usize = 64;

/// What of a request a pattern compares literally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    /// Bit n: segment n is a literal.
    literals: u64,
    /// Segments before a `*`; [`Self::ANY`] if the path is not compared by segments.
    segments: u8,
    rest: bool,
    /// Whether the host is one of a few exact ones.
    host: bool,
}

impl Shape {
    const ANY: u8 = u8::MAX;
    /// Takes in every request.
    const OPEN: Self = Self { literals: 0, segments: Self::ANY, rest: false, host: false };
}

/// The routes of one bucket by shape and hash. A route is known by its rank in the bucket.
#[derive(Debug)]
pub(super) struct Index {
    shapes: Box<[Shape]>,
    /// From the hash to a place in `ranks`.
    lists: Table,
    /// Lists, each after its length.
    ranks: Box<[u32]>,
}

/// A route as the index sees it.
pub(super) struct Filed<'r> {
    /// Its pattern, if it has a wildcard.
    pub(super) pattern: Option<&'r Pattern>,
    /// Its hosts, if they are a condition and all of them are exact.
    pub(super) hosts: Vec<&'r str>,
}

impl Index {
    /// Files the routes of a bucket, in rank order. `None` if that would not narrow anything.
    pub(super) fn new<'r>(routes: impl Iterator<Item = Filed<'r>>) -> Option<Box<Self>> {
        let routes: Vec<_> = routes.collect();
        if routes.len() <= WORTH_IT {
            return None;
        }
        let shapes = common_shapes(&routes);
        if shapes == [Shape::OPEN] {
            return None;
        }
        let mut lists: HashMap<u64, Vec<u32>> = HashMap::new();
        for (rank, route) in routes.iter().enumerate() {
            let wanted = shape_of(route);
            let number = shapes.iter().position(|shape| *shape == wanted).unwrap_or(0);
            let mut state = seed(number);
            if shapes[number] != Shape::OPEN {
                state = literals(route).fold(state, hash);
            }
            let mut file = |key| lists.entry(key).or_default().push(index(rank));
            match shapes[number].host {
                true => route.hosts.iter().for_each(|host| file(hash(state, host.as_bytes()))),
                false => file(state),
            }
        }
        let mut ranks = Vec::new();
        let lists = Table::new(lists.into_iter().map(|(key, list)| {
            let at = index(ranks.len());
            ranks.push(index(list.len()));
            ranks.extend(list);
            (key.to_le_bytes(), at)
        }));
        Some(Box::new(Self { shapes: shapes.into(), lists, ranks: ranks.into() }))
    }

    /// Offers the ranks of the routes that may match a path, of which `tail` is what the patterns
    /// look at, in ascending order, until one is taken.
    pub(super) fn visit<R>(
        &self,
        tail: &[u8],
        host: Option<&[u8]>,
        mut offer: impl FnMut(usize) -> Option<R>,
    ) -> Option<R> {
        let mut segments = [&b""[..]; SEGMENTS_MAX];
        let count = cut(tail, &mut segments);
        let mut heads = [&[][..]; SHAPES_MAX];
        for (number, (shape, head)) in self.shapes.iter().zip(&mut heads).enumerate() {
            if let Some(key) = shape.key(number, &segments[..count], host)
                && let Some(at) = self.lists.get(&key.to_le_bytes())
                && let Some((len, list)) = self.ranks[at as usize..].split_first()
            {
                *head = &list[..*len as usize];
            }
        }
        loop {
            let next = heads.iter().filter_map(|head| head.first()).min().copied()?;
            for head in &mut heads {
                if head.first() == Some(&next) {
                    *head = &head[1..];
                }
            }
            if let Some(taken) = offer(next as usize) {
                return Some(taken);
            }
        }
    }
}

impl Shape {
    /// The hash under which routes of this shape are filed that a request may match.
    fn key(&self, number: usize, segments: &[&[u8]], host: Option<&[u8]>) -> Option<u64> {
        let mut state = seed(number);
        if self.segments != Self::ANY {
            let wanted = usize::from(self.segments);
            let fits = if self.rest { segments.len() > wanted } else { segments.len() == wanted };
            if !fits {
                return None;
            }
            let literal = |at: &usize| self.literals & (1 << at) != 0;
            state = (0..wanted).filter(literal).fold(state, |state, at| hash(state, segments[at]));
        }
        match self.host {
            true => Some(hash(state, host?)),
            false => Some(state),
        }
    }
}

/// The shapes that get a hash of their own, with the open shape first.
fn common_shapes(routes: &[Filed<'_>]) -> Vec<Shape> {
    let mut counts: HashMap<Shape, usize> = HashMap::new();
    for route in routes {
        *counts.entry(shape_of(route)).or_default() += 1;
    }
    counts.remove(&Shape::OPEN);
    let mut shapes: Vec<_> = counts.into_iter().collect();
    shapes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    shapes.truncate(SHAPES_MAX - 1);
    std::iter::once(Shape::OPEN).chain(shapes.into_iter().map(|(shape, _)| shape)).collect()
}

fn shape_of(route: &Filed<'_>) -> Shape {
    let mut shape = Shape { host: !route.hosts.is_empty(), ..Shape::OPEN };
    let Some(parts) = route.pattern.and_then(Pattern::segments) else { return shape };
    shape.segments = 0;
    for part in parts {
        // One segment of room, so that a request with more than are looked at never fits.
        if usize::from(shape.segments) >= SEGMENTS_MAX - 1 {
            return Shape { host: shape.host, ..Shape::OPEN };
        }
        match part {
            Segment::Rest(_) => shape.rest = true,
            Segment::Literal(_) => {
                shape.literals |= 1 << shape.segments;
                shape.segments += 1;
            }
            Segment::Param(_) => shape.segments += 1,
        }
    }
    shape
}

fn literals<'r>(route: &Filed<'r>) -> impl Iterator<Item = &'r [u8]> {
    let open = shape_of(route).segments == Shape::ANY;
    let parts = route.pattern.filter(|_| !open).and_then(Pattern::segments);
    parts.into_iter().flatten().filter_map(|part| match part {
        Segment::Literal(text) => Some(text),
        _ => None,
    })
}

fn seed(shape: usize) -> u64 {
    hash(shape as u64, b"")
}

/// Cuts `rest` at its slashes; says how many segments there are, at most [`SEGMENTS_MAX`].
fn cut<'p>(mut rest: &'p [u8], segments: &mut [&'p [u8]; SEGMENTS_MAX]) -> usize {
    for (number, segment) in segments.iter_mut().enumerate() {
        let Some(slash) = memchr(b'/', rest) else {
            *segment = rest;
            return number + 1;
        };
        *segment = &rest[..slash];
        rest = &rest[slash + 1..];
    }
    SEGMENTS_MAX
}
