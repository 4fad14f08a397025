# request-id: an identifier for every request.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: an algorithm that does not exist
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: snowflake
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "algorithm" validation failed: matches none of the enum values



=== TEST 2: a length that repeats soon
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: range_id
        range_id:
          length: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "length" validation failed



=== TEST 3: too few letters
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: range_id
        range_id:
          char_set: "abcde"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "char_set" validation failed: string too short, expected at least 6, got 5



=== TEST 4: include_in_response that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        include_in_response: "no"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "include_in_response" validation failed



=== TEST 5: a UUID by default
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
X-Request-Id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}



=== TEST 6: the upstream gets it too
--- apisix_yaml
routes:
  - uri: "/show"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        ngx.say(ngx.req.get_headers()["x-request-id"])
    }
}
--- request
GET /show
--- response_body_like eval
qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}
$/



=== TEST 7: algorithm uuidv7
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: uuidv7
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
X-Request-Id: [0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}



=== TEST 8: algorithm nanoid
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: nanoid
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
X-Request-Id: [-_0-9A-Za-z]{21}



=== TEST 9: algorithm ksuid
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: ksuid
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
X-Request-Id: [0-9A-Za-z]{27}



=== TEST 10: algorithm range_id
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: range_id
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
X-Request-Id: [a-zA-Z0-9]{16}



=== TEST 11: range_id with its own letters and length
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        algorithm: range_id
        range_id:
          char_set: "xyzXYZ"
          length: 33
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
X-Request-Id: [xyzXYZ]{33}



=== TEST 12: ksuid begins with the time, so that this decade begins with these letters
--- apisix_yaml
routes:
  - uri: "/show"
    plugins:
      request-id:
        algorithm: ksuid
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        ngx.say(ngx.req.get_headers()["x-request-id"])
    }
}
--- request
GET /show
--- response_body_like eval
qr/^[23][0-9A-Za-z]{26}
$/



=== TEST 13: the identifier of the client stays
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Request-Id: abc-123
--- response_headers
X-Request-Id: abc-123



=== TEST 14: the upstream gets the identifier of the client
--- apisix_yaml
routes:
  - uri: "/show"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        ngx.say(ngx.req.get_headers()["x-request-id"])
    }
}
--- request
GET /show
--- more_headers
x-request-ID: abc-123
--- response_body
abc-123



=== TEST 15: an empty one is replaced
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Request-Id:
--- response_headers_like
X-Request-Id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}



=== TEST 16: include_in_response: false
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        include_in_response: false
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
! X-Request-Id



=== TEST 17: another header
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id:
        header_name: X-Trace
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Trace: t1
--- response_headers
X-Trace: t1
! X-Request-Id



=== TEST 18: the identifier of the upstream is not overwritten
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Request-Id: mine
resp-X-Request-Id: theirs
--- response_headers
X-Request-Id: theirs



=== TEST 19: an answer of the gateway has it
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-id: {}
      ip-restriction:
        blacklist: ["127.0.0.1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Request-Id: r1
--- error_code: 403
--- response_headers
X-Request-Id: r1



=== TEST 20: a very long one passes unchanged
--- apisix_yaml
routes:
  - uri: "/show"
    plugins:
      request-id: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        ngx.say(ngx.req.get_headers()["x-request-id"])
    }
}
--- request
GET /show
--- more_headers eval
"X-Request-Id: " . "r" x 4000
--- response_body_like eval
qr/^r{4000}
$/
