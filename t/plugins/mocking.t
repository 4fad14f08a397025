# mocking: sample data instead of an upstream.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: neither an example nor a schema
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        delay: 1
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



=== TEST 2: a content type that is not supported
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: "x"
        content_type: "application/x"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
unsupported content type!



=== TEST 3: an empty content type
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: "x"
        content_type: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
unsupported content type!



=== TEST 4: a schema that is no object
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_schema: "x"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "response_schema" validation failed: wrong type: expected object, got string



=== TEST 5: a status below 100
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: "x"
        response_status: 99
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "response_status" validation failed



=== TEST 6: an example, with variables
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: 'remote_addr:$remote_addr uri:$uri'
        content_type: text/plain
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
Content-Type: text/plain
x-mock-by: APISIX/3.18.0
--- response_body eval
"remote_addr:127.0.0.1 uri:/hello"



=== TEST 7: the default content type
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: '{}'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
Content-Type: application/json;charset=utf8



=== TEST 8: status, headers, and no x-mock-by
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: 'made'
        response_status: 201
        with_mock_header: false
        response_headers:
          X-A: '$uri'
          X-N: 3
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 201
--- response_headers
X-A: /hello
X-N: 3
! x-mock-by
--- response_body eval
"made"



=== TEST 9: a schema with examples, as JSON
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        content_type: "application/json"
        response_schema:
          type: object
          properties:
            name: {type: string, example: "a <b> & c"}
            num: {type: number, example: 20.5}
            int: {type: integer, example: 7.9}
            "yes": {type: boolean, example: true}
            deep: {type: object, properties: {x: {type: string, example: "y"}}}
            list: {type: array, items: {type: string, example: "i"}}
            none: {type: "null"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body_like eval
qr/^(?=.*"name":"a <b> & c")(?=.*"num":20\.5)(?=.*"int":7[,}])(?=.*"yes":true)(?=.*"deep":\{"x":"y"\})(?=.*"list":\["i"(,"i")*\])(?!.*none)/



=== TEST 10: and as XML
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        content_type: "text/xml"
        response_schema:
          type: object
          properties:
            name: {type: string, example: "a <b> & c"}
            num: {type: number, example: 20.5}
            int: {type: integer, example: 7.9}
            "yes": {type: boolean, example: true}
            deep: {type: object, properties: {x: {type: string, example: "y"}}}
            list: {type: array, items: {type: string, example: "i"}}
            none: {type: "null"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
Content-Type: text/xml
--- response_body_like eval
qr/^<data>\n  <deep>\n    <x>y<\/x>\n  <\/deep>\n  <int>7<\/int>\n(  <list>i<\/list>\n)+  <name>a &lt;b&gt; &amp; c<\/name>\n  <num>20.5<\/num>\n  <yes>true<\/yes>\n<\/data>$/



=== TEST 11: a schema without examples
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        content_type: "application/json; charset=utf-8"
        response_schema:
          properties:
            s: {type: string}
            i: {type: INTEGER}
            b: {type: boolean}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
Content-Type: application/json; charset=utf-8
--- response_body_like eval
qr/^(?=.*"s":"[a-z]{1,10}")(?=.*"i":[0-9]+[,}])(?=.*"b":(true|false))/



=== TEST 12: a schema that names nothing that is known
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_schema:
          properties:
            a: {type: money}
            b: {}
            c: 7
            d: {type: [string]}
            e: {type: array}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body eval
"{}"



=== TEST 13: a schema as HTML is not possible
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        content_type: text/html
        response_schema: {properties: {s: {type: string}}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_log
json schema body only support xml and json content type



=== TEST 14: the upstream is not asked
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: 'x'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1": 1
#END
--- request
GET /hello
--- response_body eval
"x"



=== TEST 15: an auth plugin goes first
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      mocking:
        response_example: 'x'
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
