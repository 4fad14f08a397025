# anti-tamper: requests that were changed on their way.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

package t::Signed;

use Digest::SHA qw(hmac_sha256_base64 sha256_base64);

our $SECRET = 'a secret of thirty-two bytes, so';

sub padded { my ($text) = @_; return $text . '=' x (-length($text) % 4); }

sub digest { return 'sha-256=:' . padded(sha256_base64($_[0])) . ':'; }

# Header lines of a signed request: method, target, then what differs from the usual.
sub headers {
    my ($method, $target, %arg) = @_;
    my ($path, $query) = split /\?/, $target, 2;
    $query = '' if !defined $query;
    my %fields = %{ $arg{fields} || {} };
    $fields{'content-digest'} = digest($arg{body}) if defined $arg{body};
    my %values = ('@method' => $method, '@authority' => 'localhost', '@path' => $path,
        '@query' => "?$query", %fields);
    my @list = ('@method', '@authority', '@path', '@query', sort keys %fields);
    @list = @{ $arg{list} } if $arg{list};
    my $params = '(' . join(' ', map { qq("$_") } @list) . ')';
    $params .= ';created=' . (time + ($arg{offset} || 0));
    $params .= ';expires=' . (time + $arg{expires}) if defined $arg{expires};
    $params .= sprintf ';keyid="%s"', $arg{key} || 'k1';
    $params .= sprintf ';alg="%s"', $arg{alg} if defined $arg{alg};
    $params .= sprintf ';nonce="%s"', $arg{nonce} if defined $arg{nonce};
    $params .= sprintf ';tag="%s"', $arg{tag} if defined $arg{tag};
    my $base = join '', map { "\"$_\": $values{$_}\n" } @list;
    my $signature = padded(hmac_sha256_base64("$base\"\@signature-params\": $params",
        $arg{secret} || $SECRET));
    my %sent = (%fields, %{ $arg{sent} || {} });
    return join "\n", "Signature-Input: sig1=$params", "Signature: sig1=:$signature:",
        map { "$_: $sent{$_}" } grep { defined $sent{$_} } sort keys %sent;
}

package main;

my $OBJECTS = <<'YAML';
consumers:
  - username: jack
    plugins:
      anti-tamper:
        key_id: k1
        secret_key: "a secret of thirty-two bytes, so"
  - username: rose
    plugins:
      anti-tamper:
        key_id: k2
        keys:
          - secret_key: "the old one"
            not_after: 1700000000
          - secret_key: "the current one"
          - secret_key: "the next one"
plugin_metadata:
  - id: anti-tamper
    keys:
      - key_id: m1
        secret_key: "from metadata"
routes:
  - uri: "/*"
    plugins:
      anti-tamper:
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
        $block->set_value(apisix_yaml => sprintf $OBJECTS, $conf);
    }
});

run_tests;

__DATA__

=== TEST 1: a signed request passes, with its consumer
--- conf
{}
--- request
GET /echo?a=1
--- more_headers eval
t::Signed::headers('GET', '/echo?a=1')
--- response_headers
X-Consumer-Username: jack



=== TEST 2: method, path, query, host, and no signature at all
--- conf
{}
--- pipelined_requests eval
["POST /echo?a=1", "GET /hello?a=1", "GET /echo?a=2", "GET /echo", "GET /echo?a=1", "GET /echo?a=1"]
--- more_headers eval
[(map { t::Signed::headers('GET', '/echo?a=1') } 1 .. 4),
 t::Signed::headers('GET', '/echo?a=1') . "\nHost: example.com", "X: y"]
--- error_code eval
[401, 401, 401, 401, 401, 401]
--- response_body eval
["{\"message\":\"client request can't be validated\"}\n"]
--- response_headers eval
["WWW-Authenticate: Signature realm=\"signature\""]
--- error_log
anti-tamper refused the request: bad_signature: the signature is not right
anti-tamper refused the request: missing: no Signature-Input



