# openid-connect: access tokens, sessions, and providers that are not well (t/lib/Oidc.pm is the
# provider). Logins from end to end are in t/oidc/run.
use t::APISIX 'no_plan';

use t::lib::Oidc;

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("debug");

my $provider = t::lib::Oidc::locations();
my %keys = (KEY => t::lib::Oidc::public_key('one'), PRIVATE => t::lib::Oidc::private_key('one'));
s/\n/\\n/g for values %keys;

# `oidc` is the conf of the plugin beside client and description; KEY and PRIVATE in it are halves of a key.
add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value("upstream_server_config", $provider);
    return if !defined $block->oidc;
    my $oidc = $block->oidc =~ s/\b(KEY|PRIVATE)\b/"$keys{$1}"/r;
    $oidc = "client_id: c\n$oidc" if $oidc !~ /^client_id:/m;
    $oidc = "client_secret: s\n$oidc" if $oidc !~ /^client_secret:|no secret/m;
    $oidc = "discovery: http://127.0.0.1:1980/.well-known/openid-configuration\n$oidc"
        if $oidc !~ /discovery/;
    my $conf = join '', map { "        $_\n" } split /\n/, $oidc;
    my $yaml = <<"YAML";
routes:
  - uri: "/*"
    plugins:
      openid-connect:
$conf
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
YAML
    $block->set_value("apisix_yaml", $yaml);
    $block->set_value("no_error_log", "stack traceback\n") if !defined $block->no_error_log;
});

run_tests;

__DATA__

=== TEST 1: no session for clients that log in
--- oidc
scope: openid
--- request
GET /hello
--- error_code: 404
--- error_log
property "session.secret" is required when "bearer_only" is false



=== TEST 2: a session with a short secret
--- oidc
session: {secret: brief}
--- request
GET /hello
--- error_code: 404
--- error_log
property "secret" validation failed: string too short, expected at least 16



=== TEST 3: a session with what no session has
--- oidc
session: {secret: sixteen letters.., cookie_size: 7}
--- request
GET /hello
--- error_code: 404
--- error_log
additional properties forbidden



=== TEST 4: sessions in Redis, of which nothing is said
--- oidc
session: {secret: sixteen letters.., storage: redis}
--- request
GET /hello
--- error_code: 404
--- error_log
property "session" validation failed: then clause did not match



=== TEST 5: a client without a secret, where one is needed
--- oidc
# no secret
bearer_only: true
token_endpoint_auth_method: private_key_jwt
--- request
GET /hello
--- error_code: 404
--- error_log
property "client_secret" is required



=== TEST 6: an action that is none
--- oidc
unauth_action: redirect
session: {secret: sixteen letters..}
--- request
GET /hello
--- error_code: 404
--- error_log
property "unauth_action" validation failed: matches none of the enum values



=== TEST 7: names that would pass the check of their own object
--- oidc
session: {secret: sixteen letters..}
dpop_private_key: in plain text
--- request
GET /hello
--- error_code: 404
--- error_log
property "dpop_private_key" is not allowed, use "dpop.private_key" instead



=== TEST 8: proofs of possession without a key
--- oidc
session: {secret: sixteen letters..}
dpop: {enabled: true}
--- request
GET /hello
--- error_code: 404
--- error_log
property "dpop" validation failed: then clause did not match



=== TEST 9: a private key where the public one belongs
--- oidc
session: {secret: sixteen letters..}
dpop: {enabled: true, private_key: x, public_jwk: {kty: EC, crv: P-256, x: a, y: b, d: c}}
--- request
GET /hello
--- error_code: 404
--- error_log
property "dpop" validation failed: property "public_jwk" validation failed:



=== TEST 10: a key that is none
--- oidc
session: {secret: sixteen letters..}
dpop: {enabled: true, private_key: x, public_jwk: {kty: EC, crv: P-256, x: a, y: b}}
--- request
GET /hello
--- error_code: 404
--- error_log
property "dpop.private_key" is not a valid key



=== TEST 11: an algorithm that its method cannot use
--- oidc
session: {secret: sixteen letters..}
client_secret: s
token_endpoint_auth_method: client_secret_jwt
client_jwt_assertion_alg: RS256
--- request
GET /hello
--- error_code: 404
--- error_log
property "client_jwt_assertion_alg" "RS256" is asymmetric and cannot be used with the client_secret_jwt selected by "token_endpoint_auth_method"



