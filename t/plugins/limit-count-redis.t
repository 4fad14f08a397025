# limit-count: counters in Redis.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a window in Redis, with the headers of one here
--- redis
6379
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        rejected_msg: slow down
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
--- response_headers eval
["X-RateLimit-Limit: 2\nX-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 0"]
--- response_body eval
["hello world\n", "hello world\n", "{\"error_msg\":\"slow down\"}\n"]



=== TEST 2: the counter holds what was used and ends with the window
--- exec
key=$(redis-cli keys 'plugin-limit-count:v1:*:127.0.0.1')
redis-cli get "$key"
left=$(redis-cli pttl "$key")
[ "$left" -gt 0 ] && [ "$left" -le 60000 ] && echo ends
--- response_body
3
ends



=== TEST 3: another gateway goes on with the same counter
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        rejected_msg: slow down
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 429



=== TEST 4: a script that the server forgot is sent anew
--- exec
redis-cli script flush >/dev/null
redis-cli flushall >/dev/null
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/hello
redis-cli --raw info stats | grep -c 'evicted_scripts\|errorstat_NOSCRIPT'
redis-cli --raw info errorstats | grep -c NOSCRIPT
--- response_body_like: ^200



=== TEST 5: a sliding window
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 86400
        window_type: sliding
        rejected_code: 429
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
--- response_headers eval
["X-RateLimit-Remaining: 1", "X-RateLimit-Remaining: 0", "X-RateLimit-Remaining: 0"]



=== TEST 6: what the window before used counts for its part
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 10
        time_window: 2
        window_type: sliding
        rejected_code: 429
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
# Begin early in a window, fill it, and ask early in the next one.
sleep $(awk "BEGIN { print 2.05 - ($(date +%s.%N) % 2) }")
for i in 1 2 3 4 5 6 7 8 9 10 11; do
    curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello
done
sleep $(awk "BEGIN { print 2.4 - ($(date +%s.%N) % 2) }")
for i in 1 2 3 4 5 6; do
    curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello
done
--- timeout: 15
--- response_body_like: ^(200 ){10}429 (200 ){1,3}(429 ){3,5}$



=== TEST 7: a group of routes shares a counter
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        group: g
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        group: g
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1", "GET /hello"]
--- error_code eval
[200, 200, 429]



=== TEST 8: a group must agree on its Redis
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        group: g
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        group: g
        policy: redis
        redis_host: 127.0.0.2
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello1
--- error_code: 404
--- error_log
group conf mismatched



=== TEST 9: rules, each with its counter and headers
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        rejected_code: 429
        policy: redis
        redis_host: 127.0.0.1
        rules:
          - {count: 1, time_window: 60, key: "${arg_user}"}
          - {count: "${arg_most ?? 2}", time_window: 60, key: "${remote_addr}", header_prefix: all}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?user=a", "GET /hello?user=b", "GET /hello?user=a", "GET /hello?user=c"]
--- error_code eval
[200, 200, 429, 429]
--- response_headers eval
["X-1-RateLimit-Remaining: 0\nX-all-RateLimit-Remaining: 1", "X-all-RateLimit-Remaining: 0", "X-1-RateLimit-Remaining: 0", "X-all-RateLimit-Remaining: 0"]



=== TEST 10: a user of the access control list, a password, a database
--- redis
6380 user limits on >secret ~* +@all ; user default off
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        rejected_code: 429
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6380
        redis_username: limits
        redis_password: secret
        redis_database: 3
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 429]



=== TEST 11: a wrong password
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6380
        redis_username: limits
        redis_password: wrong
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- response_body
{"error_msg":"failed to limit count"}
--- error_log
failed to limit count: 127.0.0.1:6380: Password authentication failed



=== TEST 12: no server
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
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
--- response_body
{"error_msg":"failed to limit count"}
--- error_log
failed to limit count: 127.0.0.1:6399: Connection refused



=== TEST 13: no server, and allow_degradation
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        allow_degradation: true
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6399
        redis_timeout: 200
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 200]
--- error_log
failed to limit count: 127.0.0.1:6399: Connection refused



=== TEST 14: a server that does not answer costs no more than the deadline
--- redis
6381
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6381
        redis_timeout: 300
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
pid=$(redis-cli -p 6381 info server | tr -d '\r' | sed -n 's/^process_id://p')
curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello
kill -STOP $pid
t=$(date +%s%N)
curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello
took=$((($(date +%s%N) - t) / 1000000))
kill -CONT $pid
[ $took -ge 290 ] && [ $took -lt 700 ] && echo in time || echo "$took ms"
--- response_body
200 500 in time
--- error_log
timeout: no answer within 300 ms



=== TEST 15: a server without memory says so
--- redis
6382 maxmemory 1 ; maxmemory-policy noeviction
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 1
        time_window: 60
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6382
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
failed to limit count: OOM command not allowed