=== TEST 3: time
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 5]
--- more_headers eval
[t::Signed::headers('GET', '/hello', offset => -290), t::Signed::headers('GET', '/hello', offset => 50),
 t::Signed::headers('GET', '/hello', offset => -310), t::Signed::headers('GET', '/hello', offset => 70),
 t::Signed::headers('GET', '/hello', expires => -2)]
--- error_code eval
[200, 200, 401, 401, 401]
--- error_log
anti-tamper refused the request: skew



=== TEST 4: keys: unknown, several at a time, one that is over, metadata
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 5]
--- more_headers eval
[t::Signed::headers('GET', '/hello', key => 'k9'),
 t::Signed::headers('GET', '/hello', key => 'k2', secret => 'the current one'),
 t::Signed::headers('GET', '/hello', key => 'k2', secret => 'the next one'),
 t::Signed::headers('GET', '/hello', key => 'k2', secret => 'the old one'),
 t::Signed::headers('GET', '/hello', key => 'm1', secret => 'from metadata')]
--- error_code eval
[401, 200, 200, 401, 200]
--- error_log
anti-tamper refused the request: unknown_key: nobody has the key k9
anti-tamper refused the request: bad_signature



=== TEST 5: the body: whole, changed, longer, not signed
--- conf
{}
--- pipelined_requests eval
["POST /echo\nhello", "POST /echo\nhellO", "POST /echo\nhello!", "POST /echo\nhello"]
--- more_headers eval
my $good = t::Signed::headers('POST', '/echo', body => 'hello');
[$good, $good, $good, t::Signed::headers('POST', '/echo')]
--- error_code eval
[200, 401, 401, 401]
--- error_log
anti-tamper refused the request: digest: the body is not the one that was signed
anti-tamper refused the request: uncovered: no digest of the body is signed



=== TEST 6: body_digest: if_present
--- conf
{ body_digest: if_present }
--- pipelined_requests eval
["POST /echo\nhello", "POST /echo\nhellO"]
--- more_headers eval
[t::Signed::headers('POST', '/echo'), t::Signed::headers('POST', '/echo', body => 'hello')]
--- error_code eval
[200, 401]
--- error_log
anti-tamper refused the request: digest



=== TEST 7: max_body_size
--- conf
{ max_body_size: 4 }
--- request
POST /echo
hello
--- more_headers eval
t::Signed::headers('POST', '/echo', body => 'hello')
--- error_code: 413
--- response_body
{"message":"request size 5 is greater than the maximum size 4 allowed"}
--- error_log
anti-tamper refused the request: too_large



=== TEST 8: a large body goes to a file and is checked there
--- conf
{}
--- pipelined_requests eval
["POST /echo\n" . "x" x 3000000, "POST /echo\n" . "x" x 2999999 . "y"]
--- more_headers eval
my $good = t::Signed::headers('POST', '/echo', body => 'x' x 3000000);
[$good, $good]
--- error_code eval
[200, 401]
--- error_log
buffered to a temporary file
anti-tamper refused the request: digest



=== TEST 9: required_components
--- conf
{ required_components: ["@method", "@target-uri", "x-order"] }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 3]
--- more_headers eval
[t::Signed::headers('GET', '/hello', fields => { 'x-order' => '7' }),
 t::Signed::headers('GET', '/hello'),
 t::Signed::headers('GET', '/hello', fields => { 'x-order' => '7' }, list => ['@method', '@path', '@query', 'x-order'])]
--- error_code eval
[200, 401, 401]
--- error_log
uncovered: x-order is not signed
uncovered: @authority is not signed



=== TEST 10: algorithms: named wrongly, not allowed
--- conf
{ algorithms: [ed25519] }
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
[t::Signed::headers('GET', '/hello'), t::Signed::headers('GET', '/hello', alg => 'ed25519')]
--- error_code eval
[401, 401]
--- error_log
unsupported: algorithm hmac-sha256 is not allowed
bad_signature



