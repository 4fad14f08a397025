# response-rewrite: status, headers and body of the response.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: body and filters
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        body: "a"
        filters:
          - regex: "a"
            replace: "b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to check the configuration of plugin response-rewrite err:



=== TEST 2: a status above 598
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        status_code: 599
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "status_code" validation failed



=== TEST 3: a body that is no base64
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        body: "1"
        body_base64: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid base64 content



=== TEST 4: an empty body in base64
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        body: ""
        body_base64: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid base64 content



=== TEST 5: no body in base64
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        body_base64: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid base64 content



=== TEST 6: an expression with an unknown operator
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        status_code: 201
        vars: [["status", "===", 200]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate the 'vars' expression:



=== TEST 7: an empty pattern
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        filters:
          - regex: ""
            replace: "b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "regex" validation failed: string too short, expected at least 1, got 0



=== TEST 8: options that do not exist
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        filters:
          - regex: "hello"
            replace: "b"
            options: "h"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
regex "hello" validation failed: unknown flag "h"



=== TEST 9: a pattern that does not compile
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        filters:
          - regex: "(hello"
            replace: "b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
regex "(hello" validation failed:



=== TEST 10: a header to add without a value
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        headers:
          add: ["X-A"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "headers" validation failed



=== TEST 11: a header that is neither text nor number
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        headers:
          X-A: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid type as header value



=== TEST 12: an empty header name
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        headers:
          "": "a"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid field length in header



=== TEST 13: status and body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        status_code: 201
        body: "new body"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 201
--- response_body eval
"new body"



=== TEST 14: a body in base64, with bytes that are no text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        body: "AAH+"
        body_base64: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body eval
"\x00\x01\xfe"



=== TEST 15: an empty body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        body: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body eval
""



=== TEST 16: a body in place of several chunks
--- apisix_yaml
routes:
  - uri: "/hello_chunked"
    plugins:
      response-rewrite:
        body: "x"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello_chunked
--- response_body eval
"x"



=== TEST 17: headers, the short form
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        headers:
          X-A: "$uri"
          X-N: 7
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
X-A: /hello
X-N: 7
--- response_body
hello world



=== TEST 18: add, set, remove
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        headers:
          add: ["X-A: two", "X-U: $request_method"]
          set:
            X-B: "new"
          remove: ["X-C"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
resp-X-A: one
resp-X-B: old
resp-X-C: gone
--- response_headers
X-A: one, two
X-U: GET
X-B: new
! X-C



=== TEST 19: vars: only the responses that match
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        status_code: 503
        body: "was"
        vars: [["status", "==", 200], ["http_x_go", "==", "yes"]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["X-Go: yes", "X-Go: no"]
--- error_code eval
[503, 200]
--- response_body eval
["was", "hello world\n"]



=== TEST 20: a filter replaces the first match
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        filters:
          - regex: 'o'
            replace: '0'
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
hell0 world



=== TEST 21: or all of them, in any case, with captures
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        filters:
          - regex: 'O'
            replace: '0'
            scope: global
            options: "ijo"
          - regex: '(w)(.)'
            replace: '$2$1'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hell0 0wrld



=== TEST 22: a filter sees the body as a whole, over chunks
--- apisix_yaml
routes:
  - uri: "/hello_chunked"
    plugins:
      response-rewrite:
        filters:
          - regex: 'hello'
            replace: 'HELLO'
          - regex: 'nothing'
            replace: 'x'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello_chunked
--- response_body
HELLO world



=== TEST 23: a filter on a compressed body
--- apisix_yaml
routes:
  - uri: "/gz"
    plugins:
      response-rewrite:
        filters:
          - regex: 'hello'
            replace: 'HELLO'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /gz {
    content_by_lua_block {
        ngx.header["Content-Encoding"] = "gzip"
        ngx.header["ETag"] = "1"
        ngx.print(ngx.decode_base64("H4sIAAAAAAACA8tIzcnJV0ivyiwAABlq0t8KAAAA"))
    }
}
--- request
GET /gz
--- response_headers
! Content-Encoding
! ETag
--- response_body eval
"HELLO gzip"



=== TEST 24: an encoding that cannot be undone: the body stays
--- apisix_yaml
routes:
  - uri: "/gz"
    plugins:
      response-rewrite:
        filters:
          - regex: 'hello'
            replace: 'HELLO'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /gz {
    content_by_lua_block {
        ngx.header["Content-Encoding"] = "zz"
        ngx.header["ETag"] = "1"
        ngx.print(ngx.decode_base64("aGVsbG8="))
    }
}
--- request
GET /gz
--- response_headers
Content-Encoding: zz
ETag: 1
--- response_body eval
"hello"
--- error_log
filters may not work as expected due to unsupported compression encoding type: zz



=== TEST 25: a body that says gzip and is not
--- apisix_yaml
routes:
  - uri: "/gz"
    plugins:
      response-rewrite:
        filters:
          - regex: 'hello'
            replace: 'HELLO'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /gz {
    content_by_lua_block {
        ngx.header["Content-Encoding"] = "gzip"
        ngx.header["ETag"] = "1"
        ngx.print(ngx.decode_base64("aGVsbG8="))
    }
}
--- request
GET /gz
--- response_body eval
"HELLO"
--- error_log
filters may not work as expected:



=== TEST 26: filters work on so many bytes, the rest is cut off
--- apisix_yaml
routes:
  - uri: "/hello_chunked"
    plugins:
      response-rewrite:
        filters:
          - regex: 'hello'
            replace: 'HELLO'
        max_resp_body_size: 6
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello_chunked
--- response_body eval
"HELLO "



=== TEST 27: a global rule and the route each rewrite
--- apisix_yaml
global_rules:
  - id: 1
    plugins:
      response-rewrite:
        headers:
          X-G: "1"
        filters:
          - regex: "world"
            replace: "moon"
routes:
  - uri: "/hello"
    plugins:
      response-rewrite:
        filters:
          - regex: 'hello'
            replace: 'bye'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
X-G: 1
--- response_body
bye moon



=== TEST 28: an answer of the gateway is rewritten too
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        blacklist: ["127.0.0.1"]
      response-rewrite:
        status_code: 200
        body: "nothing here"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body eval
"nothing here"
