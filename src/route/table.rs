//! A hash table from byte strings to numbers that is built once and then only read.
//!
//! A hit in a large table touches two cache lines that are cold: the slot and the key. The number
//! lies in both, so that a processor that bets on a hit fetches what the number leads to while
//! the key is still on its way. A table of up to eight keys has no hash part at all.
//! Whoever writes the configuration chooses the keys, clients only ask for them, so the hash is
//! made for speed and not against flooding.

/// Up to this many keys a look at each is quicker than hashing.
const LINEAR_MAX: usize = 8;
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// A read-only map.
#[derive(Debug)]
pub(super) struct Table {
    slots: Box<[Slot]>,
    /// Entries: value and length of the key, four bytes each, then the key.
    data: Box<[u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// High half of the hash.
    mark: u32,
    /// Where in `data` the entry begins; [`FREE`] if there is none.
    at: u32,
    value: u32,
}

const FREE: u32 = u32::MAX;

impl Table {
    /// Builds the map; of a repeated key the first counts.
    pub(super) fn new<K: AsRef<[u8]>>(items: impl IntoIterator<Item = (K, u32)>) -> Self {
        let mut data = Vec::new();
        let mut places = Vec::new();
        for (key, value) in items {
            let key = key.as_ref();
            places.push((index(data.len()), hash(0, key), value));
            data.extend(value.to_le_bytes());
            data.extend(index(key.len()).to_le_bytes());
            data.extend_from_slice(key);
        }
        let slots = if places.len() > LINEAR_MAX { fill(&places) } else { Box::default() };
        Self { slots, data: data.into() }
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return self.scan(key);
        }
        let hash = hash(0, key);
        let mut slot = (hash as usize) & (self.slots.len() - 1);
        loop {
            let Slot { mark, at, value } = self.slots[slot];
            if at == FREE {
                return None;
            }
            if mark == (hash >> 32) as u32 {
                let (_, other, _) = split_entry(&self.data[at as usize..])?;
                if other == key {
                    return Some(value);
                }
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn scan(&self, key: &[u8]) -> Option<u32> {
        let mut rest = &self.data[..];
        loop {
            let (value, other, after) = split_entry(rest)?;
            if other == key {
                return Some(value);
            }
            rest = after;
        }
    }
}

/// The value and the key of the entry at the front of `data`, and what follows it.
fn split_entry(data: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (value, rest) = data.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    Some((u32::from_le_bytes(*value), key, rest))
}

/// The slots for entries at `places`, at most four fifths full, so that every search meets a free
/// one soon and a large table is no larger than it must be.
fn fill(places: &[(u32, u64, u32)]) -> Box<[Slot]> {
    let size = (places.len() * 5 / 4 + 1).next_power_of_two();
    let mut slots = vec![Slot { mark: 0, at: FREE, value: 0 }; size];
    for &(at, hash, value) in places {
        let mut slot = (hash as usize) & (size - 1);
        while slots[slot].at != FREE {
            slot = (slot + 1) & (size - 1);
        }
        slots[slot] = Slot { mark: (hash >> 32) as u32, at, value };
    }
    slots.into()
}

/// A hash of `bytes`, continuing from `seed`.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state = mix(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(mix(state, u64::from_le_bytes(last)), 0)
}

/// Folds the full product, so that every bit of the input reaches every bit of the result.
fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word ^ MULTIPLIER) * u128::from(MULTIPLIER);
    (product as u64) ^ ((product >> 64) as u64)
}

/// A position as it is stored. A configuration of 4 GiB of keys cannot be loaded.
pub(super) fn index(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_no_other() {
        for size in [0, 1, 8, 9, 100, 5000u32] {
            let items = (0..size).map(|n| (format!("/route/{n}"), n));
            let table = Table::new(items);
            for n in 0..size {
                assert_eq!(table.get(format!("/route/{n}").as_bytes()), Some(n));
            }
            for other in ["", "/route/", "/route/x", "/route/-1", "/route/99999"] {
                assert_eq!(table.get(other.as_bytes()), None);
            }
        }
    }

    #[test]
    fn the_first_of_equal_keys_counts() {
        let items = (0..30u32).map(|n| (if n % 2 == 0 { "same" } else { "other" }, n));
        assert_eq!(Table::new(items).get(b"same"), Some(0));
    }

    #[test]
    fn the_hash_spreads_similar_keys() {
        let mut seen = std::collections::HashSet::new();
        for n in 0..100_000 {
            seen.insert(hash(0, format!("/api/v1/service-{n}/items").as_bytes()) as u32);
        }
        // 100,000 values in 2^32 places collide about once by chance.
        assert!(seen.len() > 99_980, "{}", seen.len());
        assert_ne!(hash(0, b""), hash(0, b"\0"));
        assert_ne!(hash(0, b"a\0"), hash(0, b"a"));
        assert_ne!(hash(1, b"a"), hash(2, b"a"));
    }
}
