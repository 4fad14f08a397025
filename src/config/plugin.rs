//! A plugin's configuration on one object.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde_json::Value;

use super::{item::Fingerprint, packed::Packed};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number that no other configured part of this process has had.
pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// The object that holds a plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its key, such as `/apisix/routes/1`.
    pub key: Arc<str>,
    /// Its `modifiedIndex` when the configuration came.
    pub version: u64,
}

/// A plugin configured on a route, service, consumer or rule.
#[derive(Debug)]
pub struct PluginConf {
    /// Name of the plugin.
    pub name: Arc<str>,
    /// As checked, with defaults. Objects with equal text share it.
    pub conf: Packed,
    /// Unique in this process, and the same as long as this object's text for this plugin
    /// is the same: the key of Lua tables and of whatever plugins cache by them.
    pub id: u64,
    /// Of the text as configured.
    pub hash: Fingerprint,
    /// `_meta` of the configuration.
    pub meta: Meta,
    /// What it is configured on: `_meta.parent` in Lua.
    pub owner: Owner,
}

/// What of `_meta` the core reads; Lua has the rest in the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Meta {
    /// Not run.
    pub disable: bool,
    /// A `vars` expression that must hold.
    pub filter: Option<Box<Value>>,
}

impl Meta {
    pub(super) fn of(conf: &Value) -> Self {
        let Some(meta) = conf.get("_meta") else { return Self::default() };
        let filter = meta.get("filter").filter(|filter| !filter.is_null());
        Self {
            disable: meta.get("disable") == Some(&Value::Bool(true)),
            filter: filter.cloned().map(Box::new),
        }
    }
}

impl PluginConf {
    /// Keeps `before` if the plugin is configured as it was.
    pub(super) fn keeping(
        name: &str,
        hash: Fingerprint,
        (conf, packed): (&Value, &Packed),
        owner: &Owner,
        before: &[Arc<PluginConf>],
    ) -> Arc<PluginConf> {
        let old = before.iter().find(|old| *old.name == *name && old.hash == hash);
        match old {
            Some(old) if old.conf == *packed => Arc::clone(old),
            _ => Arc::new(PluginConf {
                name: Arc::from(name),
                meta: Meta::of(conf),
                conf: packed.clone(),
                id: next_id(),
                hash,
                owner: owner.clone(),
            }),
        }
    }
}

/// An object that is nothing but plugins: `plugin_configs`, `global_rules`,
/// `consumer_groups`.
#[derive(Debug, Default)]
pub struct PluginSet {
    /// One per name, in the order of the file.
    pub plugins: Vec<Arc<PluginConf>>,
}

/// An object that is checked and kept, and that nothing in the core reads yet.
#[derive(Debug, Default)]
pub struct Kept;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn meta_is_read() {
        let meta = Meta::of(&json!({"_meta": {
            "disable": true, "priority": -5, "filter": [["a", "==", 1]],
            "error_response": {"m": 1}, "pre_function": "return function() end"
        }}));
        assert!(meta.disable);
        assert_eq!(meta.filter, Some(Box::new(json!([["a", "==", 1]]))));
        assert_eq!(Meta::of(&json!({})), Meta::default());
    }

    #[test]
    fn an_unchanged_configuration_keeps_its_identity() {
        let owner = |version| Owner { key: "/apisix/routes/1".into(), version };
        let keeping = |name, conf: &Value, version, before: &[Arc<PluginConf>]| {
            PluginConf::keeping(name, 1, (conf, &Packed::of(conf)), &owner(version), before)
        };
        let conf = json!({"a": 1});
        let first = keeping("p", &conf, 1, &[]);
        let before = [Arc::clone(&first)];
        assert!(Arc::ptr_eq(&keeping("p", &json!({"a": 1}), 2, &before), &first));
        let changed = keeping("p", &json!({"a": 1, "default": 2}), 2, &before);
        assert_eq!((first.owner.version, changed.owner.version), (1, 2));
        assert!(changed.id > first.id);
        assert_ne!(keeping("q", &conf, 2, &before).id, first.id);
    }
}
