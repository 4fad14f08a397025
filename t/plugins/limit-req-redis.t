# limit-req: buckets in Redis.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a bucket in Redis
--- redis
6379
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0
        rejected_code: 429
        rejected_msg: slow down
        key: remote_addr
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 429]
--- response_body eval
["hello world\n", "{\"error_msg\":\"slow down\"}\n"]



=== TEST 2: its state has the fields that APISIX reads
--- exec
key=$(redis-cli keys 'limit_req:*')
redis-cli hkeys "$key" | sort
ttl=$(redis-cli ttl "$key")
[ $ttl -gt 0 ] && [ $ttl -le 11 ] && echo ends
# One in ten seconds: it must be known for longer than the burst would take.
sleep 1.5
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/hello
--- response_body
excess
last
ends
429



=== TEST 3: requests above the rate wait
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 4
        burst: 4
        key: remote_addr
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
t=$(date +%s%N)
for i in 1 2 3; do
    curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello
done
took=$((($(date +%s%N) - t) / 1000000))
[ $took -ge 400 ] && [ $took -lt 1500 ] && echo waited || echo "$took ms"
--- response_body
200 200 200 waited



=== TEST 4: nodelay
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 1
        nodelay: true
        rejected_code: 429
        key: remote_addr
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 429]



=== TEST 5: a cluster
--- redis
cluster 7001 7002 7003
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0
        rejected_code: 429
        key: arg_k
        policy: redis-cluster
        redis_cluster_nodes: ["127.0.0.1:7001"]
        redis_cluster_name: c
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[map { ("GET /hello?k=$_") x 2 } "a".."f"]
--- error_code eval
[(200, 429) x 6]



=== TEST 6: sentinels
--- redis
6379
sentinel 26379 main 6379
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 0.1
        burst: 0
        rejected_code: 429
        key: remote_addr
        policy: redis-sentinel
        redis_sentinels: [{host: "127.0.0.1", port: 26379}]
        redis_master_name: main
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 429]



=== TEST 7: no server
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 1
        burst: 0
        key: remote_addr
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6399
        redis_timeout: 200
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
failed to limit req: 127.0.0.1:6399: Connection refused



=== TEST 8: no server, and allow_degradation
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-req:
        rate: 1
        burst: 0
        allow_degradation: true
        key: remote_addr
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6399
        redis_timeout: 200
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_log
failed to limit req: 127.0.0.1:6399: Connection refused
