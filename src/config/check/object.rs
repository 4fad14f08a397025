//! Checked values to typed objects.

use std::sync::Arc;

use serde_json::Value;

use crate::config::{
    consumer::Consumer,
    plugin::{Kept, PluginConf, PluginSet},
    route::Route,
    service::Service,
    upstream::Upstream,
};

pub(super) type Plugins = Vec<Arc<PluginConf>>;

/// A typed object, made of a checked value.
pub(super) trait Object: Sized {
    /// `value` may still be normalised; it is stored afterwards.
    fn read(
        id: &str,
        value: &mut Value,
        with: Plugins,
        prev: Option<&Self>,
    ) -> Result<Self, String>;

    /// The plugins of an earlier version, to keep what did not change.
    fn plugins(&self) -> &[Arc<PluginConf>] {
        &[]
    }
}

fn lower_hosts(value: &mut Value) {
    if let Some(Value::String(host)) = value.get_mut("host") {
        host.make_ascii_lowercase();
    }
    for host in value.get_mut("hosts").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::String(host) = host {
            host.make_ascii_lowercase();
        }
    }
}

fn own_upstream(
    value: &Value,
    before: Option<&Arc<Upstream>>,
) -> Result<Option<Arc<Upstream>>, String> {
    let upstream = value.get("upstream").filter(|upstream| upstream.is_object());
    upstream.map(|upstream| Upstream::read(upstream, before)).transpose()
}

impl Object for Route {
    fn read(
        _: &str,
        value: &mut Value,
        with: Plugins,
        prev: Option<&Self>,
    ) -> Result<Self, String> {
        lower_hosts(value);
        let upstream = own_upstream(value, prev.and_then(|prev| prev.upstream.as_ref()))?;
        Ok(Route::read(value, with, upstream))
    }

    fn plugins(&self) -> &[Arc<PluginConf>] {
        &self.plugins
    }
}

impl Object for Service {
    fn read(
        _: &str,
        value: &mut Value,
        with: Plugins,
        prev: Option<&Self>,
    ) -> Result<Self, String> {
        lower_hosts(value);
        let upstream = own_upstream(value, prev.and_then(|prev| prev.upstream.as_ref()))?;
        Ok(Service::read(value, with, upstream))
    }

    fn plugins(&self) -> &[Arc<PluginConf>] {
        &self.plugins
    }
}

impl Object for Arc<Upstream> {
    fn read(_: &str, value: &mut Value, _: Plugins, prev: Option<&Self>) -> Result<Self, String> {
        Upstream::read(value, prev)
    }
}

impl Object for Consumer {
    fn read(id: &str, value: &mut Value, with: Plugins, _: Option<&Self>) -> Result<Self, String> {
        Ok(Consumer::read(id, value, with))
    }

    fn plugins(&self) -> &[Arc<PluginConf>] {
        &self.plugins
    }
}

impl Object for PluginSet {
    fn read(_: &str, _: &mut Value, with: Plugins, _: Option<&Self>) -> Result<Self, String> {
        Ok(PluginSet { plugins: with })
    }

    fn plugins(&self) -> &[Arc<PluginConf>] {
        &self.plugins
    }
}

impl Object for Kept {
    fn read(_: &str, _: &mut Value, _: Plugins, _: Option<&Self>) -> Result<Self, String> {
        Ok(Kept)
    }
}
