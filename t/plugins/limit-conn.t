# limit-conn: so many requests at the same time, for each value of a key.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
value should match only one schema, but matches none



=== TEST 2: no connection at all
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 0
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "conn" validation failed



=== TEST 3: a negative burst
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 1
        burst: -1
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "burst" validation failed



=== TEST 4: no usual delay
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "default_conn_delay" validation failed



=== TEST 5: rules without a key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        default_conn_delay: 0.1
        rules:
          - {conn: 1, burst: 0}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "key" is required



=== TEST 6: one at a time
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world
--- no_error_log
[error]



=== TEST 7: one after another on one connection
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 200]



=== TEST 8: three at once, one passes
--- apisix_yaml
routes:
  - uri: "/limit_conn"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
{ for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/limit_conn & done; wait; } |
    sort | tr '\n' ' '
--- response_body_like
^200 503 503 $



=== TEST 9: they were counted out: again one passes
--- exec
{ for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/limit_conn & done; wait; } |
    sort | tr '\n' ' '
--- response_body_like
^200 503 503 $



=== TEST 10: all pass with enough room
--- apisix_yaml
routes:
  - uri: "/limit_conn"
    plugins:
      limit-conn:
        conn: 3
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
{ for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/limit_conn & done; wait; } |
    sort | tr '\n' ' '
--- response_body_like
^200 200 200 $



=== TEST 11: within the burst they wait
--- apisix_yaml
routes:
  - uri: "/limit_conn"
    plugins:
      limit-conn:
        conn: 1
        burst: 2
        default_conn_delay: 0.2
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
{ for i in 1 2; do curl -s -o /dev/null -w '%{http_code} %{time_total}\n' http://127.0.0.1:1984/limit_conn & done; wait; } | sort
--- response_body_like
^200 0\.[34]\d+\n200 0\.[5-7]



=== TEST 12: code and message of the refusal
--- apisix_yaml
routes:
  - uri: "/limit_conn"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
        rejected_code: 429
        rejected_msg: busy
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/limit_conn & sleep 0.1
curl -s -w '%{http_code}' http://127.0.0.1:1984/limit_conn; wait
--- response_body_like
^\{"error_msg":"busy"\}\n429$



=== TEST 13: each value of a header is counted apart
--- apisix_yaml
routes:
  - uri: "/limit_conn"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: http_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
{ for i in a b a; do curl -s -o /dev/null -w '%{http_code}\n' -H "User: $i" http://127.0.0.1:1984/limit_conn & done; wait; } |
    sort | tr '\n' ' '
--- response_body_like
^200 200 503 $



=== TEST 14: a client that goes away is counted out
--- apisix_yaml
routes:
  - uri: "/limit_conn"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -m 0.1 -o /dev/null http://127.0.0.1:1984/limit_conn; sleep 0.6
curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:1984/limit_conn
--- response_body_like
^200$
--- ignore_error_log




=== TEST 15: numbers from the client that are none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: "$http_conn"
        burst: "0"
        default_conn_delay: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["Conn: abc", "Conn: -1", "Conn: 1.5", "Conn: 1"]
--- error_code eval
[500, 500, 500, 200]
--- error_log
failed to get limit conn rules: resolved value is not a number: abc
failed to get limit conn rules: resolved value must be a positive number, got: -1
failed to get limit conn rules: resolved value must be an integer, got: 1.5



=== TEST 16: rules: one per header
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        default_conn_delay: 0.1
        rules:
          - {conn: 1, burst: 0, key: "$http_user"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["User: a", ""]
--- error_code eval
[200, 500]
--- error_log
failed to get limit conn rules: no rule applies



=== TEST 17: rules: none applies, and that is allowed
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        default_conn_delay: 0.1
        allow_degradation: true
        rules:
          - {conn: 1, burst: 0, key: "$http_user"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world
--- error_log
failed to get limit conn rules: no rule applies



=== TEST 18: a huge value
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: http_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["User: " . ("a" x 7000), "User: a\nUser: b"]
--- error_code eval
[200, 200]
--- no_error_log
[error]
