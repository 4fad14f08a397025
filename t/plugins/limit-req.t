# limit-req: a leaky bucket for each value of a key.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no rate
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        burst: 1
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
property "rate" is required



=== TEST 2: a rate of zero
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0
        burst: 1
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
property "rate" validation failed



=== TEST 3: a negative burst
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 1
        burst: -1
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



=== TEST 4: a key that is a number
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 1
        burst: 1
        key: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "key" validation failed



=== TEST 5: an unknown kind of key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 1
        burst: 1
        key: a
        key_type: constant
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "key_type" validation failed



=== TEST 6: slow traffic passes
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 1000
        burst: 0
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



=== TEST 7: what is above rate and burst is refused
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 503, 503]



=== TEST 8: code and message
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key: remote_addr
        rejected_code: 429
        rejected_msg: slow down
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 429]
--- response_body eval
["hello world\n", "{\"error_msg\":\"slow down\"}\n"]



=== TEST 9: a request within the burst waits
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 4
        burst: 10
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
curl -s -o /dev/null -w '%{http_code} %{time_total}' http://127.0.0.1:1984/hello
--- response_body_like
^200 0\.(1[5-9]|2\d|3\d)



=== TEST 10: and does not wait with nodelay
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 2
        burst: 10
        key: remote_addr
        nodelay: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
curl -s -o /dev/null -w '%{http_code} %{time_total}' http://127.0.0.1:1984/hello
--- response_body_like
^200 0\.[01]



=== TEST 11: each value of a header has its bucket
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key: http_x_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-User: a", "X-User: b", "X-User: a"]
--- error_code eval
[200, 200, 503]



=== TEST 12: several variables together
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key_type: var_combination
        key: "$http_a $http_b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["A: 1\nB: 2", "A: 1\nB: 3", "A: 1\nB: 2"]
--- error_code eval
[200, 200, 503]



=== TEST 13: a missing value counts by address
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key: http_x_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 503]
--- error_log
The value of the configured key is empty, use client IP instead



=== TEST 14: a huge value and a repeated header
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key: http_x_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-User: " . ("a" x 7000), "X-User: a\nX-User: b", "X-User: " . ("a" x 7000)]
--- error_code eval
[200, 200, 503]
--- no_error_log
[error]



=== TEST 15: workers count together
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0.1
        key: remote_addr
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- workers: 2
--- exec
for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello; done
--- response_body_like
^200 503 503 503 $
