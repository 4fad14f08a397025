# jwt-auth: signed JSON Web Tokens in a header, an argument or a cookie.
use t::APISIX 'no_plan';

use Digest::SHA qw(hmac_sha256 hmac_sha384 hmac_sha512);
use MIME::Base64 qw(decode_base64url encode_base64url);

BEGIN {
    $ENV{JWT_TEST_SECRET} = "from the environment";
}

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

my %HMAC = (HS256 => \&hmac_sha256, HS384 => \&hmac_sha384, HS512 => \&hmac_sha512);

# A token of these texts, be they JSON or not.
sub signed {
    my ($header, $payload, $secret, $alg) = @_;
    my $text = encode_base64url($header) . '.' . encode_base64url($payload);
    return "$text." . encode_base64url($HMAC{ $alg || 'HS256' }->($text, $secret));
}

sub token {
    my ($payload, $secret, $alg) = @_;
    $alg ||= 'HS256';
    return signed(qq({"typ":"JWT","alg":"$alg"}), $payload,
        defined $secret ? $secret : "my-secret-key", $alg);
}

sub bearer {
    return "Authorization: Bearer " . token(@_);
}

run_tests;

__DATA__

=== TEST 1: a header that is no string
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwt-auth:
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



=== TEST 2: a claim that cannot be verified
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwt-auth:
        claims_to_verify: [aud]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "claims_to_verify" validation failed



=== TEST 3: an empty name of the claim
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwt-auth:
        key_claim_name: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "key_claim_name" validation failed



=== TEST 4: a realm with a quote could end the header early
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      jwt-auth:
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



=== TEST 5: consumers that are wrong are refused, the others serve
--- apisix_yaml
consumers:
  - username: bad0
    plugins:
      jwt-auth:
        key: ""
        secret: x
  - username: bad1
    plugins:
      jwt-auth:
        key: a
  - username: bad2
    plugins:
      jwt-auth:
        key: a
        secret: x
        algorithm: none
  - username: bad3
    plugins:
      jwt-auth:
        key: a
        secret: x
        algorithm: RS256
  - username: bad4
    plugins:
      jwt-auth:
        key: a
        secret: "{^c0j4&]2!=J="
        base64_secret: true
  - username: bad5
    plugins:
      jwt-auth:
        key: a
        secret: x
        exp: 0
  - username: bad6
    plugins:
      jwt-auth:
        key: a
        secret: x
        lifetime_grace_period: -1
  - username: bad7
    plugins:
      jwt-auth:
        secret: x
  - username: jack
    plugins:
      jwt-auth:
        key: user-key
        secret: my-secret-key
routes:
  - uri: "/hello"
    plugins:
      jwt-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
main::bearer('{"key":"user-key"}')
--- response_body
hello world
--- error_log
property "key" validation failed: string too short
property "secret" is required when using HS based algorithms
property "algorithm" validation failed: matches none of the enum values
failed to validate dependent schema for "algorithm"
base64_secret required but the secret is not in base64 format
property "exp" validation failed: expected 0 to be at least 1
property "lifetime_grace_period" validation failed
property "key" is required



=== TEST 6: no token
--- apisix_yaml
consumers:
  - username: jack
    labels:
      custom_id: "j-1"
    plugins:
      jwt-auth:
        key: user-key
        secret: my-secret-key
  - username: rose
    plugins:
      jwt-auth:
        key: rose-key
        algorithm: HS512
        secret: cm9zZSdzIGJ5dGVzAP8=
        base64_secret: true
        lifetime_grace_period: 100
  - username: mid
    plugins:
      jwt-auth:
        key: mid-key
        algorithm: HS384
        secret: mid
  - username: late
    plugins:
      jwt-auth:
        key: late-key
        secret: $ENV://JWT_TEST_SECRET
  - username: lost
    plugins:
      jwt-auth:
        key: lost-key
        secret: $ENV://JWT_TEST_NOT_THERE
  - username: nobody
  - username: sam
    plugins:
      jwt-auth:
        key: sam-key
        algorithm: RS256
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: odd
    plugins:
      jwt-auth:
        key: odd-key
        algorithm: ES256
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEApCsvS9zoZGG4GDHabHl84QaKcVr38aE
          nwX8x2D3CXOGydeFFx2s3JI/pdKYLRJX9RBIaQYSjubZieAAxSfzKrSAu3ykv9HQ
          aaV6FgtdAEAr0ZQ/1oeTlPR+SY5kNEUC
          -----END PUBLIC KEY-----
  - username: broken
    plugins:
      jwt-auth:
        key: broken-key
        algorithm: RS256
        public_key: |
          no key at all