=== TEST 11: a tag
--- conf
{ tag: mine }
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[t::Signed::headers('GET', '/hello', tag => 'mine'), t::Signed::headers('GET', '/hello', tag => 'other'),
 t::Signed::headers('GET', '/hello')]
--- error_code eval
[200, 401, 401]
--- error_log
no signature with the wanted label or tag



=== TEST 12: hide_credentials
--- conf
{ hide_credentials: true }
--- request
GET /echo
--- more_headers eval
t::Signed::headers('GET', '/echo')
--- response_headers
Signature:
Signature-Input:
X-Consumer-Username: jack



=== TEST 13: stream: right, wrong in the first byte, in the last, chunked, empty
--- conf
{ body: stream }
--- pipelined_requests eval
["POST /echo\nhello", "POST /echo\nhello world"]
--- more_headers eval
[map { t::Signed::headers('POST', '/echo', body => $_) } 'hello', 'hello world']
--- response_body eval
["hello", "hello world"]
--- error_code eval
[200, 200]



=== TEST 14: stream: a body that is wrong is not seen whole
--- conf
{ body: stream }
--- request
POST /echo
hellO
--- more_headers eval
t::Signed::headers('POST', '/echo', body => 'hello')
--- error_code: 401
--- response_body
{"message":"client request can't be validated"}
--- error_log
the body is not the one that was signed



=== TEST 15: stream: in pieces and chunks
--- conf
{ body: stream }
--- raw_request eval
["POST /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" . (t::Signed::headers('POST', '/hello', body => 'hello world') =~ s/\n/\r\n/gr) . "\r\n\r\n", "5\r\nhello\r\n", "1\r\n \r\n", "5\r\nworld\r\n0\r\n\r\n"]
--- response_body
hello world



=== TEST 16: stream: chunks that are wrong
--- conf
{ body: stream, rejected_code: 400 }
--- raw_request eval
["POST /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n" . (t::Signed::headers('POST', '/hello', body => 'hello world') =~ s/\n/\r\n/gr) . "\r\n\r\n", "5\r\nhello\r\n", "1\r\n \r\n", "5\r\nworlD\r\n0\r\n\r\n"]
--- error_code: 400
--- error_log
the body is not the one that was signed



=== TEST 17: stream: nothing where something was signed
--- conf
{ body: stream }
--- pipelined_requests eval
["POST /echo", "POST /echo"]
--- more_headers eval
[t::Signed::headers('POST', '/echo', body => 'hello'), t::Signed::headers('POST', '/echo', body => '')]
--- error_code eval
[401, 200]
--- error_log
digest: the body is not the one that was signed



=== TEST 18: confs that are refused
--- conf
{ body: stream, body_digest: if_present }
--- request
GET /hello
--- error_code: 404
--- error_log
body: stream needs body_digest: required and no allow_unsigned_payload



=== TEST 19: a consumer without any key
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      anti-tamper:
        key_id: k1
routes:
  - uri: "/hello"
    plugins:
      anti-tamper: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
t::Signed::headers('GET', '/hello')
--- error_code: 401
--- error_log
one of secret_key, public_key and keys is required
anti-tamper refused the request: unknown_key



=== TEST 20: answers are signed
--- conf
{ sign_response: { key_id: gw, key: "the secret of the gateway", components: ["@status", "content-type", "content-digest", "@path;req"] } }
--- request
GET /hello
--- more_headers eval
t::Signed::headers('GET', '/hello')
--- response_headers_like
Signature-Input: moongate=\("@status" "content-type" "@path";req\);created=\d+;keyid="gw";alg="hmac-sha256"
Signature: moongate=:[A-Za-z0-9+/]{43}=:



=== TEST 21: globally
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      anti-tamper:
        key_id: k1
        secret_key: "a secret of thirty-two bytes, so"
global_rules:
  - id: 1
    plugins:
      anti-tamper: {}
routes:
  - uri: "/hello"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
[t::Signed::headers('GET', '/hello'), "X: y"]
--- error_code eval
[200, 401]
--- error_log
no Signature-Input
