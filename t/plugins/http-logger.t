# http-logger: posts log entries to a server, in batches.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no uri
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        timeout: 3
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "uri" is required



=== TEST 2: a uri that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: not a uri
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "uri" validation failed



=== TEST 3: a timeout of zero
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        timeout: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "timeout" validation failed



=== TEST 4: an unknown way to put entries together
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        concat_method: csv
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "concat_method" validation failed



=== TEST 5: a batch of nothing
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        batch_max_size: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "batch_max_size" validation failed



=== TEST 6: a condition that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        include_req_body_expr: [["a", "nope", "b"]]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate the 'include_req_body_expr' expression



=== TEST 7: an entry is posted
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink?x=1"
        batch_max_size: 1
        auth_header: Basic abc
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- response_body
hello world
--- error_log
sink got POST /sink?x=1 application/json auth Basic abc {
"client_ip":"127.0.0.1"
sending a batch logs to http://127.0.0.1:1980/sink?x=1



=== TEST 8: a format of one's own
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink?x=1"
        batch_max_size: 1
        log_format: {host: "$host", k: v}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- more_headers
Host: foo.test
--- error_log
"host":"foo.test"
"k":"v"
"route_id":



=== TEST 9: two entries in one post, as a list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        batch_max_size: 2
        log_format: {u: "$uri"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 200]
--- grep_error_log eval
qr/sink got POST .*?\[\{.*?\},\{.*?\}\]/
--- grep_error_log_out eval
qr/^sink got POST.*\]\n$/
--- wait: 0.5



=== TEST 10: two entries in one post, as lines
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        batch_max_size: 2
        concat_method: new_line
        log_format: {u: "$uri"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- error_code eval
[200, 200]
--- error_log
sink got POST /sink text/plain auth - {



=== TEST 11: a batch that is not full is sent after a while
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink"
        batch_max_size: 100
        inactive_timeout: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- error_log
sink got POST /sink application/json
--- wait: 1.5



=== TEST 12: bodies
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink?x=1"
        batch_max_size: 1
        include_req_body: true
        include_resp_body: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
POST /hello
the request
--- error_log
"body":"the request"
"body":"hello world



=== TEST 13: a server that refuses
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/refuse"
        batch_max_size: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- response_body
hello world
--- error_log
failed to process entries: server returned status code[500] host[127.0.0.1] port[1980] body[not today]
exceeded the max_retry_count[1] dropping the entries



=== TEST 14: a second try
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/refuse"
        batch_max_size: 1
        max_retry_count: 1
        retry_delay: 0
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- error_log
exceeded the max_retry_count[2] dropping the entries



=== TEST 15: a server that is not there
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1/sink"
        batch_max_size: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- response_body
hello world
--- error_log
failed to connect to host[127.0.0.1] port[1]



=== TEST 16: hostile values arrive as JSON
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      http-logger:
        uri: "http://127.0.0.1:1980/sink?x=1"
        batch_max_size: 1
        log_format: {x: "$http_x"}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /sink {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.log(ngx.WARN, "sink got ", ngx.req.get_method(), " ", ngx.var.request_uri, " ",
                ngx.var.http_content_type, " auth ", ngx.var.http_authorization or "-", " ",
                ngx.req.get_body_data() or ngx.req.get_body_file())
    }
}
location /refuse {
    return 500 "not today";
}
--- request
GET /hello
--- more_headers eval
"X: a\"b\\\\c\xff"
--- error_log
sink got POST
