# file-logger: one line of JSON per request in a file.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no path
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        include_req_body: false
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "path" is not set in either the plugin conf or the metadata



=== TEST 2: a path that is a number
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "path" validation failed



=== TEST 3: an expression that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: /tmp/x
        match: [["a", "nope", "b"]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate the 'match' expression



=== TEST 4: a body of no size
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: /tmp/x
        max_req_body_bytes: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "max_req_body_bytes" validation failed



=== TEST 5: a condition on the body that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: /tmp/x
        include_resp_body_expr: [["a", "nope", "b"]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate the 'include_resp_body_expr' expression



=== TEST 6: what a line holds
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello'?a=1' -H 'X-A: b'
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
(?=.*"client_ip":"127\.0\.0\.1")(?=.*"upstream":"127\.0\.0\.1:1980")(?=.*"status":200)(?=.*"x-a":"b")(?=.*"method":"GET")(?=.*"querystring":\{"a":"1"\})(?=.*"latency":)^\{.*\}$
--- no_error_log
[error]



=== TEST 7: one line per request
--- exec
sleep 1.1
curl -s -o /dev/null http://127.0.0.1:1984/hello
curl -s -o /dev/null http://127.0.0.1:1984/hello
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 0.1
wc -l < $TEST_NGINX_SERVROOT/logs/out.log
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
^3\n



=== TEST 8: a format of one's own
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
        log_format: {host: "$host", who: "$remote_addr", k: v, deep: {uri: "$uri"}}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
(?=.*"deep":\{"uri":"/hello"\})(?=.*"k":"v")(?=.*"who":"127\.0\.0\.1")(?=.*"route_id":).*"host":"127\.0\.0\.1"



=== TEST 9: path and format from metadata
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger: {}
    upstream: {type: roundrobin, nodes: {"127.0.0.1:1980": 1}}
plugin_metadata:
  - id: file-logger
    path: $TEST_NGINX_SERVROOT/logs/out.log
    log_format: {only: "$uri"}
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
"only":"/hello"



=== TEST 10: bodies
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
        include_req_body: true
        include_resp_body: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello -d 'the request'
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
(?=.*"body":"hello world\\n").*"body":"the request"



=== TEST 11: bodies are cut
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
        include_req_body: true
        max_req_body_bytes: 3
        include_resp_body: true
        max_resp_body_bytes: 5
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello -d 'the request'
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
(?=.*"body":"hello").*"body":"the"



=== TEST 12: only what matches
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
        match: [[["arg_log", "==", "1"]]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
curl -s -o /dev/null http://127.0.0.1:1984/hello'?log=1'
sleep 0.1
wc -l < $TEST_NGINX_SERVROOT/logs/out.log
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
^1\n



=== TEST 13: hostile values stay inside their line
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
        log_format: {x: "$http_x", u: "$request_uri"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
printf 'GET /hello?\"%%0a HTTP/1.1\r\nHost: a\r\nX: a\"b\\\\\tc\r\nConnection: close\r\n\r\n' | timeout 2 bash -c 'exec 3<>/dev/tcp/127.0.0.1/1984; cat >&3; cat <&3 >/dev/null'
sleep 0.1
wc -l < $TEST_NGINX_SERVROOT/logs/out.log
sleep 0.1
cat $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log
--- response_body_like
^1\n\{



=== TEST 14: a file that cannot be opened
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: /nonexistent/dir/file.log
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world
--- error_log
failed to open file: /nonexistent/dir/file.log



=== TEST 15: a file that was moved away is made anew
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      file-logger:
        path: $TEST_NGINX_SERVROOT/logs/out.log
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- exec
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 0.1
mv $TEST_NGINX_SERVROOT/logs/out.log $TEST_NGINX_SERVROOT/logs/out.log.1
sleep 1.1
curl -s -o /dev/null http://127.0.0.1:1984/hello
sleep 0.1
wc -l < $TEST_NGINX_SERVROOT/logs/out.log
rm -f $TEST_NGINX_SERVROOT/logs/out.log*
--- response_body_like
^1$
