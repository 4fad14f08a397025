# Configuration snippets: locations, servers and Lua of nginx_config.*_snippet, and what is refused.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

our $ROUTES;
BEGIN { $ROUTES = <<'_END_' }
routes:
  - uri: /*
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                ngx.say("route ", ngx.var.uri, " ", ngx.var.args, " ", ngx.ctx.seen, " ",
                        ngx.ctx.api_ctx == ctx, " ", ctx.var.http_x_from)
                ngx.exit(200)
            end
#END
_END_

# A block with `snippet` sections gets them into config.yaml; each other block goes on with the
# gateway of the block before.
add_block_preprocessor {
    my ($block) = @_;
    my %keys = (
        main => 'main', http => 'http', server => 'http_server',
        routes => 'http_server_location', admin => 'http_admin', stream => 'stream',
    );
    my ($text, $found) = ("apisix:\n    node_listen: 1984\n    enable_control: true\n", 0);
    $text .= $block->more if defined $block->more;
    $text .= "nginx_config:\n";
    for my $name (sort keys %keys) {
        my $section = "snip_$name";
        my $snippet = $block->$section;
        next if !defined $snippet;
        $found = 1;
        $snippet =~ s/^/        /mg;
        $text .= "    $keys{$name}_configuration_snippet: |\n$snippet";
    }
    return if !$found;
    $block->set_value(yaml_config => $text);
    $block->set_value(apisix_yaml => $ROUTES) if !defined $block->apisix_yaml;
};

run_tests;

__DATA__

=== TEST 1: a location with a content handler comes before the routes
--- snip_server
location /say {
    content_by_lua_block {
        ngx.say("}", [[ } ]], ngx.get_phase(), " ", ngx.var.uri)  -- }
    }
}
--- request
GET /say/more
--- response_body
} } content /say/more
--- response_headers
Content-Type: text/plain; charset=utf-8



=== TEST 2: and the routes have the rest
--- request
GET /sa?a=1
--- response_body
route /sa a=1 nil true nil



=== TEST 3: which location: exact, regular expressions, the longest prefix, ^~
--- snip_server
location = /a { return 200 "exact\n"; }
location /a { return 200 "prefix\n"; }
location /a/b/c { return 200 "longer\n"; }
location ^~ /a/fixed { return 200 "fixed\n"; }
location ~ ^/a/(\w+)\.(?<kind>x\w)$ { return 200 "regex $1 $kind\n"; }
location ~* \.X1$ { return 200 "caseless\n"; }
--- pipelined_requests eval
["GET /a", "GET /a/", "GET /ab", "GET /a/b/c/d", "GET /a/fixed.x1", "GET /a/b.x2", "GET /q.x1",
 "GET /a/b.x1", "GET /A"]
--- response_body eval
["exact\n", "prefix\n", "prefix\n", "longer\n", "fixed\n", "regex b x2\n", "caseless\n",
 "regex b x1\n", "route /A nil nil true nil\n"]



=== TEST 4: rewrite rules
--- snip_server
set $mine "m";
location /in { return 200 "in $uri $args $mine\n"; }
location /last { rewrite ^/last/(.*)$ /in/$1?b=2 last; return 500; }
location /drop { rewrite ^/drop /in? last; }
location /stay { rewrite ^ /in break; return 500; content_by_lua_block { ngx.say("stays ", ngx.var.uri) } }
location /next { rewrite ^/next/(.*)$ /in/$1; set $mine "n$1"; }
location /go { rewrite ^/go/(.*)$ /in/$1 redirect; }
location /ever { rewrite ^/ever/(.*)$ https://e.test/$1 permanent; }
location /loop { rewrite ^ /loop2 last; }
location /loop2 { rewrite ^ /loop last; }
location /away { return 301 /else; }
location /there { return http://e.test/$uri; }
location /code { return 404; }
location /args { set $args "x=y"; rewrite ^ /in last; }
--- pipelined_requests eval
["GET /last/q?a=1", "GET /drop?a=1", "GET /stay", "GET /next/z", "GET /go/a%20b?c=d", "GET /ever/x",
 "GET /away", "GET /there", "GET /code", "GET /args?old=1"]
--- error_code eval
[200, 200, 200, 200, 302, 301, 301, 302, 404, 200]
--- response_body_like eval
["^in /in/q b=2&a=1 m\n\$", "^in /in  m\n\$", "^stays /in\n\$", "^in /in/z  nz\n\$", "302 Found",
 "301 Moved", "301 Moved", "302 Found", "404 Not Found", "^in /in x=y m\n\$"]
--- response_headers eval
["", "", "", "", "Location: http://localhost:1984/in/a%20b?c=d", "Location: https://e.test/x",
 "Location: http://localhost:1984/else", "Location: http://e.test//there", "", ""]



=== TEST 5: a path that changes for ever ends
--- request
GET /loop
--- error_code: 500
--- error_log
rewrite or internal redirection cycle



=== TEST 6: internal and named locations are not for clients
--- snip_server
location = /inside { internal; return 200 "inside $uri\n"; }
location @named { return 200 "named $uri $args\n"; }
location /exec { rewrite_by_lua_block { ngx.exec("/inside", "a=1") } }
location /to-named { content_by_lua_block { ngx.exec("@named") } }
location /nowhere { content_by_lua_block { ngx.exec("@none") } }
location /route { access_by_lua_block { ngx.ctx.seen = 1; ngx.exec("/r?x=y", { b = 2 }) } }
location /jump { rewrite_by_lua_block { ngx.req.set_uri("/to-named", true) } }
location /round { rewrite_by_lua_block { ngx.exec("/round") } }
--- pipelined_requests eval
["GET /inside", "GET /\@named", "GET /exec", "GET /to-named?q", "GET /nowhere", "GET /route",
 "GET /jump", "GET /round"]
--- error_code eval
[404, 200, 200, 200, 500, 200, 200, 500]
--- response_body_like eval
["404 Not Found", "^route /\@named", "^inside /inside\n\$", "^named /to-named q\n\$", "500 ",
 "^route /r x=y&b=2 nil true nil\n\$", "^named /to-named \n\$", "500 "]
--- error_log
could not find named location "@none"
rewrite or internal redirection cycle



=== TEST 7: all phases of a location
--- snip_server
location /t {
    default_type text/html;
    set $mine "";
    rewrite_by_lua_block { ngx.var.mine = ngx.get_phase(); ngx.ctx.n = 1 }
    access_by_lua_block { ngx.var.mine = ngx.var.mine .. " " .. ngx.get_phase() }
    content_by_lua_block { ngx.say(ngx.var.mine, " ", ngx.ctx.n) }
    header_filter_by_lua_block { ngx.header["X-Phase"] = ngx.get_phase(); ngx.header.content_length = nil }
    body_filter_by_lua_block { ngx.arg[1] = ngx.arg[1]:upper() }
    log_by_lua_block { ngx.log(ngx.WARN, "says ", ngx.var.mine, " ", ngx.status, " ", ngx.ctx.n) }
}
--- request
GET /t
--- response_body
REWRITE ACCESS 1
--- response_headers
X-Phase: header_filter
Content-Type: text/html; charset=utf-8
--- error_log
says rewrite access 200 1



=== TEST 8: how a content handler ends
--- snip_server
location /nothing { content_by_lua_block { local x = 1 } }
location /exit { content_by_lua_block { ngx.say("said") ngx.exit(404) } }
location /page { content_by_lua_block { ngx.exit(403) } }
location /status { content_by_lua_block { ngx.status = 418 ngx.say("pot") } }
location /ok { content_by_lua_block { ngx.exit(ngx.OK) } }
location /raise { content_by_lua_block {
    local x
    x.y = 1
} }
location /sleep { content_by_lua_block { ngx.sleep(0.01) ngx.say("woke") } }
location /body { content_by_lua_block { ngx.req.read_body() ngx.say(ngx.req.get_body_data()) } }
--- pipelined_requests eval
["GET /nothing", "GET /exit", "GET /page", "GET /status", "GET /ok", "GET /raise", "GET /sleep",
 "POST /body\nabc"]
--- error_code eval
[200, 200, 403, 418, 200, 500, 200, 200]
--- response_body_like eval
["^\$", "^said\n\$", "403 Forbidden", "^pot\n\$", "^\$", "500 ", "^woke\n\$", "^abc\n\$"]
--- error_log
content_by_lua(http_server_configuration_snippet:6):3: attempt to index local 'x' (a nil value)



=== TEST 9: the location of the routes, and what is around it
--- snip_http
more_set_headers "X-Http: $uri";
--- snip_server
set $from_server "s";
add_header X-Added "$status" always;
--- snip_routes
set $seen_by_set "x";
rewrite_by_lua_block { ngx.ctx.seen = "rewrite"; ngx.req.set_header("X-From", ngx.var.from_server) }
more_clear_headers Server;
--- request
GET /r
--- response_body
route /r nil rewrite true s
--- response_headers
X-Http: /r
X-Added: 200
Server: 



=== TEST 10: another server
--- snip_http
server {
    listen 127.0.0.1:1977;
    server_name _;
    location /x { content_by_lua_block { ngx.say("first ", ngx.var.server_port) } }
    location /control/ { proxy_pass http://127.0.0.1:9090/v1/; }
}
server {
    listen 127.0.0.1:1977;
    server_name two.test *.two.test;
    location / { return 200 "second $host\n"; }
}
--- snip_server
location /to { content_by_lua_block {
    local http = require("resty.http")
    for _, case in ipairs({ { "/x" }, { "/y" }, { "/x", "two.test" }, { "/x", "a.two.test" },
                            { "/x", "atwo.test" }, { "/control" }, { "/control/plugins" } }) do
        local res, err = http.new():request_uri("http://127.0.0.1:1977" .. case[1],
                                                { headers = { Host = case[2] } })
        ngx.say(res and res.status or err, " ",
                res and (res.headers.Location or res.body:match("^[^\n<]*")))
    end
} }
--- request
GET /to
--- response_body_like
\A200 first 1977
404 
200 second two.test
200 second a.two.test
200 first 1977
301 http://127.0.0.1:1977/control/
200 .*serverless-pre-function.*
\z



=== TEST 11: the server of the Admin API
--- snip_admin
location /mine { content_by_lua_block { ngx.say("mine ", ngx.var.server_port) } }
location /open { allow all; return 200 "open"; }
location /closed { deny all; content_by_lua_block { ngx.say("never") } }
--- snip_server
location /to { content_by_lua_block {
    local http = require("resty.http")
    for _, path in ipairs({ "/mine", "/open", "/closed", "/apisix/admin/routes" }) do
        local res, err = http.new():request_uri("http://127.0.0.1:9180" .. path)
        ngx.say(res and res.status or err, " ", res and res.body:match("^[^\n<]*"))
    end
} }
--- request
GET /to
--- response_body
200 mine 9180
200 open
403 
404 
--- error_log
access forbidden by rule



=== TEST 12: proxy_pass
--- snip_server
location /p/ { proxy_pass http://127.0.0.1:1984/q/; proxy_set_header X-From "$uri"; }
location /h { rewrite ^/h(.*)$ /q$1 break; proxy_pass http://localhost:1984; proxy_set_header Host h.test; }
location /down { proxy_pass http://127.0.0.1:1; }
location /q { content_by_lua_block { ngx.say(ngx.var.request_uri, " ", ngx.var.http_host, " ", ngx.var.http_x_from) } }
--- pipelined_requests eval
["GET /p/a%20b?c=d", "GET /h/1?x", "GET /down"]
--- error_code eval
[200, 200, 502]
--- response_body_like eval
["^/q/a%20b\\?c=d 127.0.0.1:1984 /p/a b\n\$", "^/q/1\\?x h.test nil\n\$", "502 "]
--- error_log
Connection refused



=== TEST 13: who may pass, and how much
--- snip_server
location /no { deny 127.0.0.0/8; return 200 "rules come first\n"; }
location /never { deny 127.0.0.1; content_by_lua_block { ngx.say("never") } }
location /yes { allow 127.0.0.0/8; deny all; content_by_lua_block { ngx.say("yes") } }
location /small { client_max_body_size 2; content_by_lua_block { ngx.say("small") } }
--- pipelined_requests eval
["GET /no", "GET /never", "GET /yes", "POST /small\nab", "POST /small\nabc"]
--- error_code eval
[200, 403, 200, 200, 413]
--- error_log
access forbidden by rule



=== TEST 14: what belongs to the process
--- snip_main
env SNIPPETS_VALUE=yours;
env PATH;
daemon off;
--- snip_http
lua_shared_dict snippets 1m;
init_by_lua_block { started = "in init" }
init_worker_by_lua_block { ngx.shared.snippets:incr("workers", 1, 0) }
--- snip_server
location /t { content_by_lua_block {
    ngx.say(started, " ", ngx.shared.snippets:get("workers"), " ", os.getenv("SNIPPETS_VALUE"), " ",
            os.getenv("PATH") ~= nil, " ", os.getenv("SNIPPETS_NOT"))
} }
--- request
GET /t
--- response_body
in init 1 yours true nil



=== TEST 15: variables reach the access log, and access_log off keeps it out
--- more
    status: {ip: 127.0.0.1, port: 7085}
--- snip_server
set $mine "said by a snippet";
location /quiet { access_log off; return 200 "quiet\n"; }
location /loud { return 200 "loud\n"; }
--- extra_yaml_config
    http:
        access_log_format: "<$mine> $uri"
        access_log_buffer: 0
--- pipelined_requests eval
["GET /quiet", "GET /loud"]
--- wait: 1.5
--- access_log
<said by a snippet> /loud
--- no_access_log
/quiet



=== TEST 16: lua_module_hook is required before any plugin
--- more
    lua_module_hook: my_hook
    extra_lua_path: "$TEST_NGINX_HTML_DIR/?.lua"
--- user_files
>>> my_hook.lua
local core = require("apisix.core")
local exit = core.response.exit
function core.response.exit(code, body)
    core.log.warn("the hook saw ", code)
    return exit(code, body)
end
return {}
--- snip_routes
set $a b;
--- apisix_yaml
routes:
  - uri: /*
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - "return function() return 403, 'no' end"
#END
--- request
GET /x
--- error_code: 403
--- error_log
the hook saw 403



=== TEST 17: a hook that cannot be
--- more
    lua_module_hook: no_such_hook
--- snip_routes
set $a b;
--- must_die
--- error_log
apisix.lua_module_hook: module 'no_such_hook' not found



=== TEST 18: capture
--- snip_server
location = /inside { internal; content_by_lua_block {
    ngx.header["X-Sub"] = ngx.req.is_internal() and ngx.is_subrequest and "yes" or "no"
    ngx.req.read_body()
    ngx.status = 201
    ngx.say(ngx.req.get_method(), " ", ngx.var.args, " ", ngx.req.get_body_data(), " ", ngx.ctx.given)
} }
location /cap { content_by_lua_block {
    local given = { given = 7 }
    local res = ngx.location.capture("/inside?a=1", {
        method = ngx.HTTP_PUT, args = { b = 2 }, body = "text", ctx = given })
    ngx.print(res.status, " ", res.header["X-Sub"], " ", res.truncated, " ", res.body)
    local a, b = ngx.location.capture_multi({ { "/inside" }, { "/route", { args = "x" } } })
    ngx.print(a.status, a.body, b.status, " ", b.body)
} }
--- request
GET /cap
--- response_body
201 yes false PUT a=1&b=2 text 7
201GET nil nil nil
200 route /route x nil true nil



=== TEST 19: capture from a plugin of a route
--- snip_server
location /inside { internal; return 200 "inside $arg_a"; }
--- apisix_yaml
routes:
  - uri: /*
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function()
                local res = ngx.location.capture("/inside", { args = { a = "b" } })
                ngx.say(res.status, " ", res.body, " ", ngx.is_subrequest)
                ngx.exit(200)
            end
#END
--- request
GET /x
--- response_body
200 inside b false



=== TEST 20: requests inside of each other end somewhere
--- snip_server
location /deep { content_by_lua_block {
    local res = ngx.location.capture("/deep")
    ngx.say(res.status)
} }
--- request
GET /deep
--- response_body
200
--- error_log
too many requests inside of each other



=== TEST 21: a directive that is not understood
--- snip_server
location /x {
    return 200;
    stub_status;
}
--- must_die
--- error_log
config.yaml:14: nginx_config.http_server_configuration_snippet:3: directive "stub_status" is not supported: the plugin prometheus tells more



=== TEST 22: everything that is wrong is told
--- snip_http
upstream u { server 127.0.0.1; }
server { location /x { } }
--- snip_routes
access_by_lua_block { x() }
--- snip_stream
tcp_nodelay off;
--- must_die
--- error_log
nginx_config.http_configuration_snippet:1: directive "upstream" is not supported: configure an upstream object
nginx_config.http_configuration_snippet:2: a "server" needs a "listen"
nginx_config.http_server_location_configuration_snippet:1: "access_by_lua_block" directive is not allowed here
nginx_config.stream_configuration_snippet:1: directive "tcp_nodelay" is not supported



=== TEST 23: Lua that is none
--- snip_server
location /x {
    content_by_lua_block {
        if x
    }
}
--- must_die
--- error_log
nginx_config.http_server_configuration_snippet:2: content_by_lua: content_by_lua(http_server_configuration_snippet:2):3: 'then' expected near '<eof>'



=== TEST 24: a file of Lua that is not there
--- snip_server
location /x { content_by_lua_file lua/none.lua; }
--- must_die
--- error_log
lua/none.lua: no such file



=== TEST 25: Lua that fails at the start
--- snip_http
init_by_lua_block { error("not today") }
--- must_die
--- error_log
init_by_lua(http_configuration_snippet:1) failed: init_by_lua(http_configuration_snippet:1):1: not today



=== TEST 26: a block without its end
--- snip_server
location /x {
    content_by_lua_block { ngx.say("}") --[[ }
}
--- must_die
--- error_log
unexpected end in content_by_lua_block: its closing "}" is missing



=== TEST 27: a location that never ends is stopped, and others go on
--- more
    status: {ip: 127.0.0.1, port: 7085}
--- snip_server
location /spin { content_by_lua_block { while true do end } }
location /fine { return 200 "fine\n"; }
--- pipelined_requests eval
["GET /spin", "GET /fine"]
--- timeout: 20
--- error_code eval
[500, 200]
--- error_log
content_by_lua(http_server_configuration_snippet:1)



=== TEST 28: a hostile path costs a location's expression no more than its bound
--- snip_server
location ~ ^/(a+)+$ { return 200 "matched\n"; }
--- request eval
"GET /" . ("a" x 4000) . "!"
--- error_code: 500
--- error_log
a regular expression gave up



=== TEST 29: the section `config` of Test::Nginx is a snippet, too
--- config
        location /t {
    content_by_lua_block {
        ngx.say("in ", ngx.var.uri)
    }
        }
--- request
GET /t
--- response_body
in /t
