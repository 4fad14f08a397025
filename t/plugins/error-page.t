# error-page: bodies of one's own for the gateway's errors.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: metadata that is wrong
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 500}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: yes please
#END
--- request
GET /hello
--- error_code: 500
--- error_log
property "enable" validation failed



=== TEST 2: a page for 500
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 500}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /hello
--- error_code: 500
--- response_body_like
^oops$
--- response_headers
Content-Type: text/x
Content-Length: 4
--- no_error_log
[error]



=== TEST 3: a page for 404
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 404}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /hello
--- error_code: 404
--- response_body_like
^none here$
--- response_headers
Content-Type: text/plain



=== TEST 4: the default page
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 502}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /hello
--- error_code: 502
--- response_body_like
<center><h1>502 Bad Gateway</h1></center>
--- response_headers
Content-Type: text/html



=== TEST 5: none for another status
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 418}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /hello
--- error_code: 418
--- response_body_unlike
oops



=== TEST 6: none below 404
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 403}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /hello
--- error_code: 403
--- response_body_unlike
none here



=== TEST 7: none while it is off
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 500}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: false
    error_500: {body: "oops"}
#END
--- request
GET /hello
--- error_code: 500
--- response_body_unlike
oops



=== TEST 8: none without metadata
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 9: an error of the upstream passes
--- apisix_yaml
routes:
  - uri: "/specific_status"
    plugins:
      error-page: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /specific_status
--- more_headers
X-Test-Upstream-Status: 500
--- error_code: 500
--- response_body_unlike
oops



=== TEST 10: a good answer passes
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /hello
--- response_body
hello world
--- no_error_log
[error]



=== TEST 11: an upstream that is not there
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_502: {body: "nobody home"}
#END
--- request
GET /hello
--- error_code: 502
--- response_body_like
^nobody home$
--- ignore_error_log




=== TEST 12: no route, by a global rule
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
global_rules:
  - id: 1
    plugins: {error-page: {}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
GET /nothing
--- error_code: 404
--- response_body_like
^none here$



=== TEST 13: HEAD has no body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 500}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_404: {body: "none here", content_type: "text/plain"}
    error_500: {body: "oops", content_type: "text/x"}
    error_502: {}
#END
--- request
HEAD /hello
--- error_code: 500
--- response_body




=== TEST 14: an empty page is not used
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      error-page: {}
      fault-injection: {abort: {http_status: 500, body: "own"}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: error-page
    enable: true
    error_500: {body: ""}
#END
--- request
GET /hello
--- error_code: 500
--- response_body_like
^own$
