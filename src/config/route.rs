//! Routes.

use std::sync::Arc;

use serde_json::Value;

use super::{
    plugin::PluginConf,
    upstream::{Timeout, Upstream},
};

/// A route, ready for the router.
#[derive(Debug)]
pub struct Route {
    /// Name, for logs and metrics.
    pub name: Option<Arc<str>>,
    /// `uri` or `uris`.
    pub uris: Box<[Box<str>]>,
    /// `host` or `hosts`, in lower case.
    pub hosts: Box<[Box<str>]>,
    /// Allowed methods; all when empty.
    pub methods: Box<[Box<str>]>,
    /// `remote_addr` or `remote_addrs`: addresses and networks.
    pub remote_addrs: Box<[Box<str>]>,
    /// The expression that must hold.
    pub vars: Option<Box<Value>>,
    /// Lua source of the function that must return true.
    pub filter_func: Option<Arc<str>>,
    /// Higher is tried first among equals.
    pub priority: i64,
    /// False for `status: 0`: never matches.
    pub enabled: bool,
    /// One per name, in the order of the file.
    pub plugins: Vec<Arc<PluginConf>>,
    /// Plugins by id.
    pub plugin_config_id: Option<Arc<str>>,
    /// Service by id.
    pub service_id: Option<Arc<str>>,
    /// Upstream by id.
    pub upstream_id: Option<Arc<str>>,
    /// Own upstream.
    pub upstream: Option<Arc<Upstream>>,
    /// Instead of the upstream's.
    pub timeout: Option<Box<Timeout>>,
    /// Whether upgrades are let through; the service is asked when it does not say.
    pub enable_websocket: Option<bool>,
    /// Whether a request body is read whole before the upstream is asked.
    pub buffer_request: bool,
}

impl Route {
    pub(super) fn read(
        value: &Value,
        plugins: Vec<Arc<PluginConf>>,
        upstream: Option<Arc<Upstream>>,
    ) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let id = |name: &str| value.get(name).and_then(id_text);
        Self {
            name: text("name").map(Arc::from),
            uris: texts(value, "uris", "uri"),
            hosts: texts(value, "hosts", "host"),
            methods: texts(value, "methods", "methods"),
            remote_addrs: texts(value, "remote_addrs", "remote_addr"),
            vars: value.get("vars").filter(|vars| !vars.is_null()).cloned().map(Box::new),
            filter_func: text("filter_func").map(Arc::from),
            priority: value.get("priority").and_then(Value::as_i64).unwrap_or(0),
            enabled: value.get("status").and_then(Value::as_i64) != Some(0),
            plugins,
            plugin_config_id: id("plugin_config_id"),
            service_id: id("service_id"),
            upstream_id: id("upstream_id"),
            upstream,
            timeout: value.get("timeout").map(Timeout::read).map(Box::new),
            enable_websocket: value.get("enable_websocket").and_then(Value::as_bool),
            buffer_request: value
                .get("proxy_request_buffering")
                .is_some_and(|set| set == &Value::Bool(true) || set == "on"),
        }
    }
}

/// An id as text, whether it was configured as text or as a number.
pub(super) fn id_text(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::String(text) => Some(Arc::from(text.as_str())),
        Value::Number(number) => Some(Arc::from(number.to_string())),
        _ => None,
    }
}

/// The list at `many`, or the single text at `one`.
pub(super) fn texts(value: &Value, many: &str, one: &str) -> Box<[Box<str>]> {
    match (value.get(many), value.get(one)) {
        (Some(Value::Array(list)), _) => {
            list.iter().filter_map(Value::as_str).map(Box::from).collect()
        }
        (_, Some(Value::String(text))) => [Box::from(text.as_str())].into(),
        _ => Box::default(),
    }
}