routes:
  - uri: "/hello"
    plugins:
      jwt-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/uri"
    plugins:
      jwt-auth:
        hide_credentials: true
        header: x-token
        query: t
        cookie: tok
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/plugin_proxy_rewrite_args"
    plugins:
      jwt-auth:
        hide_credentials: true
        anonymous_consumer: nobody
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      jwt-auth:
        claims_to_verify: [exp, nbf]
        key_claim_name: iss
        realm: my realm
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/echo"
    plugins:
      jwt-auth:
        anonymous_consumer: gone
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/claims"
    plugins:
      jwt-auth:
        store_in_ctx: true
      serverless-post-function:
        phase: rewrite
        functions:
          - "return function(_, ctx) ngx.say(ctx.jwt_auth_payload.sub) ngx.exit(200) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="jwt"
--- response_body
{"message":"Missing JWT token in request"}



=== TEST 7: in the header: with either prefix, and bare
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
my $token = main::token('{"key":"user-key"}');
["Authorization: Bearer $token", "Authorization: bearer $token", "authorization: $token"]
--- response_body eval
["hello world\n", "hello world\n", "hello world\n"]



=== TEST 8: as an argument, and in a cookie
--- pipelined_requests eval
["GET /hello?a=b&jwt=" . main::token('{"key":"user-key"}'), "GET /hello"]
--- more_headers eval
["X: y", "Cookie: a=b; jwt=" . main::token('{"key":"user-key"}')]
--- response_body eval
["hello world\n", "hello world\n"]



=== TEST 9: the upstream learns who it is, and not from the client
--- request
GET /uri
--- more_headers eval
"X-Consumer-Username: admin\nX-Credential-Identifier: forged\nx-token: "
. main::token('{"key":"user-key"}')
--- response_body_like eval
qr/\Auri: \/uri\nhost: localhost\n(?!.*forged)(?!.*x-token).*x-consumer-custom-id: j-1\nx-consumer-username: jack\n/s



=== TEST 10: a hidden cookie leaves the others, and only one is enough
--- request
GET /uri
--- more_headers eval
"Cookie: a=b;c=d; tok=" . main::token('{"key":"user-key"}') . "; tokk=2; e=\"f\""
--- response_body_like eval
qr/^cookie: a=b; c=d; tokk=2; e="f"$/m



=== TEST 11: a hidden argument leaves the others
--- request eval
"GET /plugin_proxy_rewrite_args?a=1&jwt=" . main::token('{"key":"user-key"}') . "&b=2"
--- response_body
uri: /plugin_proxy_rewrite_args
a: 1
b: 2



=== TEST 12: an anonymous request: the refused token is hidden, too
--- pipelined_requests eval
["GET /plugin_proxy_rewrite_args?a=1&jwt=x.y.z", "GET /plugin_proxy_rewrite_args"]
--- response_body eval
["uri: /plugin_proxy_rewrite_args\na: 1\n", "uri: /plugin_proxy_rewrite_args\n"]



=== TEST 13: there is no such anonymous consumer
--- request
GET /echo
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="jwt"
--- response_body
{"message":"Invalid user authorization"}
--- error_log
jwt-auth failed to authenticate the request, code: 401. error: failed to get anonymous consumer gone



=== TEST 14: HS384, HS512 with a secret in base64, and one from the environment
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[main::bearer('{"key":"mid-key"}', "mid", "HS384"),
    main::bearer('{"key":"rose-key"}', "rose's bytes\0\xff", "HS512"),
    main::bearer('{"key":"late-key"}', "from the environment")]
--- response_body eval
["hello world\n", "hello world\n", "hello world\n"]



=== TEST 15: a secret that is not there is not its own name
--- request
GET /hello
--- more_headers eval
main::bearer('{"key":"lost-key"}', '$ENV://JWT_TEST_NOT_THERE')
--- error_code: 401
--- response_body
{"message":"Invalid user key in JWT token"}
--- error_log
failed to resolve secret reference in consumer auth credential, skipping consumer: lost



=== TEST 16: another secret, and a signature that is cut, empty, or longer
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 4]
--- more_headers eval
my $good = main::bearer('{"key":"user-key"}');
my ($text) = $good =~ /(.*\.)/;
[main::bearer('{"key":"user-key"}', "my-secret-kex"), substr($good, 0, -2), $text, $good . "AAAA"]
--- error_code eval
[401, 401, 401, 401]
--- response_body eval
[map { qq({"message":"failed to verify jwt"}\n) } 1 .. 4]
--- error_log
failed to verify jwt: signature mismatch: 



