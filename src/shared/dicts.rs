//! The dictionaries of the process by name: those declared in the configuration, APISIX's own,
//! and, if allowed, those a plugin asks for without declaring them.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::dict::Dict;

/// How many dictionaries may come into being without a declaration.
pub const UNDECLARED_MAX: usize = 256;

const MIB: usize = 1 << 20;

/// Names and sizes in bytes that APISIX declares by itself.
pub const DEFAULTS: &[(&str, usize)] = &[
    ("access-tokens", MIB),
    ("balancer-ewma", 10 * MIB),
    ("balancer-ewma-last-touched-at", 10 * MIB),
    ("balancer-ewma-locks", 10 * MIB),
    ("cas_sessions", 10 * MIB),
    ("discovery", MIB),
    ("etcd-cluster-health-check", 10 * MIB),
    ("etcd-cluster-health-check-stream", 10 * MIB),
    ("ext-plugin", MIB),
    ("internal-status", 10 * MIB),
    ("introspection", 10 * MIB),
    ("jwks", MIB),
    ("lrucache-lock", 10 * MIB),
    ("lrucache-lock-stream", 10 * MIB),
    ("mcp-session", 10 * MIB),
    ("memory_cache", 50 * MIB),
    ("nacos", 64 * MIB),
    ("nacos-stream", 64 * MIB),
    ("ocsp-stapling", 10 * MIB),
    ("plugin-ai-rate-limiting", 10 * MIB),
    ("plugin-ai-rate-limiting-reset-header", 10 * MIB),
    ("plugin-api-breaker", 10 * MIB),
    ("plugin-graphql-limit-count", 10 * MIB),
    ("plugin-graphql-limit-count-reset-header", 10 * MIB),
    ("plugin-limit-conn", 10 * MIB),
    ("plugin-limit-conn-redis-cluster-slot-lock", MIB),
    ("plugin-limit-conn-stream", 10 * MIB),
    ("plugin-limit-count", 10 * MIB),
    ("plugin-limit-count-lock", MIB),
    ("plugin-limit-count-redis-cluster-slot-lock", MIB),
    ("plugin-limit-count-reset-header", 10 * MIB),
    ("plugin-limit-req", 10 * MIB),
    ("plugin-limit-req-redis-cluster-slot-lock", MIB),
    ("prometheus-cache", 10 * MIB),
    ("prometheus-metrics", 128 * MIB),
    ("redis_cluster_health", 10 * MIB),
    ("standalone-config", 10 * MIB),
    ("status-report", MIB),
    ("tars", MIB),
    ("tars-stream", MIB),
    ("tracing_buffer", 32 * MIB),
    ("upstream-healthcheck", 10 * MIB),
    ("worker-events", 10 * MIB),
    ("worker-events-stream", 10 * MIB),
    ("xds-config", 10 * MIB),
    ("xds-config-version", MIB),
];

/// All dictionaries of the process.
#[derive(Default)]
pub struct Dicts {
    declared: BTreeMap<Box<str>, Arc<Dict>>,
    undeclared: RwLock<BTreeMap<Box<str>, Arc<Dict>>>,
}

impl Dicts {
    /// [`DEFAULTS`] plus `custom` names with sizes in bytes; a custom size wins over a default.
    pub fn new<'a>(custom: impl IntoIterator<Item = (&'a str, usize)>) -> Self {
        let sizes = DEFAULTS.iter().copied().chain(custom);
        let sizes: BTreeMap<&str, usize> = sizes.collect();
        let declare = |(name, bytes)| (Box::from(name), Arc::new(Dict::new(name, bytes)));
        Self { declared: sizes.into_iter().map(declare).collect(), undeclared: RwLock::default() }
    }

    /// The dictionary of that name, if declared or already created.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Dict>> {
        if let Some(dict) = self.declared.get(name) {
            return Some(Arc::clone(dict));
        }
        let undeclared = self.undeclared.read().unwrap_or_else(PoisonError::into_inner);
        undeclared.get(name).map(Arc::clone)
    }

    /// Like [`Dicts::get`], but makes an undeclared one of `bytes`. `None` once
    /// [`UNDECLARED_MAX`] were made, so that a name built from a request cannot fill memory.
    #[must_use]
    pub fn get_or_create(&self, name: &str, bytes: usize) -> Option<Arc<Dict>> {
        if let Some(dict) = self.get(name) {
            return Some(dict);
        }
        let mut undeclared = self.undeclared.write().unwrap_or_else(PoisonError::into_inner);
        if undeclared.len() >= UNDECLARED_MAX && !undeclared.contains_key(name) {
            return None;
        }
        let create = || Arc::new(Dict::new(name, bytes));
        Some(Arc::clone(undeclared.entry(name.into()).or_insert_with(create)))
    }

    /// All of them in order of name, declared first: for metrics.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Dict>> {
        let undeclared = self.undeclared.read().unwrap_or_else(PoisonError::into_inner);
        self.declared.values().chain(undeclared.values()).map(Arc::clone).collect()
    }
}

/// Reads a size as nginx writes it: `512`, `64k`, `10m`, `1g`.
///
/// # Errors
///
/// A sentence with the text when it is no size, is zero, or does not fit.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let bad = || format!("invalid size \"{text}\": use a number with k, m or g, such as 10m");
    let text = text.trim();
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1_usize),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|size| *size > 0).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_size_wins_over_the_default() {
        let dicts = Dicts::new([("tars", 5), ("mine", 7)]);
        assert_eq!(dicts.get("tars").unwrap().capacity(), 5);
        assert_eq!(dicts.get("mine").unwrap().capacity(), 7);
        assert_eq!(dicts.get("plugin-limit-count").unwrap().capacity(), 10 << 20);
        assert!(dicts.get("other").is_none());
    }

    #[test]
    fn undeclared_ones_are_shared_and_bounded() {
        let dicts = Dicts::new([]);
        let first = dicts.get_or_create("x", 1000).unwrap();
        assert!(Arc::ptr_eq(&first, &dicts.get_or_create("x", 2000).unwrap()));
        assert!(Arc::ptr_eq(&first, &dicts.get("x").unwrap()));
        for at in 1..UNDECLARED_MAX {
            assert!(dicts.get_or_create(&format!("x{at}"), 10).is_some());
        }
        assert!(dicts.get_or_create("one too many", 10).is_none());
        assert!(dicts.get_or_create("x", 10).is_some());
        assert_eq!(dicts.all().len(), DEFAULTS.len() + UNDECLARED_MAX);
    }

    #[test]
    fn sizes_are_read_as_nginx_reads_them() {
        assert_eq!(parse_size("10m"), Ok(10 << 20));
        assert_eq!(parse_size("64K"), Ok(64 << 10));
        assert_eq!(parse_size("1g"), Ok(1 << 30));
        assert_eq!(parse_size("512"), Ok(512));
        for text in ["", "m", "0", "0m", "-1", "+1", "1.5m", "10mb", "99999999999999999999g"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
