//! What runs for a request: the part of a merged route that the plugin host needs.

use std::sync::Arc;

use super::{
    merge::{GlobalRules, Merged},
    plugin::PluginConf,
    upstream::Timeout,
};

/// Plugins with the identity plugins see in `ctx`. The plugin host caches by its address.
#[derive(Debug, Default)]
pub struct Runs {
    /// One per name.
    pub plugins: Vec<Arc<PluginConf>>,
    /// `ctx.conf_type`.
    pub conf_type: String,
    /// `ctx.conf_id`.
    pub conf_id: String,
    /// `ctx.conf_version`.
    pub conf_version: String,
    /// `ctx.route_id`.
    pub route_id: Option<Arc<str>>,
    /// `ctx.route_name`.
    pub route_name: Option<Arc<str>>,
    /// `ctx.service_id`.
    pub service_id: Option<Arc<str>>,
    /// `ctx.service_name`.
    pub service_name: Option<Arc<str>>,
}

/// A matched route, merged, with what runs for it. What every request asks for comes first:
/// with very many routes each line of it must come from main memory.
#[derive(Debug)]
#[repr(C)]
pub struct Matched {
    /// Whether it has plugins at all.
    pub has_plugins: bool,
    /// Whether upgrades are let through.
    pub enable_websocket: bool,
    /// The route's own time limits.
    pub timeout: Option<Box<Timeout>>,
    /// What runs.
    pub runs: Arc<Runs>,
    /// Route, service and all that.
    pub merged: Merged,
}

impl From<Merged> for Matched {
    fn from(merged: Merged) -> Self {
        let service = merged.service.as_ref();
        let runs = Runs {
            plugins: merged.plugins.clone(),
            conf_type: merged.conf_type.clone(),
            conf_id: merged.conf_id.clone(),
            conf_version: merged.conf_version.clone(),
            route_id: Some(Arc::clone(&merged.route.id)),
            route_name: merged.route.typed.name.clone(),
            service_id: service.map(|service| Arc::clone(&service.id)),
            service_name: service.and_then(|service| service.typed.name.clone()),
        };
        Self {
            has_plugins: !runs.plugins.is_empty(),
            enable_websocket: merged.enable_websocket,
            timeout: merged.timeout.map(Box::new),
            runs: Arc::new(runs),
            merged,
        }
    }
}

impl From<&GlobalRules> for Runs {
    fn from(rules: &GlobalRules) -> Self {
        Self {
            plugins: rules.plugins.clone(),
            conf_type: "global_rule".to_owned(),
            conf_id: "1".to_owned(),
            conf_version: rules.version.to_string(),
            ..Self::default()
        }
    }
}