=== TEST 12: a method without its credential
--- oidc
session: {secret: sixteen letters..}
par: {enabled: true, endpoint_auth_method: private_key_jwt}
--- request
GET /hello
--- error_code: 404
--- error_log
property "par.endpoint_auth_method" "private_key_jwt" requires "client_rsa_private_key" when "par.enabled" is true



=== TEST 13: claims by a schema that is none
--- oidc
bearer_only: true
claim_schema: {type: nothing}
--- request
GET /hello
--- error_code: 404
--- error_log
check claim_schema failed:



=== TEST 14: no token, half a header, another scheme
--- oidc
bearer_only: true
realm: mine
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-None: 1", "Authorization: good", "Authorization: Basic YTpi"]
--- error_code eval
[401, 400, 401]
--- response_headers eval
["WWW-Authenticate: Bearer realm=\"mine\"", "! WWW-Authenticate",
 "WWW-Authenticate: Bearer realm=\"mine\""]
--- error_log
OIDC introspection failed: No bearer token found in request.
OIDC introspection failed: Invalid Authorization header format.



=== TEST 15: a token that the provider knows, and nothing of what the client says of itself
--- oidc
bearer_only: true
introspection_addon_headers: [X-Tenant]
--- request
GET /uri
--- more_headers
Authorization: bearer good
X-Access-Token: mine
X-Userinfo: admin
X-ID-Token: mine
X-Refresh-Token: mine
X-Raw-ID-Token: mine
X-Tenant: seven
--- response_body_like eval
qr/x-access-token: good\n.*x-userinfo: [A-Za-z0-9+\/=]{40,}\n/s
--- response_body_unlike: mine|admin|x-id-token|x-refresh|x-raw
--- error_log
introspected: good by Basic Yzpz   tenant=seven
token validate successfully by introspection



=== TEST 16: for as long as it lasts the provider is asked once
--- request
GET /uri
--- more_headers
Authorization: Bearer good
--- error_code: 200
--- no_error_log
introspected:
stack traceback



=== TEST 17: without an end it is asked each time
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers
Authorization: Bearer fresh
--- error_code eval
[200, 200]
--- grep_error_log eval
qr/introspected: fresh/
--- grep_error_log_out
introspected: fresh
introspected: fresh



=== TEST 18: a token that the provider does not know
--- request
GET /hello
--- more_headers
Authorization: Bearer bad
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="apisix", error="invalid_token", error_description="invalid token"
--- error_log
OIDC introspection failed: invalid token



=== TEST 19: a token in the other header
--- request
GET /uri
--- more_headers
X-Access-Token: good
--- response_body_like
x-access-token: good



=== TEST 20: of two tokens the upstream gets the one that was checked
--- request
GET /uri
--- more_headers
Authorization: Bearer good
Authorization: Bearer forged
--- response_body_like
authorization: Bearer good
--- response_body_unlike: forged



=== TEST 21: answers that are no answers
--- pipelined_requests eval
[("GET /hello") x 6]
--- more_headers eval
[map { "Authorization: Bearer $_" } qw(html list null empty huge odd)]
--- error_code eval
[401, 401, 401, 401, 401, 200]
--- error_log
response body is longer than 1048576 bytes



=== TEST 22: what the provider says of an error makes no header
--- request
GET /hello
--- more_headers
Authorization: Bearer quoted
--- error_code: 401
--- response_headers
! X-Evil
--- response_headers_like
WWW-Authenticate: Bearer realm="apisix", error="invalid_token", error_description="[^"\r\n]*X-Evil: 1'}"
--- error_log
response indicates failure, status=400



=== TEST 23: a slow provider
--- oidc
bearer_only: true
timeout: 1
--- request
GET /hello
--- more_headers
Authorization: Bearer slow
--- error_code: 401
--- timeout: 10
--- error_log
failed: timeout



=== TEST 24: headers of the token as the conf wants them
--- oidc
bearer_only: true
access_token_in_authorization_header: true
set_userinfo_header: false
--- request
GET /uri
--- more_headers
Authorization: bEARER good
--- response_body_like
authorization: Bearer good
--- response_body_unlike: x-access-token|x-userinfo



=== TEST 25: scopes that are there, and that are not
--- oidc
bearer_only: true
required_scopes: [read]
--- pipelined_requests eval
[("GET /hello") x 4]
--- more_headers eval
[map { "Authorization: Bearer $_" } qw(good listed fresh odd)]
--- error_code eval
[200, 200, 403, 403]
--- response_body eval
["hello world\n", "hello world\n", "{\"error\":\"required scopes read not present\"}",
 "{\"error\":\"required scopes read not present\"}"]