=== TEST 17: alg none, in all spellings, is not what the consumer has
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 8]
--- more_headers eval
[map { "Authorization: " . main::signed($_, '{"key":"user-key"}', "my-secret-key") =~ s/[^.]*\z//r }
    '{"alg":"none"}', '{"alg":"None"}', '{"alg":"NONE"}', '{"alg":""}', '{"alg":null}', '{}', '{"alg":{}}',
    '[]']
--- error_code eval
[map { 401 } 1 .. 8]
--- error_log
failed to verify jwt: algorithm mismatch, expected HS256



=== TEST 18: a public key as the secret of HS256, with and without the last line feed
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
my $pem = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA\nO53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd\nwoSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7\nMZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn\nswFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN\nr8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky\n5QIDAQAB\n-----END PUBLIC KEY-----";
[main::bearer('{"key":"sam-key"}', $pem), main::bearer('{"key":"sam-key"}', "$pem\n")]
--- error_code eval
[401, 401]
--- error_log
failed to verify jwt: algorithm mismatch, expected RS256



=== TEST 19: a good signature by an algorithm that the consumer does not have
--- request
GET /hello
--- more_headers eval
main::bearer('{"key":"user-key"}', "my-secret-key", "HS512")
--- error_code: 401
--- response_body
{"message":"failed to verify jwt"}
--- error_log
failed to verify jwt: algorithm mismatch, expected HS256



=== TEST 20: a key of another curve, and a text that is no key
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: " . main::signed('{"alg":"ES256"}', '{"key":"odd-key"}', "x"),
    "Authorization: " . main::signed('{"alg":"RS256"}', '{"key":"broken-key"}', "x")]
--- error_code eval
[401, 401]
--- response_body eval
[qq({"message":"failed to verify jwt"}\n), qq({"message":"failed to verify jwt"}\n)]
--- error_log
cannot use the key of the consumer odd: the key is of another kind than those of ES256
cannot use the key of the consumer broken: 



=== TEST 21: not three parts, empty parts, no base64, no JSON
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 12]
--- more_headers eval
[map { "Authorization: $_" } "Bearer ", "Bearer a", "a.b", "..", "a.b.c.d", "a.b.c.d.e", "." x 2000,
    "%%.%%.%%", "e30.e30 .x", "e30.W10=x.\xc3\xa4", main::signed("x", "{}", "y"),
    main::signed("{}", "[", "y")]
--- error_code eval
[map { 401 } 1 .. 12]
--- error_log
JWT token invalid: invalid jwt string
JWT token invalid: invalid header: ??
JWT token invalid: invalid payload: 



=== TEST 22: JSON that is no object, and one nested deep
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 7]
--- more_headers eval
[(map { main::bearer($_) } "1", "null", '"key"', "true", "[]", "[" x 2000),
    "Authorization: " . main::signed("7", "{}", "x")]
--- error_code eval
[map { 401 } 1 .. 7]
--- response_body eval
[(map { qq({"message":"JWT token invalid"}\n) } 1 .. 4), qq({"message":"missing user key in JWT token"}\n),
    (map { qq({"message":"JWT token invalid"}\n) } 1 .. 2)]



=== TEST 23: the name of the key is missing, unknown, or no text
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 7]
--- more_headers eval
[map { main::bearer($_) } "{}", '{"key":null}', '{"key":false}', '{"key":"x"}', '{"key":{}}', '{"key":7}',
    '{"key":"user-key\u0000"}']
--- error_code eval
[map { 401 } 1 .. 7]
--- response_body eval
[qq({"message":"missing user key in JWT token"}\n), qq({"message":"Invalid user key in JWT token"}\n),
    qq({"message":"missing user key in JWT token"}\n), map { qq({"message":"Invalid user key in JWT token"}\n) } 1 .. 4]
--- error_log
failed to find consumer: invalid user key



=== TEST 24: control characters do not reach the log, however long the token
--- request eval
"GET /hello?jwt=a%0aFORGED%0d%1b." . "b" x 3000 . ".c"
--- error_code: 401
--- error_log
JWT token invalid: invalid header: a?FORGED??
--- no_error_log eval
qr/^FORGED/m



=== TEST 25: an argument that is repeated, or has no value
--- pipelined_requests eval
my $token = main::token('{"key":"user-key"}');
["GET /hello?jwt=$token&jwt=$token", "GET /hello?jwt", "GET /hello?jwt="]
--- error_code eval
[401, 401, 401]
--- response_body eval
[map { qq({"message":"JWT token invalid"}\n) } 1 .. 3]



