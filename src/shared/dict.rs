//! One `ngx.shared.DICT`: a bounded key-value store with expiry and least-recently-used eviction.
//!
//! The bound is in bytes and holds for the whole dictionary. Keys are spread over shards, each
//! behind its own lock, so eviction order is exact within a shard and approximate beyond it; a
//! dictionary up to [`ONE_SHARD_BYTES_MAX`] has one shard and is exact. Times are wall-clock
//! milliseconds passed in by the caller, a coarse clock is good enough.
//!
//! Start at [`Dict::get`], [`Dict::set`] and [`Dict::incr`]; lists are in `dict_list`.

use std::{
    collections::VecDeque,
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use lru::LruCache;

/// What one entry costs beside its key and value: map slot, links, expiry, allocator rounding.
pub const ENTRY_OVERHEAD_BYTES: usize = 128;

/// A dictionary of at most this size keeps one shard and therefore exact eviction order.
pub const ONE_SHARD_BYTES_MAX: usize = 64 * 1024;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 65_535;

/// How far from the old end of a shard a `safe_*` write looks for something expired.
const EXPIRED_SCAN_MAX: usize = 32;

/// How often a write with an empty home shard goes round the other shards.
const ROUNDS_MAX: usize = 64;

pub(super) type Map = LruCache<Box<[u8]>, Entry>;

/// Why an operation did nothing. `Display` is the text that Lua code compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DictError {
    /// The entry does not fit, even after eviction (or eviction was not allowed).
    NoMemory,
    /// The key is missing or expired.
    NotFound,
    /// `incr` on something that is not a number.
    NotANumber,
    /// `add` on a live key.
    Exists,
    /// A list operation on something that is not a list.
    NotAList,
    /// `get` on a list.
    IsAList,
    /// A list item that is neither a string nor a number.
    BadValueType,
    /// `add` or `replace` with nil.
    NilValue,
    /// A key of no bytes.
    EmptyKey,
    /// A key above [`KEY_BYTES_MAX`].
    KeyTooLong,
}

impl DictError {
    /// The message as `ngx.shared.DICT` returns it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoMemory => "no memory",
            Self::NotFound => "not found",
            Self::NotANumber => "not a number",
            Self::Exists => "exists",
            Self::NotAList => "value not a list",
            Self::IsAList => "value is a list",
            Self::BadValueType => "bad value type",
            Self::NilValue => "attempt to add or replace nil values",
            Self::EmptyKey => "empty key",
            Self::KeyTooLong => "key too long",
        }
    }
}

impl fmt::Display for DictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for DictError {}

/// A value read from a dictionary.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A Lua boolean.
    Bool(bool),
    /// A Lua number.
    Number(f64),
    /// A Lua string; cloning shares the bytes.
    Bytes(Arc<[u8]>),
}

/// A value to write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Put<'a> {
    /// Removes the key.
    Nil,
    /// A Lua boolean.
    Bool(bool),
    /// A Lua number.
    Number(f64),
    /// A Lua string.
    Bytes(&'a [u8]),
}

/// How long a written value lives, and the number the caller keeps with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// Milliseconds; 0 lives until evicted.
    pub ttl_ms: u64,
    /// Free for the caller; 0 means none.
    pub flags: u32,
}

/// A value with its flags.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The value.
    pub value: Value,
    /// As given to the write.
    pub flags: u32,
    /// Whether it has expired; only `get_stale` returns such.
    pub stale: bool,
}

/// Result of a write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome<T> {
    /// What the write returned.
    pub result: Result<T, DictError>,
    /// Whether live entries were evicted to make room.
    pub forcible: bool,
}

impl<T> Outcome<T> {
    pub(super) fn of(result: Result<T, DictError>) -> Self {
        Self { result, forcible: false }
    }
}

/// What `incr` starts from when the key is missing or expired.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Init {
    /// The increment is added to this.
    pub value: f64,
    /// Lifetime of the new entry in milliseconds; 0 lives until evicted.
    pub ttl_ms: u64,
}

pub(super) enum Stored {
    Bool(bool),
    Number(f64),
    Bytes(Arc<[u8]>),
    List(VecDeque<Value>),
}

pub(super) struct Entry {
    pub(super) stored: Stored,
    /// Wall-clock milliseconds; 0 never expires.
    pub(super) expires_ms: u64,
    /// Bytes accounted for this entry, key included.
    pub(super) cost: usize,
    pub(super) flags: u32,
}

impl Entry {
    pub(super) fn live(&self, now_ms: u64) -> bool {
        self.expires_ms == 0 || self.expires_ms >= now_ms
    }
}

/// Each shard on its own cache lines, so that neighbours' locks do not disturb each other.
#[repr(align(128))]
struct Shard(Mutex<Map>);

