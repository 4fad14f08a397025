# basic-auth: user name and password.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: hide_credentials that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      basic-auth:
        hide_credentials: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "hide_credentials" validation failed: wrong type: expected boolean, got number



=== TEST 2: a realm with a quote
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      basic-auth:
        realm: 'x"'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "realm" validation failed



=== TEST 3: a consumer without a password is refused
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: foo
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Basic Zm9vOg==
--- error_code: 401
--- error_log
property "password" is required



=== TEST 4: no credentials
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: Basic realm="basic"
--- response_body
{"message":"Missing authorization in request"}



=== TEST 5: another realm
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth:
        realm: "test area"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: Basic realm="test area"



=== TEST 6: another scheme
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Bearer abc
--- error_code: 401
--- response_body
{"message":"Invalid authorization in request"}
--- error_log
Invalid authorization header format



=== TEST 7: the scheme alone
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: Basic", "Authorization: Basic "]
--- error_code eval
[401, 401]



=== TEST 8: credentials that are no base64
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Basic aca_a
--- error_code: 401
--- response_body
{"message":"Invalid authorization in request"}
--- error_log
Failed to decode authentication header
--- no_error_log
aca_a



=== TEST 9: credentials without a colon
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Basic YmFy
--- error_code: 401
--- response_body
{"message":"Invalid authorization in request"}
--- error_log
Split authorization err: invalid decoded data
--- no_error_log
data: bar



=== TEST 10: an unknown user
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Basic bm9ib2R5OmJhcg==
--- error_code: 401
--- response_body
{"message":"Invalid user authorization"}
--- error_log
failed to find user: invalid user



=== TEST 11: passwords: right, wrong, empty, a prefix, an extension, another case, of another user
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello",
    "GET /hello",
    "GET /hello",
    "GET /hello",
    "GET /hello",
    "GET /hello",
    "GET /hello",
]
--- more_headers eval
[
    "Authorization: Basic Zm9vOmJhcg==",
    "Authorization: Basic Zm9vOmJheg==",
    "Authorization: Basic Zm9vOg==",
    "Authorization: Basic Zm9vOmJh",
    "Authorization: Basic Zm9vOmJhcmJhcg==",
    "Authorization: Basic Zm9vOkJBUg==",
    "Authorization: Basic Zm9vOmE6Yjpj",
]
--- error_code eval
[200, 401, 401, 401, 401, 401, 401]



=== TEST 12: the scheme in any case
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: basic Zm9vOmJhcg==", "Authorization: BASIC Zm9vOmJhcg=="]
--- error_code eval
[200, 200]



=== TEST 13: a password with colons is compared as a whole
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Authorization: Basic Y29sb246YTpiOmM=",
    "Authorization: Basic Y29sb246YQ==",
    "Authorization: Basic Zm9vOmJhcjptb3Jl",
]
--- error_code eval
[200, 401, 401]



=== TEST 14: white space: a line break behind the password is ignored, blanks within one count
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Authorization: Basic Zm9vOmJhcgo=",
    "Authorization: Basic c3BhY2VkOnR3byB3b3Jkcw==",
    "Authorization: Basic c3BhY2VkOnR3byAgd29yZHM=",
]
--- error_code eval
[200, 200, 401]



=== TEST 15: an empty password matches only an empty one
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: Basic ZW1wdHk6", "Authorization: Basic ZW1wdHk6eA=="]
--- error_code eval
[200, 401]



=== TEST 16: control bytes and bytes that are no text
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Authorization: Basic Zm9vOgBiYXI=",
    "Authorization: Basic //46YmFy",
    "Authorization: Basic Zm9vOmJhcgA=",
]
--- error_code eval
[401, 401, 401]



=== TEST 17: very long credentials
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
"Authorization: Basic " . "QUFB" x 1500
--- error_code: 401



=== TEST 18: the upstream learns the consumer and gets the credentials
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/show"
    plugins:
      basic-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        ngx.say("uri: ", ngx.var.request_uri)
        ngx.say("apikey: ", tostring(h["apikey"]))
        ngx.say("authorization: ", tostring(h["authorization"]))
        ngx.say("user: ", tostring(h["x-consumer-username"]))
    }
}
--- request
GET /show
--- more_headers
Authorization: Basic Zm9vOmJhcg==
--- response_body
uri: /show
apikey: nil
authorization: Basic Zm9vOmJhcg==
user: foo



=== TEST 19: hide_credentials keeps them from the upstream, also wrong ones
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/show"
    plugins:
      basic-auth:
        hide_credentials: true
        anonymous_consumer: anonymous
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        ngx.say("uri: ", ngx.var.request_uri)
        ngx.say("apikey: ", tostring(h["apikey"]))
        ngx.say("authorization: ", tostring(h["authorization"]))
        ngx.say("user: ", tostring(h["x-consumer-username"]))
    }
}
--- pipelined_requests eval
["GET /show", "GET /show"]
--- more_headers eval
["Authorization: Basic Zm9vOmJhcg==", "Authorization: Basic Zm9vOndyb25n"]
--- error_code eval
[200, 200]
--- response_body eval
[
    "uri: /show\napikey: nil\nauthorization: nil\nuser: foo\n",
    "uri: /show\napikey: nil\nauthorization: nil\nuser: anonymous\n",
]



=== TEST 20: an anonymous consumer that does not exist
--- apisix_yaml
consumers:
  - username: foo
    plugins:
      basic-auth:
        username: "foo"
        password: "bar"
  - username: colon
    plugins:
      basic-auth:
        username: "colon"
        password: "a:b:c"
  - username: spaced
    plugins:
      basic-auth:
        username: "spaced"
        password: "two words"
  - username: empty
    plugins:
      basic-auth:
        username: "empty"
        password: ""
  - username: anonymous
routes:
  - uri: "/hello"
    plugins:
      basic-auth:
        anonymous_consumer: ghost
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_body
{"message":"Invalid user authorization"}
--- error_log
basic-auth failed to authenticate the request, code: 401. error: failed to get anonymous consumer ghost
