//! What to do instead of a directive that is refused.

/// Directives that another key of config.yaml stands for, or that have no meaning here.
const HINTS: &[(&[&str], &str)] = &[
    (&["keepalive_timeout"], "set nginx_config.http.keepalive_timeout"),
    (&["keepalive_requests"], "set nginx_config.http.keepalive_requests"),
    (&["client_header_timeout"], "set nginx_config.http.client_header_timeout"),
    (&["client_body_timeout"], "set nginx_config.http.client_body_timeout"),
    (&["client_body_buffer_size"], "set nginx_config.http.client_body_buffer_size"),
    (&["large_client_header_buffers"], "set nginx_config.http.large_client_header_buffers"),
    (&["send_timeout"], "set nginx_config.http.send_timeout"),
    (&["underscores_in_headers"], "set nginx_config.http.underscores_in_headers"),
    (
        &["real_ip_header", "real_ip_recursive", "set_real_ip_from"],
        "set nginx_config.http.real_ip_header, real_ip_recursive and real_ip_from",
    ),
    (&["charset"], "set nginx_config.http.charset"),
    (&["log_format", "access_log"], "set nginx_config.http.access_log_format and access_log"),
    (&["error_log"], "set nginx_config.error_log and error_log_level"),
    (&["server_tokens"], "set apisix.enable_server_tokens"),
    (&["worker_processes"], "set nginx_config.worker_processes"),
    (&["worker_rlimit_nofile"], "set nginx_config.worker_rlimit_nofile"),
    (&["worker_shutdown_timeout"], "set nginx_config.worker_shutdown_timeout"),
    (&["events", "worker_connections"], "set nginx_config.event.worker_connections"),
    (
        &["lua_max_pending_timers", "lua_max_running_timers"],
        "set nginx_config.max_pending_timers and max_running_timers",
    ),
    (&["resolver_timeout"], "set apisix.resolver_timeout"),
    (&["gzip", "gzip_types", "gzip_min_length", "gzip_comp_level"], "use the plugin gzip"),
    (&["brotli"], "use the plugin brotli"),
    (&["limit_req", "limit_req_zone"], "use the plugin limit-req"),
    (&["limit_conn", "limit_conn_zone"], "use the plugin limit-conn"),
    (&["proxy_cache", "proxy_cache_path"], "use the plugin proxy-cache"),
    (&["mirror"], "use the plugin proxy-mirror"),
    (&["auth_basic", "auth_basic_user_file"], "use the plugin basic-auth"),
    (&["auth_request"], "use the plugin forward-auth"),
    (
        &["ssl_certificate", "ssl_certificate_key", "ssl_protocols", "ssl_ciphers"],
        "configure an ssl object",
    ),
    (&["upstream"], "configure an upstream object"),
    (&["if", "map", "geo", "split_clients"], "write it in rewrite_by_lua_block"),
    (&["balancer_by_lua_block", "balancer_by_lua_file"], "nodes are picked by the gateway"),
    (&["set_by_lua_block", "set_by_lua", "set_by_lua_file"], "set ngx.var in rewrite_by_lua_block"),
    (&["root", "alias", "index", "try_files", "autoindex"], "the gateway serves no files"),
    (&["stub_status"], "the plugin prometheus tells more"),
    (&["include"], "write its lines here"),
];

/// What to do instead of `name`, if that is known.
pub(super) fn of(name: &str) -> Option<&'static str> {
    HINTS.iter().find(|(names, _)| names.contains(&name)).map(|(_, hint)| *hint)
}
