# log-rotate: rotates access.log and error.log.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: without settings nothing is rotated soon
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 1.2
ls $TEST_NGINX_SERVROOT/logs | grep -c __
--- response_body_like
0
--- no_error_log
[error]



=== TEST 2: a setting that makes no sense
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- extra_yaml_config
plugin_attr:
  log-rotate:
    max_kept: -5
--- request
GET /hello
--- response_body
hello world
--- error_log
invalid plugin_attr of log-rotate



=== TEST 3: by time
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- extra_yaml_config
plugin_attr:
  log-rotate:
    interval: 1
    max_kept: 3
--- exec
rm -f $TEST_NGINX_SERVROOT/logs/*__*
for i in 1 2 3; do curl -s -o /dev/null http://127.0.0.1:1984/hello; sleep 1.1; done
ls $TEST_NGINX_SERVROOT/logs
--- response_body_like
\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d__access\.log.*\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d__error\.log
--- timeout: 10



=== TEST 4: old files go
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- extra_yaml_config
plugin_attr:
  log-rotate:
    interval: 1
    max_kept: 1
--- exec
rm -f $TEST_NGINX_SERVROOT/logs/*__*
for i in 1 2 3 4; do curl -s -o /dev/null http://127.0.0.1:1984/hello; sleep 1.1; done
ls $TEST_NGINX_SERVROOT/logs | grep -c __access.log
--- response_body_like
^[12]$
--- timeout: 10



=== TEST 5: by size
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- extra_yaml_config
plugin_attr:
  log-rotate:
    interval: 3600
    max_size: 2000
--- exec
rm -f $TEST_NGINX_SERVROOT/logs/*__*
for i in $(seq 40); do curl -s -o /dev/null http://127.0.0.1:1984/hello; done
sleep 2.2
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 1.2
ls $TEST_NGINX_SERVROOT/logs | grep -c '__access.log$'
--- response_body_like
^[1-9]
--- timeout: 10



=== TEST 6: compressed
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- extra_yaml_config
plugin_attr:
  log-rotate:
    interval: 1
    enable_compression: true
--- exec
rm -f $TEST_NGINX_SERVROOT/logs/*__*
for i in 1 2 3; do curl -s -o /dev/null http://127.0.0.1:1984/hello; sleep 1.1; done
ls $TEST_NGINX_SERVROOT/logs
--- response_body_like
__access\.log\.(tar\.)?gz
--- timeout: 10



=== TEST 7: no request is lost meanwhile
--- apisix_yaml
routes:
  - uri: "/hello"
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
#END
--- extra_yaml_config
plugin_attr:
  log-rotate:
    interval: 1
    max_kept: 100
--- exec
rm -f $TEST_NGINX_SERVROOT/logs/*__*; : > $TEST_NGINX_SERVROOT/logs/access.log
for i in $(seq 30); do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:1984/hello?mark=$i; sleep 0.1; done | sort | uniq -c
sleep 1.5
cat $TEST_NGINX_SERVROOT/logs/*access.log | grep -c mark=
--- response_body_like
^ +30 200\n30$
--- timeout: 10
