# ldap-auth: user names and passwords of Debian's slapd (t/lib/Slapd.pm has the entries).
use t::APISIX 'no_plan';

use MIME::Base64 qw(encode_base64);

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

# Header lines for user name and password.
sub basic {
    my ($text) = @_;
    return 'Authorization: Basic ' . encode_base64($text, '');
}

# `ldap` is the conf of the plugin beside `base_dn`; a block without it goes on with the last.
add_block_preprocessor(sub {
    my ($block) = @_;
    return if !defined $block->ldap;
    my $ldap = join '', map { "        $_\n" } split /\n/, $block->ldap;
    my $yaml = <<"YAML";
consumers:
  - username: one
    plugins: {ldap-auth: {user_dn: "cn=user01,ou=users,dc=example,dc=org"}}
  - username: two
    plugins: {ldap-auth: {user_dn: "cn=user02,ou=users,dc=example,dc=org"}}
  - username: comma
    plugins: {ldap-auth: {user_dn: "cn=comma\\\\,user,ou=users,dc=example,dc=org"}}
  - username: words
    plugins: {ldap-auth: {user_dn: "cn=two words,ou=users,dc=example,dc=org"}}
  - username: plus
    plugins: {ldap-auth: {user_dn: "cn=plus\\\\+sn\\\\=user01,ou=users,dc=example,dc=org"}}
  - username: raw
    plugins: {ldap-auth: {user_dn: "cn=comma,user,ou=users,dc=example,dc=org"}}
routes:
  - uri: "/*"
    plugins:
      ldap-auth:
        base_dn: ou=users,dc=example,dc=org
$ldap
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
YAML
    $block->set_value("apisix_yaml", $yaml);
});

run_tests;

__DATA__

=== TEST 1: no server
--- ldap
uid: cn
--- request
GET /hello
--- error_code: 404
--- error_log
property "ldap_uri" is required



=== TEST 2: a server that is no text
--- ldap
ldap_uri: 389
--- request
GET /hello
--- error_code: 404
--- error_log
property "ldap_uri" validation failed: wrong type: expected string, got number



=== TEST 3: a realm that could end its header early
--- ldap
ldap_uri: "127.0.0.1:1389"
realm: 'a"b'
--- request
GET /hello
--- error_code: 404
--- error_log
property "realm" validation failed



=== TEST 4: a consumer without a name in the directory
--- apisix_yaml
consumers:
  - username: one
    plugins: {ldap-auth: {}}
routes: []
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "user_dn" is required



=== TEST 5: nobody, no basic authorization, no base64, no password
--- slapd
1389
--- ldap
ldap_uri: "127.0.0.1:1389"
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-None: 1", "Authorization: Bad_header Zm9vOmZvbwo=", "Authorization: Basic aca_a",
 "Authorization: Basic Zm9v", "Authorization: Basic Zm9vOg=="]
--- error_code eval
[401, 401, 401, 401, 401]
--- response_headers
WWW-Authenticate: Basic realm="ldap"
--- response_body eval
["{\"message\":\"Missing authorization in request\"}\n",
 ("{\"message\":\"Invalid authorization in request\"}\n") x 4]
--- error_log
Invalid authorization header format
Failed to decode authentication header: aca_a
Split authorization err: invalid decoded data: foo
--- no_error_log
[error]



=== TEST 6: the right password, whatever the letters of the scheme, and with what echo adds
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[main::basic("user01:password1"), "authorization: bASiC dXNlcjAxOnBhc3N3b3JkMQ==",
 main::basic("user01:password1\n"), main::basic(" user01 :password1")]
--- response_body eval
["hello world\n", "hello world\n", "hello world\n", "hello world\n"]
--- error_log
find consumer one



=== TEST 7: a wrong password, that of somebody else, a longer one, one with another case, none
--- pipelined_requests eval
[("GET /hello") x 6]
--- more_headers eval
[map { main::basic($_) } "user01:password2", "user01:pass: word 2", "user01:password1x",
 "user01:Password1", "user01:password", "user01:password1:x"]
--- error_code eval
[401, 401, 401, 401, 401, 401]
--- error_log
ldap-auth failed: simple bind failed, error: The supplied credential is invalid
--- no_error_log
find consumer



=== TEST 8: without a password slapd takes anybody for nobody, and says yes: the plugin does not
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[main::basic("user01:\n"), main::basic("user01:"), main::basic(":password1")]
--- error_code eval
[401, 401, 401]
--- error_log
ldap-auth failed: password is empty
ldap-auth failed: user name is empty
--- no_error_log
find consumer



=== TEST 9: a password with a colon and spaces is the whole of it
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[main::basic("user02:pass: word 2"), main::basic("user02:pass:word2"), main::basic("user02:pass")]
--- error_code eval
[200, 401, 401]
--- error_log
find consumer two



=== TEST 10: names with commas, spaces and plus signs are those of their entries
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[map { main::basic($_) } "comma,user:commapass", "two words:words", "plus+sn=user01:pluspass"]
--- error_code eval
[200, 200, 200]
--- error_log
find consumer comma
find consumer words
find consumer plus
--- no_error_log
find consumer raw



