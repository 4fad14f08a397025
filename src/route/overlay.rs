//! A few changed routes laid over very many that stay as they are.
//!
//! The trees of a router are built once and then only read, and building those of 100,000 routes
//! takes a while. A change that must be in force at once is therefore put into small trees of its
//! own. A look-up asks both and takes what comes first in the order that one router of all routes
//! would have; without changes it asks one.

use std::{cmp::Reverse, hash::Hash};

use foldhash::{HashMap, HashSet};

use super::{
    Trees,
    host::HostPattern,
    tree::{Found, Lookup, Shape},
};

/// Newer routes over older ones.
#[derive(Debug)]
pub(super) struct Overlay<T> {
    pub(super) trees: Trees<T>,
    /// Older routes that do not serve any more.
    pub(super) gone: HashSet<T>,
    /// Which older route a newer one stands in the place of. Values are compared where
    /// everything else is equal: the smaller was defined earlier.
    pub(super) places: HashMap<T, T>,
}

/// A match, and by what kind of host: `None` if no host led to it, `Some(None)` if its name did.
pub(super) type Matched<'r, T> = (Found<'r, T>, Option<Option<&'r HostPattern>>);

impl<T: Copy + Eq + Hash + Ord> Overlay<T> {
    /// The first route of both that matches.
    pub(super) fn find<'r>(
        &'r self,
        base: &'r Trees<T>,
        look: &mut Lookup<'_, T>,
    ) -> Option<Matched<'r, T>> {
        let newer = self.trees.find(look);
        let older = base.find(look);
        match (newer, older) {
            (Some(newer), Some(older)) => {
                let first = self.rank(&newer, look.path) > self.rank(&older, look.path);
                Some(if first { newer } else { older })
            }
            (newer, older) => newer.or(older),
        }
    }

    /// What decides between two matches: the greater comes first.
    fn rank(&self, (found, host): &Matched<'_, T>, path: &[u8]) -> impl Ord + use<T> {
        let host = match host {
            None => (0, 0),
            Some(Some(wildcard)) => (1, wildcard.text_len()),
            Some(None) => (2, 0),
        };
        let (exact, prefix, whole) = match found.shape {
            Shape::Exact => (true, path.len(), path.len()),
            Shape::Star(prefix) => (false, prefix.len(), prefix.len() + 1),
            Shape::Pattern(at, pattern) => {
                let prefix = pattern.literal_len();
                (false, at + prefix, at + pattern.text().len())
            }
        };
        let place = *self.places.get(found.value).unwrap_or(found.value);
        (host, exact, prefix, found.priority, whole, Reverse(place))
    }
}
