# proxy-rewrite: path, host, method and headers for the upstream.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: a path without a slash
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: "home"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "uri" validation failed: failed to match pattern



=== TEST 2: a path too long
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: "/uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "uri" validation failed: string too long, expected at most 4096, got 4097



=== TEST 3: a host that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        host: "a b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "host" validation failed: failed to match pattern



=== TEST 4: a method that does not exist
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        method: "get"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "method" validation failed: matches none of the enum values



=== TEST 5: an odd number of patterns
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        regex_uri: ['^/a', '/b', '^/c']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
The length of regex_uri should be an even number



=== TEST 6: a pattern that does not compile
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        regex_uri: ['^/test/(.*', '/b']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid regex_uri(^/test/(.*, /b):



=== TEST 7: a header name with a colon
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          set:
            "X:A": "1"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid field character in header



=== TEST 8: a line break in a header
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          X-A: "a\r\nX-B: b"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid value character in header



=== TEST 9: a blank in a header name
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          "X A": "a"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid field character in header



=== TEST 10: an operation that does not exist
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          set:
            X-A: "1"
          drop: ["X-B"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "headers" validation failed



=== TEST 11: a fixed path keeps the query
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: "/new"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /hello", "GET /hello?a=1&a=2"]
--- error_code eval
[200, 200]
--- response_body eval
["GET /new localhost\nnil nil\n", "GET /new?a=1&a=2 localhost\nnil nil\n"]



=== TEST 12: a path with a query of its own
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: "/new?x=1"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /hello", "GET /hello?a=1"]
--- error_code eval
[200, 200]
--- response_body eval
["GET /new?x=1 localhost\nnil nil\n", "GET /new?x=1&a=1 localhost\nnil nil\n"]



=== TEST 13: variables in the path, and their default
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: '/$arg_new_uri/${http_x_c ?? none}$uri'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello?new_uri=n
--- response_body
GET /n/none/hello?new_uri=n localhost
nil nil



=== TEST 14: a question mark in a variable starts no query, and is escaped twice as in APISIX
--- apisix_yaml
routes:
  - uri: "/he*"
    plugins:
      proxy-rewrite:
        uri: '/new$uri'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /he%3Fllo?a=1
--- response_body
GET /new/he%253Fllo?a=1 localhost
nil nil



=== TEST 15: a line break in the path cannot start a header
--- apisix_yaml
routes:
  - uri: "/he*"
    plugins:
      proxy-rewrite:
        uri: '/new?q=$uri'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hi*"
    plugins:
      proxy-rewrite:
        uri: '/new$uri'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /he%0d%0aX-A:%20b", "GET /hi%0d%0aX-A:%20b"]
--- error_code eval
[200, 200]
--- response_body eval
[
    qr/^GET \/new\?q=\/he%0D%0AX-A:%20b localhost
nil nil$/,
    qr/^GET \/new\/hi%0D%0AX-A:%20b localhost
nil nil$/,
]



=== TEST 16: patterns: the first match counts, no match changes nothing
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      proxy-rewrite:
        regex_uri: ['^/test/(.*)/(.*)$', '/$2_$1', '^/test/(.*)$', '/one/$1', '^/test', '/never']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /test/a/b", "GET /test/a", "GET /hello"]
--- error_code eval
[200, 200, 200]
--- response_body eval
[
    "GET /b_a localhost\nnil nil\n",
    "GET /one/a localhost\nnil nil\n",
    "GET /hello localhost\nnil nil\n",
]



=== TEST 17: patterns and the query
--- apisix_yaml
routes:
  - uri: "/test/*"
    plugins:
      proxy-rewrite:
        regex_uri: ['^/test/(.*)', '/new?p=$1']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /test/a", "GET /test/a?q=2"]
--- error_code eval
[200, 200]
--- response_body eval
["GET /new?p=a localhost\nnil nil\n", "GET /new?p=a&q=2 localhost\nnil nil\n"]



=== TEST 18: uri goes before regex_uri
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        uri: /fixed
        regex_uri: ['^/(.*)', '/x/$1']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello
--- response_body
GET /fixed localhost
nil nil



=== TEST 19: captures in headers
--- apisix_yaml
routes:
  - uri: "/test/*"
    plugins:
      proxy-rewrite:
        regex_uri: ['^/test/(.*)/(.*)', '/$2']
        headers:
          X-A: '$1-${2}-$3.'
          X-B: '$uri'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /test/k/v
--- response_body
GET /v localhost
k-v-. /test/k/v



=== TEST 20: the host
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        host: "up.example.com:8080"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello
--- response_body
GET /hello up.example.com:8080
nil nil



=== TEST 21: the method
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        method: POST
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      proxy-rewrite:
        method: OPTIONS
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /hello", "GET /hello1"]
--- error_code eval
[200, 200]
--- response_body eval
["POST /hello localhost\nnil nil\n", "OPTIONS /hello1 localhost\nnil nil\n"]



=== TEST 22: headers, the short form: set, with a variable, a number, empty
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          X-A: "$http_x_c/1"
          X-B: 7
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello
--- more_headers
X-A: old
X-C: c
--- response_body
GET /hello localhost
c/1 7



=== TEST 23: add, set
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          add:
            X-A: "added"
          set:
            X-B: "set"
          remove: ["X-C"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello
--- more_headers
X-A: old
X-B: old
--- response_body
GET /hello localhost
old|added set



=== TEST 24: remove goes last
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          add:
            X-A: "x"
          remove: ["x-a"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello
--- more_headers
X-A: old
--- response_body
GET /hello localhost
nil nil



=== TEST 25: several values
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        headers:
          add:
            X-A: ["1", 2, "$uri"]
          set:
            X-B: ["3", "4"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello
--- more_headers
X-A: 0
X-B: 0
--- response_body
GET /hello localhost
0|1|2|/hello 3|4



=== TEST 26: headers alone leave path and query
--- apisix_yaml
routes:
  - uri: "/he*"
    plugins:
      proxy-rewrite:
        headers:
          X-A: "1"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- pipelined_requests eval
["GET /he%20llo?a=b%20c", "GET /hello?a", "GET /he%3fllo?a"]
--- error_code eval
[200, 200, 200]
--- response_body eval
[
    "GET /he%20llo?a=b%20c localhost\n1 nil\n",
    "GET /hello?a localhost\n1 nil\n",
    "GET /he%3Fllo?a localhost\n1 nil\n",
]



=== TEST 27: the target as the client sent it
--- apisix_yaml
routes:
  - uri: "/*"
    plugins:
      proxy-rewrite:
        use_real_request_uri_unsafe: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /a%2Fb//c?d=%20
--- response_body
GET /a%2Fb//c?d=%20 localhost
nil nil



=== TEST 28: a new path with the query as the client sent it
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-rewrite:
        use_real_request_uri_unsafe: true
        uri: "/new?x=1"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location ~ ^/ {
    content_by_lua_block {
        local h = ngx.req.get_headers()
        local function show(v)
            return type(v) == "table" and table.concat(v, "|") or tostring(v)
        end
        ngx.say(ngx.req.get_method(), " ", ngx.var.request_uri, " ", ngx.var.http_host)
        ngx.say(show(h["x-a"]), " ", show(h["x-b"]))
    }
}
--- request
GET /hello?d=%20
--- response_body
GET /new?x=1&d=%20 localhost
nil nil