=== TEST 16: a cluster
--- redis
cluster 7001 7002 7003
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        key: arg_k
        policy: redis-cluster
        redis_cluster_nodes: ["127.0.0.1:7001", "127.0.0.1:7002"]
        redis_cluster_name: c
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[map { ("GET /hello?k=$_") x 3 } "a".."h"]
--- error_code eval
[(200, 200, 429) x 8]



=== TEST 17: the keys are on all of its nodes
--- exec
for port in 7001 7002 7003; do
    [ $(redis-cli -p $port dbsize) -gt 0 ] && echo some
done
--- response_body
some
some
some



=== TEST 18: a sliding window in a cluster
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 86400
        window_type: sliding
        rejected_code: 429
        key: arg_k
        policy: redis-cluster
        redis_cluster_nodes: ["127.0.0.1:7003"]
        redis_cluster_name: c
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[map { ("GET /hello?k=$_") x 3 } "a".."h"]
--- error_code eval
[(200, 200, 429) x 8]



=== TEST 19: a master that sentinels name
--- redis
6379
sentinel 26379 main 6379
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        policy: redis-sentinel
        redis_sentinels: [{host: "127.0.0.1", port: 26399}, {host: "127.0.0.1", port: 26379}]
        redis_master_name: main
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 429]



=== TEST 20: a master that no sentinel knows
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        policy: redis-sentinel
        redis_sentinels: [{host: "127.0.0.1", port: 26379}]
        redis_master_name: other
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
failed to limit count: sentinel 127.0.0.1:26379: it knows no master named other



=== TEST 21: replicas are not asked
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        policy: redis-sentinel
        redis_sentinels: [{host: "127.0.0.1", port: 26379}]
        redis_master_name: main
        redis_role: slave
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
redis_role slave is not supported



=== TEST 22: delayed sync: Redis learns it after the interval
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 5
        time_window: 60
        rejected_code: 429
        sync_interval: 0.3
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
redis-cli flushall >/dev/null
for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello; done
key=$(redis-cli keys 'plugin-limit-count:v1:*')
redis-cli get "$key" | tr '\n' ' '
sleep 0.6
redis-cli get "$key" | tr '\n' ' '
# Another gateway used the rest.
redis-cli incrby "$key" 1 >/dev/null
curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello
sleep 0.6
curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/hello
--- response_body
200 200 200 1 3 200 429



=== TEST 23: delayed sync: nobody waits for Redis in between
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[429, 429]
--- response_headers eval
["X-RateLimit-Remaining: 0\nX-RateLimit-Limit: 5", "X-RateLimit-Remaining: 0"]



=== TEST 24: delayed sync without a server: this process holds the limit by itself
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 2
        time_window: 60
        rejected_code: 429
        sync_interval: 0.3
        policy: redis
        redis_host: 127.0.0.1
        redis_port: 6399
        redis_timeout: 200
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 429]
--- error_log
failed to ask Redis for limit-count: 127.0.0.1:6399: Connection refused



=== TEST 25: delayed sync with a sliding window
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 3
        time_window: 86400
        window_type: sliding
        rejected_code: 429
        sync_interval: 0.3
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
redis-cli flushall >/dev/null
for i in 1 2 3 4; do curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello; done
sleep 0.6
redis-cli hvals "$(redis-cli keys 'plugin-limit-count:*:sliding')"
--- response_body
200 200 200 429 3



=== TEST 26: delayed sync of many keys at once
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 5
        time_window: 60
        rejected_code: 429
        key: arg_k
        sync_interval: 0.3
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
redis-cli flushall >/dev/null
for i in $(seq 100); do
    curl -s -o /dev/null "http://127.0.0.1:1984/hello?k=$i" -o /dev/null "http://127.0.0.1:1984/hello?k=$i"
done
sleep 0.8
for key in $(redis-cli keys 'plugin-limit-count:v1:*'); do redis-cli get $key; done | sort | uniq -c
--- timeout: 20
--- response_body_like: ^ *100 2\n$



=== TEST 27: numbers that are none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: "${arg_n ?? 1}"
        time_window: 60
        rejected_code: 429
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?n=x", "GET /hello?n=1.5", "GET /hello?n=0", "GET /hello?n=2"]
--- error_code eval
[500, 500, 500, 200]
--- error_log
resolved value is not a number
resolved value must be an integer, got: 1.5
resolved value must be a positive number, got: 0



=== TEST 28: delayed sync of what came at the end of a sliding window
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      limit-count:
        count: 10
        time_window: 2
        window_type: sliding
        rejected_code: 429
        sync_interval: 1
        policy: redis
        redis_host: 127.0.0.1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
redis-cli flushall >/dev/null
# The window is over when Redis is told of the second and the third.
sleep $(awk "BEGIN { print 3.4 - ($(date +%s.%N) % 2) }")
for i in 1 2 3; do curl -s -o /dev/null -w '%{http_code} ' http://127.0.0.1:1984/hello; done
sleep 1.4
redis-cli hvals "$(redis-cli keys 'plugin-limit-count:*:sliding')" | awk '{ n += $1 } END { print n }'
--- timeout: 20
--- response_body
200 200 200 3
