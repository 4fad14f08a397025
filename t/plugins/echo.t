# echo: text before, after and in place of the body.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        headers:
          a: b
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
object matches none of the required



=== TEST 2: a text that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        body: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "body" validation failed: wrong type: expected string, got number



=== TEST 3: empty headers
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        body: "a"
        headers: {}
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



=== TEST 4: headers that are no object
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        body: "a"
        headers: "b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "headers" validation failed: wrong type: expected object, got string



=== TEST 5: before and after
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        before_body: "before "
        after_body: "after\n"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
! Content-Length
--- response_body
before hello world
after



=== TEST 6: in place, with both
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        before_body: "<"
        body: "text"
        after_body: ">"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body eval
"<text>"



=== TEST 7: in place only
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        body: "text"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body eval
"text"



=== TEST 8: each once, however many chunks there are
--- apisix_yaml
routes:
  - uri: "/hello_chunked"
    plugins:
      echo:
        before_body: "<"
        after_body: ">"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello_chunked
--- response_body eval
"<hello world\n>"



=== TEST 9: in place of several chunks
--- apisix_yaml
routes:
  - uri: "/hello_chunked"
    plugins:
      echo:
        body: "text"
        after_body: ">"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello_chunked
--- response_body eval
"text>"



=== TEST 10: headers: texts and numbers
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        body: "a"
        headers:
          X-A: "b"
          X-N: 5
          Location: "https://a.b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
X-A: b
X-N: 5
Location: https://a.b
--- response_body eval
"a"



=== TEST 11: a header that is neither is left out
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        body: "a"
        headers:
          X-A: "b"
          X-B: true
          X-C: ["c"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
X-A: b
! X-B
! X-C
--- response_body eval
"a"
--- error_log
invalid type as header value: X-B



=== TEST 12: a global rule and the route
--- apisix_yaml
global_rules:
  - id: 1
    plugins:
      echo:
        before_body: "global "
routes:
  - uri: "/hello"
    plugins:
      echo:
        before_body: "route "
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
route global hello world



=== TEST 13: an answer of the gateway
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      echo:
        before_body: "x"
      ip-restriction:
        blacklist: ["127.0.0.1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 403
--- response_body
x{"message":"Your IP address is not allowed"}