=== TEST 26: the first of repeated headers counts, an empty one too
--- pipelined_requests eval
["GET /uri", "GET /uri", "GET /uri"]
--- more_headers eval
my $good = "x-token: " . main::token('{"key":"user-key"}');
["$good\nx-token: x", "x-token: x\n$good", "x-token:\n$good"]
--- error_code eval
[200, 401, 401]



=== TEST 27: times that are over, to come, of another type, or beyond all dates
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 9]
--- more_headers eval
[map { main::bearer(qq({"key":"user-key",$_})) } '"exp":1563870501', '"nbf":9999999999', '"exp":"9999999999"',
    '"nbf":[]', '"exp":-1e300', '"nbf":1e300', '"exp":null', '"nbf":true', '"exp":{}']
--- error_code eval
[map { 401 } 1 .. 9]
--- response_body eval
[map { qq({"message":"failed to verify jwt"}\n) } 1 .. 9]
--- error_log
failed to verify jwt: 'exp' claim expired at Tue, 23 Jul 2019 08:28:21 GMT
failed to verify jwt: 'nbf' claim not valid until Sat, 20 Nov 2286 17:46:39 GMT
failed to verify jwt: claim exp is not a number
failed to verify jwt: claim nbf is not a number



=== TEST 28: within the grace period, and beyond it
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
[map { main::bearer(qq({"key":"rose-key","exp":) . (time - $_) . "}", "rose's bytes\0\xff", "HS512") } 20, 200]
--- error_code eval
[200, 401]
--- error_log
failed to verify jwt: 'exp' claim expired at



=== TEST 29: claims that must be there, and another name for the key
--- pipelined_requests eval
[map { "GET /hello1" } 1 .. 4]
--- more_headers eval
[map { main::bearer(qq({$_})) } '"iss":"user-key","exp":9999999999,"nbf":1',
    '"iss":"user-key","exp":9999999999', '"iss":"user-key"', '"key":"user-key","exp":9999999999,"nbf":1']
--- error_code eval
[200, 401, 401, 401]
--- error_log
failed to verify jwt: claim nbf is missing
failed to verify jwt: claim exp is missing



=== TEST 30: the realm that was configured
--- request
GET /hello1
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="my realm"



=== TEST 31: its claims, for other plugins
--- request
GET /claims
--- more_headers eval
main::bearer('{"key":"user-key","sub":"of jack"}')
--- response_body
of jack



=== TEST 32: each algorithm with a public key
--- apisix_yaml
consumers:
  - username: u_rs256
    plugins:
      jwt-auth:
        key: k-RS256
        algorithm: RS256
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: u_rs384
    plugins:
      jwt-auth:
        key: k-RS384
        algorithm: RS384
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: u_rs512
    plugins:
      jwt-auth:
        key: k-RS512
        algorithm: RS512
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: u_ps256
    plugins:
      jwt-auth:
        key: k-PS256
        algorithm: PS256
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: u_ps384
    plugins:
      jwt-auth:
        key: k-PS384
        algorithm: PS384
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: u_ps512
    plugins:
      jwt-auth:
        key: k-PS512
        algorithm: PS512
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlcTMwpXNGZpszGC4DetA
          O53ToW3vtQAdPyc8wpGl5oGRj48FH+viuhsuTSRthYiIwLlG56Uii0eDg0zL6cyd
          woSNjy7HDLjCCsoaZOil8aVinIm6QOkKA1PB7Ey9zgsyhE/L5YpoolmvCgX4tUM7
          MZXhD8LwEyjsdiUCH5MJnUsEJ9porRZ/ib/5ATk0RgDKP4MkENlnr206RQNjzWHn
          swFqyakktVpsTy4y+MSr3f4x+ViGtpaY7Bo7w9kcrJLH/ePXldmn2fUQ8PL34+JN
          r8WCO2Y7J4QavUngF3yp+fQpOm/9XsL3A1jKVUid7KGjXz2csrj4Iu0fvTbh03ky
          5QIDAQAB
          -----END PUBLIC KEY-----
  - username: u_es256
    plugins:
      jwt-auth:
        key: k-ES256
        algorithm: ES256
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqAJJYimnEyN06GaOP5mrimwbv4pt
          xKHxAWGBOfsaU7+mN3GFQoBz7CeceGGD/hKEgcMbXhWX5VUUQ/uHTqmfZw==
          -----END PUBLIC KEY-----
  - username: u_es384
    plugins:
      jwt-auth:
        key: k-ES384
        algorithm: ES384
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEApCsvS9zoZGG4GDHabHl84QaKcVr38aE
          nwX8x2D3CXOGydeFFx2s3JI/pdKYLRJX9RBIaQYSjubZieAAxSfzKrSAu3ykv9HQ
          aaV6FgtdAEAr0ZQ/1oeTlPR+SY5kNEUC
          -----END PUBLIC KEY-----
  - username: u_es512
    plugins:
      jwt-auth:
        key: k-ES512
        algorithm: ES512
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBzrSbObH4a1E/Rbvak26wufCAGd/G
          SjBa60PsPEisbZ0cRf4J9hFV8PTefeMhGSxPsT8Eo/TWiwkR4rU0UhhovmIA3Kyi
          fIfOiFa5QZmkHOvtQLFGY/NeJjxxxHaIyQFATIAkOXuuowGFoqRuoRR/hzPws8Ap
          o8v+eRlzf1O+VJ0KsVI=
          -----END PUBLIC KEY-----
  - username: u_eddsa
    plugins:
      jwt-auth:
        key: k-EdDSA
        algorithm: EdDSA
        public_key: |
          -----BEGIN PUBLIC KEY-----
          MCowBQYDK2VwAyEApHCamrteiOs1VJe0Tm5jpMC9AbdMRZW+jYqO5QxOXuM=
          -----END PUBLIC KEY-----
routes:
  - uri: "/hello"
    plugins:
      jwt-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 10]
