# jwe-decrypt: encrypted tokens in a header, decrypted for the upstream.
use t::APISIX 'no_plan';

use MIME::Base64 qw(encode_base64url);

BEGIN {
    $ENV{JWE_TEST_SECRET} = "12345678901234567890123456789012";
}

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

# A token with this text as its header, and no more than looks.
sub token {
    my ($header, $iv, $text, $tag) = @_;
    return join '.', encode_base64url($header), '',
        map { defined $_ ? $_ : 'MTIzNDU2Nzg5MDEy' } $iv, $text, $tag;
}

run_tests;

__DATA__

=== TEST 1: a header that is no string
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwe-decrypt:
        header: 1
        forward_header: Authorization
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



=== TEST 2: strict that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwe-decrypt:
        header: Authorization
        forward_header: Authorization
        strict: "no"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "strict" validation failed



=== TEST 3: both headers must be named
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwe-decrypt: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
header" is required



=== TEST 4: consumers that are wrong are refused, the others serve
--- apisix_yaml
consumers:
  - username: bad1
    plugins:
      jwe-decrypt:
        secret: "12345678901234567890123456789012"
  - username: bad2
    plugins:
      jwe-decrypt:
        key: a
  - username: bad3
    plugins:
      jwe-decrypt:
        key: a
        secret: "123456789012345678901234567890123"
  - username: bad4
    plugins:
      jwe-decrypt:
        key: a
        secret: "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWZn"
        is_base64_encoded: true
  - username: bad5
    plugins:
      jwe-decrypt:
        key: a
        secret: "%%%"
        is_base64_encoded: true
  - username: jack
    plugins:
      jwe-decrypt:
        key: user-key
        secret: "12345678901234567890123456789012"
routes:
  - uri: "/hello"
    plugins:
      jwe-decrypt:
        header: Authorization
        forward_header: Authorization
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Bearer eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoidXNlci1rZXkifQ..MTIzNDU2Nzg5MDEy.6JeRgm0.rNt131nG5wMvUD1KXbwLGA
--- response_body
hello world
--- error_log
property "key" is required
property "secret" is required
the secret length should be 32 chars
the secret length after base64 decode should be 32 chars
--- no_error_log
123456789012345678901234567890123



=== TEST 5: no token
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      jwe-decrypt:
        key: user-key
        secret: "12345678901234567890123456789012"
  - username: rose
    plugins:
      jwe-decrypt:
        key: rose-key
        secret: "fo4XKdZ1xSrIZyms4q2BwPrW5lMpls9qqy5tiAk2esc="
        is_base64_encoded: true
  - username: late
    plugins:
      jwe-decrypt:
        key: late-key
        secret: "$ENV://JWE_TEST_SECRET"
routes:
  - uri: "/hello"
    plugins:
      jwe-decrypt:
        header: Authorization
        forward_header: Authorization
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/uri"
    plugins:
      jwe-decrypt:
        header: X-Token
        forward_header: X-Plain
        strict: false
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 403
--- response_body
{"message":"missing JWE token in request"}



=== TEST 6: no token, and none is needed
--- request
GET /uri
--- response_body_like eval
qr/\A(?!.*x-plain)uri: /s



=== TEST 7: with either prefix, and bare
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[map { "Authorization: ${_}eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoidXNlci1rZXkifQ."
    . ".MTIzNDU2Nzg5MDEy.6JeRgm0.rNt131nG5wMvUD1KXbwLGA" } "Bearer ", "bearer ", ""]
--- response_body eval
["hello world\n", "hello world\n", "hello world\n"]



=== TEST 8: its text goes upstream, in the header that was named
--- pipelined_requests eval
["GET /uri", "GET /uri", "GET /uri"]
--- more_headers eval
["X-Token: eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoidXNlci1rZXkifQ."
    . ".MTIzNDU2Nzg5MDEy.6JeRgm0.rNt131nG5wMvUD1KXbwLGA",
 "X-Token: eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoicm9zZS1rZXkifQ."
    . ".MTIzNDU2Nzg5MDEy.-EOnRj1tvQ.D73GPGUIgGwGf1GAnV4m-w\nX-Plain: forged",
 "X-Token: eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoibGF0ZS1rZXkifQ."
    . ".MTIzNDU2Nzg5MDEy.7JOJiw.JznyyQMB9Cjpu22HUGqkoQ"]
--- response_body_like eval
[qr/^x-plain: hello$/m, qr/^x-plain: of rose$/m, qr/^x-plain: late$/m]



