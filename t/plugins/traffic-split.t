# traffic-split: shares of a route's traffic for different upstreams.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no upstreams in the list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams: []
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "weighted_upstreams" validation failed



=== TEST 2: a negative weight
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - weight: -1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "weight" validation failed



=== TEST 3: an expression that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: [["arg_a", "nope", "1"]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate the 'vars' expression



=== TEST 4: vars that are a text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: x
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "vars" validation failed



=== TEST 5: an upstream with a bad weight
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": -1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
traffic-split



=== TEST 6: more than 20 upstreams
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
              - weight: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "weighted_upstreams" validation failed



=== TEST 7: no rules
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- response_body_like
^1980$
--- no_error_log
[error]



=== TEST 8: a rule without anything
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- response_body_like
^1980$



=== TEST 9: all to another upstream
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- response_body_like
^1981$
--- no_error_log
[error]



=== TEST 10: nodes as a list
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: [{host: "127.0.0.1", port: 1981, weight: 1}]}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- response_body_like
^1981$



=== TEST 11: a name as host
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"localhost:1982": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- response_body_like
^1982$



=== TEST 12: two to one
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
                weight: 2
              - weight: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
for i in 1 2 3 4 5 6 7 8 9; do curl -s http://127.0.0.1:1984/server_port; echo; done | sort | uniq -c | tr -s ' \n' ' '
--- response_body_like
^ 3 1980 6 1981 $



=== TEST 13: weight 0 gets nothing
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
                weight: 0
              - weight: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /server_port", "GET /server_port", "GET /server_port"]
--- error_code eval
[200, 200, 200]
--- response_body_like eval
["^1980", "^1980", "^1980"]



=== TEST 14: a rule that does not match
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: [["http_x", "==", "1"]]
              - vars: [["arg_a", "==", "2"]]
            weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- response_body_like
^1980$



=== TEST 15: one that matches by header
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: [["http_x", "==", "1"]]
              - vars: [["arg_a", "==", "2"]]
            weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- more_headers
X: 1
--- response_body_like
^1981$



=== TEST 16: one that matches by its second alternative
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: [["http_x", "==", "1"]]
              - vars: [["arg_a", "==", "2"]]
            weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port?a=2
--- response_body_like
^1981$



=== TEST 17: the first matching rule wins
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: [["http_x", "==", "1"]]
              - vars: [["arg_a", "==", "2"]]
            weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
          - weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1982": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /server_port", "GET /server_port"]
--- more_headers eval
["X: 1", "X: 2"]
--- error_code eval
[200, 200]
--- response_body eval
["1981", "1982"]



=== TEST 18: an upstream by id
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream_id: "7"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
upstreams:
  - id: "7"
    type: roundrobin
    nodes: {"127.0.0.1:1982": 1}
#END
--- request
GET /server_port
--- response_body_like
^1982$
--- no_error_log
[error]



=== TEST 19: an id that does not exist
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream_id: "99"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /server_port
--- error_code: 500
--- response_body_like
^failed to fetch upstream info by upstream id: 99$
--- error_log
failed to find upstream by id: 99



=== TEST 20: pass_host of the upstream that was chosen
--- apisix_yaml
routes:
  - uri: "/uri"
    plugins:
      traffic-split:
        rules:
          - weighted_upstreams:
              - upstream: {type: roundrobin, pass_host: rewrite, upstream_host: split.test, nodes: {"127.0.0.1:1981": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /uri
--- response_body_like
host: split.test



=== TEST 21: hostile values in what is matched
--- apisix_yaml
routes:
  - uri: "/server_port"
    plugins:
      traffic-split:
        rules:
          - match:
              - vars: [["http_x", "==", "1"]]
              - vars: [["arg_a", "==", "2"]]
            weighted_upstreams:
              - upstream: {type: roundrobin, nodes: {"127.0.0.1:1981": 1}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /server_port?a=%00", "GET /server_port?a=2&a=3", "GET /server_port"]
--- more_headers eval
["X: " . ("1" x 7000), "X: 0", "X: 1\nX: 1"]
--- error_code eval
[200, 200, 200]
--- no_error_log
[error]
