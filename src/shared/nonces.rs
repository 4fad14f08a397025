//! Numbers used once: which of them were seen, for as long as somebody could send them again.
//!
//! One store for all workers, in shards, each behind a lock that is held for one look into a map.
//! A number is known by a digest that the caller makes of everything that belongs to it (whose
//! key, which name space), so that one entry has a fixed size and nobody can choose it. Entries
//! die in the second they expire in; a store that is full says so instead of forgetting one.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Entries of a store unless somebody says otherwise; about 100 bytes each.
pub const ENTRIES_MAX: usize = 4 << 20;
/// Locks: so many that workers seldom want the same one.
const SHARDS: usize = 64;

/// A digest that names a number used once; all its bits are as good as random.
pub type NonceKey = [u64; 2];

/// What became of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is new, and known from now on.
    First,
    /// It was there.
    Again,
    /// There is no room; it is not known.
    Full,
}

/// Keys are random already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    /// An array comes as all of its bytes at once.
    fn write(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<8>();
        self.0 = words.iter().fold(self.0, |all, word| all ^ u64::from_ne_bytes(*word));
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[derive(Default)]
struct Shard {
    /// When each expires, in seconds.
    known: HashMap<NonceKey, u64, BuildHasherDefault<AsItIs>>,
    /// Which expire in a second.
    ends: BTreeMap<u64, Vec<NonceKey>>,
    /// No second in `ends` is before this one.
    first: u64,
}

impl Shard {
    /// Forgets what expired before `now`.
    fn expire(&mut self, now: u64) {
        if self.first >= now {
            return;
        }
        self.first = now;
        while let Some(first) = self.ends.first_entry()
            && *first.key() < now
        {
            let second = *first.key();
            for key in first.remove() {
                // It may have been taken out and put in again since.
                if self.known.get(&key) == Some(&second) {
                    self.known.remove(&key);
                }
            }
        }
    }
}

/// A store of numbers used once.
pub struct Nonces {
    shards: Box<[Mutex<Shard>]>,
    entries_max: usize,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nonces({} of {})", self.len(), self.entries_max)
    }
}

impl Default for Nonces {
    fn default() -> Self {
        Self::new(ENTRIES_MAX)
    }
}

impl Nonces {
    /// A store of about `entries_max` entries; it takes memory as they come.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, entries_max }
    }

    /// Takes the number `key` at the time `now`, to be known for `ttl`. Both are rounded to
    /// seconds, such that it is known for longer, never for less.
    pub fn insert(&self, key: NonceKey, now: Duration, ttl: Duration) -> Seen {
        let seconds = now.as_secs();
        let end = seconds.saturating_add(ttl.as_secs()).saturating_add(1);
        let mut shard = self.shard(key);
        shard.expire(seconds);
        let Shard { known, ends, first } = &mut *shard;
        let count = known.len();
        match known.entry(key) {
            Entry::Occupied(_) => return Seen::Again,
            Entry::Vacant(_) if count >= self.entries_max.div_ceil(SHARDS) => return Seen::Full,
            Entry::Vacant(free) => free.insert(end),
        };
        *first = end.min(*first);
        ends.entry(end).or_default().push(key);
        Seen::First
    }

    /// Forgets `key`, which was taken but not used after all.
    pub fn forget(&self, key: NonceKey) {
        self.shard(key).known.remove(&key);
    }

    /// Entries, also those whose time is over but that nobody looked for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).known.len()).sum()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: NonceKey) -> MutexGuard<'_, Shard> {
        // The map takes the exclusive or of both words.
        let at = usize::try_from(key[1] % SHARDS as u64).unwrap_or(0);
        locked(&self.shards[at])
    }
}

fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // What a panic may have left behind is a map that is whole: each change is one call.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Instant};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);
    const TTL: Duration = Duration::from_secs(10);

    fn key(n: u64) -> NonceKey {
        [n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n.wrapping_mul(0xd1b5_4a32_d192_ed03)]
    }

    #[test]
    fn the_second_time_is_told_from_the_first() {
        let nonces = Nonces::new(1000);
        assert_eq!(nonces.insert(key(1), NOW, TTL), Seen::First);
        assert_eq!(nonces.insert(key(1), NOW, TTL), Seen::Again);
        assert_eq!(nonces.insert([key(1)[0], key(2)[1]], NOW, TTL), Seen::First);
        assert_eq!(nonces.insert(key(2), NOW, TTL), Seen::First);
    }

    #[test]
    fn a_number_is_known_until_its_time_is_over_and_not_much_longer() {
        let nonces = Nonces::new(1000);
        nonces.insert(key(1), NOW + Duration::from_millis(999), TTL);
        let last = NOW + Duration::from_millis(999) + TTL;
        assert_eq!(nonces.insert(key(1), last, TTL), Seen::Again);
        let later = last + Duration::from_secs(2);
        assert_eq!(nonces.insert(key(1), later, TTL), Seen::First);
        assert_eq!(nonces.insert(key(1), later + TTL, TTL), Seen::Again);
    }

    #[test]
    fn a_full_store_says_so_and_forgets_nothing() {
        let nonces = Nonces::new(SHARDS * 2);
        let mut first = Vec::new();
        let mut full = 0;
        for n in 0..1000 {
            match nonces.insert(key(n), NOW, TTL) {
                Seen::First => first.push(n),
                Seen::Full => full += 1,
                Seen::Again => panic!("{n} is new"),
            }
        }
        assert_eq!(first.len() + full, 1000);
        assert!(first.len() <= SHARDS * 2 && first.len() > SHARDS);
        assert!(first.iter().all(|n| nonces.insert(key(*n), NOW, TTL) == Seen::Again));
        let later = NOW + TTL + Duration::from_secs(2);
        assert_eq!(nonces.insert(key(5000), later, TTL), Seen::First);
    }

    #[test]
    fn what_is_forgotten_is_new_again_and_keeps_its_new_time() {
        let nonces = Nonces::new(1000);
        nonces.insert(key(1), NOW, TTL);
        nonces.forget(key(1));
        assert!(nonces.is_empty());
        let late = NOW + Duration::from_secs(5);
        assert_eq!(nonces.insert(key(1), late, TTL), Seen::First);
        // The first entry's end takes nothing with it.
        assert_eq!(nonces.insert(key(1), late + TTL, TTL), Seen::Again);
    }

    #[test]
    fn of_many_threads_exactly_one_is_first() {
        let nonces = Arc::new(Nonces::new(100_000));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let nonces = Arc::clone(&nonces);
                thread::spawn(move || {
                    (0..5000).filter(|n| nonces.insert(key(*n), NOW, TTL) == Seen::First).count()
                })
            })
            .collect();
        let first: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(first, 5000);
    }

    #[test]
    fn one_takes_about_a_microsecond() {
        let nonces = Nonces::new(1 << 20);
        let rounds = (0..20).map(|round| {
            let start = Instant::now();
            for n in round * 10_000..(round + 1) * 10_000 {
                nonces.insert(key(n), NOW + Duration::from_micros(n * 10), TTL);
            }
            start.elapsed()
        });
        // The best of the last rounds, where the store is no longer small, and ten times what is
        // aimed at: a test may share its CPU.
        let best = rounds.skip(10).min().unwrap();
        assert!(best < Duration::from_millis(100), "{best:?}");
    }

    #[test]
    fn keys_have_hashes_of_their_own() {
        use std::hash::BuildHasher as _;
        let hasher = BuildHasherDefault::<AsItIs>::default();
        let hashes: std::collections::HashSet<u64> =
            (1..=1000).map(|n| hasher.hash_one(key(n))).collect();
        assert_eq!(hashes.len(), 1000);
    }
}
