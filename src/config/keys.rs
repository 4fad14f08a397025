//! The keys of `config.yaml`, as data: which are known, which moongate cannot follow yet,
//! and which take effect only at a restart.

use serde_json::Value;

/// What moongate does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Followed; a change is taken by `reload`.
    Live,
    /// Followed; a change needs a restart.
    Restart,
    /// Known to APISIX, not done yet: said so when set to anything but its default.
    NotYet,
    /// Has no meaning here; accepted without a word because files of APISIX have it.
    Moot,
}

use Use::{Live, Moot, NotYet, Restart};

/// Paths and what lies below them. The longest matching path decides; a path that only
/// leads to others is a section, whose other keys are unknown.
const KEYS: &[(&str, Use)] = &[
    ("apisix.node_listen", Restart),
    ("apisix.enable_admin", Restart),
    ("apisix.enable_dev_mode", Restart),
    ("apisix.enable_reuseport", Moot),
    ("apisix.enable_ipv6", Restart),
    ("apisix.enable_http2", Restart),
    ("apisix.enable_server_tokens", Live),
    ("apisix.show_upstream_status_in_response_header", Live),
    ("apisix.proxy_protocol", NotYet),
    ("apisix.extra_lua_path", Restart),
    ("apisix.extra_lua_cpath", Restart),
    ("apisix.lua_module_hook", Restart),
    ("apisix.proxy_cache", NotYet),
    ("apisix.delete_uri_tail_slash", Live),
    ("apisix.normalize_uri_like_servlet", Live),
    ("apisix.match_uri_encoded_slash", NotYet),
    ("apisix.max_post_args_readable_size", Live),
    ("apisix.router.http", Live),
    ("apisix.router.ssl", Moot),
    ("apisix.proxy_mode", NotYet),
    ("apisix.stream_proxy", NotYet),
    ("apisix.dns_resolver", Restart),
    ("apisix.dns_resolver_valid", Restart),
    ("apisix.resolver_timeout", Restart),
    ("apisix.enable_resolv_search_opt", Restart),
    ("apisix.ssl", NotYet),
    ("apisix.enable_control", Restart),
    ("apisix.control.ip", Restart),
    ("apisix.control.port", Restart),
    ("apisix.control.cors", Moot),
    ("apisix.status.ip", Restart),
    ("apisix.status.port", Restart),
    ("apisix.disable_upstream_healthcheck", Restart),
    ("apisix.disable_sync_configuration_during_start", Moot),
    ("apisix.worker_startup_time_threshold", Moot),
    ("apisix.data_encryption.enable_encrypt_fields", Moot),
    ("apisix.data_encryption.keyring", Restart),
    ("apisix.trusted_addresses", Live),
    ("apisix.lru", Live),
    ("apisix.tracing", NotYet),
    ("apisix.id", Restart),
    ("apisix.events", Moot),
    ("nginx_config.user", NotYet),
    ("nginx_config.error_log", Restart),
    ("nginx_config.error_log_level", Live),
    ("nginx_config.worker_processes", Restart),
    ("nginx_config.enable_cpu_affinity", NotYet),
    ("nginx_config.worker_rlimit_nofile", Restart),
    ("nginx_config.worker_rlimit_core", Moot),
    ("nginx_config.worker_shutdown_timeout", Live),
    ("nginx_config.shutdown_delay", Live),
    ("nginx_config.max_pending_timers", Restart),
    ("nginx_config.max_running_timers", Restart),
    ("nginx_config.event.worker_connections", Restart),
    ("nginx_config.envs", Moot),
    ("nginx_config.meta.lua_shared_dict", Restart),
    ("nginx_config.stream", NotYet),
    ("nginx_config.main_configuration_snippet", Restart),
    ("nginx_config.http_configuration_snippet", Restart),
    ("nginx_config.http_server_configuration_snippet", Restart),
    ("nginx_config.http_server_location_configuration_snippet", Restart),
    ("nginx_config.http_admin_configuration_snippet", Restart),
    ("nginx_config.http_end_configuration_snippet", Restart),
    ("nginx_config.stream_configuration_snippet", Restart),
    ("nginx_config.http.enable_access_log", Live),
    ("nginx_config.http.access_log", Restart),
    ("nginx_config.http.access_log_buffer", Restart),
    ("nginx_config.http.access_log_format", Live),
    ("nginx_config.http.access_log_format_escape", Live),
    ("nginx_config.http.keepalive_timeout", Live),
    ("nginx_config.http.keepalive_requests", Live),
    ("nginx_config.http.client_header_timeout", Live),
    ("nginx_config.http.client_body_timeout", Live),
    ("nginx_config.http.client_max_body_size", Live),
    ("nginx_config.http.client_body_buffer_size", Live),
    ("nginx_config.http.large_client_header_buffers", Live),
    ("nginx_config.http.send_timeout", Live),
    ("nginx_config.http.underscores_in_headers", Live),
    ("nginx_config.http.real_ip_header", Live),
    ("nginx_config.http.real_ip_recursive", Live),
    ("nginx_config.http.real_ip_from", Live),
    ("nginx_config.http.custom_lua_shared_dict", Restart),
    ("nginx_config.http.proxy_ssl_server_name", NotYet),
    ("nginx_config.http.upstream.keepalive", Restart),
    ("nginx_config.http.upstream.keepalive_requests", Restart),
    ("nginx_config.http.upstream.keepalive_timeout", Restart),
    ("nginx_config.http.charset", Live),
    ("nginx_config.http.variables_hash_max_size", Moot),
    ("nginx_config.http.lua_shared_dict", Restart),
    ("discovery.dns", Restart),
    ("discovery.consul", NotYet),
    ("discovery.consul_kv", NotYet),
    ("discovery.eureka", NotYet),
    ("discovery.kubernetes", NotYet),
    ("discovery.nacos", NotYet),
    ("discovery.tars", NotYet),
    ("graphql.max_size", Live),
    ("ext-plugin", NotYet),
    ("wasm", NotYet),
    ("xrpc", NotYet),
    ("plugins", Live),
    ("stream_plugins", NotYet),
    ("plugin_attr", Live),
    ("ext", Live),
    ("deployment.role", Restart),
    ("deployment.config_provider", Moot),
    ("deployment.role_traditional.config_provider", Restart),
    ("deployment.role_data_plane.config_provider", Restart),
    ("deployment.role_control_plane.config_provider", Restart),
    ("deployment.admin", Restart),
    ("deployment.etcd", Restart),
    ("deployment.certs", NotYet),
    ("moongate.add_plugins", Live),
    ("moongate.plugin_missing", Live),
    ("moongate.plugin_missing_by_name", Live),
    ("moongate.readiness_strict", Live),
    ("moongate.proxy_replay_buffer", Live),
    ("moongate.reload.watch", Restart),
    ("moongate.reload.rollback_on_error", Live),
    ("moongate.reload.rollback_window", Live),
    ("moongate.reload.generations_max", Live),
    ("moongate.reload.vms_max", Live),
    ("moongate.watchdog.budget", Restart),
    ("moongate.watchdog.overruns_max", Live),
    ("moongate.watchdog.overruns_window", Live),
    ("moongate.watchdog.suspend", Live),
    ("moongate.memory.resume_max", Restart),
    ("moongate.memory.vm_max", Restart),
    ("moongate.log.queue", Restart),
    ("moongate.log.rotate_size", Restart),
    ("moongate.log.total_max", Restart),
    ("moongate.log.free_min", Restart),
];

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Key(Use),
    Section,
    No,
}

