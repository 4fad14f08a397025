# resty.apisix.client.enable_mirror: a request goes to a second server too.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

# The service behind the gateway keeps what it is told below /kept/, and tells it below /told/. That
# its text names the port for TLS has it listen there in all blocks, so that it runs on.
our $SERVICE;
BEGIN { $SERVICE = <<'_END_' }
# 1983
location /kept/ {
    content_by_lua_block {
        ngx.req.read_body()
        local body = ngx.req.get_body_data() or ""
        ngx.shared.test:set(ngx.var.uri:match("[^/]+$"), table.concat({
            ngx.var.scheme, ngx.req.get_method(), ngx.var.request_uri, ngx.var.http_host,
            ngx.var.ssl_server_name or "-", #body, ngx.md5(body) }, " "))
        ngx.say("kept")
    }
}
location /told/ {
    content_by_lua_block {
        for _ = 1, 400 do
            local told = ngx.shared.test:get(ngx.var.uri:match("[^/]+$"))
            if told then
                return ngx.say(told)
            end
            ngx.sleep(0.01)
        end
        ngx.say("nothing came")
    }
}
_END_

our $ROUTES;
BEGIN { $ROUTES = <<'_END_' }
routes:
  - uri: "/told/*"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/*"
    plugins:
      serverless-pre-function:
        phase: rewrite
        functions:
          - |
            return function(conf, ctx)
                local var = ctx.var
                var.upstream_mirror_host = "MIRROR"
                var.upstream_mirror_uri = "MIRROR/kept" .. var.uri .. var.is_args .. (var.args or "")
                assert(require("resty.apisix.client").enable_mirror() == true)
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
_END_

add_block_preprocessor {
    my ($block) = @_;
    $block->set_value(upstream_server_config => $SERVICE);
    if (defined $block->mirror) {
        my $routes = $ROUTES;
        my $mirror = $block->mirror;
        chomp $mirror;
        $routes =~ s/MIRROR/$mirror/g;
        $block->set_value(apisix_yaml => $routes);
    }
};

run_tests;

__DATA__

=== TEST 1: over http
--- mirror
http://127.0.0.1:1980
--- request
GET /hello?a=1&b=%20
--- response_body
hello world
--- no_error_log
[error]



=== TEST 2: it came
--- request
GET /told/hello
--- response_body eval
"http GET /kept/hello?a=1&b=%20 localhost - 0 d41d8cd98f00b204e9800998ecf8427e\n"



=== TEST 3: over https, with a body that lies in a file
--- mirror
https://127.0.0.1:1983
--- more_headers
Host: www.test.com:8080
--- request eval
"POST /echo?a=1
" . "12345" x 10240
--- response_body eval
"12345" x 10240
--- no_error_log
[error]



=== TEST 4: it came, and the name that was asked for is the host's
--- request
GET /told/echo
--- response_body
https POST /kept/echo?a=1 www.test.com:8080 www.test.com 51200 192aaa5033342b26fece6b1d00ebc6a9



=== TEST 5: a name that is looked up, and no port
--- mirror
http://localhost
--- request
GET /hello
--- response_body
hello world
--- error_log
mirror http://localhost: connect() to



=== TEST 6: gRPC
--- mirror
grpc://127.0.0.1:1980
--- request
GET /hello
--- response_body
hello world
--- error_log
mirror "grpc://127.0.0.1:1980/kept/hello": gRPC cannot be mirrored



=== TEST 7: a time limit that is none keeps the process from starting
--- yaml_config
plugin_attr:
  proxy-mirror:
    timeout:
      read: soon
deployment:
  role: data_plane
  role_data_plane:
    config_provider: yaml
--- mirror
http://127.0.0.1:1980
--- request
GET /hello
--- must_die
--- error_log
plugin_attr.proxy-mirror.timeout.read must be a time such as 60s, not "soon"