=== TEST 26: a token for this client
--- oidc
bearer_only: true
client_id: c
claim_validator: {audience: {match_with_client_id: true}}
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[map { "Authorization: Bearer $_" } qw(listed other fresh)]
--- error_code eval
[200, 403, 403]
--- response_body eval
["hello world\n", "{\"error\":\"mismatched audience\"}",
 "{\"error\":\"required audience claim not present\"}"]



=== TEST 27: claims by a schema
--- oidc
bearer_only: true
claim_schema: {type: object, required: [scope]}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
[map { "Authorization: Bearer $_" } qw(good fresh)]
--- error_code eval
[200, 401]
--- error_log
OIDC claim validation failed: property "scope" is required



=== TEST 28: who the gateway is, signed by its key, to another endpoint
--- oidc
# no secret
bearer_only: true
introspection_endpoint: http://127.0.0.1:1980/own/introspect
introspection_endpoint_auth_method: private_key_jwt
client_rsa_private_key: PRIVATE
client_jwt_assertion_audience: http://127.0.0.1:1980
--- request
GET /hello
--- more_headers
Authorization: Bearer good
--- error_code: 200
--- error_log
introspected: good by nobody c assertion tenant=none



=== TEST 29: a signed token by the key of the conf; and others
--- oidc
bearer_only: true
public_key: KEY
--- pipelined_requests eval
[("GET /hello") x 11]
--- more_headers eval
[t::lib::Oidc::bearer(), t::lib::Oidc::bearer(exp => time - 5),
 t::lib::Oidc::bearer(exp => time - 600), t::lib::Oidc::bearer(nbf => time + 600),
 t::lib::Oidc::bearer(iss => "http://other"), t::lib::Oidc::bearer(iss => undef),
 t::lib::Oidc::bearer(key => "two"), t::lib::Oidc::bearer(secret => "s"),
 t::lib::Oidc::bearer(secret => t::lib::Oidc::public_key("one")),
 t::lib::Oidc::bearer(header => { alg => "none" }), "Authorization: Bearer a.b.c"]
--- error_code eval
[200, 200, (401) x 9]
--- error_log
token validate successfully by public_key
OIDC introspection failed: token expired
OIDC introspection failed: token not yet valid
Claim 'iss' ('http://other') returned failure



=== TEST 30: claims that were changed under their signature
--- request
GET /hello
--- more_headers eval
my ($head, $claims, $mac) = split /\./, t::lib::Oidc::token();
my (undef, $other) = split /\./, t::lib::Oidc::token(sub => "admin");
"Authorization: Bearer $head.$other.$mac"
--- error_code: 401
--- error_log
jwt signature verification failed



=== TEST 31: only algorithms that are expected
--- oidc
bearer_only: true
public_key: KEY
token_signing_alg_values_expected: RS512
--- request
GET /hello
--- more_headers eval
t::lib::Oidc::bearer()
--- error_code: 401
--- error_log
token is signed by unexpected algorithm "RS256"



=== TEST 32: issuers of the conf; the provider is not asked
--- oidc
bearer_only: true
public_key: KEY
discovery: http://127.0.0.1:1979/.well-known/openid-configuration
claim_validator: {issuer: {valid_issuers: ["http://one", "http://two"]}}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
[t::lib::Oidc::bearer(iss => "http://two"), t::lib::Oidc::bearer()]
--- error_code eval
[200, 401]



=== TEST 33: no issuer is known while the provider is down
--- oidc
bearer_only: true
public_key: KEY
discovery: http://127.0.0.1:1979/.well-known/openid-configuration
--- request
GET /hello
--- more_headers eval
t::lib::Oidc::bearer()
--- error_code: 401
--- response_headers
WWW-Authenticate: Bearer realm="apisix", error="invalid_token", error_description="issuer validation unavailable"
--- error_log
OIDC access discovery url failed : accessing discovery url



=== TEST 34: keys of the provider
--- oidc
bearer_only: true
use_jwks: true
--- pipelined_requests eval
[("GET /hello") x 5]
--- more_headers eval
[t::lib::Oidc::bearer(), t::lib::Oidc::bearer(header => { kid => "two" }),
 t::lib::Oidc::bearer(header => { kid => "empty" }), t::lib::Oidc::bearer(key => "two"),
 t::lib::Oidc::bearer(header => { alg => "ES256" })]
