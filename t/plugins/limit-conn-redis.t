# limit-conn: requests at the same time, counted in Redis.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: two run, one is refused
--- redis
6379
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      limit-conn:
        conn: 1
        burst: 1
        default_conn_delay: 0.1
        rejected_code: 429
        rejected_msg: too many
        key: remote_addr
        policy: redis
        redis_host: 127.0.0.1
        key_ttl: 20
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
for i in 1 2 3; do
    curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/sleep1 &
done
sleep 0.5
key=$(redis-cli keys 'limit_conn:*')
redis-cli zcard "$key"
wait
sleep 0.2
redis-cli zcard "$key"
--- response_body
429
2
200
200
0



=== TEST 2: a gateway that died is forgotten
--- exec
redis-cli zadd x 1 a >/dev/null
curl -s -o /dev/null http://127.0.0.1:1984/sleep1 &
sleep 0.5
key=$(redis-cli keys 'limit_conn:*')
wait
redis-cli zadd "$key" 1 dead-one 2 dead-two >/dev/null
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/sleep1
sleep 0.2
redis-cli zcard "$key"
--- response_body
200
0



=== TEST 3: the second one waits
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/sleep1 &
sleep 0.3
curl -s -o /dev/null -w '%{http_code} %{time_total}\n' http://127.0.0.1:1984/sleep1
wait
--- response_body_like: ^200 1\.[1-9]



=== TEST 4: rules
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      limit-conn:
        default_conn_delay: 0.1
        rejected_code: 429
        policy: redis
        redis_host: 127.0.0.1
        rules:
          - {conn: 1, burst: 0, key: "${arg_user}"}
          - {conn: "${arg_n ?? 5}", burst: 0, key: "${remote_addr}"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null "http://127.0.0.1:1984/sleep1?user=a" &
sleep 0.3
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:1984/hello?user=a"
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:1984/hello?user=b&n=1"
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:1984/hello?user=b"
wait
--- response_body
429
429
200



=== TEST 5: a cluster
--- redis
cluster 7001 7002 7003
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
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
--- exec
for k in a b c d; do curl -s -o /dev/null "http://127.0.0.1:1984/sleep1?k=$k" & done
sleep 0.4
for k in a b c d; do
    curl -s -o /dev/null -w '%{http_code} ' "http://127.0.0.1:1984/hello?k=$k"
done
wait
for k in a b c d; do
    curl -s -o /dev/null -w '%{http_code} ' "http://127.0.0.1:1984/hello?k=$k"
done
echo
--- response_body
429 429 429 429 200 200 200 200 



=== TEST 6: sentinels
--- redis
6379
sentinel 26379 main 6379
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
        key: remote_addr
        policy: redis-sentinel
        redis_sentinels: [{host: "127.0.0.1", port: 26379}]
        redis_master_name: main
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello



=== TEST 7: no server
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
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
failed to limit conn: 127.0.0.1:6399: Connection refused



=== TEST 8: no server, and allow_degradation
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      limit-conn:
        conn: 1
        burst: 0
        default_conn_delay: 0.1
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
failed to limit conn: 127.0.0.1:6399: Connection refused