--- more_headers eval
["Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJrZXkiOiJrLVJTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.NNcUYn132ARByh3RLBEAHZrz4tfyjVfnM8AdiRCdIKCfG_bhujQE8fcPEzxi6SjrNnU5TJLjMrnzoLAwTTkamMTUItJhlWlBQMbhuuDFMMbIvaER9yYyOko2uWmf5DP4BSeMNbiCPi9febi_uUZjz1Kr1nJ08erjvMj3wbgoeO4eL9D7X9ujl7DxLJkOz4_htC_V9sqteUJHpCWxAgaYJJFPpj_xGFodRpBXsMgTXtkrYOEPtCgoCGzb6UP-5lsh_R2a8vLzCRddFe4P2HaRPyTsgPSaq8pxBd9FD4cbJVDkViPGuRRgmeMOYClYbbgHpmX-osKX0KXfpvITWzTrqA",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzM4NCJ9.eyJrZXkiOiJrLVJTMzg0IiwiZXhwIjo5OTk5OTk5OTk5fQ.LwzPqGqV4MPUkwwRJOXZtSeEcDC2I1ZtBu2rZz4wQlkBFM8BfV7r2AQoeIWN5b-tXaeqw3pPKFjA8sVDG-pYKmS-WFbBoFx6ZwWP7JwZNLoiZJ74gpp90E2LKIm68sC9_c4aUCerEdJ4A9A3unObDwNIVCJT6E77f6AetSzq9luepifZRisvMJrEvQljORZaMmbCIAeAlVNKhJKxQyDByVodhXE3pEF218cZmCcG5nZtCkurbJshn_quvZJ0Cj6m9UUYu3xO1F7EftVEQapiNZ7hpIx3NOdBbZc7Z1MU7Yy75R53lRK8r5cZyOeYLiFju1PLSVHU6yuGUrjjTR4fiQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzUxMiJ9.eyJrZXkiOiJrLVJTNTEyIiwiZXhwIjo5OTk5OTk5OTk5fQ.W6uccHcj28vxKJ0At2SMucduo3i7Oz3TTRe0zNJGUTICBgbxcvDtlDcOIdzs39-WwrYnrItRmFJA-dBRR7vXzYpr3gJ-qAEb3iwoVxtFyhuSvMYWiNXtjMIHs_G2D5PPfTMN1730p7yvbG0d2CIBBtPNfigextbnlMsx4FfXg649mLWJDUqMqy3UsGQtM9ESKnxq-YwCjy_ungP1YkPvzpjTQPkV5rAPuRSUHFPnBPimzVpdvyoJNaoroj3EzEm-4e9il7BBCVyumQTUVERG-zXnFIoR58ct0Cs3VChwN4TqVTJi55R0cFRzblVV_Md5T0MOkgpeeZPJXShJhcIBag",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzI1NiJ9.eyJrZXkiOiJrLVBTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.kq2X2GxLhRr_jlpz8HC8Czvn89WNpjf7N4ufY7Gtvqji1N58HxomgBSSUMLnQbiJ7i8ygTKgkwDMgs_dpVz_6EstpOx8PW17dtIa1fmV74HOUkqpgvvgZ7nWziqTIqYdrJm3hU3m_KPppF5Lxg88dvEoIFrlJekhV7OL7gn68TotvY0-Dt5XefQZcUQyeTagE0tiR8duZJA0n83FaJKia2hizjoKmbaNDUYphIaJ1fdSWV-EWtlB-qX8eZb3SMdhrzAxj39JMahCiZYZ39LLC1-CLHVjcrTnk_81yB7HRNuoRE1N3ILPiOxOw4o21E81jkqfNXVUlYai8LUrwvF5PQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzM4NCJ9.eyJrZXkiOiJrLVBTMzg0IiwiZXhwIjo5OTk5OTk5OTk5fQ.VAcs6nteET1KRpuIDusJA8B-IC-uciOXo8z3_UV4LwgECA_DEEm132lg9nnpOjixasTBHE5DRxr8ZHUiogEuXcn6ZVm4DvmBqwY2-_u0LwJrMUfbGKxL4U0VQKOSDu-N1IDeDASfOPv1jgfHsjA-m2HoBPCwIWrlUAgSeEPv538CUoYrY3TS-IVMoeDZZrvR6si8oOuRmnJ8Jlq3mIXvbM-xCRzDoMaivk8lzwh11rE_QDnXAZTCaVnZEZPbGGNbtqESmsAeFoYH6cYflih7TCZ5V6QpyuK79rJArakQimLXQc-YQtZpksAbcl5gQXNxmQbwsaIClqIuaEtnqpQKKg",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzUxMiJ9.eyJrZXkiOiJrLVBTNTEyIiwiZXhwIjo5OTk5OTk5OTk5fQ.OtGHTVxWbI_ovousaB8drm6xXha9WbAXBvDWJ2C_-oUg2ZCYlm9YJjm8VMqCim6rrda7hDEh2TZY1hlgcql8vNBt2xVGc5CqBuNu5cEuCYgXmWrrJLvPwsU9Zn0WU0hsFEjEL65Tm1ig7seQ5YtD79Jq6_wcEQfqvhx8g1w-cXXazPch8qghoIm59hL7ZyCykwxVt4k1Yn4EZtOAwoKx1ZFSWCGWXIMvXL6qR-C_bTTsAsNE2vok1QLVHhNBveyusVXdn_U7XY3uscsglAAp1zOW-Ps8njtmLJlYQvobez4LY2e8CUqW7GHHEadrdZkS_cLJsE8TY9ziReNP1zV5WQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJrZXkiOiJrLUVTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.MSlNRVZ1fczTOqVQCE4KyA5zjNgogju_N-ltc8Ij0Bot5bqMzUK98205dsasCVQjQqBeeIIhbRRpIEv14c4GGQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzM4NCJ9.eyJrZXkiOiJrLUVTMzg0IiwiZXhwIjo5OTk5OTk5OTk5fQ.1n0xbiML_u02TjuqoNLF2tLJjBJpQXgUIYkxg70DmbuZT9cXrKmy46YiSfsq_R8YHHzkqZSSGKSd7UBJ7IIohzzbiV1kj8JsFSf4wGt-rheMv7evF4QazvHzY6QnyRK8",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzUxMiJ9.eyJrZXkiOiJrLUVTNTEyIiwiZXhwIjo5OTk5OTk5OTk5fQ.AQ44BSqV_piScejSQLy22vrGtG6W9EhV4UGVU9LMt0Dcu4pmQE76JyMV0uCDnQepDnDvVuuy6Ozw_P5ZQQnyS4RoAcpV6KCRZkAtxiCuJyPyt1a_M67pNqCzWLKj6H64HNxpRn20ks0rrMYa0k-r9dkPgKBlw3SsMhtfaKw8CJylUpGA",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJrZXkiOiJrLUVkRFNBIiwiZXhwIjo5OTk5OTk5OTk5fQ.UXLLYaFiwLchpp6KhV_Q0QCVzbW1d57ZBpwRCDVLIBzJ_psY9EKm9U2fXfADq1vgs5Skli0Xsp3LMeSuI15NCw"]
--- error_code eval
[map { 200 } 1 .. 10]



=== TEST 33: and none with a changed signature
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 10]
--- more_headers eval
["Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJrZXkiOiJrLVJTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.NNcUYA132ARByh3RLBEAHZrz4tfyjVfnM8AdiRCdIKCfG_bhujQE8fcPEzxi6SjrNnU5TJLjMrnzoLAwTTkamMTUItJhlWlBQMbhuuDFMMbIvaER9yYyOko2uWmf5DP4BSeMNbiCPi9febi_uUZjz1Kr1nJ08erjvMj3wbgoeO4eL9D7X9ujl7DxLJkOz4_htC_V9sqteUJHpCWxAgaYJJFPpj_xGFodRpBXsMgTXtkrYOEPtCgoCGzb6UP-5lsh_R2a8vLzCRddFe4P2HaRPyTsgPSaq8pxBd9FD4cbJVDkViPGuRRgmeMOYClYbbgHpmX-osKX0KXfpvITWzTrqA",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzM4NCJ9.eyJrZXkiOiJrLVJTMzg0IiwiZXhwIjo5OTk5OTk5OTk5fQ.LwzPqAqV4MPUkwwRJOXZtSeEcDC2I1ZtBu2rZz4wQlkBFM8BfV7r2AQoeIWN5b-tXaeqw3pPKFjA8sVDG-pYKmS-WFbBoFx6ZwWP7JwZNLoiZJ74gpp90E2LKIm68sC9_c4aUCerEdJ4A9A3unObDwNIVCJT6E77f6AetSzq9luepifZRisvMJrEvQljORZaMmbCIAeAlVNKhJKxQyDByVodhXE3pEF218cZmCcG5nZtCkurbJshn_quvZJ0Cj6m9UUYu3xO1F7EftVEQapiNZ7hpIx3NOdBbZc7Z1MU7Yy75R53lRK8r5cZyOeYLiFju1PLSVHU6yuGUrjjTR4fiQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzUxMiJ9.eyJrZXkiOiJrLVJTNTEyIiwiZXhwIjo5OTk5OTk5OTk5fQ.W6uccAcj28vxKJ0At2SMucduo3i7Oz3TTRe0zNJGUTICBgbxcvDtlDcOIdzs39-WwrYnrItRmFJA-dBRR7vXzYpr3gJ-qAEb3iwoVxtFyhuSvMYWiNXtjMIHs_G2D5PPfTMN1730p7yvbG0d2CIBBtPNfigextbnlMsx4FfXg649mLWJDUqMqy3UsGQtM9ESKnxq-YwCjy_ungP1YkPvzpjTQPkV5rAPuRSUHFPnBPimzVpdvyoJNaoroj3EzEm-4e9il7BBCVyumQTUVERG-zXnFIoR58ct0Cs3VChwN4TqVTJi55R0cFRzblVV_Md5T0MOkgpeeZPJXShJhcIBag",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzI1NiJ9.eyJrZXkiOiJrLVBTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.kq2X2AxLhRr_jlpz8HC8Czvn89WNpjf7N4ufY7Gtvqji1N58HxomgBSSUMLnQbiJ7i8ygTKgkwDMgs_dpVz_6EstpOx8PW17dtIa1fmV74HOUkqpgvvgZ7nWziqTIqYdrJm3hU3m_KPppF5Lxg88dvEoIFrlJekhV7OL7gn68TotvY0-Dt5XefQZcUQyeTagE0tiR8duZJA0n83FaJKia2hizjoKmbaNDUYphIaJ1fdSWV-EWtlB-qX8eZb3SMdhrzAxj39JMahCiZYZ39LLC1-CLHVjcrTnk_81yB7HRNuoRE1N3ILPiOxOw4o21E81jkqfNXVUlYai8LUrwvF5PQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzM4NCJ9.eyJrZXkiOiJrLVBTMzg0IiwiZXhwIjo5OTk5OTk5OTk5fQ.VAcs6AteET1KRpuIDusJA8B-IC-uciOXo8z3_UV4LwgECA_DEEm132lg9nnpOjixasTBHE5DRxr8ZHUiogEuXcn6ZVm4DvmBqwY2-_u0LwJrMUfbGKxL4U0VQKOSDu-N1IDeDASfOPv1jgfHsjA-m2HoBPCwIWrlUAgSeEPv538CUoYrY3TS-IVMoeDZZrvR6si8oOuRmnJ8Jlq3mIXvbM-xCRzDoMaivk8lzwh11rE_QDnXAZTCaVnZEZPbGGNbtqESmsAeFoYH6cYflih7TCZ5V6QpyuK79rJArakQimLXQc-YQtZpksAbcl5gQXNxmQbwsaIClqIuaEtnqpQKKg",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzUxMiJ9.eyJrZXkiOiJrLVBTNTEyIiwiZXhwIjo5OTk5OTk5OTk5fQ.OtGHTAxWbI_ovousaB8drm6xXha9WbAXBvDWJ2C_-oUg2ZCYlm9YJjm8VMqCim6rrda7hDEh2TZY1hlgcql8vNBt2xVGc5CqBuNu5cEuCYgXmWrrJLvPwsU9Zn0WU0hsFEjEL65Tm1ig7seQ5YtD79Jq6_wcEQfqvhx8g1w-cXXazPch8qghoIm59hL7ZyCykwxVt4k1Yn4EZtOAwoKx1ZFSWCGWXIMvXL6qR-C_bTTsAsNE2vok1QLVHhNBveyusVXdn_U7XY3uscsglAAp1zOW-Ps8njtmLJlYQvobez4LY2e8CUqW7GHHEadrdZkS_cLJsE8TY9ziReNP1zV5WQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJrZXkiOiJrLUVTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.MSlNRAZ1fczTOqVQCE4KyA5zjNgogju_N-ltc8Ij0Bot5bqMzUK98205dsasCVQjQqBeeIIhbRRpIEv14c4GGQ",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzM4NCJ9.eyJrZXkiOiJrLUVTMzg0IiwiZXhwIjo5OTk5OTk5OTk5fQ.1n0xbAML_u02TjuqoNLF2tLJjBJpQXgUIYkxg70DmbuZT9cXrKmy46YiSfsq_R8YHHzkqZSSGKSd7UBJ7IIohzzbiV1kj8JsFSf4wGt-rheMv7evF4QazvHzY6QnyRK8",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzUxMiJ9.eyJrZXkiOiJrLUVTNTEyIiwiZXhwIjo5OTk5OTk5OTk5fQ.AQ44BAqV_piScejSQLy22vrGtG6W9EhV4UGVU9LMt0Dcu4pmQE76JyMV0uCDnQepDnDvVuuy6Ozw_P5ZQQnyS4RoAcpV6KCRZkAtxiCuJyPyt1a_M67pNqCzWLKj6H64HNxpRn20ks0rrMYa0k-r9dkPgKBlw3SsMhtfaKw8CJylUpGA",
"Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJrZXkiOiJrLUVkRFNBIiwiZXhwIjo5OTk5OTk5OTk5fQ.UXLLYAFiwLchpp6KhV_Q0QCVzbW1d57ZBpwRCDVLIBzJ_psY9EKm9U2fXfADq1vgs5Skli0Xsp3LMeSuI15NCw"]
--- error_code eval
[map { 401 } 1 .. 10]