fn known(path: &str) -> Known {
    if let Some((_, what)) = KEYS.iter().find(|(key, _)| *key == path) {
        return Known::Key(*what);
    }
    let leads = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if KEYS.iter().any(|(key, _)| leads(key)) { Known::Section } else { Known::No }
}

/// Tells `report` of each key in the user's tree that is unknown or cannot be followed.
pub(super) fn review(user: &Value, defaults: &Value, report: &mut dyn FnMut(&str, String)) {
    review_at(user, Some(defaults), "", report);
}

fn review_at(
    user: &Value,
    defaults: Option<&Value>,
    path: &str,
    report: &mut dyn FnMut(&str, String),
) {
    let Value::Object(map) = user else { return };
    for (key, value) in map {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let default = defaults.and_then(|tree| tree.get(key));
        match known(&path) {
            Known::Key(NotYet) if !inert(value, default) => {
                report(&path, format!("{path} is not supported by moongate yet"));
            }
            Known::Key(_) => {}
            Known::Section => review_at(value, default, &path, report),
            Known::No => report(&path, format!("unknown key {path}, ignored")),
        }
    }
}

/// Whether a key asks for nothing that the default does not have: equal to it, a part of
/// it, switched off, or empty.
fn inert(value: &Value, default: Option<&Value>) -> bool {
    if default == Some(value) {
        return true;
    }
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#')
        }),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => {
            map.get("enable") == Some(&Value::Bool(false))
                || map.iter().all(|(key, value)| inert(value, default.and_then(|d| d.get(key))))
        }
        _ => false,
    }
}

/// The keys whose values differ between two merged trees and that a running process cannot
/// follow.
pub(super) fn needing_restart(old: &Value, new: &Value) -> Vec<String> {
    let differs = |path: &str| at(old, path) != at(new, path);
    KEYS.iter()
        .filter(|(path, what)| *what == Restart && differs(path))
        .map(|(path, _)| (*path).to_owned())
        .collect()
}

/// The value at a dotted path.
pub(super) fn at<'v>(tree: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(tree, |value, key| value.get(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reports(user: &Value) -> Vec<String> {
        let mut reports = Vec::new();
        let defaults = crate::config::defaults::tree().unwrap();
        review(user, &defaults, &mut |_, text| reports.push(text));
        reports
    }

    #[test]
    fn every_default_is_a_known_key() {
        assert_eq!(reports(&crate::config::defaults::tree().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn unknown_and_unsupported_keys_are_told() {
        let user = json!({
            "apisix": {"ssl": {"enable": true}, "nod_listen": 1, "tracing": false,
                       "proxy_mode": "http", "stream_proxy": {"tcp": [9100]}},
            "discovery": {"dns": {"servers": ["x"]}, "nacos": {"host": ["http://n:8848"]}, "x": 1},
            "plugin_attr": {"mine": {"a": 1}},
            "foo": {"bar": 1}, "nginx_config": {"http_configuration_snippet": "# nothing\n"},
            "deployment": {"etcd": {"host": ["http://127.0.0.1:2379"]}}
        });
        assert_eq!(
            reports(&user),
            [
                "apisix.ssl is not supported by moongate yet",
                "unknown key apisix.nod_listen, ignored",
                "apisix.stream_proxy is not supported by moongate yet",
                "discovery.nacos is not supported by moongate yet",
                "unknown key discovery.x, ignored",
                "unknown key foo, ignored",
            ]
        );
        assert!(reports(&json!({"apisix": {"ssl": {"enable": false, "x": 1}}})).is_empty());
    }

    #[test]
    fn restart_keys_are_found_by_value() {
        let old = json!({"apisix": {"node_listen": [9080]}, "plugins": ["a"]});
        let new = json!({"apisix": {"node_listen": [9081]}, "plugins": ["b"]});
        assert_eq!(needing_restart(&old, &new), ["apisix.node_listen"]);
        assert!(needing_restart(&old, &old).is_empty());
    }
}
