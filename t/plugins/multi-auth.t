# multi-auth: one of several auth plugins is enough.
use t::APISIX 'no_plan';

use Digest::SHA qw(hmac_sha256);
use MIME::Base64 qw(encode_base64 encode_base64url);

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

sub basic {
    return "Authorization: Basic " . encode_base64($_[0], '');
}

sub bearer {
    my ($payload, $secret) = @_;
    my $text = encode_base64url('{"alg":"HS256"}') . '.' . encode_base64url($payload);
    return "Authorization: Bearer $text." . encode_base64url(hmac_sha256($text, $secret));
}

run_tests;

__DATA__

=== TEST 1: no auth_plugins
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "auth_plugins" is required



=== TEST 2: only one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "auth_plugins" validation failed: expect array to have at least 2 items



=== TEST 3: no list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: {basic-auth: {}, key-auth: {}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "auth_plugins" validation failed: wrong type: expected array, got table



=== TEST 4: a plugin that is not there
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {}}, {no-auth: {}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
no-auth plugin did not found



=== TEST 5: a plugin that authenticates nobody
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {}}, {limit-count: {count: 1, time_window: 1}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
limit-count plugin is not supported



=== TEST 6: an entry without a plugin would let everybody in
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{key-auth: {}}, {}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
item 2 of auth_plugins names no plugin



=== TEST 7: an entry that is no object
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [key-auth, {basic-auth: {}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
item 1 of auth_plugins names no plugin



=== TEST 8: the first conf is wrong
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {hide_credentials: "false"}}, {key-auth: {}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
plugin basic-auth check schema failed: property "hide_credentials" validation failed: wrong type: expected boolean, got string



=== TEST 9: a conf that is no object
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{key-auth: {}}, {basic-auth: blah}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
plugin basic-auth check schema failed: wrong type: expected object, got string



=== TEST 10: one of several in an entry is wrong
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{key-auth: {}}, {basic-auth: {}, jwt-auth: {header: 123}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
plugin jwt-auth check schema failed: property "header" validation failed: wrong type: expected string, got number



=== TEST 11: no credentials
--- apisix_yaml
consumers:
  - username: foo
    labels:
      custom_id: "f-1"
    plugins:
      basic-auth:
        username: foo
        password: bar
      key-auth:
        key: auth-one
  - username: jack
    plugins:
      jwt-auth:
        key: user-key
        secret: my-secret-key
  - id: jack/credentials/second
    plugins:
      key-auth:
        key: second-key
  - username: nobody
routes:
  - uri: "/hello"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {}}, {key-auth: {}}, {jwt-auth: {hide_credentials: true}}, {hmac-auth: {}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/uri"
    plugins:
      multi-auth:
        auth_plugins: [{jwt-auth: {hide_credentials: true}}, {basic-auth: {hide_credentials: true}}, {key-auth: {}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/headers"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {}}, {key-auth: {anonymous_consumer: nobody}}]
      serverless-post-function:
        phase: access
        functions:
          - "return function(_, ctx) ngx.say(ctx.consumer_name) ngx.exit(200) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/echo"
    plugins:
      multi-auth:
        auth_plugins: [{basic-auth: {anonymous_consumer: gone}}, {key-auth: {anonymous_consumer: gone}}, {jwt-auth: {anonymous_consumer: gone}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      multi-auth:
        auth_plugins: [{key-auth: {}, basic-auth: {}}, {multi-auth: {auth_plugins: [{jwt-auth: {}}, {jwt-auth: {header: x-token}}]}}]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_body
{"message":"Authorization Failed"}
--- error_log
basic-auth failed to authenticate the request, code: 401. error: Missing authorization in request
key-auth failed to authenticate the request, code: 401. error: Missing API key in request
jwt-auth failed to authenticate the request, code: 401. error: Missing JWT token in request
hmac-auth failed to authenticate the request, code: 401. error: client request can't be validated: missing Authorization header



=== TEST 12: the challenge is that of the last plugin
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: hmac realm="hmac"



=== TEST 13: each way is enough, and nothing is told of the others
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[main::basic("foo:bar"), "apikey: auth-one", main::bearer('{"key":"user-key"}', "my-secret-key")]
--- response_body eval
["hello world\n", "hello world\n", "hello world\n"]
--- no_error_log
failed to authenticate the request



=== TEST 14: an answer to who got in has no challenge
--- request
GET /hello
--- more_headers
apikey: auth-one
--- response_headers
!WWW-Authenticate



=== TEST 15: the upstream learns who it is, also by a credential
--- pipelined_requests eval
["GET /uri", "GET /uri"]
--- more_headers eval
["apikey: auth-one\nX-Consumer-Username: admin\nX-Credential-Identifier: x", "apikey: second-key"]
--- response_body_like eval
[qr/x-consumer-custom-id: f-1\nx-consumer-username: foo\nx-real/,
 qr/x-consumer-username: jack\nx-credential-identifier: second\nx-real/]



=== TEST 16: who hides credentials leaves them to the next
--- request
GET /uri
--- more_headers eval
main::basic("foo:bar")
--- response_body_like eval
qr/\A(?!.*authorization).*x-consumer-username: foo/s



=== TEST 17: wrong credentials: why each refused
--- request
GET /hello
--- more_headers eval
main::basic("bar:foo") . "\napikey: 123"
--- error_code: 401
--- response_body
{"message":"Authorization Failed"}
--- error_log
basic-auth failed to authenticate the request, code: 401. error: failed to find user: invalid user
key-auth failed to authenticate the request, code: 401. error: failed to find consumer: invalid api key
jwt-auth failed to authenticate the request, code: 401. error: JWT token invalid: invalid jwt string
hmac-auth failed to authenticate the request, code: 401. error: client request can't be validated: Authorization header does not start with 'Signature'
--- no_error_log
error: Invalid API key in request



=== TEST 18: a token that is wrong: why
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 4]
--- more_headers eval
[main::bearer('{"key":"user-key","exp":1563870501}', "my-secret-key"),
 main::bearer('{"key":"user-key"}', "x"), main::bearer('{"key":"x"}', "x"),
 main::bearer('{"key":"user-key"}', "my-secret-key") . "=.\xc3"]
--- error_code eval
[401, 401, 401, 401]
--- error_log
jwt-auth failed to authenticate the request, code: 401. error: failed to verify jwt: 'exp' claim expired at Tue, 23 Jul 2019 08:28:21 GMT
jwt-auth failed to authenticate the request, code: 401. error: failed to verify jwt: signature mismatch: 
jwt-auth failed to authenticate the request, code: 401. error: Invalid user key in JWT token
jwt-auth failed to authenticate the request, code: 401. error: JWT token invalid: invalid jwt string



=== TEST 19: an anonymous request stands for those without credentials
--- pipelined_requests eval
["GET /headers", "GET /headers"]
--- more_headers eval
["X: y", main::basic("foo:bar")]
--- response_body eval
["nobody\n", "foo\n"]



=== TEST 20: there is no such anonymous consumer
--- request
GET /echo
--- error_code: 401
--- response_body
{"message":"Authorization Failed"}
--- error_log
basic-auth failed to authenticate the request, code: 401. error: failed to get anonymous consumer gone
key-auth failed to authenticate the request, code: 401. error: failed to get anonymous consumer gone
jwt-auth failed to authenticate the request, code: 401. error: failed to get anonymous consumer gone



=== TEST 21: several in one entry, and one multi-auth in another
--- pipelined_requests eval
[map { "GET /hello1" } 1 .. 5]
--- more_headers eval
my $token = main::bearer('{"key":"user-key"}', "my-secret-key");
["apikey: auth-one", main::basic("foo:bar"), $token, "x-token: " . $token =~ s/.*: //r, "X: y"]
--- error_code eval
[200, 200, 200, 200, 401]
--- error_log
multi-auth failed to authenticate the request, code: 401. error: Authorization Failed



=== TEST 22: huge credentials, control bytes, repeated headers, and all ways at once
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 4]
--- more_headers eval
["Authorization: " . "x" x 7000, "apikey: " . "y" x 7000, "apikey: a\tb\xff", "apikey: x\napikey: auth-one"]
--- error_code eval
[401, 401, 401, 401]



=== TEST 23: a plugin that answers no table, nothing, or another status
--- config
    location /t {
        content_by_lua_block {
            local plugin = require("apisix.plugin")
            local multi = require("apisix.plugins.multi-auth")
            local answers = { { 401 }, { 403, "text" }, { 401, { other = 1 } } }
            local get, place = plugin.get, 0
            plugin.get = function()
                place = place + 1
                return { type = "auth", rewrite = function() return unpack(answers[place]) end }
            end
            local code, body = multi.rewrite({ auth_plugins = { { a = {} }, { b = {} }, { c = {} } } },
                                             { var = {} })
            plugin.get = get
            ngx.say(code, " ", body.message)
        }
    }
--- request
GET /t
--- response_body
401 Authorization Failed
--- error_log
a failed to authenticate the request, code: 401. error: 
b failed to authenticate the request, code: 403. error: text
c failed to authenticate the request, code: 401. error: 