--- error_code eval
[200, 401, 401, 401, 401]
--- error_log
token validate successfully by jwks



=== TEST 35: keys that nobody has make the provider no work
--- oidc
bearer_only: true
use_jwks: true
--- pipelined_requests eval
[("GET /hello") x 5]
--- more_headers eval
[map { t::lib::Oidc::bearer(header => { kid => "made up $_" }) } 1 .. 5]
--- error_code eval
[(401) x 5]
--- grep_error_log eval
qr/asked for the keys/
--- grep_error_log_out
asked for the keys
asked for the keys



=== TEST 36: who has no session is sent to log in
--- oidc
session: {secret: sixteen letters..}
use_pkce: true
scope: openid email
--- request
GET /hello?a=1
--- error_code: 302
--- response_headers_like
Location: http://127.0.0.1:1980/authorize\?(?=.*client_id=c)(?=.*response_type=code)(?=.*code_challenge=[\w-]{43})(?=.*code_challenge_method=S256)(?=.*state=[0-9a-f]{32})(?=.*scope=openid%20email)(?=.*redirect_uri=http%3A%2F%2Flocalhost%2Fhello%2F.apisix%2Fredirect).*
Set-Cookie: session=.*; Path=/; SameSite=Lax; HttpOnly



=== TEST 37: a cookie that nobody here has made, or that was changed, is no session
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["Cookie: session=AAAA", "Cookie: session=" . "A" x 3000, "Cookie: session=\"; session2=x"]
--- error_code eval
[302, 302, 302]



=== TEST 38: a return to nowhere
--- pipelined_requests eval
["GET /hello/.apisix/redirect?code=c&state=s", "GET /hello/.apisix/redirect",
 "GET /hello/.apisix/redirect?error=temporarily_unavailable&state=s"]
--- error_code eval
[500, 500, 500]
--- error_log
OIDC authentication failed: request to the redirect_uri path but there's no session state found
OIDC authentication failed: unhandled request to the redirect_uri



=== TEST 39: who logs out where the provider has no end of sessions
--- oidc
session: {secret: sixteen letters..}
post_logout_redirect_uri: https://example.com/bye
--- request
GET /logout?now
--- error_code: 302
--- response_headers
Location: https://example.com/bye?post_logout_redirect_uri=https%3A%2F%2Fexample.com%2Fbye



=== TEST 40: and where it has one
--- oidc
discovery: http://127.0.0.1:1980/end/.well-known/openid-configuration
session: {secret: sixteen letters..}
post_logout_redirect_uri: https://example.com/bye
--- request
GET /logout
--- error_code: 302
--- response_headers
Location: http://127.0.0.1:1980/end/bye?post_logout_redirect_uri=https%3A%2F%2Fexample.com%2Fbye



=== TEST 41: a logout while the provider is down
--- oidc
discovery: http://127.0.0.1:1979/.well-known/openid-configuration
session: {secret: sixteen letters..}
--- pipelined_requests eval
["GET /logout", "GET /hello"]
--- error_code eval
[503, 500]
--- error_log
OIDC access discovery url failed :
OIDC authentication failed: accessing discovery url



=== TEST 42: who has no session, and is not sent anywhere
--- oidc
session: {secret: sixteen letters..}
unauth_action: deny
discovery: http://127.0.0.1:1979/.well-known/openid-configuration
--- request
GET /hello
--- error_code: 401



=== TEST 43: or let through, without what he says of himself
--- oidc
session: {secret: sixteen letters..}
unauth_action: pass
--- request
GET /uri
--- more_headers
X-Userinfo: admin
X-Access-Token: mine
X-ID-Token: mine
--- error_code: 200
--- response_body_unlike: admin|mine



=== TEST 44: a description that is an error
--- oidc
discovery: http://127.0.0.1:1980/500/.well-known/openid-configuration
session: {secret: sixteen letters..}
--- request
GET /hello
--- error_code: 500
--- error_log
could not decode JSON from Discovery data: response indicates failure, status=500



=== TEST 45: one that is no JSON
--- oidc
discovery: http://127.0.0.1:1980/html/.well-known/openid-configuration
session: {secret: sixteen letters..}
--- request
GET /hello
--- error_code: 500
--- error_log
could not decode JSON from Discovery data: JSON decoding failed



