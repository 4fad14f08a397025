//! The registries that config.yaml names, and what the Control API shows of them.

use std::{path::Path, sync::Arc};

use hyper::StatusCode;

use super::http::{Answer, json_answer, not_found};
use crate::{
    config::Local,
    discovery::{
        Discovery, OnNodes,
        dns::{Dns, Names},
        registry::Registry,
    },
    health,
};

/// Starts the registries, each on a thread of its own; `health` hears of the nodes they find.
///
/// # Errors
///
/// What keeps one from starting.
pub(super) fn start(
    prefix: &Path,
    local: &Local,
    health: &Arc<health::Registry>,
) -> Result<Discovery, String> {
    let mut registries: Vec<Box<dyn Registry>> = Vec::new();
    if let Some(options) = &local.discovery_dns {
        let mut options = options.clone();
        options.resolv_conf = options.resolv_conf.map(|path| prefix.join(path));
        let ipv6 = local.raw.pointer("/apisix/enable_ipv6").and_then(|value| value.as_bool());
        let names = Names { search: local.enable_resolv_search_opt, ipv6: ipv6.unwrap_or(true) };
        registries.push(Box::new(Dns::new(options, names)?));
    }
    let health = Arc::clone(health);
    let on_nodes: OnNodes = Box::new(move |key, id, upstream| {
        health.moved(key, id, upstream.map(|upstream| &**upstream));
    });
    Discovery::start(registries, on_nodes).map_err(|error| format!("discovery: {error}"))
}

/// Answers `/v1/discovery/{registry}/dump`; `rest` is what stands behind the second slash.
pub(super) fn dump(discovery: &Discovery, rest: &str) -> Answer {
    let known = rest.strip_suffix("/dump").and_then(|registry| discovery.dump(registry));
    known.map_or_else(not_found, |known| json_answer(StatusCode::OK, &known))
}
