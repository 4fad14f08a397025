//! What `config.yaml` says when it says nothing.
//!
//! APISIX's keys keep APISIX 3.18's values, so that a plugin that reads
//! `core.config.local_conf()` finds what it expects. Deliberate differences: `plugins` is
//! what moongate ships, the provider is `yaml`, nothing is cached on disk, no TLS port is
//! opened yet. The keys under `moongate` are ours.

use serde_json::Value;

use super::yaml::{self, DocumentLimits, ParseError};

/// The tree that `config.yaml` is merged over.
pub(super) fn tree() -> Result<Value, ParseError> {
    let limits = DocumentLimits::default();
    yaml::parse(TEXT, &limits, 0).map(|document| document.value).map_err(|e| e.in_file("defaults"))
}

const TEXT: &str = r##"
apisix:
  node_listen: [9080]
  enable_admin: true
  enable_dev_mode: false
  enable_reuseport: true
  enable_ipv6: true
  enable_http2: true
  enable_server_tokens: true
  show_upstream_status_in_response_header: false
  extra_lua_path: ""
  extra_lua_cpath: ""
  delete_uri_tail_slash: false
  normalize_uri_like_servlet: false
  match_uri_encoded_slash: false
  max_post_args_readable_size: 64
  router: {http: radixtree_host_uri, ssl: radixtree_sni}
  proxy_mode: http
  proxy_cache: {cache_ttl: 10s, zones: [{name: memory_cache, memory_size: 50m}]}
  resolver_timeout: 5
  enable_resolv_search_opt: true
  ssl:
    enable: false
    listen: [{port: 9443, enable_http3: false}]
    ssl_protocols: TLSv1.2 TLSv1.3
    ssl_session_tickets: false
    ssl_trusted_certificate: system
  enable_control: true
  control: {ip: 127.0.0.1, port: 9090}
  status: {ip: 127.0.0.1, port: 7085}
  disable_upstream_healthcheck: false
  disable_sync_configuration_during_start: false
  worker_startup_time_threshold: 60
  data_encryption:
    enable_encrypt_fields: true
    keyring: [qeddd145sfvddff3, edd1c9f0985e76a2]
  lru: {secret: {ttl: 300, count: 512, neg_ttl: 60, neg_count: 512}}
  tracing: false

nginx_config:
  error_log: logs/error.log
  error_log_level: warn
  worker_processes: auto
  enable_cpu_affinity: false
  worker_rlimit_nofile: 20480
  worker_shutdown_timeout: 240s
  shutdown_delay: 0s
  max_pending_timers: 16384
  max_running_timers: 4096
  event: {worker_connections: 10620}
  meta:
    lua_shared_dict:
      prometheus-metrics: 128m
      prometheus-cache: 10m
      standalone-config: 10m
      status-report: 1m
      upstream-healthcheck: 10m
      nacos: 64m
  stream:
    enable_access_log: false
    access_log: logs/access_stream.log
    access_log_format: "$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time"
    access_log_format_escape: default
    metrics_zone_size: 1m
    lua_shared_dict:
      etcd-cluster-health-check-stream: 10m
      lrucache-lock-stream: 10m
      plugin-limit-conn-stream: 10m
      worker-events-stream: 10m
      tars-stream: 1m
  main_configuration_snippet: ""
  http_configuration_snippet: ""
  http_server_configuration_snippet: ""
  http_server_location_configuration_snippet: ""
  http_admin_configuration_snippet: ""
  http_end_configuration_snippet: ""
  stream_configuration_snippet: ""
  http:
    enable_access_log: true
    access_log: logs/access.log
    access_log_buffer: 16384
    access_log_format: '$remote_addr - $remote_user [$time_local] $http_host "$request" $status $body_bytes_sent $request_time "$http_referer" "$http_user_agent" $upstream_addr $upstream_status $upstream_response_time "$upstream_scheme://$upstream_host$upstream_uri" "$apisix_request_id"'
    access_log_format_escape: default
    keepalive_timeout: 60s
    keepalive_requests: 1000
    client_header_timeout: 60s
    client_body_timeout: 60s
    client_max_body_size: 0
    client_body_buffer_size: 8k
    large_client_header_buffers: 4 8k
    send_timeout: 10s
    underscores_in_headers: "on"
    real_ip_header: X-Real-IP
    real_ip_recursive: "off"
    real_ip_from: [127.0.0.1, "unix:"]
    proxy_ssl_server_name: true
    upstream: {keepalive: 320, keepalive_requests: 1000, keepalive_timeout: 60s}
    charset: utf-8
    variables_hash_max_size: 2048
    lua_shared_dict:
      internal-status: 10m
      plugin-limit-req: 10m
      plugin-limit-count: 10m
      plugin-limit-count-reset-header: 10m
      prometheus-metrics: 128m
      plugin-limit-conn: 10m
      worker-events: 10m
      lrucache-lock: 10m
      balancer-ewma: 10m
      balancer-ewma-locks: 10m
      balancer-ewma-last-touched-at: 10m
      plugin-limit-req-redis-cluster-slot-lock: 1m
      plugin-limit-count-lock: 1m
      plugin-limit-count-redis-cluster-slot-lock: 1m
      plugin-limit-conn-redis-cluster-slot-lock: 1m
      redis_cluster_health: 10m
      plugin-graphql-limit-count: 10m
      plugin-graphql-limit-count-reset-header: 10m
      plugin-ai-rate-limiting: 10m
      plugin-ai-rate-limiting-reset-header: 10m
      tracing_buffer: 32m
      plugin-api-breaker: 10m
      etcd-cluster-health-check: 10m
      xds-config: 10m
      xds-config-version: 1m
      discovery: 1m
      jwks: 1m
      introspection: 10m
      access-tokens: 1m
      ext-plugin: 1m
      tars: 1m
      cas-auth: 10m
      ocsp-stapling: 10m
      mcp-session: 10m

