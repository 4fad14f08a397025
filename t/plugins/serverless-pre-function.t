# serverless-pre-function: Lua functions from the configuration.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no functions
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "functions" is required



=== TEST 2: an empty list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions: []
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "functions" validation failed



=== TEST 3: a phase that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: init
        functions:
          - "return function() end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "phase" validation failed



=== TEST 4: a text that does not parse
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function("
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to loadstring



=== TEST 5: a text that raises
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "error('no way')"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
pcall error



=== TEST 6: a text that is no function
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return 5"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
only accept Lua function, the input code type is number



=== TEST 7: a function runs, the upstream answers
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function(conf, ctx) ngx.log(ngx.WARN, 'seen ', ctx.var.uri, ' in ', conf.phase) end"
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
seen /hello in access



=== TEST 8: a status is the answer
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function() return 418 end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 418



=== TEST 9: status and body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function() return 201, {a = 1} end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 201
--- response_body
{"a":1}



=== TEST 10: the first that answers ends the list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function() ngx.log(ngx.WARN, 'one') end"
          - "return function() return 200, 'two' end"
          - "return function() error('three') end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body_like
^two$
--- error_log
one



=== TEST 11: what a function closes over lasts
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "local n = 0 return function() n = n + 1 return 200, tostring(n) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 200]
--- response_body eval
["1", "2", "3"]



=== TEST 12: rewrite
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: rewrite
        functions:
          - "return function(_, ctx) ngx.req.set_uri('/hello1') ctx.var.upstream_uri = '/hello1' end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello1 world



=== TEST 13: header_filter
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: header_filter
        functions:
          - "return function() ngx.header['X-Mine'] = 'yes' end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
X-Mine: yes



=== TEST 14: body_filter
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: body_filter
        functions:
          - "return function() if ngx.arg[1] then ngx.arg[1] = ngx.arg[1]:upper() end end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
HELLO WORLD



=== TEST 15: log
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: log
        functions:
          - "return function(_, ctx) ngx.log(ngx.WARN, 'status ', ngx.status, ' of ', ctx.route_id) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_log
status 200 of



=== TEST 16: before_proxy
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: before_proxy
        functions:
          - "return function(_, ctx) ngx.log(ngx.WARN, 'before the proxy') end"
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
before the proxy



=== TEST 17: an error is a 500 and names itself
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function() local t = nil; return t.x end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
attempt to index local 't' (a nil value)



=== TEST 18: hostile input goes through as text
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        functions:
          - "return function(_, ctx) return 200, tostring(#(ctx.var.http_x or '')) .. tostring(ctx.var.arg_a) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"GET /hello?a=%00%ff"
--- more_headers eval
"X: " . ("b" x 6000)
--- response_body_like
^6000



=== TEST 19: an error of rewrite is not taken for one of access
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: rewrite
        functions:
          - "return function() error('early') end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
plugin serverless-pre-function failed in rewrite



=== TEST 20: an error of access after rewrite ran is one of access
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: /hello
      serverless-pre-function:
        phase: access
        functions:
          - "return function() error('late') end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
plugin serverless-pre-function failed in access
