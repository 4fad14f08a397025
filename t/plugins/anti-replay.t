# anti-replay: requests that were sent before. The store of the process; anti-replay-redis.t
# and t/sign/fleet have Redis.
use t::APISIX 'no_plan';

use t::lib::Replayed;

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

my $OBJECTS = <<'YAML';
consumers:
  - username: jack
    plugins:
      anti-replay:
        key_id: k1
        secret_key: "a secret of thirty-two bytes, so"
      hmac-auth:
        key_id: h1
        secret_key: my-secret-key
  - username: rose
    plugins:
      anti-replay:
        key_id: k2
        secret_key: "a secret of thirty-two bytes, so"
routes:
  - uri: "/hello"
    plugins:
      anti-replay:
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

=== TEST 1: once
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 4]
--- more_headers eval
my ($one, $two) = map { t::lib::Replayed::headers(nonce => "nonce-number-000$_") } 1, 2;
[$one, $one, $two, $one]
--- error_code eval
[200, 401, 200, 401]
--- response_body eval
["hello world\n", "{\"message\":\"client request can't be validated\"}\n", "hello world\n"]
--- error_log
anti-replay refused the request: replay: key k1 sent it before



=== TEST 2: the same number signed anew is no new one
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 2]
--- more_headers eval
[map { t::lib::Replayed::headers(nonce => 'the-same-number-1', offset => $_) } 0, -1]
--- error_code eval
[200, 401]
--- error_log
replay: key k1



=== TEST 3: another key has its own numbers
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 2]
--- more_headers eval
[map { t::lib::Replayed::headers(nonce => 'the-same-number-2', key => $_) } 'k1', 'k2']
--- error_code eval
[200, 200]



=== TEST 4: who is not authentic uses no number up
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 2]
--- more_headers eval
[t::lib::Replayed::headers(nonce => 'the-same-number-3', secret => 'wrong'),
 t::lib::Replayed::headers(nonce => 'the-same-number-3')]
--- error_code eval
[401, 200]
--- error_log
anti-replay refused the request: bad_signature



=== TEST 5: no number, too short, too long, odd
--- conf
{}
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 4]
--- more_headers eval
[t::lib::Replayed::headers(), t::lib::Replayed::headers(nonce => 'short'),
 t::lib::Replayed::headers(nonce => 'x' x 129), t::lib::Replayed::headers(nonce => 'sixteen chars or so more')]
--- error_code eval
[401, 401, 401, 401]
--- error_log
anti-replay refused the request: missing: no nonce
anti-replay refused the request: malformed: the nonce is too short



=== TEST 6: the signed text where there is no number
--- conf
{ require_nonce: false }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 3]
--- more_headers eval
my $one = t::lib::Replayed::headers(offset => -7);
[$one, $one, t::lib::Replayed::headers(offset => -8)]
--- error_code eval
[200, 401, 200]
--- error_log
replay: key k1



=== TEST 7: a number in a field, which must be signed
--- conf
{ nonce_header: X-Nonce }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 3]
--- more_headers eval
my $one = t::lib::Replayed::headers(field => 'number-in-a-field');
[$one, $one, t::lib::Replayed::headers() . "\nX-Nonce: number-in-a-field2"]
--- error_code eval
[200, 401, 401]
--- error_log
replay: key k1
uncovered: the field X-Nonce is not signed



=== TEST 8: time
--- conf
{ window: 10, future_skew: 2 }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 3]
--- more_headers eval
[map { t::lib::Replayed::headers(nonce => "number-of-a-time$_", offset => $_) } -15, 8, -3]
--- error_code eval
[401, 401, 200]
--- error_log
anti-replay refused the request: skew



=== TEST 9: what a repeat is answered
--- conf
{ rejected_code: 409, rejected_msg: "sent before" }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 2]
--- more_headers eval
my $one = t::lib::Replayed::headers(nonce => 'number-of-an-answer');
[$one, $one]
--- error_code eval
[200, 409]
--- response_body eval
["hello world\n", "{\"message\":\"sent before\"}\n"]
--- error_log
replay: key k1



=== TEST 10: behind anti-tamper its claim is used
--- apisix_yaml
consumers:
  - username: jack
    plugins:
      anti-tamper:
        key_id: k1
        secret_key: "a secret of thirty-two bytes, so"
routes:
  - uri: "/hello"
    plugins:
      anti-tamper: {}
      anti-replay: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 3]
--- more_headers eval
my $one = t::lib::Replayed::headers(nonce => 'number-behind-another');
[$one, $one, t::lib::Replayed::headers(nonce => 'number-behind-another', secret => 'wrong')]
--- error_code eval
[200, 401, 401]
--- error_log
anti-replay refused the request: replay
anti-tamper refused the request: bad_signature



=== TEST 11: all workers know
--- conf
{}
--- workers: 2
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 8]
--- more_headers eval
my $one = t::lib::Replayed::headers(nonce => 'number-for-all-workers');
[map { $one } 1 .. 8]
--- error_code eval
[200, (401) x 7]
--- error_log
replay: key k1



=== TEST 12: a policy whose server is not told
--- conf
{ policy: redis }
--- request
GET /hello
--- error_code: 404
--- error_log
redis_host



=== TEST 13: a server that is not there: 503, or on_error
--- conf
{ policy: redis, redis_host: 127.0.0.1, redis_port: 1, redis_timeout: 100 }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 2]
--- more_headers eval
my $one = t::lib::Replayed::headers(nonce => 'number-without-server');
[$one, $one]
--- error_code eval
[503, 503]
--- response_headers eval
["Retry-After: 1"]
--- error_log
anti-replay refused the request: store:



=== TEST 14: on_error: allow stops repeats at the same gateway
--- conf
{ policy: redis, redis_host: 127.0.0.1, redis_port: 1, redis_timeout: 100, on_error: allow }
--- pipelined_requests eval
[map { "GET /hello" } 1 .. 2]
--- more_headers eval
my $one = t::lib::Replayed::headers(nonce => 'number-without-server2');
[$one, $one]
--- error_code eval
[200, 401]
--- error_log
anti-replay cannot tell whether the request is a repeat
replay: key k1
