//! Lists in a [`Dict`]: `lpush`, `rpush`, `lpop`, `rpop`, `llen`.
//!
//! A list exists as long as it has items. It has no expiry of its own until
//! [`Dict::expire`] gives it one. A push that finds no room fails rather than evict what is live,
//! as nginx does: a queue that nobody empties must not drive out the keys beside it.

use std::{collections::VecDeque, sync::Arc};

use super::dict::{
    Dict, DictError, ENTRY_OVERHEAD_BYTES, Entry, Outcome, Put, Stored, Value, check_key,
};

/// What one list item costs beside its bytes.
const ITEM_OVERHEAD_BYTES: usize = 48;

#[derive(Clone, Copy)]
enum End {
    Left,
    Right,
}

impl Dict {
    /// Puts an item before the first one; returns the new length.
    ///
    /// Fails with [`DictError::NotAList`], [`DictError::BadValueType`], [`DictError::NoMemory`].
    pub fn lpush(&self, key: &[u8], item: Put<'_>, now_ms: u64) -> Outcome<usize> {
        self.push(key, item, End::Left, now_ms)
    }

    /// Puts an item after the last one; returns the new length.
    ///
    /// Fails with [`DictError::NotAList`], [`DictError::BadValueType`], [`DictError::NoMemory`].
    pub fn rpush(&self, key: &[u8], item: Put<'_>, now_ms: u64) -> Outcome<usize> {
        self.push(key, item, End::Right, now_ms)
    }

    /// Takes the first item; `None` if there is no list.
    ///
    /// # Errors
    ///
    /// [`DictError::NotAList`], or a bad key.
    pub fn lpop(&self, key: &[u8], now_ms: u64) -> Result<Option<Value>, DictError> {
        self.take(key, End::Left, now_ms)
    }

    /// Takes the last item; `None` if there is no list.
    ///
    /// # Errors
    ///
    /// [`DictError::NotAList`], or a bad key.
    pub fn rpop(&self, key: &[u8], now_ms: u64) -> Result<Option<Value>, DictError> {
        self.take(key, End::Right, now_ms)
    }

    /// Number of items; 0 if there is no list.
    ///
    /// # Errors
    ///
    /// [`DictError::NotAList`], or a bad key.
    pub fn llen(&self, key: &[u8], now_ms: u64) -> Result<usize, DictError> {
        check_key(key)?;
        let mut map = self.lock(self.home(key));
        match map.get(key).filter(|entry| entry.live(now_ms)).map(|entry| &entry.stored) {
            None => Ok(0),
            Some(Stored::List(list)) => Ok(list.len()),
            Some(_) => Err(DictError::NotAList),
        }
    }

    fn push(&self, key: &[u8], item: Put<'_>, end: End, now_ms: u64) -> Outcome<usize> {
        if let Err(error) = check_key(key) {
            return Outcome::of(Err(error));
        }
        let value = match item {
            Put::Number(value) => Value::Number(value),
            Put::Bytes(value) => Value::Bytes(Arc::from(value)),
            Put::Nil | Put::Bool(_) => return Outcome::of(Err(DictError::BadValueType)),
        };
        let at = self.home(key);
        let mut map = self.lock(at);
        let old = map.peek(key).filter(|entry| entry.live(now_ms));
        if old.is_some_and(|entry| !matches!(entry.stored, Stored::List(_))) {
            return Outcome::of(Err(DictError::NotAList));
        }
        if old.is_none() {
            self.remove(&mut map, key);
        }
        // Out of the map while room is made, since that needs the map.
        let mut old = map.pop(key);
        let fresh = if old.is_none() { key.len() + ENTRY_OVERHEAD_BYTES } else { 0 };
        let need = item_cost(&value) + fresh;
        let room = self.reserve((&mut map, at), need, false, now_ms);
        let pushed = room.result.map(|()| {
            let entry = old.get_or_insert_with(|| Entry {
                stored: Stored::List(VecDeque::new()),
                expires_ms: 0,
                cost: 0,
                flags: 0,
            });
            entry.cost += need;
            let Stored::List(list) = &mut entry.stored else { return 0 };
            match end {
                End::Left => list.push_front(value),
                End::Right => list.push_back(value),
            }
            list.len()
        });
        if let Some(entry) = old {
            map.put(key.into(), entry);
        }
        Outcome { result: pushed, forcible: room.forcible }
    }

    fn take(&self, key: &[u8], end: End, now_ms: u64) -> Result<Option<Value>, DictError> {
        check_key(key)?;
        let mut map = self.lock(self.home(key));
        let Some(entry) = map.get_mut(key).filter(|entry| entry.live(now_ms)) else {
            return Ok(None);
        };
        let Stored::List(list) = &mut entry.stored else { return Err(DictError::NotAList) };
        let value = match end {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        };
        let freed = value.as_ref().map_or(0, item_cost);
        let empty = list.is_empty();
        entry.cost -= freed;
        self.release(freed);
        if empty {
            self.remove(&mut map, key);
        }
        Ok(value)
    }
}

fn item_cost(value: &Value) -> usize {
    let bytes = if let Value::Bytes(bytes) = value { bytes.len() } else { 0 };
    bytes + ITEM_OVERHEAD_BYTES
}
