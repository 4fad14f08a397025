# anti-replay with Redis behind it. The process stops a repeat by itself, so that Redis is seen
# at work where a new process meets a number that an older one let in: a block with a `conf` has
# a process of its own, the servers go on.
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
routes:
  - uri: "/hello"
    plugins:
      anti-replay: { %s }
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
YAML

# `send` has numbers to send in their order, `ask` a shell script where `send NUMBER` prints the
# status. A time-out is in the conf unless it has one.
add_block_preprocessor(sub {
    my ($block) = @_;
    my $conf = $block->conf;
    if (defined $conf) {
        chomp $conf;
        $conf .= ', redis_timeout: 500' if $conf !~ /timeout/;
        $block->set_value(apisix_yaml => sprintf $OBJECTS, $conf);
    }
    my @numbers = split ' ', $block->send || '';
    if (@numbers) {
        $block->set_value(pipelined_requests => [map { 'GET /hello' } @numbers]);
        $block->set_value(more_headers => [
            map { t::lib::Replayed::headers(nonce => "number-in-redis-$_") } @numbers]);
    }
    my $ask = $block->ask;
    if (defined $ask) {
        my $cases = join '', map {
            my $options = t::lib::Replayed::curl_options(nonce => "number-in-redis-$_");
            "$_) set -- $options ;;\n" =~ s/-H '([^']*)'/-H '$1'/gr
        } $ask =~ /\bsend (\w+)/g;
        $block->set_value(exec => "send() {\ncase \$1 in\n${cases}esac\n"
            . "curl -s -o /dev/null -w '%{http_code}\\n' \"\$@\" http://127.0.0.1:1984/hello\n}\n"
            . "key_of() { redis-cli -p \$1 --scan --pattern 'replay:*'; }\n$ask");
    }
});

run_tests;

__DATA__

=== TEST 1: one server: a number is taken once
--- redis
6379
--- conf
policy: redis, redis_host: 127.0.0.1
--- send: a b a
--- error_code eval
[200, 200, 401]



=== TEST 2: and the next process knows it
--- conf
policy: redis, redis_host: 127.0.0.1
--- send: a c b
--- error_code eval
[401, 200, 401]
--- error_log
anti-replay refused the request: replay: key k1 sent it before



=== TEST 3: the key tells nothing, and goes five seconds after the request is too old
--- conf
policy: redis, redis_host: 127.0.0.1, window: 100, key_prefix: other
--- ask
send d
key=$(redis-cli --scan --pattern 'other:*')
echo $key | sed 's/[0-9a-f]\{64\}$/DIGEST/'
redis-cli get $key | sed 's/^[0-9a-f]\{32\}$/TOKEN/'
ttl=$(redis-cli pttl $key)
[ $ttl -gt 103000 ] && [ $ttl -le 106000 ] && echo in time || echo $ttl
--- response_body
200
other:DIGEST
TOKEN
in time



=== TEST 4: a cluster: each number once, whichever node has it
--- redis
cluster 7001 7002 7003
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7002"], redis_cluster_name: c
--- send: a b c d e f g h i j k l a l
--- error_code eval
[(200) x 12, 401, 401]



=== TEST 5: and the next process knows them, from another node
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7003"], redis_cluster_name: c
--- send: a b c d e f g h i j k l m
--- error_code eval
[(401) x 12, 200]
--- error_log
replay: key k1 sent it before



=== TEST 6: they are on all nodes
--- exec
for port in 7001 7002 7003; do
    [ $(redis-cli -p $port dbsize) -gt 0 ] && echo some
done
redis-cli -p 7001 --cluster call 127.0.0.1:7001 dbsize | awk '/^127/ { n += $2 } END { print n }'
--- response_body
some
some
some
13



=== TEST 7: a cluster none of whose nodes is there
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7098", "127.0.0.1:7099"], redis_cluster_name: d
--- send: a a
--- error_code eval
[503, 503]
--- error_log
anti-replay refused the request: store: cluster node 127.0.0.1:7099: 127.0.0.1:7099: Connection refused



=== TEST 8: the master that sentinels name
--- redis
6381
sentinel 26381 main 6381
--- conf
policy: redis-sentinel, redis_sentinels: [{host: "127.0.0.1", port: 26381}], redis_master_name: main
--- send: a a
--- error_code eval
[200, 401]



