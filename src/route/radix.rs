//! A read-only radix tree that finds every key which is a prefix of a byte string, longest first.
//!
//! Nodes lie in one block with the children of a node side by side and short labels inside them;
//! going up from a key to the next shorter one follows a stored link, so a search keeps no stack.

use std::{collections::VecDeque, ops::Range};

use memchr::memchr;

use super::table::index;

const NONE: u32 = u32::MAX;

/// The tree. A key is known by its position in the sorted list it was built from.
#[derive(Debug, Default)]
pub(super) struct Radix {
    nodes: Box<[Node]>,
    /// First byte of each node's label.
    firsts: Box<[u8]>,
    /// Labels that have no room in their nodes.
    labels: Box<[u8]>,
    /// For each key, the longest other key that is its prefix.
    shorter: Box<[u32]>,
}

/// Labels up to this length lie in their node.
const INLINE: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The label, or in its first four bytes where it begins in `labels`.
    label: [u8; INLINE],
    label_len: u32,
    child: u32,
    children: u32,
    key: u32,
}

impl Radix {
    /// Builds the tree from `keys`, which are sorted and all different.
    pub(super) fn new(keys: &[&[u8]]) -> Self {
        let mut tree = Growing { keys, ..Growing::default() };
        let mut todo = VecDeque::new();
        if !keys.is_empty() {
            tree.firsts.push(0);
            todo.push_back(Todo { range: 0..keys.len(), depth: 0, shorter: NONE });
        }
        // Breadth first: a node's number is its place in the queue.
        let mut queued = todo.len();
        while let Some(item) = todo.pop_front() {
            let children = tree.add(item, queued);
            queued += children.len();
            todo.extend(children);
        }
        Self {
            nodes: tree.nodes.into(),
            firsts: tree.firsts.into(),
            labels: tree.labels.into(),
            shorter: tree.shorter.into(),
        }
    }

    /// The longest key that `text` begins with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut found = NONE;
        let mut rest = text;
        let mut node = self.nodes.first()?;
        while let Some(after) = rest.strip_prefix(self.label(node)) {
            rest = after;
            if node.key != NONE {
                found = node.key;
            }
            let Some(&byte) = rest.first() else { break };
            let first = node.child as usize;
            let siblings = &self.firsts[first..first + node.children as usize];
            let Some(child) = memchr(byte, siblings) else { break };
            node = &self.nodes[first + child];
        }
        (found != NONE).then_some(found as usize)
    }

    fn label<'n>(&'n self, node: &'n Node) -> &'n [u8] {
        let len = node.label_len as usize;
        match node.label.get(..len) {
            Some(label) => label,
            None => {
                let [a, b, c, d, ..] = node.label;
                &self.labels[u32::from_le_bytes([a, b, c, d]) as usize..][..len]
            }
        }
    }

    /// The next shorter key that `key` begins with.
    pub(super) fn shorter(&self, key: usize) -> Option<usize> {
        let key = self.shorter[key];
        (key != NONE).then_some(key as usize)
    }
}

/// A node to be made: the keys below it, the bytes they share above it, the key above it.
struct Todo {
    range: Range<usize>,
    depth: usize,
    shorter: u32,
}

#[derive(Default)]
struct Growing<'k> {
    keys: &'k [&'k [u8]],
    nodes: Vec<Node>,
    firsts: Vec<u8>,
    labels: Vec<u8>,
    shorter: Vec<u32>,
}

impl Growing<'_> {
    /// Makes one node; the nodes below it will be numbered from `child`.
    fn add(&mut self, item: Todo, child: usize) -> Vec<Todo> {
        let Todo { mut range, depth, mut shorter } = item;
        let (low, high) = (self.keys[range.start], self.keys[range.end - 1]);
        let common = low[depth..].iter().zip(&high[depth..]).take_while(|(a, b)| a == b).count();
        let label = self.keep_label(&low[depth..depth + common]);
        let depth = depth + common;
        let mut key = NONE;
        if low.len() == depth {
            key = index(range.start);
            self.shorter.resize(self.keys.len(), NONE);
            self.shorter[range.start] = shorter;
            shorter = key;
            range.start += 1;
        }
        let mut below = Vec::new();
        let mut start = range.start;
        for part in self.keys[range].chunk_by(|a, b| a[depth] == b[depth]) {
            self.firsts.push(part[0][depth]);
            below.push(Todo { range: start..start + part.len(), depth, shorter });
            start += part.len();
        }
        self.nodes.push(Node {
            label,
            label_len: index(common),
            child: index(child),
            children: index(below.len()),
            key,
        });
        below
    }

    fn keep_label(&mut self, label: &[u8]) -> [u8; INLINE] {
        let mut kept = [0; INLINE];
        match kept.get_mut(..label.len()) {
            Some(room) => room.copy_from_slice(label),
            None => {
                kept[..4].copy_from_slice(&index(self.labels.len()).to_le_bytes());
                self.labels.extend_from_slice(label);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(keys: &[&[u8]], text: &[u8]) -> Vec<usize> {
        let tree = Radix::new(keys);
        std::iter::successors(tree.longest(text), |&key| tree.shorter(key)).collect()
    }

    #[test]
    fn prefixes_come_longest_first() {
        let keys: [&[u8]; 6] = [b"", b"/", b"/a", b"/a/", b"/a/b/c", b"/b"];
        assert_eq!(prefixes(&keys, b"/a/b/c/d"), [4, 3, 2, 1, 0]);
        assert_eq!(prefixes(&keys, b"/a/b/"), [3, 2, 1, 0]);
        assert_eq!(prefixes(&keys, b"/ab"), [2, 1, 0]);
        assert_eq!(prefixes(&keys, b"x"), [0]);
        assert_eq!(prefixes(&keys[1..], b"x"), [0; 0]);
        assert_eq!(prefixes(&[], b"x"), [0; 0]);
        let long: [&[u8]; 3] = [b"/12345678", b"/12345678/a/very/long/one", b"/12345678x"];
        assert_eq!(prefixes(&long, b"/12345678/a/very/long/one"), [1, 0]);
        assert_eq!(prefixes(&long, b"/12345678/a/very/long/on"), [0]);
    }

    proptest! {
        #[test]
        fn agrees_with_trying_every_key(
            keys in prop::collection::btree_set("[ab/]{0,6}", 0..40),
            text in "[ab/]{0,10}",
        ) {
            let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
            let mut want: Vec<usize> =
                (0..keys.len()).filter(|&key| text.as_bytes().starts_with(keys[key])).collect();
            want.reverse();
            prop_assert_eq!(prefixes(&keys, text.as_bytes()), want);
        }
    }
}