=== TEST 11: a name that tries to be a filter, or a part of the tree, is nobody
--- pipelined_requests eval
[("GET /hello") x 12]
--- more_headers eval
[map { main::basic("$_:password1") } "*", "user*", "user01)(cn=*", "*)(uid=*))(|(uid=*",
 "user01,ou=users,dc=example,dc=org", "x+cn=user01", "user01\\2Cou=users", "\\75ser01",
 "user01\\", "#04067573657230", "\"user01\"", "user01,ou=users,dc=example,dc=org;cn=x"]
--- error_code eval
[(401) x 12]
--- no_error_log
find consumer
[error]



=== TEST 12: NUL, control bytes, text that is no UTF-8
--- pipelined_requests eval
[("GET /hello") x 6]
--- more_headers eval
[map { main::basic($_) } "user01\0:password1", "\0user01:password1", "user01\0,x:password1",
 "user01:password1\0", "user01\1:password1", "\377\376user01:password1"]
--- error_code eval
[(401) x 6]
--- no_error_log
find consumer
[error]



=== TEST 13: a huge name and a huge password
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[main::basic("x" x 5000 . ":password1"), main::basic("user01:" . "x" x 5000),
 main::basic("," x 5000 . ":password1")]
--- error_code eval
[401, 401, 401]
--- no_error_log
find consumer
[error]



=== TEST 14: another case is another consumer, also where the directory does not tell them apart
--- request
GET /hello
--- more_headers eval
main::basic("USER01:password1")
--- error_code: 401
--- response_body
{"message":"Invalid user authorization"}
--- no_error_log
find consumer



=== TEST 15: the upstream gets the consumer's name and the password
--- request
GET /uri
--- more_headers eval
main::basic("user01:password1") . "\nX-Consumer-Username: root"
--- response_body_like
authorization: Basic dXNlcjAxOnBhc3N3b3JkMQ==
host: localhost
x-consumer-username: one



=== TEST 16: and not the password, if it is to be hidden
--- ldap
ldap_uri: "127.0.0.1:1389"
hide_credentials: true
realm: staff
--- request
GET /uri
--- more_headers eval
main::basic("user01:password1")
--- response_body_like
x-consumer-username: one
--- response_body_unlike: authorization



=== TEST 17: the realm of the conf
--- request
GET /uri
--- error_code: 401
--- response_headers
WWW-Authenticate: Basic realm="staff"



=== TEST 18: a URI with a scheme
--- ldap
ldap_uri: "ldap://127.0.0.1:1389/"
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- response_body
hello world



=== TEST 19: an entry that the directory does not have by this attribute
--- ldap
ldap_uri: "127.0.0.1:1389"
uid: sn
--- request
GET /hello
--- more_headers eval
main::basic("person:password1")
--- error_code: 401
--- error_log
ldap-auth failed: simple bind failed



=== TEST 20: who is in the directory and no consumer
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ldap-auth:
        base_dn: ou=users,dc=example,dc=org
        ldap_uri: "127.0.0.1:1389"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- error_code: 401
--- response_body
{"message":"Missing related consumer"}



=== TEST 21: TLS, by an authority that is trusted
--- slapd
1636 tls
--- yaml_config
apisix:
    node_listen: 1984
    ssl:
        ssl_trusted_certificate: $TEST_NGINX_SERVROOT/../slapd/ca.pem
--- ldap
ldap_uri: "localhost:1636"
use_tls: true
tls_verify: true
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
[main::basic("user01:password1"), main::basic("user01:password2")]
--- error_code eval
[200, 401]



=== TEST 22: TLS, by an authority that is not
--- ldap
ldap_uri: "ldaps://localhost:1636"
tls_verify: true
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- error_code: 401
--- error_log
do TLS handshake on localhost:1636 failed



=== TEST 23: the same without a look at the certificate
--- ldap
ldap_uri: "ldaps://localhost:1636"
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- response_body
hello world
--- error_log
find consumer one



=== TEST 24: plain text to a server of TLS, and TLS to one of plain text
--- ldap
ldap_uri: "127.0.0.1:1389"
use_tls: true
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- timeout: 20
--- error_code: 401
--- error_log
ldap-auth failed: initialize socket failed: do TLS handshake on 127.0.0.1:1389 failed



=== TEST 25: an open connection whose server ends does no harm to the next
--- slapd
1390
--- ldap
ldap_uri: "127.0.0.1:1390"
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- response_body
hello world



=== TEST 26: the server is down
--- slapd
1390 stop
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- error_code: 401
--- response_body
{"message":"Invalid user authorization"}
--- error_log
ldap-auth failed:
--- no_error_log
find consumer
[error]



=== TEST 27: and is back
--- slapd
1390
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- response_body
hello world



=== TEST 28: a server that speaks something else
--- upstream_server_config
    location = /x { return 200; }
--- ldap
ldap_uri: "127.0.0.1:1980"
--- request
GET /hello
--- more_headers eval
main::basic("user01:password1")
--- timeout: 20
--- error_code: 401
--- error_log
ldap-auth failed:
