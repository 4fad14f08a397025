# limit-count: so many requests in a window of time, for each value of a key.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a count without a window
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
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



=== TEST 2: a count of zero
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 0
        time_window: 60
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
count



=== TEST 3: numbers and rules at once
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rules:
          - {count: 1, time_window: 60, key: "$uri"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
count/time_window and rules cannot be specified at the same time



=== TEST 4: two rules with one key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        rules:
          - {count: 1, time_window: 60, key: "$uri"}
          - {count: 2, time_window: 60, key: "$uri"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
duplicate key '$uri' in rules



=== TEST 5: a group with rules
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        group: g
        rules:
          - {count: 1, time_window: 60, key: "$uri"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
group and rules cannot be specified at the same time



=== TEST 6: an unknown kind of key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        key_type: service
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



=== TEST 7: a status that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 199
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "rejected_code" validation failed



=== TEST 8: an empty message
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_msg: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "rejected_msg" validation failed



=== TEST 9: redis without a host
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        policy: redis
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
then clause did not match



=== TEST 10: a sync_interval that is too short
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        policy: redis
        redis_host: 127.0.0.1
        sync_interval: 0.01
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
sync_interval should not be smaller than 0.1



=== TEST 11: two pass, the third is refused
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 503]
--- no_error_log
[error]



=== TEST 12: the client is told where it stands
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 3
        time_window: 60
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
X-RateLimit-Limit: 3
X-RateLimit-Remaining: 2
X-RateLimit-Reset: 60
--- response_body
hello world



=== TEST 13: and the next time too
--- request
GET /hello
--- response_headers
X-RateLimit-Remaining: 1
--- response_headers_like
X-RateLimit-Reset: (60|59(\.\d+)?)



=== TEST 14: code and message of the refusal
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        rejected_code: 429
        rejected_msg: too many
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
["hello world\n", "{\"error_msg\":\"too many\"}\n"]
--- response_headers eval
["X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 0"]



=== TEST 15: no headers when they are not wanted
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        show_limit_quota_header: false
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 503]
--- response_headers eval
["! X-RateLimit-Limit", "! X-RateLimit-Limit"]



=== TEST 16: each value of a header has its counter
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        key: http_x_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-User: a", "X-User: b", "X-User: a", "X-User: b"]
--- error_code eval
[200, 200, 503, 503]



=== TEST 17: a missing value counts by address
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
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



=== TEST 18: several variables together
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
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



=== TEST 19: a constant counts everybody together
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        key_type: constant
        key: all
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["X-User: a", "X-User: b"]
--- error_code eval
[200, 503]



=== TEST 20: the window ends
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 503]
--- wait: 1.2



=== TEST 21: and a new one begins
--- request
GET /hello
--- response_headers
X-RateLimit-Remaining: 0



=== TEST 22: count and window from variables
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: "${http_count ?? 2}"
        time_window: "60"
        key: http_x_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-User: a", "X-User: a", "X-User: a", "X-User: a\nCount: 9"]
--- error_code eval
[200, 200, 503, 200]



=== TEST 23: a count from the client that is no number
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: "${http_count}"
        time_window: 60
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["Count: abc", "Count: -1", "Count: nan"]
--- error_code eval
[500, 500, 500]
--- error_log
failed to get rate limit rules: resolved value is not a number
failed to get rate limit rules: resolved value must be a positive number, got: -1



=== TEST 24: a group counts two routes together
--- apisix_yaml
routes:
  - id: 1
    uri: "/hello"
    plugins:
      limit-count: {count: 2, time_window: 60, group: one}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: 2
    uri: "/hello1"
    plugins:
      limit-count: {count: 2, time_window: 60, group: one}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1", "GET /hello", "GET /hello1"]
--- error_code eval
[200, 200, 503, 503]



=== TEST 25: without a group they count apart
--- apisix_yaml
routes:
  - id: 1
    uri: "/hello"
    plugins:
      limit-count: {count: 1, time_window: 60}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: 2
    uri: "/hello1"
    plugins:
      limit-count: {count: 1, time_window: 60}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1", "GET /hello", "GET /hello1"]
--- error_code eval
[200, 200, 503, 503]



=== TEST 26: a conf in a service counts for all its routes
--- apisix_yaml
services:
  - id: 1
    plugins:
      limit-count: {count: 2, time_window: 60}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
routes:
  - {id: 1, uri: "/hello", service_id: 1}
  - {id: 2, uri: "/hello1", service_id: 1}
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1", "GET /hello", "GET /hello1"]
--- error_code eval
[200, 200, 503, 503]



=== TEST 27: a conf of a consumer counts on all routes
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth: {key: secret}
      limit-count: {count: 2, time_window: 60}
routes:
  - id: 1
    uri: "/hello"
    plugins: {key-auth: {}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
  - id: 2
    uri: "/hello1"
    plugins: {key-auth: {}}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- more_headers
Apikey: secret
--- pipelined_requests eval
["GET /hello", "GET /hello1", "GET /hello", "GET /hello1"]
--- error_code eval
[200, 200, 503, 503]



=== TEST 28: rules: every one that applies counts
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        rejected_code: 429
        rules:
          - {count: 1, time_window: 60, key: "$http_user", header_prefix: user}
          - {count: 5, time_window: 60, key: "$http_org"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["User: a\nOrg: x", "User: b\nOrg: x", "User: a\nOrg: x"]
--- error_code eval
[200, 200, 429]
--- response_headers eval
["X-user-RateLimit-Limit: 1\nX-2-RateLimit-Remaining: 4", "X-2-RateLimit-Remaining: 3", "X-user-RateLimit-Remaining: 0\n! X-2-RateLimit-Limit"]



=== TEST 29: rules: none applies
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        rules:
          - {count: 1, time_window: 60, key: "$http_user"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
failed to get rate limit rules



=== TEST 30: rules: none applies, and that is allowed
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        allow_degradation: true
        rules:
          - {count: 1, time_window: 60, key: "$http_user"}
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
failed to get rate limit rules



=== TEST 31: a sliding window
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 86400
        window_type: sliding
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 503]



=== TEST 32: header names from metadata
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count: {count: 2, time_window: 60}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: limit-count
    limit_header: X-L
    remaining_header: X-R
    reset_header: X-T
#END
--- request
GET /hello
--- response_headers
X-L: 2
X-R: 1
X-T: 60
! X-RateLimit-Limit



=== TEST 33: a huge value, control bytes and a repeated header
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        key: http_x_user
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-User: " . ("a" x 7000), "X-User: " . ("a" x 7000), "X-User: " . ("a" x 6999) . "b", "X-User: a\nX-User: b"]
--- error_code eval
[200, 503, 200, 200]



=== TEST 34: workers count together
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 3
        time_window: 60
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- workers: 2
--- exec
for i in 1 2 3 4 5; do curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello; done
--- response_body_like
^200 200 200 503 503 $
