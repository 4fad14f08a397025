//! Literal prefixes of the paths with a wildcard, longest first.
//!
//! Most prefixes end with a slash: `/users/` of `/users/:id`. Those lie in a hash table that is
//! asked once for each slash of a path; with very many routes that touches a few cache lines that
//! are cold, where a radix tree touches two for each of its levels. The others, such as `/img_`
//! of `/img_*`, lie in a radix tree.

use memchr::memrchr;

use super::{pattern::tail_at, radix::Radix, table::Table, tree::Bucket};

/// Prefixes with their buckets.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// Those that end with a slash.
    slashed: Table,
    lengths: Lengths,
    others: Option<Others>,
}

#[derive(Debug)]
struct Others {
    tree: Radix,
    /// For each key of the tree, its length and its bucket.
    keys: Box<[(u32, Bucket)]>,
}

impl Prefixes {
    /// Files `prefixes`, which are sorted and all different; `None` if there are none.
    pub(super) fn new(prefixes: &[(&[u8], Bucket)]) -> Option<Box<Self>> {
        if prefixes.is_empty() {
            return None;
        }
        let (slashed, others): (Vec<_>, Vec<_>) =
            prefixes.iter().partition(|(prefix, _)| prefix.ends_with(b"/"));
        let lengths = Lengths::new(slashed.iter().map(|(prefix, _)| prefix.len()));
        let slashed = Table::new(slashed.iter().map(|(prefix, bucket)| (prefix, bucket.number())));
        let others = (!others.is_empty()).then(|| Others {
            tree: Radix::new(&others.iter().map(|(prefix, _)| *prefix).collect::<Vec<_>>()),
            keys: others
                .iter()
                .map(|(prefix, bucket)| (super::table::index(prefix.len()), *bucket))
                .collect(),
        });
        Some(Box::new(Self { slashed, lengths, others }))
    }

    /// The buckets of all prefixes of `path`, longest first, each with where in the path its
    /// patterns begin.
    pub(super) fn of<'p>(&'p self, path: &'p [u8]) -> Walk<'p> {
        let other = self.others.as_ref().and_then(|others| others.tree.longest(path));
        Walk { prefixes: self, path, left: &path[..path.len().min(self.lengths.longest)], other }
    }
}

/// A walk from the longest prefix of a path to the shortest.
pub(super) struct Walk<'p> {
    prefixes: &'p Prefixes,
    path: &'p [u8],
    /// What of the path was not looked at yet.
    left: &'p [u8],
    /// The next key of the radix tree.
    other: Option<usize>,
}

impl Iterator for Walk<'_> {
    type Item = (Bucket, usize);

    fn next(&mut self) -> Option<(Bucket, usize)> {
        loop {
            let slashed = memrchr(b'/', self.left).map_or(0, |slash| slash + 1);
            if let (Some(others), Some(key)) = (&self.prefixes.others, self.other)
                && let Some(&(len, bucket)) = others.keys.get(key)
                && len as usize >= slashed
            {
                self.other = others.tree.shorter(key);
                return Some((bucket, tail_at(&self.path[..len as usize])));
            }
            if slashed == 0 {
                return None;
            }
            let prefix = &self.left[..slashed];
            self.left = &prefix[..slashed - 1];
            if self.prefixes.lengths.has(slashed)
                && let Some(number) = self.prefixes.slashed.get(prefix)
            {
                return Some((Bucket::of(number), slashed));
            }
        }
    }
}

/// Which lengths occur: most slashes of a path end no prefix.
#[derive(Debug)]
struct Lengths {
    /// A bit for each length up to 255.
    short: [u64; 4],
    longest: usize,
}

impl Lengths {
    fn new(lengths: impl Iterator<Item = usize>) -> Self {
        let mut all = Self { short: [0; 4], longest: 0 };
        for length in lengths {
            all.longest = all.longest.max(length);
            if let Some(word) = all.short.get_mut(length / 64) {
                *word |= 1 << (length % 64);
            }
        }
        all
    }

    /// Whether a prefix may have this length.
    fn has(&self, length: usize) -> bool {
        self.short.get(length / 64).is_none_or(|word| word & 1 << (length % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(keys: &[&[u8]], path: &[u8]) -> Vec<u32> {
        let keys: Vec<_> =
            (0..).zip(keys).map(|(number, key)| (*key, Bucket::of(number))).collect();
        let Some(prefixes) = Prefixes::new(&keys) else { return Vec::new() };
        let found = prefixes.of(path).inspect(|&(bucket, tail)| {
            let key = keys[bucket.number() as usize].0;
            assert_eq!(tail, key.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1));
        });
        found.map(|(bucket, _)| bucket.number()).collect()
    }

    #[test]
    fn both_kinds_come_longest_first() {
        let keys: [&[u8]; 7] = [b"", b"/", b"/a", b"/a/", b"/a/b/c", b"/a/b/c/", b"/b"];
        assert_eq!(numbers(&keys, b"/a/b/c/d"), [5, 4, 3, 2, 1, 0]);
        assert_eq!(numbers(&keys, b"/a/b/"), [3, 2, 1, 0]);
        assert_eq!(numbers(&keys, b"/ab"), [2, 1, 0]);
        assert_eq!(numbers(&keys, b"x"), [0]);
        assert_eq!(numbers(&keys[1..], b"x"), [0; 0]);
        assert_eq!(numbers(&[], b"x"), [0; 0]);
    }

    #[test]
    fn long_prefixes_are_found_too() {
        let long = format!("/{}/", "x".repeat(300));
        let keys: [&[u8]; 2] = [b"/", long.as_bytes()];
        assert_eq!(numbers(&keys, format!("{long}y/z").as_bytes()), [1, 0]);
        assert_eq!(numbers(&keys, format!("/{}/", "x".repeat(299)).as_bytes()), [0]);
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_key(
            keys in prop::collection::btree_set("[ab/]{0,6}", 0..40),
            path in "[ab/]{0,10}",
        ) {
            let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
            let mut want: Vec<u32> = (0..40u32)
                .filter(|&key| {
                    keys.get(key as usize).is_some_and(|key| path.as_bytes().starts_with(key))
                })
                .collect();
            want.reverse();
            prop_assert_eq!(numbers(&keys, path.as_bytes()), want);
        }
    }
}
