# prometheus: counts requests for a Prometheus server.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: prefer_name that is a text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      prometheus:
        prefer_name: x
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "prefer_name" validation failed



=== TEST 2: metadata that names no label
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
plugin_metadata:
  - id: prometheus
    disabled_labels: {http_status: [nope]}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello
--- error_log
disabled_labels



=== TEST 3: metadata cannot switch the status code off
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
plugin_metadata:
  - id: prometheus
    disabled_labels: {http_status: [code]}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello
--- error_log
disabled_labels



=== TEST 4: a request passes
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello?a=1"]
--- error_code eval
[200, 200, 200]
--- no_error_log
[error]



=== TEST 5: it is counted by status
--- request
GET /apisix/prometheus/metrics
--- response_headers_like
Content-Type: text/plain.*
--- response_body_like
apisix_http_status\{code="200",route="1",matched_uri="/hello",matched_host="",service="",consumer="",node="127\.0\.0\.1",request_type="traditional_http",request_llm_model="",llm_model="",response_source="upstream"\} 3\n



=== TEST 6: its times
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_latency_bucket\{type="upstream",route="1",service="",consumer="",node="127\.0\.0\.1",request_type="traditional_http",request_llm_model="",llm_model="",le="\+Inf"\} 3\n.*apisix_http_latency_count\{type="upstream",route="1",service="",consumer="",node="127\.0\.0\.1",request_type="traditional_http",request_llm_model="",llm_model=""\} 3



=== TEST 7: the gateway's own time
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_latency_count\{type="apisix",route="1",service="",consumer="",node="127\.0\.0\.1",request_type="traditional_http",request_llm_model="",llm_model=""\} 3



=== TEST 8: its bytes, both ways
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_bandwidth\{type="egress",route="1",service="",consumer="",node="127\.0\.0\.1",request_type="traditional_http",request_llm_model="",llm_model=""\} [1-9]\d+\n.*apisix_bandwidth\{type="ingress",route="1",service="",consumer="",node="127\.0\.0\.1",request_type="traditional_http",request_llm_model="",llm_model=""\} [1-9]\d+\n



=== TEST 9: the version of the node
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_node_info\{hostname="[^"]+",version="3\.18\.0"\} 1\n



=== TEST 10: connections and requests of the process
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_requests_total \d+\n.*apisix_nginx_http_current_connections\{state="active"\} [1-9]



=== TEST 11: dictionaries
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_shared_dict_capacity_bytes\{name="plugin-limit-count"\} 10485760\n.*apisix_shared_dict_free_space_bytes\{name="plugin-limit-count"\} [1-9]\d+\n



=== TEST 12: metric types
--- request
GET /apisix/prometheus/metrics
--- response_body_like
# TYPE apisix_bandwidth counter\n.*# TYPE apisix_http_latency histogram\n.*# TYPE apisix_http_status counter\n



=== TEST 13: no errors of the metrics
--- request
GET /apisix/prometheus/metrics
--- response_body_unlike
nginx_metric_errors_total [1-9]



=== TEST 14: the endpoint knows only GET
--- request
POST /apisix/prometheus/metrics
--- error_code: 404



=== TEST 15: names instead of ids
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {prefer_name: true}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello



=== TEST 16: they are in the labels
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_status\{code="200",route="first",



=== TEST 17: a service by its name
--- apisix_yaml
services:
  - id: "7"
    name: shop
    plugins: {prometheus: {prefer_name: true}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
routes:
  - id: "1"
    uri: "/hello"
    service_id: "7"
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins: {public-api: {}}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello



=== TEST 18: it is in the labels
--- request
GET /apisix/prometheus/metrics
--- response_body_like
route="1",matched_uri="/hello",matched_host="",service="shop"



=== TEST 19: an answer of a plugin
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
      fault-injection: {abort: {http_status: 418}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello
--- error_code: 418



=== TEST 20: comes from apisix, without a node
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_status\{code="418",route="1",matched_uri="/hello",matched_host="",service="",consumer="",node="",.*response_source="apisix"\} 1\n



=== TEST 21: and has no upstream time
--- request
GET /apisix/prometheus/metrics
--- response_body_unlike
type="upstream"



=== TEST 22: an upstream that is not there
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello
--- error_code: 502
--- ignore_error_log




=== TEST 23: counts with the node that was tried
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_status\{code="502",.*node="127\.0\.0\.1",.*response_source="nginx"\} 1\n
--- ignore_error_log




=== TEST 24: a consumer
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
      key-auth: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
consumers:
  - username: jack
    plugins: {key-auth: {key: secret}}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Apikey: secret", ""]
--- error_code eval
[200, 401]



=== TEST 25: is a label
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_status\{code="200",[^\n]*consumer="jack".*apisix_http_status\{code="401",[^\n]*consumer=""



=== TEST 26: a global rule counts what no route matches
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      proxy-rewrite: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
global_rules:
  - id: 1
    plugins: {prometheus: {}}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /nothing
--- error_code: 404



=== TEST 27: without route
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_http_status\{code="404",route="",matched_uri="",



=== TEST 28: labels that metadata switches off
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
plugin_metadata:
  - id: prometheus
    disabled_labels: {http_status: [node, route]}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
--- request
GET /hello



=== TEST 29: are empty
--- request
GET /apisix/prometheus/metrics
--- response_body_like
apisix_bandwidth\{type="egress",route="1",.*apisix_http_status\{code="200",route="",matched_uri="/hello",matched_host="",service="",consumer="",node="",



=== TEST 30: labels that config.yaml adds
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
    metrics:
      http_status:
        extra_labels:
          - upstream_addr: $upstream_addr
          - hello: $http_hello
--- request
GET /hello
--- more_headers eval
"Hello: a\"b\\\\c"



=== TEST 31: are there, quoted
--- request
GET /apisix/prometheus/metrics
--- response_body_like
response_source="upstream",upstream_addr="127\.0\.0\.1:1980",hello="a\\"b\\\\+c"\} 1\n



=== TEST 32: another path for the endpoint
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /m
    plugins:
      public-api: {}
#END
--- extra_yaml_config
plugin_attr:
  prometheus:
    enable_export_server: false
    export_uri: /m
--- request
GET /m
--- response_body_like
apisix_node_info



=== TEST 33: the export server has it
--- apisix_yaml
routes:
  - id: "1"
    name: first
    uri: "/hello"
    plugins:
      prometheus: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: metrics
    uri: /apisix/prometheus/metrics
    plugins:
      public-api: {}
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
curl -s http://127.0.0.1:9091/apisix/prometheus/metrics
--- response_body_like
apisix_http_status\{code="200",route="1",.*apisix_node_info



=== TEST 34: then the public API has not
--- request
GET /apisix/prometheus/metrics
--- error_code: 404