=== TEST 46: one whose addresses are none
--- oidc
discovery: http://127.0.0.1:1980/odd/.well-known/openid-configuration
session: {secret: sixteen letters..}
--- request
GET /hello
--- error_code: 500
--- error_log
"authorization_endpoint" is no text



=== TEST 47: one without addresses, or a list
--- oidc
discovery: http://127.0.0.1:1980/none/.well-known/openid-configuration
session: {secret: sixteen letters..}
--- request
GET /hello
--- error_code: 500
--- error_log
OIDC authentication failed: no authorization endpoint supplied



=== TEST 48: one without an end
--- oidc
discovery: http://127.0.0.1:1980/huge/.well-known/openid-configuration
session: {secret: sixteen letters..}
--- request
GET /hello
--- error_code: 500
--- error_log
response body is longer than 1048576 bytes



=== TEST 49: one that does not come
--- oidc
discovery: http://127.0.0.1:1980/slow/.well-known/openid-configuration
session: {secret: sixteen letters..}
timeout: 1
--- request
GET /hello
--- timeout: 10
--- error_code: 500
--- error_log
failed: timeout



=== TEST 50: with a key, who brings no token may still log in
--- oidc
session: {secret: sixteen letters..}
use_jwks: true
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-None: 1", t::lib::Oidc::bearer(), t::lib::Oidc::bearer(key => "two")]
--- error_code eval
[302, 200, 401]



=== TEST 51: the older name of a lifetime
--- oidc
session: {secret: sixteen letters.., cookie: {lifetime: 60}}
--- request
GET /hello
--- error_code: 302
--- error_log
session.cookie.lifetime is deprecated



=== TEST 52: a schema that says what it encrypts
--- config
    location = /fields {
        content_by_lua_block {
            local plugin = require("apisix.plugins.openid-connect")
            ngx.say(table.concat(plugin.schema.encrypt_fields, " "))
            ngx.say(plugin.priority, " ", plugin.version)
        }
    }
--- apisix_yaml
routes: []
#END
--- request
GET /fields
--- response_body
client_secret client_rsa_private_key dpop.private_key session.secret session.redis.password
2599 0.2



=== TEST 53: a provider behind a proxy
--- oidc
bearer_only: true
discovery: http://127.0.0.1:1979/.well-known/openid-configuration
proxy_opts: {http_proxy: "http://127.0.0.1:1980", no_proxy: "127.0.0.9"}
--- request
GET /hello
--- more_headers
Authorization: Bearer good
--- error_code: 200
--- error_log
requests to the provider use http proxy
introspected: good



=== TEST 54: but not for hosts that need none
--- oidc
bearer_only: true
discovery: http://127.0.0.1:1979/.well-known/openid-configuration
proxy_opts: {http_proxy: "http://127.0.0.1:1980", no_proxy: "127.0.0.1"}
--- request
GET /hello
--- more_headers
Authorization: Bearer good
--- error_code: 401
--- error_log
OIDC introspection failed: accessing discovery url



=== TEST 55: a provider whose certificate nobody has signed
--- oidc
bearer_only: true
discovery: https://127.0.0.1:1983/.well-known/openid-configuration
--- request
GET /hello
--- more_headers
Authorization: Bearer good
--- error_code: 401
--- error_log
OIDC introspection failed: accessing discovery url
--- no_error_log
introspected:



=== TEST 56: who is taken as he is
--- oidc
bearer_only: true
ssl_verify: false
discovery: https://127.0.0.1:1983/.well-known/openid-configuration
--- request
GET /hello
--- more_headers
Authorization: Bearer good
--- error_code: 200
--- error_log
Keeping ssl_verify disabled in openid-connect configuration is a security risk
introspected: good



=== TEST 57: a cookie as the conf wants it
--- oidc
session:
  secret: sixteen letters..
  cookie_name: mine
  cookie_path: /app
  cookie_domain: example.com
  cookie_secure: true
  cookie_http_only: false
  cookie_same_site: Strict
--- request
GET /hello
--- error_code: 302
--- response_headers_like
Set-Cookie: mine=[\w-]+; Path=/app; Domain=example.com; SameSite=Strict; Secure



=== TEST 58: extra words for the provider
--- oidc
session: {secret: sixteen letters..}
authorization_params: {prompt: login, ui: "a b&c=d"}
--- request
GET /hello
--- error_code: 302
--- response_headers_like
Location: (?=.*prompt=login)(?=.*ui=a%20b%26c%3Dd)(?=.*state=[0-9a-f]{32}).*