/// How a write treats an existing or missing key, and whether it may evict.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Set,
    SafeSet,
    Add,
    SafeAdd,
    Replace,
}

impl Mode {
    fn safe(self) -> bool {
        matches!(self, Self::SafeSet | Self::SafeAdd)
    }
}

/// One dictionary; share it through `Arc`.
pub struct Dict {
    name: Box<str>,
    capacity: usize,
    used: AtomicUsize,
    picker: lru::DefaultHasher,
    shards: Box<[Shard]>,
}

impl Dict {
    /// Creates an empty dictionary of `capacity` bytes. Memory is taken as entries come.
    #[must_use]
    pub fn new(name: &str, capacity: usize) -> Self {
        let count = match capacity {
            _ if capacity <= ONE_SHARD_BYTES_MAX => 1,
            0..=0x10_0000 => 8,
            0x10_0001..=0x100_0000 => 32,
            _ => 64,
        };
        let shard = || Shard(Mutex::new(Map::unbounded_with_hasher(lru::DefaultHasher::default())));
        Self {
            name: name.into(),
            capacity,
            used: AtomicUsize::new(0),
            picker: lru::DefaultHasher::default(),
            shards: (0..count).map(|_| shard()).collect(),
        }
    }

    /// The name it was declared with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bound in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes left before a write has to evict.
    #[must_use]
    pub fn free_space(&self) -> usize {
        self.capacity.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// The live value of `key`.
    ///
    /// # Errors
    ///
    /// [`DictError::IsAList`], or a bad key.
    pub fn get(&self, key: &[u8], now_ms: u64) -> Result<Option<Found>, DictError> {
        Ok(self.get_stale(key, now_ms)?.filter(|found| !found.stale))
    }

    /// The value of `key` even if it has expired but was not yet reclaimed.
    ///
    /// # Errors
    ///
    /// [`DictError::IsAList`], or a bad key.
    pub fn get_stale(&self, key: &[u8], now_ms: u64) -> Result<Option<Found>, DictError> {
        check_key(key)?;
        let mut map = self.lock(self.home(key));
        let Some(entry) = map.get_mut(key) else { return Ok(None) };
        let value = match &entry.stored {
            Stored::Bool(value) => Value::Bool(*value),
            Stored::Number(value) => Value::Number(*value),
            Stored::Bytes(value) => Value::Bytes(Arc::clone(value)),
            Stored::List(_) if entry.live(now_ms) => return Err(DictError::IsAList),
            Stored::List(_) => return Ok(None),
        };
        Ok(Some(Found { value, flags: entry.flags, stale: !entry.live(now_ms) }))
    }

    /// Writes unconditionally; evicts the least recently used if there is no room.
    pub fn set(&self, key: &[u8], value: Put<'_>, life: Life, now_ms: u64) -> Outcome<()> {
        self.store(Mode::Set, (key, value), life, now_ms)
    }

    /// Like [`Dict::set`] but fails with [`DictError::NoMemory`] instead of evicting live entries.
    pub fn safe_set(&self, key: &[u8], value: Put<'_>, life: Life, now_ms: u64) -> Outcome<()> {
        self.store(Mode::SafeSet, (key, value), life, now_ms)
    }

    /// Writes only if the key is missing or expired, else [`DictError::Exists`].
    pub fn add(&self, key: &[u8], value: Put<'_>, life: Life, now_ms: u64) -> Outcome<()> {
        self.store(Mode::Add, (key, value), life, now_ms)
    }

    /// Like [`Dict::add`] but never evicts live entries.
    pub fn safe_add(&self, key: &[u8], value: Put<'_>, life: Life, now_ms: u64) -> Outcome<()> {
        self.store(Mode::SafeAdd, (key, value), life, now_ms)
    }

    /// Writes only if the key is live, else [`DictError::NotFound`].
    pub fn replace(&self, key: &[u8], value: Put<'_>, life: Life, now_ms: u64) -> Outcome<()> {
        self.store(Mode::Replace, (key, value), life, now_ms)
    }

    /// Removes `key`; removing what is not there is no error.
    ///
    /// # Errors
    ///
    /// A bad key.
    pub fn delete(&self, key: &[u8]) -> Result<(), DictError> {
        check_key(key)?;
        self.remove(&mut self.lock(self.home(key)), key);
        Ok(())
    }

    /// Adds `delta` to a live number and keeps its expiry; a missing key starts from `init`.
    ///
    /// Fails with [`DictError::NotFound`] without `init`, [`DictError::NotANumber`] on other
    /// types, [`DictError::NoMemory`] if a new entry does not fit.
    pub fn incr(&self, key: &[u8], delta: f64, init: Option<Init>, now_ms: u64) -> Outcome<f64> {
        let Outcome { result, forcible } = self.count(key, delta, init, now_ms);
        Outcome { result: result.map(|(value, _)| value), forcible }
    }

    /// Like [`Dict::incr`]; also returns what [`Dict::ttl`] would say now.
    pub fn count(
        &self,
        key: &[u8],
        delta: f64,
        init: Option<Init>,
        now_ms: u64,
    ) -> Outcome<(f64, u64)> {
        if let Err(error) = check_key(key) {
            return Outcome::of(Err(error));
        }
        let at = self.home(key);
        let mut map = self.lock(at);
        if let Some(entry) = map.get_mut(key).filter(|entry| entry.live(now_ms)) {
            let Stored::Number(number) = &mut entry.stored else {
                return Outcome::of(Err(DictError::NotANumber));
            };
            *number += delta;
            return Outcome::of(Ok((*number, entry.expires_ms.saturating_sub(now_ms))));
        }
        let Some(init) = init else { return Outcome::of(Err(DictError::NotFound)) };
        let value = init.value + delta;
        self.remove(&mut map, key);
        let entry = Entry {
            stored: Stored::Number(value),
            expires_ms: expiry(init.ttl_ms, now_ms),
            cost: key.len() + ENTRY_OVERHEAD_BYTES,
            flags: 0,
        };
        let room = self.reserve((&mut map, at), entry.cost, true, now_ms);
        if room.result.is_ok() {
            map.put(key.into(), entry);
        }
        Outcome { result: room.result.map(|()| (value, init.ttl_ms)), forcible: room.forcible }
    }

    /// Milliseconds `key` still lives; 0 if it does not expire.
    ///
    /// # Errors
    ///
    /// [`DictError::NotFound`], or a bad key.
    pub fn ttl(&self, key: &[u8], now_ms: u64) -> Result<u64, DictError> {
        check_key(key)?;
        let map = self.lock(self.home(key));
        let entry = map.peek(key).filter(|entry| entry.live(now_ms)).ok_or(DictError::NotFound)?;
        Ok(entry.expires_ms.saturating_sub(now_ms))
    }

    /// Gives a live `key` a new lifetime; 0 lets it live until evicted.
    ///
    /// # Errors
    ///
    /// [`DictError::NotFound`], or a bad key.
    pub fn expire(&self, key: &[u8], ttl_ms: u64, now_ms: u64) -> Result<(), DictError> {
        check_key(key)?;
        let mut map = self.lock(self.home(key));
        let entry =
            map.peek_mut(key).filter(|entry| entry.live(now_ms)).ok_or(DictError::NotFound)?;
        entry.expires_ms = expiry(ttl_ms, now_ms);
        Ok(())
    }

    /// Marks every entry expired. The memory comes back as entries are reclaimed.
    pub fn flush_all(&self) {
        for at in 0..self.shards.len() {
            for (_, entry) in self.lock(at).iter_mut() {
                entry.expires_ms = 1;
            }
        }
    }

    /// Reclaims up to `max` expired entries (0: all) and says how many.
    pub fn flush_expired(&self, max: usize, now_ms: u64) -> usize {
        let max = if max == 0 { usize::MAX } else { max };
        let mut freed = 0;
        for at in 0..self.shards.len() {
            let mut map = self.lock(at);
            let expired = map.iter().rev().filter(|(_, entry)| !entry.live(now_ms));
            let keys: Vec<_> = expired.take(max - freed).map(|(key, _)| key.clone()).collect();
            freed += keys.len();
            for key in keys {
                self.remove(&mut map, &key);
            }
            if freed == max {
                break;
            }
        }
        freed
    }

    /// Up to `max` live keys (0: all), most recently used first within a shard.
    #[must_use]
    pub fn get_keys(&self, max: usize, now_ms: u64) -> Vec<Box<[u8]>> {
        let max = if max == 0 { usize::MAX } else { max };
        let mut keys = Vec::new();
        for at in 0..self.shards.len() {
            let map = self.lock(at);
            let live = map.iter().filter(|(_, entry)| entry.live(now_ms));
            keys.extend(live.take(max - keys.len()).map(|(key, _)| key.clone()));
        }
        keys
    }

    fn store(
        &self,
        mode: Mode,
        (key, value): (&[u8], Put<'_>),
        life: Life,
        now_ms: u64,
    ) -> Outcome<()> {
        if let Err(error) = check_key(key) {
            return Outcome::of(Err(error));
        }
        let at = self.home(key);
        let mut map = self.lock(at);
        let old = map.get_mut(key);
        let live = old.as_ref().is_some_and(|entry| entry.live(now_ms));
        match mode {
            Mode::Add | Mode::SafeAdd if live => return Outcome::of(Err(DictError::Exists)),
            Mode::Replace if !live => return Outcome::of(Err(DictError::NotFound)),
            Mode::Set | Mode::SafeSet => {}
            _ if value == Put::Nil => return Outcome::of(Err(DictError::NilValue)),
            _ => {}
        }
        let (stored, bytes) = match value {
            Put::Nil => {
                self.remove(&mut map, key);
                return Outcome::of(Ok(()));
            }
            Put::Bool(value) => (Stored::Bool(value), 0),
            Put::Number(value) => (Stored::Number(value), 0),
            Put::Bytes(value) => (Stored::Bytes(value.into()), value.len()),
        };
        let cost = key.len() + bytes + ENTRY_OVERHEAD_BYTES;
        let expires_ms = expiry(life.ttl_ms, now_ms);
        let entry = Entry { stored, expires_ms, cost, flags: life.flags };
        if let Some(old) = old
            && old.cost == cost
        {
            *old = entry;
            return Outcome::of(Ok(()));
        }
        self.remove(&mut map, key);
        let room = self.reserve((&mut map, at), cost, !mode.safe(), now_ms);
        if room.result.is_ok() {
            map.put(key.into(), entry);
        }
        room
    }

    /// Which shard holds `key`.
    pub(super) fn home(&self, key: &[u8]) -> usize {
        match self.shards.len() {
            1 => 0,
            count => (self.picker.hash_one(key) >> 32) as usize & (count - 1),
        }
    }

    pub(super) fn lock(&self, at: usize) -> MutexGuard<'_, Map> {
        // A thread that panicked inside left a whole map: every step here is one map operation.
        self.shards[at].0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remove(&self, map: &mut Map, key: &[u8]) {
        if let Some(entry) = map.pop(key) {
            self.release(entry.cost);
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes `need` bytes of the budget, evicting if `evict`, else only reclaiming the expired.
    pub(super) fn reserve(
        &self,
        (home, at): (&mut Map, usize),
        need: usize,
        evict: bool,
        now_ms: u64,
    ) -> Outcome<()> {
        let mut forcible = false;
        if need > self.capacity {
            return Outcome::of(Err(DictError::NoMemory));
        }
        while !self.try_reserve(need) {
            let freed = match evict {
                true => self.evict_lru(home, now_ms),
                false => self.evict_expired(home, now_ms),
            };
            let freed = freed.or_else(|| {
                self.elsewhere(at, |map| match evict {
                    true => self.evict_lru(map, now_ms),
                    false => self.evict_expired(map, now_ms),
                })
            });
            match freed {
                Some(live) => forcible |= live,
                None => return Outcome { result: Err(DictError::NoMemory), forcible },
            }
        }
        Outcome { result: Ok(()), forcible }
    }

    fn try_reserve(&self, need: usize) -> bool {
        let fits = |used: usize| used.checked_add(need).filter(|sum| *sum <= self.capacity);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Drops the oldest entry and says whether it was still live.
    fn evict_lru(&self, map: &mut Map, now_ms: u64) -> Option<bool> {
        let (_, entry) = map.pop_lru()?;
        self.release(entry.cost);
        Some(entry.live(now_ms))
    }

    fn evict_expired(&self, map: &mut Map, now_ms: u64) -> Option<bool> {
        let mut oldest = map.iter().rev().take(EXPIRED_SCAN_MAX);
        let key = oldest.find(|(_, entry)| !entry.live(now_ms)).map(|(key, _)| key.clone())?;
        self.remove(map, &key);
        Some(false)
    }

    /// Frees something in another shard. Only `try_lock`, because the caller holds its own:
    /// two writers that wanted each other's shard would wait for ever.
    fn elsewhere(&self, at: usize, free: impl Fn(&mut Map) -> Option<bool>) -> Option<bool> {
        let count = self.shards.len();
        for _ in 0..ROUNDS_MAX {
            let mut busy = false;
            for step in 1..count {
                let freed = match self.shards[(at + step) % count].0.try_lock() {
                    Ok(mut map) => free(&mut map),
                    Err(TryLockError::Poisoned(map)) => free(&mut map.into_inner()),
                    Err(TryLockError::WouldBlock) => {
                        busy = true;
                        None
                    }
                };
                if freed.is_some() {
                    return freed;
                }
            }
            if !busy {
                return None;
            }
            thread::yield_now();
        }
        None
    }
}

pub(super) fn check_key(key: &[u8]) -> Result<(), DictError> {
    match key.len() {
        0 => Err(DictError::EmptyKey),
        1..=KEY_BYTES_MAX => Ok(()),
        _ => Err(DictError::KeyTooLong),
    }
}

fn expiry(ttl_ms: u64, now_ms: u64) -> u64 {
    // At least 1: 0 is the mark of what never expires.
    if ttl_ms == 0 { 0 } else { now_ms.saturating_add(ttl_ms).max(1) }
}