=== TEST 9: a text with line feeds makes no header
--- request
GET /uri
--- more_headers
X-Token: eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoidXNlci1rZXkifQ..MTIzNDU2Nzg5MDEy.4f_3ti8HrpOCd1u-8SQ.hZlxep0pmmYc_Flv5XWvOA
--- error_code: 400
--- response_body
{"message":"failed to decrypt JWE token"}



=== TEST 10: the secret of another consumer
--- request
GET /uri
--- more_headers eval
"X-Token: " . main::token('{"kid":"rose-key"}', undef, "6JeRgm0", "rNt131nG5wMvUD1KXbwLGA")
--- error_code: 400
--- response_body
{"message":"failed to decrypt JWE token"}



=== TEST 11: a changed text, tag, or IV
--- pipelined_requests eval
["GET /uri", "GET /uri", "GET /uri"]
--- more_headers eval
my $kid = '{"kid":"user-key"}';
["X-Token: " . main::token($kid, undef, "6JeRgn0", "rNt131nG5wMvUD1KXbwLGA"),
 "X-Token: " . main::token($kid, undef, "6JeRgm0", "sNt131nG5wMvUD1KXbwLGA"),
 "X-Token: " . main::token($kid, "MTIzNDU2Nzg5MDEz", "6JeRgm0", "rNt131nG5wMvUD1KXbwLGA")]
--- error_code eval
[400, 400, 400]
--- response_body eval
[map { qq({"message":"failed to decrypt JWE token"}\n) } 1 .. 3]



=== TEST 12: parts that are empty, no base64, of another length
--- pipelined_requests eval
[map { "GET /uri" } 1 .. 8]
--- more_headers eval
my $kid = '{"kid":"user-key"}';
[map { "X-Token: " . main::token($kid, @$_) } ["", "", ""], [undef, "", ""], ["MTIz", undef, undef],
    ["%%", undef, undef], [undef, "%%", undef], [undef, undef, "%%"], [undef, undef, "a.b.c"],
    ["A" x 800, "B" x 800, "C" x 800]]
--- error_code eval
[map { 400 } 1 .. 8]
--- response_body eval
[map { qq({"message":"failed to decrypt JWE token"}\n) } 1 .. 8]



=== TEST 13: a header that is no base64, no JSON, no object, nested deep, and too few parts
--- pipelined_requests eval
[map { "GET /uri" } 1 .. 10]
--- more_headers eval
["X-Token: ", "X-Token: %.a.b.c.d", "X-Token: a.b.c", "X-Token: e30", "X-Token: " . "." x 3000,
 map { "X-Token: " . main::token($_) } "x", "1", '"kid"', "null", "[" x 2000]
--- error_code eval
[map { 400 } 1 .. 10]
--- response_body eval
[map { qq({"message":"JWE token invalid"}\n) } 1 .. 10]



=== TEST 14: no kid
--- pipelined_requests eval
["GET /uri", "GET /uri", "GET /uri"]
--- more_headers eval
[map { "X-Token: " . main::token($_) } "{}", "[]", '{"kid":false}']
--- error_code eval
[400, 400, 400]
--- response_body eval
[map { qq({"message":"missing kid in JWE token"}\n) } 1 .. 3]



=== TEST 15: a kid that is unknown, or no text
--- pipelined_requests eval
[map { "GET /uri" } 1 .. 6]
--- more_headers eval
[map { "X-Token: " . main::token(qq({"kid":$_})) } '"x"', '""', "1", "{}", "null", '"user-key\u0000"']
--- error_code eval
[map { 400 } 1 .. 6]
--- response_body eval
[map { qq({"message":"invalid kid in JWE token"}\n) } 1 .. 6]



=== TEST 16: the first of repeated headers counts
--- pipelined_requests eval
["GET /uri", "GET /uri"]
--- more_headers eval
my $good = "X-Token: eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoidXNlci1rZXkifQ."
    . ".MTIzNDU2Nzg5MDEy.6JeRgm0.rNt131nG5wMvUD1KXbwLGA";
["$good\nX-Token: x", "X-Token: x\n$good"]
--- error_code eval
[200, 400]



=== TEST 17: no consumer at all
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwe-decrypt:
        header: Authorization
        forward_header: Authorization
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
"Authorization: " . main::token('{"kid":"user-key"}')
--- error_code: 400
--- response_body
{"message":"invalid kid in JWE token"}
