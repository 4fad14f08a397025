# hmac-auth: HMACs over parts of the request, as APISIX reads them.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

package t::Hmac;

use Digest::SHA qw(hmac_sha1_base64 hmac_sha256_base64 hmac_sha512_base64 sha256_base64);
use POSIX ();

our $SECRET = 'my-secret-key';
my %FUNCTIONS = ('hmac-sha1' => \&hmac_sha1_base64, 'hmac-sha256' => \&hmac_sha256_base64,
    'hmac-sha512' => \&hmac_sha512_base64);

sub padded { my ($text) = @_; return $text . '=' x (-length($text) % 4); }

sub date {
    my ($offset) = @_;
    return POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + ($offset || 0)));
}

sub digest { return 'SHA-256=' . padded(sha256_base64($_[0])); }

# Header lines of a signed request: method, target, then what differs from the usual.
sub headers {
    my ($method, $target, %arg) = @_;
    my $algorithm = $arg{algorithm} || 'hmac-sha256';
    my %fields = (date => $arg{date} || date(), %{ $arg{fields} || {} });
    my @list = split / /, defined $arg{list} ? $arg{list} : '@request-target date';
    my $text = ($arg{key} || 'user-key') . "\n";
    for my $name (@list) {
        $text .= "$method $target\n" if $name eq '@request-target';
        $text .= "$name: $fields{$name}\n" if defined $fields{$name};
    }
    my $signature = padded($FUNCTIONS{$algorithm}->($text, $arg{secret} || $SECRET));
    my $authorization = sprintf 'Signature keyId="%s",algorithm="%s",headers="%s",signature="%s"',
        $arg{key} || 'user-key', $arg{named} || $algorithm, join(' ', @list), $signature;
    my %sent = (%fields, %{ $arg{sent} || {} });
    return join "\n", "Authorization: $authorization",
        map { "$_: $sent{$_}" } grep { defined $sent{$_} } sort keys %sent;
}

package main;

my $OBJECTS = <<'YAML';
consumers:
  - username: jack
    plugins:
      hmac-auth:
        key_id: user-key
        secret_key: my-secret-key
  - username: nobody
routes:
  - uri: "/hello"
    plugins:
      hmac-auth:
        %s
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/echo"
    plugins:
      hmac-auth:
        %s
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
YAML

add_block_preprocessor(sub {
    my ($block) = @_;
    my $conf = $block->conf;
    if (defined $conf) {
        chomp $conf;
        $block->set_value(apisix_yaml => sprintf $OBJECTS, $conf, $conf);
    }
});

run_tests;

__DATA__

=== TEST 1: all algorithms
--- conf
{}
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[map { t::Hmac::headers('GET', '/hello', algorithm => "hmac-$_") } qw(sha1 sha256 sha512)]
--- error_code eval
[200, 200, 200]



=== TEST 2: no Authorization, and one of another kind
--- conf
{}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["X: y", "Authorization: Basic abc"]
--- error_code eval
[401, 401]
--- response_body eval
["{\"message\":\"client request can't be validated: missing Authorization header\"}\n",
 "{\"message\":\"client request can't be validated: Authorization header does not start with 'Signature'\"}\n"]
--- response_headers eval
["WWW-Authenticate: hmac realm=\"hmac\"", "WWW-Authenticate: hmac realm=\"hmac\""]



=== TEST 3: what is wrong is in the log only
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 6]
--- more_headers eval
[t::Hmac::headers('GET', '/hello', key => 'other-key'),
 t::Hmac::headers('GET', '/hello', secret => 'other'),
 t::Hmac::headers('GET', '/hello', date => t::Hmac::date(-400)),
 t::Hmac::headers('GET', '/hello', date => t::Hmac::date(400)),
 t::Hmac::headers('GET', '/hello', list => '@request-target'),
 t::Hmac::headers('GET', '/hello', date => 'yesterday')]
--- error_code eval
[401, 401, 401, 401, 401, 401]
--- response_body eval
["{\"message\":\"client request can't be validated\"}\n"]
--- error_log
client request can't be validated: Invalid key_id
client request can't be validated: Invalid signature
client request can't be validated: Clock skew exceeded
client request can't be validated: expected header "date" missing in signing
client request can't be validated: Invalid GMT format time