=== TEST 9: and what the master knows
--- conf
policy: redis-sentinel, redis_sentinels: [{host: "127.0.0.1", port: 26381}], redis_master_name: main
--- send: a b
--- error_code eval
[401, 200]
--- error_log
replay: key k1 sent it before



=== TEST 10: TLS, with the certificate checked
--- redis
6390 tls
--- extra_yaml_config
apisix:
    node_listen: 1984
    ssl:
        ssl_trusted_certificate: $TEST_NGINX_SERVROOT/../redis/ca.pem
--- conf
policy: redis, redis_host: localhost, redis_port: 6390, redis_ssl: true, redis_ssl_verify: true
--- send: a a
--- error_code eval
[200, 401]



=== TEST 11: TLS, not checked: the next process knows the number
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6390, redis_ssl: true
--- send: a b
--- error_code eval
[401, 200]
--- error_log
replay: key k1 sent it before



=== TEST 12: TLS, by an authority that is not trusted
--- conf
policy: redis, redis_host: localhost, redis_port: 6390, redis_ssl: true, redis_ssl_verify: true
--- send: c
--- error_code eval
[503]
--- error_log
anti-replay refused the request: store: localhost:6390: invalid peer certificate: UnknownIssuer



=== TEST 13: a server that speaks TLS only, asked without
--- conf
policy: redis, redis_host: localhost, redis_port: 6390
--- send: c
--- error_code eval
[503]
--- error_log
anti-replay refused the request: store:



=== TEST 14: a user with just the rights that it takes
--- redis
6382 user default off ; user app on >secret ~replay:* +set +ping
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6382, redis_username: app, redis_password: secret
--- send: a a
--- error_code eval
[200, 401]



=== TEST 15: the same user, the next process
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6382, redis_username: app, redis_password: secret
--- send: a b
--- error_code eval
[401, 200]
--- error_log
replay: key k1 sent it before



=== TEST 16: the wrong password
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6382, redis_username: app, redis_password: other
--- send: c c
--- error_code eval
[503, 503]
--- response_body eval
["{\"message\":\"try again later\"}\n", "{\"message\":\"try again later\"}\n"]
--- error_log
anti-replay refused the request: store: 127.0.0.1:6382: Password authentication failed



=== TEST 17: the wrong password, and on_error: allow
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6382, redis_username: app, redis_password: other, on_error: allow
--- send: c c
--- error_code eval
[200, 401]
--- error_log
anti-replay cannot tell whether the request is a repeat: 127.0.0.1:6382: Password authentication



=== TEST 18: no password where one is needed
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6382
--- send: d
--- error_code eval
[503]
--- error_log
anti-replay refused the request: store: NOAUTH



=== TEST 19: a user who may not write these keys
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6382, redis_username: app, redis_password: secret, key_prefix: mine
--- send: d
--- error_code eval
[503]
--- error_log
anti-replay refused the request: store: NOPERM



=== TEST 20: a server before 7 gets a script instead
--- redis
6383
old 6393 6383
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6393
--- send: a b a
--- error_code eval
[200, 200, 401]



=== TEST 21: which the next process meets as well, after one try of SET
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6393
--- send: a b c
--- error_code eval
[401, 401, 200]
--- error_log
replay: key k1 sent it before



=== TEST 22: each process asked for it once, and the keys go by themselves
--- exec
sort $TEST_NGINX_SERVROOT/../redis/6393/log | uniq -c | tr -s ' '
for key in $(redis-cli -p 6383 --scan --pattern 'replay:*'); do
    ttl=$(redis-cli -p 6383 pttl $key)
    [ $ttl -gt 300000 ] && [ $ttl -le 307000 ] && echo in time || echo $ttl
done
--- response_body
 5 EVAL
 2 SET
in time
in time
in time



=== TEST 23: a server whose answer is lost has taken the number for the one who asks again
--- redis
6384
lossy 6394 6384
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6394
--- ask
send a
# Two connections lost within a second would keep it from asking for a moment.
sleep 1.1
send b; send a; redis-cli -p 6384 dbsize
cat $TEST_NGINX_SERVROOT/../redis/6394/log
--- response_body
200
200
401
2
SET
SET
SET
SET



