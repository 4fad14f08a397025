//! Who may use the Admin API: addresses, keys, roles, and how often somebody may be wrong.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::{constant_time, digest};
use http::{HeaderMap, Method};
use serde_json::Value;

use super::wire::Query;
use crate::clock;

/// Wrong keys that one address may send at once.
const WRONG_BURST: u32 = 20;

/// After how long it may send one more.
const WRONG_EVERY: Duration = Duration::from_secs(1);

/// Addresses whose wrong keys are remembered.
const ADDRESSES_MAX: usize = 1024;

/// A network: an address, and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `127.0.0.0/24`, `::1` and their like.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { address, bits })
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let differ = u32::from(net) ^ u32::from(address);
                differ.checked_shr(32 - self.bits).is_none_or(|high| high == 0)
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let differ = u128::from(net) ^ u128::from(address);
                differ.checked_shr(128 - self.bits).is_none_or(|high| high == 0)
            }
            _ => false,
        }
    }
}

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Admin,
    Viewer,
}

struct Key {
    name: String,
    role: Role,
    /// Digests have one length, so comparing them tells nothing about the length of keys.
    digest: [u8; 32],
}

/// The keys of `deployment.admin.admin_key`.
pub(super) struct Keys {
    keys: Vec<Key>,
    /// An entry for administrators has no key, or there is no entry at all.
    wants_one: bool,
}

/// Why a request is refused, as the answer says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Missing,
    Wrong,
    Viewer,
}

impl Refusal {
    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Missing => "missing apikey",
            Self::Wrong => "wrong apikey",
            Self::Viewer => "invalid method for role viewer",
        }
    }
}

fn digest_of(key: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, key.as_bytes()).as_ref());
    out
}

impl Keys {
    /// Reads the list. An entry for administrators whose key is empty asks for a generated one.
    ///
    /// # Errors
    ///
    /// An entry is not as it should be. The message does not quote its key.
    pub(super) fn read(list: Option<&Value>) -> Result<Self, String> {
        const PATH: &str = "deployment.admin.admin_key";
        let list = match list {
            None | Some(Value::Null) => return Ok(Self { keys: Vec::new(), wants_one: true }),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(format!("{PATH} must be a list")),
        };
        let mut keys = Vec::with_capacity(list.len());
        let mut wants_one = list.is_empty();
        for (at, entry) in list.iter().enumerate() {
            let at = at + 1;
            let text = |name: &str| entry.get(name).and_then(Value::as_str);
            let role = match text("role") {
                Some("admin") | None => Role::Admin,
                Some("viewer") => Role::Viewer,
                Some(_) => return Err(format!("{PATH}: entry {at} has an unknown role")),
            };
            let key = match entry.get("key") {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(key)) => key.clone(),
                // YAML reads a key of digits as a number.
                Some(Value::Number(key)) => key.to_string(),
                Some(_) => return Err(format!("{PATH}: the key of entry {at} is no text")),
            };
            if key.is_empty() {
                wants_one |= role == Role::Admin;
                continue;
            }
            let name = text("name").unwrap_or("unnamed").to_owned();
            keys.push(Key { name, role, digest: digest_of(&key) });
        }
        Ok(Self { keys, wants_one })
    }

    /// Whether a key should be generated.
    pub(super) fn wants_one(&self) -> bool {
        self.wants_one
    }

    /// Adds the key that was generated.
    pub(super) fn add_generated(&mut self, key: &str) {
        let digest = digest_of(key);
        self.keys.push(Key { name: "admin".to_owned(), role: Role::Admin, digest });
        self.wants_one = false;
    }

    /// The name of the key, if it is one that may do this. All keys are compared, whichever fits.
    pub(super) fn check(&self, key: Option<&str>, method: &Method) -> Result<&str, Refusal> {
        let digest = digest_of(key.ok_or(Refusal::Missing)?);
        let equal =
            |key: &Key| constant_time::verify_slices_are_equal(&key.digest, &digest).is_ok();
        let mut found = None;
        for key in &self.keys {
            if equal(key) && found.is_none() {
                found = Some(key);
            }
        }
        let key = found.ok_or(Refusal::Wrong)?;
        if key.role == Role::Viewer && method != Method::GET {
            return Err(Refusal::Viewer);
        }
        Ok(&key.name)
    }
}

/// The key that a request brings: an argument, a field or a cookie.
pub(super) fn presented(query: &Query, fields: &HeaderMap) -> Option<String> {
    let field = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    let cookie = |line: &str| {
        let of = |pair: &str| {
            let (name, value) = pair.split_once('=')?;
            (name.trim() == "x_api_key").then(|| value.trim().to_owned())
        };
        line.split(';').find_map(of)
    };
    query
        .get("api_key")
        .or_else(|| field("x-api-key"))
        .map(str::to_owned)
        .or_else(|| fields.get_all("cookie").iter().find_map(|line| cookie(line.to_str().ok()?)))
}

/// How often addresses sent wrong keys lately: a bucket for each that leaks with time.
pub(super) struct Guard(Mutex<HashMap<IpAddr, (u32, Instant)>>);

impl Guard {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Whether this address has to wait, whatever key it has. Otherwise a right guess among many
    /// wrong ones would still be told.
    pub(super) fn must_wait(&self, address: IpAddr) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&bucket(address))
            .is_some_and(|state| leaked(*state, clock::now()).0 >= WRONG_BURST)
    }

    /// Notes a wrong key.
    pub(super) fn wrong(&self, address: IpAddr) {
        let now = clock::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = bucket(address);
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&address) {
            known.retain(|_, state| leaked(*state, now).0 > 0);
            if known.len() >= ADDRESSES_MAX {
                let least = known.iter().min_by_key(|(_, state)| leaked(**state, now).0);
                if let Some(least) = least.map(|(address, _)| *address) {
                    known.remove(&least);
                }
            }
        }
        let state = known.entry(address).or_insert((0, now));
        let (count, since) = leaked(*state, now);
        *state = (count.saturating_add(1).min(WRONG_BURST), since);
    }
}

/// Who counts as one client: with IPv6, a network of 64 bits.
fn bucket(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        address => address,
    }
}

/// What is left of a bucket, and since when.
fn leaked((count, since): (u32, Instant), now: Instant) -> (u32, Instant) {
    let seconds = now.saturating_duration_since(since).as_secs() / WRONG_EVERY.as_secs();
    let gone = u32::try_from(seconds).unwrap_or(u32::MAX);
    match count.checked_sub(gone) {
        Some(0) | None => (0, now),
        Some(left) => (left, since + WRONG_EVERY * gone),
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
