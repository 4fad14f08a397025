# fault-injection: answers and delays on purpose.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: nothing to do
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
expect object to have at least 1 properties



=== TEST 2: an abort without a status
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          body: "a"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "http_status" is required



=== TEST 3: a status below 200
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 100
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "http_status" validation failed: expected 100 to be at least 200



=== TEST 4: a delay without a time
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        delay:
          percentage: 10
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "duration" is required



=== TEST 5: a negative delay
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        delay:
          duration: -1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "duration" validation failed: expected -1 to be at least 0



=== TEST 6: a percentage above 100
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 200
          percentage: 101
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "percentage" validation failed: expected 101 to be at most 100



=== TEST 7: an expression with an unknown operator
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 403
          vars: [[["http_name", "===", "jack"]]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to create vars expression:



=== TEST 8: an abort with a body, variables in it, and headers
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 205
          body: "Fault $uri $arg_name!"
          headers:
            X-S: "v$http_x_in"
            X-N: 7
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?name=jack
--- more_headers
X-In: 1
--- error_code: 205
--- response_headers
X-S: v1
X-N: 7
--- response_body eval
"Fault /hello jack!"



=== TEST 9: an abort without a body has the default page
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 503
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 503
--- response_body_like eval
qr/<title>503/



=== TEST 10: an abort of 200
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 200
          body: "Fault Injection!\n"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
Fault Injection!



=== TEST 11: percentages: never, always
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 500
          percentage: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      fault-injection:
        abort:
          http_status: 500
          percentage: 100
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello1", "GET /hello1", "GET /hello1"]
--- error_code eval
[200, 200, 200, 500, 500, 500]



=== TEST 12: vars: the first group, half of it, the second, none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 403
          body: "Fault"
          vars:
            - [["arg_name", "==", "jack"], ["http_age", "!", "<", 18]]
            - [["http_apikey", "==", "api-key"]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello?name=jack",
    "GET /hello?name=jack",
    "GET /hello",
    "GET /hello?name=allen",
]
--- more_headers eval
["age: 20", "age: 16", "apikey: api-key", "age: 20"]
--- error_code eval
[403, 200, 403, 200]



=== TEST 13: an empty list of vars selects no request
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 403
          vars: []
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 14: a delay ends, and the request goes on
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        delay:
          duration: 0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 15: a delay for other requests
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        delay:
          duration: 60
          vars: [[["arg_slow", "==", "1"]]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 16: a delay, then an abort
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        delay:
          duration: 0.05
        abort:
          http_status: 504
          body: "late"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 504
--- response_body eval
"late"



=== TEST 17: a line break in a variable cannot start a header
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      fault-injection:
        abort:
          http_status: 200
          body: "x"
          headers:
            X-N: "$arg_n"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?n=a%0d%0aSet-Cookie:%20b=c
--- response_headers
! Set-Cookie
X-N: a%0D%0ASet-Cookie: b=c