=== TEST 24: replicas are waited for
--- redis
6385
6386 replicaof 127.0.0.1 6385 ; repl-diskless-sync-delay 0
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6385, redis_wait_replicas: 1, redis_wait_ms: 4000, redis_timeout: 8000
--- ask
for i in $(seq 100); do
    [ "$(printf 'set x 1\nwait 1 500\ndel x\n' | redis-cli -p 6385 | sed -n 2p)" = 1 ] && break
done
send a
redis-cli -p 6386 dbsize
send a
--- timeout: 20
--- response_body
200
1
401



=== TEST 25: too few of them: nobody gets in, and the number is new again
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6385, redis_wait_replicas: 2, redis_wait_ms: 50, redis_timeout: 8000
--- ask
send b; send b
sleep 0.1
redis-cli -p 6385 dbsize
--- response_body
503
503
1
--- error_log
anti-replay refused the request: store: 1 of 2 replicas have it



=== TEST 26: unless it is somebody else's by then
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6385, redis_wait_replicas: 2, redis_wait_ms: 1500, redis_timeout: 8000
--- ask
before=$(key_of 6385)
send c &
sleep 0.2
key=$(key_of 6385 | grep -v "$before")
redis-cli -p 6385 set $key other >/dev/null
wait
sleep 0.1
redis-cli -p 6385 get $key
redis-cli -p 6385 del $key
--- response_body
503
other
1
--- error_log
store: 1 of 2 replicas have it



=== TEST 27: with on_error: allow who got in has used the number up
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6385, redis_wait_replicas: 2, redis_wait_ms: 50, redis_timeout: 8000, on_error: allow
--- send: d
--- error_code eval
[200]
--- error_log
anti-replay cannot tell whether the request is a repeat: 1 of 2 replicas have it



=== TEST 28: as another process finds out
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6385
--- send: d
--- error_code eval
[401]
--- error_log
replay: key k1 sent it before



=== TEST 29: waiting for replicas after a lost answer
--- redis
lossy 6395 6385
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6395, redis_wait_replicas: 1, redis_wait_ms: 400, redis_timeout: 1000
--- ask
send e; send e
cat $TEST_NGINX_SERVROOT/../redis/6395/log
--- response_body
200
401
SET
SET



=== TEST 30: waiting for more than there are after a lost answer
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6395, redis_wait_replicas: 2, redis_wait_ms: 50, redis_timeout: 1000
--- send: f
--- error_code eval
[503]
--- error_log
store: 1 of 2 replicas have it



=== TEST 31: a user who may not wait
--- redis
6387 user app on >secret ~replay:* +set +ping
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6387, redis_username: app, redis_password: secret, redis_wait_replicas: 1
--- send: a
--- error_code eval
[503]
--- error_log
anti-replay refused the request: store: NOPERM



=== TEST 32: the database
--- conf
policy: redis, redis_host: 127.0.0.1, redis_port: 6384, redis_database: 3
--- ask
send a; redis-cli -p 6384 -n 3 dbsize
--- response_body
200
1



=== TEST 33: a cluster that speaks TLS
--- redis
cluster 7011 7012 7013 tls
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7011"], redis_cluster_name: t, redis_cluster_ssl: true
--- send: a b c d e f a f
--- error_code eval
[(200) x 6, 401, 401]



=== TEST 34: and the next process
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7013"], redis_cluster_name: t, redis_cluster_ssl: true
--- send: a b c d e f g
--- error_code eval
[(401) x 6, 200]
--- error_log
replay: key k1 sent it before



=== TEST 35: the same with its certificate checked, which is for another name
--- extra_yaml_config
apisix:
    node_listen: 1984
    ssl:
        ssl_trusted_certificate: $TEST_NGINX_SERVROOT/../redis/ca.pem
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7011"], redis_cluster_name: t, redis_cluster_ssl: true, redis_cluster_ssl_verify: true
--- send: h
--- error_code eval
[503]
--- error_log
invalid peer certificate: certificate not valid for name "127.0.0.1"



=== TEST 36: waiting for replicas in a cluster that has none
--- conf
policy: redis-cluster, redis_cluster_nodes: ["127.0.0.1:7001"], redis_cluster_name: c, redis_wait_replicas: 1
--- ask
count() {
    for port in 7001 7002 7003; do redis-cli -p $port dbsize; done | awk '{ n += $1 } END { print n }'
}
before=$(count)
send n; send n
sleep 0.1
echo $(($(count) - before))
--- response_body
503
503
0
--- error_log
store: 0 of 1 replicas have it
