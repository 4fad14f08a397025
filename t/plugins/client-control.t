# client-control: the size of request bodies.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a negative size
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: -1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "max_body_size" validation failed: expected -1 to be at least 0



=== TEST 2: a size that is no integer
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: "5"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "max_body_size" validation failed: wrong type: expected integer, got string



=== TEST 3: a body that is too large by its length
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
POST /hello
123456
--- error_code: 413



=== TEST 4: a body of exactly that size, a smaller one, none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["POST /hello\n12345", "POST /hello\n1", "GET /hello"]
--- error_code eval
[200, 200, 200]



=== TEST 5: 0 allows any
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . "a" x 70000
--- response_body
hello world



=== TEST 6: no limit in the conf
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . "a" x 7000
--- response_body
hello world



=== TEST 7: a chunked body that grows too large
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n6\r\nWorld1\r\n0\r\n\r\n"
--- more_headers
Transfer-Encoding: chunked
--- error_code: 413



=== TEST 8: a chunked body that does not
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 10
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n6\r\nWorld1\r\n0\r\n\r\n"
--- more_headers
Transfer-Encoding: chunked
--- response_body
hello world



=== TEST 9: a small limit on one route does not bind another
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      client-control:
        max_body_size: 100
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
POST /hello1
12345
--- response_body
hello1 world



=== TEST 10: the limit counts before authentication and other plugins
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      client-control:
        max_body_size: 1
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
POST /hello
12345
--- error_code: 413
