//! Frames on their way to a node: written in order, several at a time, and taken back while
//! no byte of them has left.

use std::{collections::BTreeMap, ops::Range};

/// Memory that an empty outbox keeps, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// A queue of frames in one piece of memory. Places in it count from the first byte ever put
/// there and never come back.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where in `bytes` the first byte lies that has not left.
    first: usize,
    /// Its place.
    left: u64,
    /// Frames that were taken back: place and length, none of them at `left`.
    taken_back: BTreeMap<u64, usize>,
}

impl Outbox {
    /// Bytes that wait, those that were taken back among them.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.first
    }

    /// Everything before this place has left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Adds what `write` appends, if it is no longer than `bytes_max`.
    pub(super) fn put(
        &mut self,
        bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Range<u64>> {
        if self.first > 0 && self.first >= self.len() {
            self.bytes.drain(..self.first);
            self.first = 0;
        }
        let (start, before) = (self.left + self.len() as u64, self.bytes.len());
        write(&mut self.bytes);
        let length = self.bytes.len().saturating_sub(before);
        if length > bytes_max {
            self.bytes.truncate(before);
            return None;
        }
        Some(start..start + length as u64)
    }

    /// Takes back the frame at `place`; false if a part of it has left.
    pub(super) fn take_back(&mut self, place: &Range<u64>) -> bool {
        if place.start < self.left {
            return false;
        }
        let length = usize::try_from(place.end - place.start).unwrap_or(0);
        if length > 0 {
            self.taken_back.insert(place.start, length);
            self.pass_over();
        }
        true
    }

    /// What is to be written next; empty if nothing is.
    pub(super) fn next(&self) -> &[u8] {
        let waiting = self.bytes.get(self.first..).unwrap_or_default();
        let until = self.taken_back.keys().next().map(|place| place - self.left);
        let until = until.and_then(|until| usize::try_from(until).ok()).unwrap_or(usize::MAX);
        waiting.get(..until).unwrap_or(waiting)
    }

    /// Notes that the first `count` bytes of [`Outbox::next`] have left.
    pub(super) fn wrote(&mut self, count: usize) {
        self.advance(count);
        self.pass_over();
    }

    /// Forgets everything; nothing more leaves.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.first = 0;
        self.taken_back.clear();
    }

    fn advance(&mut self, count: usize) {
        let count = count.min(self.len());
        self.first += count;
        self.left += count as u64;
        if self.first == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.first = 0;
        }
    }

    fn pass_over(&mut self) {
        while let Some(length) = self.taken_back.remove(&self.left) {
            self.advance(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(outbox: &mut Outbox, text: &str) -> Range<u64> {
        outbox.put(100, |out| out.extend_from_slice(text.as_bytes())).unwrap()
    }

    fn drain(outbox: &mut Outbox, step: usize) -> String {
        let mut all = Vec::new();
        while !outbox.next().is_empty() {
            let piece = outbox.next();
            let count = piece.len().min(step);
            all.extend_from_slice(&piece[..count]);
            outbox.wrote(count);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn frames_leave_in_order_whatever_the_socket_takes() {
        for step in 1..12 {
            let mut outbox = Outbox::default();
            let first = put(&mut outbox, "one");
            assert_eq!(first, 0..3);
            outbox.wrote(1);
            let second = put(&mut outbox, "three");
            assert_eq!(second, 3..8);
            assert_eq!(drain(&mut outbox, step), "nethree");
            assert_eq!((outbox.len(), outbox.left()), (0, 8));
            assert_eq!(put(&mut outbox, "x"), 8..9);
        }
    }

    #[test]
    fn what_has_not_begun_to_leave_can_be_taken_back() {
        for step in 1..12 {
            let mut outbox = Outbox::default();
            let places: Vec<_> =
                ["aa", "bb", "cc", "dd", "ee"].map(|text| put(&mut outbox, text)).into();
            outbox.wrote(1);
            assert!(!outbox.take_back(&places[0]), "half of it is gone");
            assert!(outbox.take_back(&places[4]));
            assert!(outbox.take_back(&places[1]));
            assert!(outbox.take_back(&places[2]));
            assert_eq!(drain(&mut outbox, step), "add");
            assert_eq!((outbox.len(), outbox.left()), (0, 10));
            assert_eq!(put(&mut outbox, "ff"), 10..12);
            assert!(outbox.take_back(&(10..12)));
            assert_eq!((outbox.len(), outbox.left(), outbox.next()), (0, 12, &b""[..]));
        }
    }

    #[test]
    fn a_frame_that_is_too_long_leaves_no_trace() {
        let mut outbox = Outbox::default();
        put(&mut outbox, "a");
        assert!(outbox.put(2, |out| out.extend_from_slice(b"bcd")).is_none());
        put(&mut outbox, "e");
        assert_eq!(drain(&mut outbox, 9), "ae");
    }
}
