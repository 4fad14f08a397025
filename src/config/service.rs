//! Services: what several routes have in common.

use std::sync::Arc;

use serde_json::Value;

use super::{
    plugin::PluginConf,
    route::{id_text, texts},
    upstream::Upstream,
};

/// A service.
#[derive(Debug)]
pub struct Service {
    /// Name, for logs and metrics.
    pub name: Option<Arc<str>>,
    /// Hosts of routes that have none, in lower case.
    pub hosts: Box<[Box<str>]>,
    /// One per name, in the order of the file.
    pub plugins: Vec<Arc<PluginConf>>,
    /// Own upstream.
    pub upstream: Option<Arc<Upstream>>,
    /// Upstream by id.
    pub upstream_id: Option<Arc<str>>,
    /// For routes that do not say.
    pub enable_websocket: Option<bool>,
}

impl Service {
    pub(super) fn read(
        value: &Value,
        plugins: Vec<Arc<PluginConf>>,
        upstream: Option<Arc<Upstream>>,
    ) -> Self {
        Self {
            name: value.get("name").and_then(Value::as_str).map(Arc::from),
            hosts: texts(value, "hosts", "hosts"),
            plugins,
            upstream,
            upstream_id: value.get("upstream_id").and_then(id_text),
            enable_websocket: value.get("enable_websocket").and_then(Value::as_bool),
        }
    }
}
