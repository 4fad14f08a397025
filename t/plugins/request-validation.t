# request-validation: checks headers and body of a request against JSON schemas.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: neither schema
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        rejected_code: 400
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



=== TEST 2: a schema that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema: {type: what}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
request-validation



=== TEST 3: a header schema that is a text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        header_schema: x
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "header_schema" validation failed



=== TEST 4: a status that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema: {type: object}
        rejected_code: 600
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



=== TEST 5: a body of no size
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema: {type: object}
        max_req_body_size: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "max_req_body_size" validation failed



=== TEST 6: a good body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . '{"name":"ann"}'
--- more_headers
Content-Type: application/json
--- error_code: 200
--- no_error_log
[error]



=== TEST 7: a missing property
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n{\"age\":1}"
--- more_headers
Content-Type: application/json
--- error_code: 400
--- response_body_like
^property "name" is required$
--- error_log
req schema validation failed: property "name" is required



=== TEST 8: a wrong type
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . '{"name":1}'
--- more_headers
Content-Type: application/json
--- error_code: 400
--- response_body_like
property "name" validation failed: wrong type: expected string, got number
--- error_log
req schema validation failed



=== TEST 9: a pattern that does not match
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . '{"name":"A1"}'
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
failed to match pattern



=== TEST 10: no JSON
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . '{"name":'
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
failed to decode the req body



=== TEST 11: JSON that is no object
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . 'null'
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
req schema validation failed



=== TEST 12: false
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . 'false'
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
failed to decode the req body



=== TEST 13: control bytes
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . "\x00\x01\x02"
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
failed to decode the req body



=== TEST 14: a name twice: the last one is checked and sent
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . '{"name":"ann","name":1}'
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
req schema validation failed



=== TEST 15: deep nesting
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . ('[' x 5000)
--- more_headers
Content-Type: application/json
--- error_code: 400
--- error_log
failed to decode the req body



=== TEST 16: no body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
POST /hello
--- error_code: 400
--- ignore_error_log




=== TEST 17: a form
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . 'name=ann&x=%zz'
--- more_headers
Content-Type: application/x-www-form-urlencoded; charset=utf-8
--- error_code: 200
--- no_error_log
[error]



=== TEST 18: a form without the name
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n" . 'nam=ann'
--- more_headers
Content-Type: application/x-www-form-urlencoded
--- error_code: 400
--- error_log
req schema validation failed



=== TEST 19: two content types
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n{\"name\":\"ann\"}"
--- more_headers
Content-Type: application/json
Content-Type: text/plain
--- error_code: 400
--- ignore_error_log




=== TEST 20: a message of one's own
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
        rejected_code: 422
        rejected_msg: check your fields
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n{}"
--- error_code: 422
--- response_body_like
^check your fields$
--- error_log
req schema validation failed



=== TEST 21: a body that is too long
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
        max_req_body_size: 10
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /hello\n{\"name\":\"annannannann\"}"
--- error_code: 400
--- error_log
failed to get body



=== TEST 22: headers
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      request-validation:
        header_schema:
          type: object
          required: [x-id]
          properties:
            x-id: {type: string, pattern: "^\\d+$"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-Id: 12", "X-Id: ab", "", "X-Id: 1\nX-Id: 2"]
--- error_code eval
[200, 400, 400, 400]
--- error_log
req schema validation failed



=== TEST 23: the upstream gets the checked JSON with its defaults
--- apisix_yaml
routes:
  - uri: "/echo"
    plugins:
      request-validation:
        body_schema:
          type: object
          required: [name]
          properties:
            name: {type: string, pattern: "^[a-z]+$"}
            age: {type: integer, minimum: 0}
            tags: {type: array, items: {type: string}}
            kind: {type: string, default: plain}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /echo\n{\"name\":\"ann\",\"tags\":[]}"
--- more_headers
Content-Type: application/json
--- response_body_like
(?=.*"tags":\[\])(?=.*"kind":"plain").*"name":"ann"
--- no_error_log
[error]
