# public-api: endpoints of plugins on a route.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a uri that is a number
--- apisix_yaml
routes:
  - uri: "/m"
    plugins:
      public-api: {uri: 5}
#END
--- request
GET /m
--- error_code: 404
--- error_log
property "uri" validation failed



=== TEST 2: the endpoint of a plugin
--- apisix_yaml
routes:
  - uri: "/apisix/prometheus/metrics"
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_node_info
--- no_error_log
[error]



=== TEST 3: under another path
--- apisix_yaml
routes:
  - uri: "/mine"
    plugins:
      public-api: {uri: /apisix/prometheus/metrics}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /mine
--- response_body_like
apisix_node_info



=== TEST 4: a method it does not have
--- request
DELETE /mine
--- error_code: 404



=== TEST 5: no such endpoint
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /nothing
--- error_code: 404



=== TEST 6: a path that only begins like one
--- request
GET /apisix/prometheus/metricsx
--- error_code: 404



=== TEST 7: an encoded path is the same path
--- request
GET /apisix/prometheus/%6detrics
--- response_body_like
apisix_node_info



=== TEST 8: other plugins protect it
--- apisix_yaml
routes:
  - uri: "/apisix/prometheus/metrics"
    plugins:
      public-api: {}
      key-auth: {}
consumers:
  - username: jack
    plugins: {key-auth: {key: secret}}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- pipelined_requests eval
["GET /apisix/prometheus/metrics", "GET /apisix/prometheus/metrics"]
--- more_headers eval
["", "Apikey: secret"]
--- error_code eval
[401, 200]



=== TEST 9: hostile input
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- pipelined_requests eval
["GET /" . ("a" x 5000), "POST /apisix/prometheus/metrics\n" . ("x" x 5000)]
--- error_code eval
[404, 404]
--- ignore_error_log