=== TEST 4: method, path, query and fields are bound
--- conf
{ signed_headers: [date, x-order] }
--- pipelined_requests eval
["GET /hello?a=1", "GET /hello?a=2", "POST /hello?a=1", "GET /hello?a=1", "GET /hello?a=1", "GET /hello?a=1"]
--- more_headers eval
my @signed = ('GET', '/hello?a=1', list => '@request-target date x-order', fields => { 'x-order' => 7 });
[(map { t::Hmac::headers(@signed) } 1 .. 3),
 t::Hmac::headers(@signed, sent => { 'x-order' => 8 }),
 t::Hmac::headers(@signed, sent => { 'x-order' => undef }),
 t::Hmac::headers(@signed) . "\nX-Order: 8"]
--- error_code eval
[200, 401, 401, 401, 401, 401]
--- error_log
client request can't be validated: Invalid signature
client request can't be validated: the field x-order comes more than once



=== TEST 5: allowed_algorithms
--- conf
{ allowed_algorithms: [hmac-sha512] }
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[t::Hmac::headers('GET', '/hello', algorithm => 'hmac-sha512'), t::Hmac::headers('GET', '/hello'),
 t::Hmac::headers('GET', '/hello', named => 'hmac-md5')]
--- error_code eval
[200, 401, 401]
--- error_log
client request can't be validated: Invalid algorithm



=== TEST 6: the body
--- conf
{ validate_request_body: true }
--- pipelined_requests eval
["POST /echo\nhello", "POST /echo\nhellO", "POST /echo\nhello", "POST /echo\nhello", "POST /echo"]
--- more_headers eval
my @signed = ('POST', '/echo', list => '@request-target date digest');
my $digest = t::Hmac::digest('hello');
[t::Hmac::headers(@signed, fields => { digest => $digest }),
 t::Hmac::headers(@signed, fields => { digest => $digest }),
 t::Hmac::headers(@signed),
 t::Hmac::headers('POST', '/echo', fields => { digest => $digest }),
 t::Hmac::headers(@signed, fields => { digest => t::Hmac::digest('') })]
--- error_code eval
[200, 401, 401, 200, 200]
--- error_log
client request can't be validated: Invalid digest



=== TEST 7: a body that is too large
--- conf
{ validate_request_body: true, max_req_body_size: 4 }
--- request
POST /echo
hello
--- more_headers eval
t::Hmac::headers('POST', '/echo', list => '@request-target date digest', fields => { digest => t::Hmac::digest('hello') })
--- error_code: 413
--- response_body
{"message":"request size 5 is greater than the maximum size 4 allowed"}
--- error_log
failed to read request body: request size 5 is greater than the maximum size 4 allowed



=== TEST 8: a body of unknown length that is too large
--- conf
{ validate_request_body: true, max_req_body_size: 4 }
--- raw_request eval
"POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" . (t::Hmac::headers('POST', '/echo', list => '@request-target date digest', fields => { digest => t::Hmac::digest('hello') }) =~ s/\n/\r\n/gr) . "\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
--- error_code: 413
--- error_log
is greater than the maximum size 4 allowed



=== TEST 9: credentials are hidden, the consumer is told
--- conf
{ hide_credentials: true }
--- request
GET /echo
--- more_headers eval
t::Hmac::headers('GET', '/echo')
--- response_headers
Authorization:
X-Consumer-Username: jack
X-Credential-Identifier:



=== TEST 10: an anonymous consumer, and one that is not there
--- conf
{ anonymous_consumer: nobody }
--- request
GET /echo
--- response_headers
X-Consumer-Username: nobody
--- error_log
missing Authorization header



=== TEST 11: a realm
--- conf
{ realm: mine, anonymous_consumer: ghost }
--- request
GET /hello
--- error_code: 401
--- response_headers
WWW-Authenticate: hmac realm="mine"
--- response_body
{"message":"Invalid user authorization"}
--- error_log
failed to get anonymous consumer ghost



=== TEST 12: confs that are refused
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      hmac-auth:
        clock_skew: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "clock_skew" validation failed
