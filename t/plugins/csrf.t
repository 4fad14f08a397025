# csrf: tokens that a cookie and a header must both bring.
use t::APISIX 'no_plan';

use Digest::SHA qw(sha256_hex);
use MIME::Base64 qw(encode_base64);

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

sub token_of {
    my ($text) = @_;
    return encode_base64($text, '');
}

# As any gateway with this key would write it.
sub token {
    my ($random, $time, $key) = @_;
    my $sign = sha256_hex("{expires:$time,random:$random,key:$key}");
    return token_of(qq({"random":$random,"sign":"$sign","expires":$time}));
}

# Header and cookie with the same token.
sub both {
    my ($token) = @_;
    return "apisix-csrf-token: $token\nCookie: apisix-csrf-token=$token";
}

run_tests;

__DATA__

=== TEST 1: no key
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      csrf: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "key" is required



=== TEST 2: expires that is no number
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      csrf:
        key: k
        expires: "1h"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "expires" validation failed: wrong type: expected integer, got string



=== TEST 3: a name that is no text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      csrf:
        key: k
        name: [a]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "name" validation failed



=== TEST 4: an answer brings a token
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      csrf:
        key: userkey
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/echo"
    plugins:
      csrf:
        key: userkey
        expires: 0
        name: _own
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers_like
Set-Cookie: apisix-csrf-token=[A-Za-z0-9+/]+=*;path=/;SameSite=Lax;Expires=\w{3}, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d GMT$



=== TEST 5: HEAD and OPTIONS need none
--- pipelined_requests eval
["HEAD /hello", "OPTIONS /hello"]
--- error_code eval
[200, 200]



=== TEST 6: no header, and the refusal brings a token, too
--- request
POST /hello
--- error_code: 401
--- response_body
{"error_msg":"no csrf token in headers"}
--- response_headers_like
Set-Cookie: apisix-csrf-token=.+



=== TEST 7: an empty header
--- request
DELETE /hello
--- more_headers
apisix-csrf-token:
Cookie: apisix-csrf-token=
--- error_code: 401
--- response_body
{"error_msg":"no csrf token in headers"}



=== TEST 8: no cookie
--- request
PUT /hello
--- more_headers
apisix-csrf-token: x
--- error_code: 401
--- response_body
{"error_msg":"no csrf cookie"}



=== TEST 9: only the cookie, as another site would send it
--- request
POST /hello
--- more_headers eval
"Cookie: apisix-csrf-token=" . main::token("0.5", time, "userkey")
--- error_code: 401
--- response_body
{"error_msg":"no csrf token in headers"}



=== TEST 10: two good tokens that are not the same
--- request
POST /hello
--- more_headers eval
"apisix-csrf-token: " . main::token("0.5", time, "userkey")
. "\nCookie: apisix-csrf-token=" . main::token("0.25", time, "userkey")
--- error_code: 401
--- response_body
{"error_msg":"csrf token mismatch"}



=== TEST 11: a good token
--- request
POST /hello
--- more_headers eval
main::both(main::token("0.42986319716139", time, "userkey"))
--- response_body
hello world



=== TEST 12: a token with a whole number, among other cookies
--- request
PATCH /hello
--- more_headers eval
my $token = main::token("1099511627775", time, "userkey");
"apisix-csrf-token: $token\nCookie: a=b; apisix-csrf-token=$token; c=d"
--- response_body
hello world



=== TEST 13: the first of repeated headers counts
--- request
POST /hello
--- more_headers eval
"apisix-csrf-token: wrong\n" . main::both(main::token("0.5", time, "userkey"))
--- error_code: 401
--- response_body
{"error_msg":"csrf token mismatch"}



=== TEST 14: signed with another key
--- request
POST /hello
--- more_headers eval
main::both(main::token("0.5", time, "otherkey"))
--- error_code: 401
--- response_body
{"error_msg":"Failed to verify the csrf token signature"}
--- error_log
Invalid signatures



=== TEST 15: its time is over
--- request
POST /hello
--- more_headers eval
main::both(main::token("0.5", time - 7300, "userkey"))
--- error_code: 401
--- response_body
{"error_msg":"Failed to verify the csrf token signature"}
--- error_log
token has expired



=== TEST 16: with expires 0 it never is
--- request
POST /echo
--- more_headers eval
my $token = main::token("0.5", 1, "userkey");
"_own: $token\nCookie: _own=$token"
--- error_code: 200



=== TEST 17: no base64
--- request
POST /hello
--- more_headers eval
main::both("%%%")
--- error_code: 401
--- error_log
csrf token base64 decode error



=== TEST 18: no JSON, control characters, and JSON that is no object
--- pipelined_requests eval
[map { "POST /hello" } 1 .. 5]
--- more_headers eval
[map { main::both(main::token_of($_)) } "x", "\0\r\n\x7f", "1", '"text"', "null"]
--- error_code eval
[map { 401 } 1 .. 5]
--- response_body eval
[map { qq({"error_msg":"Failed to verify the csrf token signature"}\n) } 1 .. 5]
--- error_log
decode token error



=== TEST 19: fields that are missing or of another type
--- pipelined_requests eval
[map { "POST /hello" } 1 .. 7]
--- more_headers eval
[map { main::both(main::token_of($_)) } "{}", "[]", '{"random":{}}', '{"random":"1"}',
    '{"random":1}', '{"random":1,"expires":"99999999999"}', '{"random":1,"expires":[]}']
--- error_code eval
[map { 401 } 1 .. 7]
--- error_log
no random in token
no expires in token



=== TEST 20: a signature that is missing, of another type, empty, or too long
--- pipelined_requests eval
[map { "POST /hello" } 1 .. 5]
--- more_headers eval
[map { main::both(main::token_of('{"random":1,"expires":9999999999' . $_ . '}')) }
    '', ',"sign":{}', ',"sign":true', ',"sign":""', ',"sign":"' . 'a' x 600 . '"']
--- error_code eval
[map { 401 } 1 .. 5]
--- error_log
Invalid signatures



=== TEST 21: huge, and nested deep
--- pipelined_requests eval
[map { "POST /hello" } 1 .. 2]
--- more_headers eval
[map { main::both($_) } "A" x 3000, main::token_of("[" x 700)]
--- error_code eval
[401, 401]
--- error_log
csrf token base64 decode error
decode token error



=== TEST 22: what the gateway gave out is good
--- config
    location /t {
        content_by_lua_block {
            local http = require("resty.http")
            local url = "http://127.0.0.1:1984/hello"
            local first = assert(http.new():request_uri(url))
            local token = first.headers["Set-Cookie"]:match("=([^;]+)")
            local answer = assert(http.new():request_uri(url, {
                method = "POST",
                headers = { ["apisix-csrf-token"] = token, Cookie = "apisix-csrf-token=" .. token },
            }))
            ngx.say(answer.status)
            local again = assert(http.new():request_uri(url))
            ngx.say(again.headers["Set-Cookie"]:match("=([^;]+)") ~= token)
        }
    }
--- request
GET /t
--- response_body
200
true