graphql: {max_size: 1048576}

plugins:
  - real-ip
  - client-control
  - proxy-control
  - request-id
  - fault-injection
  - mocking
  - serverless-pre-function
  - cors
  - ip-restriction
  - ua-restriction
  - referer-restriction
  - csrf
  - uri-blocker
  - request-validation
  - multi-auth
  - openid-connect
  - ldap-auth
  - anti-tamper
  - hmac-auth
  - basic-auth
  - jwt-auth
  - jwe-decrypt
  - key-auth
  - acl
  - anti-replay
  - consumer-restriction
  - forward-auth
  - proxy-rewrite
  - limit-conn
  - limit-count
  - limit-req
  - traffic-split
  - redirect
  - response-rewrite
  - trpc-transcode
  - public-api
  - tars-transcode
  - prometheus
  - error-page
  - echo
  - http-logger
  - file-logger
  - log-rotate
  - serverless-post-function

stream_plugins: []

plugin_attr:
  log-rotate: {timeout: 10000, interval: 3600, max_kept: 168, max_size: -1, enable_compression: false}
  prometheus:
    export_uri: /apisix/prometheus/metrics
    metric_prefix: apisix_
    enable_export_server: true
    export_addr: {ip: 127.0.0.1, port: 9091}
    refresh_interval: 15
  ai-proxy: {http_client: ngx_http_ffi_client}
  skywalking:
    service_name: APISIX
    service_instance_name: APISIX Instance Name
    endpoint_addr: http://127.0.0.1:12800
    report_interval: 3
  opentelemetry:
    trace_id_source: x-request-id
    resource: {service.name: APISIX}
    collector:
      address: 127.0.0.1:4318
      request_timeout: 3
      request_headers: {Authorization: token}
    batch_span_processor:
      drop_on_queue_full: false
      max_queue_size: 1024
      batch_timeout: 2
      inactive_timeout: 1
      max_export_batch_size: 16
    set_ngx_var: false
  server-info: {report_ttl: 60}
  dubbo-proxy: {upstream_multiplex_count: 32}
  proxy-mirror: {timeout: {connect: 60s, read: 60s, send: 60s}}
  inspect: {delay: 3, hooks_file: /usr/local/apisix/plugin_inspect_hooks.lua}
  zipkin: {set_ngx_var: false}

deployment:
  role: traditional
  role_traditional: {}
  admin:
    admin_key_required: true
    admin_key: [{name: admin, key: "", role: admin}]
    enable_admin_cors: true
    enable_admin_ui: true
    allow_admin: [127.0.0.0/24]
    admin_listen: {ip: 0.0.0.0, port: 9180}
    admin_api_version: v3
  etcd:
    host: ["http://127.0.0.1:2379"]
    prefix: /apisix
    timeout: 30
    watch_timeout: 50
    startup_retry: 2
    tls: {verify: true}

moongate:
  add_plugins: []
  plugin_missing: refuse
  plugin_missing_by_name: {}
  readiness_strict: false
  proxy_replay_buffer: 64k
  reload:
    watch: true
    rollback_on_error: true
    rollback_window: 60s
    generations_max: 8
    vms_max: 2
  watchdog:
    budget: 1s
    overruns_max: 3
    overruns_window: 10s
    suspend: 30s
  memory:
    resume_max: 64m
    vm_max: 512m
  log:
    queue: 4m
    rotate_size: 256m
    total_max: 2g
    free_min: 256m
"##;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_document() {
        let tree = tree().unwrap();
        assert_eq!(tree["nginx_config"]["event"]["worker_connections"], 10620);
        assert_eq!(tree["plugin_attr"]["opentelemetry"]["resource"]["service.name"], "APISIX");
    }

    #[test]
    fn all_plugins_that_are_shipped_are_enabled() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");
        let names = std::fs::read_dir(folder).unwrap();
        let names = names.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
        let mut shipped: Vec<_> =
            names.filter_map(|name| name.strip_suffix(".lua").map(str::to_owned)).collect();
        shipped.sort_unstable();
        let tree = tree().unwrap();
        let enabled = tree["plugins"].as_array().unwrap().iter();
        let mut enabled: Vec<_> = enabled.filter_map(|name| name.as_str()).collect();
        enabled.sort_unstable();
        assert_eq!(enabled, shipped);
    }
}