=== TEST 34: a salt of another length than the digest
--- request
GET /hello
--- more_headers
Authorization: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJQUzI1NiJ9.eyJrZXkiOiJrLVBTMjU2IiwiZXhwIjo5OTk5OTk5OTk5fQ.Sgd6bSxpNnMt1DUXj5OcZ5MpVmFKjtVUzWj_eRede4jVP1jPE7jh9WFc4_9AFwlTxampeEgimUMdtGHmH_XpMilWoOnn0pSRbWoeWooU3FgofSCdSsGZFWH0KWsIz6x5MqIcO7bHOzPghr9hAFw0-eZlvyBfdklgFmtRBO_19Dt-o8qFmow4CJZSubgv7LqMh3srsHLT1tzdYl-wyHHBs7X7qzB_zhe6O3L5hO9daDFiyWWA3h6eNeqSrW4YasEvud0mpTxOsI_-uPwqG880UQpOKOykqIaXe5NgcGjNx605TE0BGZxK5YZCS7DtELtBzl43av7X8VzxOqb_mcnnRg
--- error_code: 401



=== TEST 35: credentials of a consumer
--- apisix_yaml
consumers:
  - username: jack
    labels:
      custom_id: "j-1"
    plugins:
      key-auth:
        key: j
  - id: jack/credentials/one
    plugins:
      jwt-auth:
        key: one
        secret: s1
  - id: jack/credentials/two
    plugins:
      jwt-auth:
        key: two
        secret: s2
  - id: gone/credentials/three
    plugins:
      jwt-auth:
        key: three
        secret: s3
routes:
  - uri: "/uri"
    plugins:
      jwt-auth: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /uri", "GET /uri"]
--- more_headers eval
[main::bearer('{"key":"one"}', "s1"), main::bearer('{"key":"two"}', "s2")]
--- response_body_like eval
[map { qr/x-consumer-custom-id: j-1\nx-consumer-username: jack\nx-credential-identifier: $_\n/ } "one", "two"]



=== TEST 36: one credential with the secret of another, and one that belongs to nobody
--- pipelined_requests eval
["GET /uri", "GET /uri"]
--- more_headers eval
[main::bearer('{"key":"one"}', "s2"), main::bearer('{"key":"three"}', "s3")]
--- error_code eval
[401, 401]
--- error_log
failed to get the consumer for the credential
