# proxy-control: whether request bodies are read whole before the upstream is asked.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: something that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      proxy-control:
        request_buffering: "yes"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "request_buffering" validation failed: wrong type: expected boolean, got string



=== TEST 2: buffered unless it says otherwise, a large body through a file
--- apisix_yaml
routes:
  - uri: "/echo"
    plugins:
      proxy-control: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /echo
" . "12345" x 10240
--- response_body eval
"12345" x 10240
--- error_log
a client request body is buffered to a temporary file



=== TEST 3: a small body needs no file
--- request
POST /echo
hello
--- response_body chomp
hello
--- no_error_log
buffered to a temporary file



=== TEST 4: a body in chunks arrives with its length
--- apisix_yaml
routes:
  - uri: "/mirror"
    plugins:
      proxy-control:
        request_buffering: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /mirror {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.say(ngx.var.http_content_length, " ", tostring(ngx.var.http_transfer_encoding), " ",
                ngx.req.get_body_data())
    }
}
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /mirror
5\r
hello\r
6\r
 world\r
0\r
\r
"
--- response_body
11 nil hello world



=== TEST 5: off wins over the route, and the body streams in chunks
--- apisix_yaml
routes:
  - uri: "/mirror"
    proxy_request_buffering: "on"
    plugins:
      proxy-control:
        request_buffering: false
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /mirror {
    content_by_lua_block {
        ngx.req.read_body()
        ngx.say(tostring(ngx.var.http_content_length), " ", ngx.var.http_transfer_encoding, " ",
                ngx.req.get_body_data())
    }
}
--- more_headers
Transfer-Encoding: chunked
--- request eval
"POST /mirror
5\r
hello\r
6\r
 world\r
0\r
\r
"
--- response_body
nil chunked hello world
--- no_error_log
buffered to a temporary file



=== TEST 6: a buffer of another size
--- yaml_config
nginx_config:
  http:
    client_body_buffer_size: 100k
deployment:
  role: data_plane
  role_data_plane:
    config_provider: yaml
--- apisix_yaml
routes:
  - uri: "/echo"
    proxy_request_buffering: "on"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"POST /echo
" . "12345" x 10240
--- response_body eval
"12345" x 10240
--- no_error_log
buffered to a temporary file



=== TEST 7: the route's field is checked
--- apisix_yaml
routes:
  - uri: "/echo"
    proxy_request_buffering: "sometimes"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /echo
--- error_code: 404
--- error_log
property "proxy_request_buffering" validation failed



=== TEST 8: a file that a plugin sends instead of the body, also if it is gone by then
--- apisix_yaml
routes:
  - uri: "/echo"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local path = os.tmpname()
                local file = assert(io.open(path, "wb"))
                file:write(("0123456789"):rep(10000))
                file:close()
                ngx.req.read_body()
                ngx.req.set_body_file(path, true)
                assert(io.open(path) == nil)
                assert(#require("apisix.core").request.get_body() == 100000)
                assert(ngx.req.get_body_data() == nil)
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
POST /echo
hello
--- response_body eval
"0123456789" x 10000
