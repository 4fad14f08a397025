# key-auth: API keys in a header or a query argument.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a header that is no string
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      key-auth:
        header: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "header" validation failed: wrong type: expected string, got number



=== TEST 2: hide_credentials that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      key-auth:
        hide_credentials: "yes"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "hide_credentials" validation failed



=== TEST 3: a realm with a quote could end the header early
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      key-auth:
        realm: 'a"b'
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



=== TEST 4: a consumer without a key is refused, the others serve
--- apisix_yaml
consumers:
  - username: nokey
    plugins:
      key-auth: {}
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
apikey: jack-key
--- response_body
hello world
--- error_log
property "key" is required



=== TEST 5: no key
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: apikey realm="key"
--- response_body
{"message":"Missing API key in request"}



=== TEST 6: keys in the header: good, unknown, another case, empty, of another consumer
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "apikey: jack-key",
    "apikey: nobody",
    "apikey: JACK-KEY",
    "apikey:",
    "ApiKey: rose key+/=",
]
--- error_code eval
[200, 401, 401, 401, 200]



=== TEST 7: an unknown key
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
apikey: wrong
--- error_code: 401
--- response_body
{"message":"Invalid API key in request"}
--- error_log
failed to find consumer: invalid api key
--- no_error_log
[alert]



=== TEST 8: keys in the query: good, escaped, unknown, empty, without a value, repeated
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello?apikey=jack-key",
    "GET /hello?apikey=rose%20key%2B%2F%3D",
    "GET /hello?apikey=nope",
    "GET /hello?apikey=",
    "GET /hello?apikey",
    "GET /hello?apikey=jack-key&apikey=jack-key",
]
--- error_code eval
[200, 200, 401, 401, 401, 401]



=== TEST 9: the header goes before the query
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?apikey=jack-key", "GET /hello?apikey=nope"]
--- more_headers eval
["apikey: nope", "apikey: jack-key"]
--- error_code eval
[401, 200]



=== TEST 10: another header, another argument and a realm
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth:
        header: X-Key
        query: k
        realm: "my area"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello?k=jack-key", "GET /hello?apikey=jack-key"]
--- more_headers eval
["X-Key: jack-key", "", ""]
--- error_code eval
[200, 200, 401]



=== TEST 11: the realm is in the answer
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth:
        realm: "my area"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: apikey realm="my area"



=== TEST 12: the upstream learns the consumer, and a client cannot pretend to be one
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/show"
    plugins:
      key-auth: {}
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
GET /show?a=1
--- more_headers
apikey: jack-key
X-Consumer-Username: root
--- response_body
uri: /show?a=1
apikey: jack-key
authorization: nil
user: jack



=== TEST 13: hide_credentials removes the header
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/show"
    plugins:
      key-auth:
        hide_credentials: true
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
GET /show?a=1
--- more_headers
apikey: jack-key
--- response_body
uri: /show?a=1
apikey: nil
authorization: nil
user: jack



=== TEST 14: hide_credentials removes the argument and leaves the others
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/show"
    plugins:
      key-auth:
        hide_credentials: true
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
GET /show?a=1&apikey=jack-key
--- response_body
uri: /show?a=1
apikey: nil
authorization: nil
user: jack



=== TEST 15: without hide_credentials the argument stays
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/show"
    plugins:
      key-auth: {}
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
GET /show?apikey=jack-key
--- response_body
uri: /show?apikey=jack-key
apikey: nil
authorization: nil
user: jack



=== TEST 16: the anonymous consumer serves who has no valid key, and the wrong key is hidden
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: anonymous
    plugins:
      fault-injection:
        abort:
          http_status: 418
          vars: [[["http_refuse", "==", "yes"]]]
routes:
  - uri: "/show"
    plugins:
      key-auth:
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
["GET /show", "GET /show?apikey=bad&b=2", "GET /show"]
--- more_headers eval
["", "apikey: worse", "apikey: jack-key"]
--- error_code eval
[200, 200, 200]
--- response_body eval
[
    "uri: /show\napikey: nil\nauthorization: nil\nuser: anonymous\n",
    "uri: /show?b=2\napikey: nil\nauthorization: nil\nuser: anonymous\n",
    "uri: /show\napikey: nil\nauthorization: nil\nuser: jack\n",
]



=== TEST 17: a query without a key stays as it was written
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: anonymous
    plugins:
      fault-injection:
        abort:
          http_status: 418
          vars: [[["http_refuse", "==", "yes"]]]
routes:
  - uri: "/show"
    plugins:
      key-auth:
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
--- request
GET /show?z=%2f&a&b=+
--- response_body
uri: /show?z=%2f&a&b=+
apikey: nil
authorization: nil
user: anonymous



=== TEST 18: plugins of the anonymous consumer run, those of others do not
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: anonymous
    plugins:
      fault-injection:
        abort:
          http_status: 418
          vars: [[["http_refuse", "==", "yes"]]]
routes:
  - uri: "/hello"
    plugins:
      key-auth:
        hide_credentials: true
        anonymous_consumer: anonymous
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["refuse: yes", "refuse: yes\napikey: jack-key"]
--- error_code eval
[418, 200]



=== TEST 19: an anonymous consumer that does not exist
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth:
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
key-auth failed to authenticate the request, code: 401. error: failed to get anonymous consumer ghost



=== TEST 20: no consumer has a key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
apikey: jack-key
--- error_code: 401
--- response_body
{"message":"Invalid API key in request"}
--- error_log
failed to find consumer: Missing related consumer



=== TEST 21: a very long key
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      key-auth:
        key: "jack-key"
  - username: rose
    plugins:
      key-auth:
        key: "rose key+/="
routes:
  - uri: "/hello"
    plugins:
      key-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
"apikey: " . "k" x 6000
--- error_code: 401
--- response_body
{"message":"Invalid API key in request"}
