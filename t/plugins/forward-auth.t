# forward-auth: an authorization service decides about each request.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

# The service on port 1980: it lets pass who says "Authorization: good", and can behave badly.
my $service = <<'NGINX';
    location = /auth {
        content_by_lua_block {
            local headers = ngx.req.get_headers(0)
            local names = {}
            for name, value in pairs(headers) do
                if type(value) == "table" then
                    value = table.concat(value, "+")
                end
                names[#names + 1] = name .. "=" .. value
            end
            table.sort(names)
            ngx.req.read_body()
            ngx.log(ngx.WARN, "asked: ", ngx.req.get_method(), " ", table.concat(names, "|"),
                    "|body=", ngx.req.get_body_data() or "none", "|")
            ngx.header["X-User-ID"] = "ann"
            ngx.header["Set-Cookie"] = { "a=1", "b=2" }
            if headers["Authorization"] ~= "good" then
                ngx.header["Location"] = "http://127.0.0.1:1980/hello"
                ngx.header["X-Secret"] = "of the service"
                ngx.status = tonumber(headers["X-Status"]) or 403
                ngx.print("who are you?")
            end
        }
    }
    location = /nobody { return 204; }
    location = /moved { return 302 http://127.0.0.1:1980/hello; }
    location = /broken { return 500 "down for maintenance"; }
    location = /gone { return 444; }
    location = /slow { content_by_lua_block { ngx.sleep(3) ngx.say("late") } }
    location = /huge-head {
        content_by_lua_block {
            for i = 1, 1200 do
                ngx.header["X-" .. i] = string.rep("x", 300)
            end
            ngx.say("ok")
        }
    }
    location = /huge-body {
        content_by_lua_block {
            ngx.status = 403
            local piece = string.rep("x", 1048576)
            for _ = 1, 20 do
                if not ngx.print(piece) or not ngx.flush(true) then
                    return
                end
            end
        }
    }
    location = /raw {
        content_by_lua_block {
            local sock = ngx.req.socket(true)
            sock:send(ngx.unescape_uri(ngx.var.arg_text))
        }
    }
NGINX

add_block_preprocessor(sub {
    my ($block) = @_;
    $block->set_value("upstream_server_config", $service);
    # A route is told by what its conf says: `conf` for /hello and /echo.
    if (defined $block->conf) {
        my $conf = join '', map { "      $_\n" } split /\n/, $block->conf;
        my $yaml = <<"YAML";
routes:
  - uri: "/*"
    plugins:
$conf
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
YAML
        $block->set_value("apisix_yaml", $yaml);
    }
});

run_tests;

__DATA__

=== TEST 1: no uri
--- conf
forward-auth:
  request_headers: [Authorization]
--- request
GET /hello
--- error_code: 404
--- error_log
property "uri" is required



=== TEST 2: a uri that is no text
--- conf
forward-auth: {uri: 3233}
--- request
GET /hello
--- error_code: 404
--- error_log
property "uri" validation failed: wrong type: expected string, got number



=== TEST 3: headers that are no list
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/auth", request_headers: Authorization}
--- request
GET /hello
--- error_code: 404
--- error_log
property "request_headers" validation failed: wrong type: expected array, got string



=== TEST 4: a method that is not one of the two
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/auth", request_method: PUT}
--- request
GET /hello
--- error_code: 404
--- error_log
property "request_method" validation failed: matches none of the enum values



=== TEST 5: a timeout beyond a minute
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/auth", timeout: 60001}
--- request
GET /hello
--- error_code: 404
--- error_log
property "timeout" validation failed



=== TEST 6: extra headers that are empty
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/auth", extra_headers: {}}
--- request
GET /hello
--- error_code: 404
--- error_log
property "extra_headers" validation failed



=== TEST 7: who may passes, with what the service says and not with what the client says
--- conf
forward-auth:
  uri: http://127.0.0.1:1980/auth
  request_headers: [Authorization]
  upstream_headers: [X-User-ID, X-Role]
  client_headers: [Location]
--- request
GET /uri?a=1
--- more_headers
Authorization: good
X-User-ID: root
X-Role: admin
X-Forwarded-Method: DELETE
--- response_body_like
x-user-id: ann
--- response_body_unlike: admin|root
--- error_log
Using forward-auth uri with no TLS is a security risk
asked: GET authorization=good|
x-forwarded-for=127.0.0.1|x-forwarded-host=localhost|x-forwarded-method=GET|x-forwarded-proto=http|x-forwarded-uri=/uri?a=1|body=none|
--- no_error_log
[error]



=== TEST 8: who may not gets the service's answer, and of its headers those that are listed
--- request
GET /hello
--- more_headers
Authorization: bad
--- error_code: 403
--- response_headers
Location: http://127.0.0.1:1980/hello
! X-Secret
! X-User-ID
--- response_body chomp
who are you?



=== TEST 9: without a header it is asked as well
--- request
GET /hello
--- error_code: 403
--- response_body chomp
who are you?



=== TEST 10: the service sees nothing of the client but what is listed
--- request
POST /hello
{"secret": 1}
--- more_headers
Authorization: bad
Cookie: session=1
Content-Encoding: identity
X-Forwarded-For: 1.2.3.4
--- error_code: 403
--- no_error_log
cookie=
content-length=
content-encoding=
1.2.3.4
secret



=== TEST 11: a header with several values, each of them
--- conf
forward-auth:
  uri: http://127.0.0.1:1980/auth
  client_headers: [Set-Cookie]
--- request
GET /hello
--- error_code: 403
--- response_headers_like
Set-Cookie: a=1.*b=2



=== TEST 12: POST sends the body on, and the upstream gets it still
--- conf
forward-auth:
  uri: http://127.0.0.1:1980/auth
  request_method: POST
  request_headers: [Authorization]
  max_req_body_size: 20
--- request
POST /echo
{"a": 1}
--- more_headers
Authorization: good
Content-Encoding: identity
--- response_body chomp
{"a": 1}
--- error_log
asked: POST authorization=good|content-encoding=identity|content-length=8|
body={"a": 1}|



=== TEST 13: a body in chunks comes to the service in one piece
--- request eval
"POST /echo
5\r
hello\r
0\r
\r
"
--- more_headers
Transfer-Encoding: chunked
Authorization: good
--- response_body chomp
hello
--- error_log
content-length=5|
body=hello|
--- no_error_log
asked: POST authorization=good|transfer-encoding



=== TEST 14: a body beyond the bound
--- request
POST /echo
{"a": "more than twenty bytes"}
--- more_headers
Authorization: good
--- error_code: 413
--- error_log
failed to read request body: request size 31 is greater than the maximum size 20 allowed



=== TEST 15: extra headers, with variables, in place of those of the gateway and of the client
--- conf
forward-auth:
  uri: http://127.0.0.1:1980/auth
  request_headers: [Authorization, X-Tenant, x-forwarded-for]
  extra_headers:
    X-Tenant: "$arg_tenant at $remote_addr"
    x-forwarded-proto: fixed
--- request
GET /hello?tenant=seven
--- more_headers
Authorization: good
X-Tenant: mine
X-Forwarded-For: 6.6.6.6
--- response_body
hello world
--- error_log
|x-forwarded-for=127.0.0.1|x-forwarded-host=localhost|x-forwarded-method=GET|x-forwarded-proto=fixed|
|x-tenant=seven at 127.0.0.1|
--- no_error_log
6.6.6.6
mine



=== TEST 16: a line break in a variable makes no header, and is no way past the service
--- conf
forward-auth:
  uri: http://127.0.0.1:1980/auth
  allow_degradation: true
  extra_headers:
    X-Name: "$arg_name"
--- pipelined_requests eval
["GET /hello?name=ann%0d%0aAuthorization:%20good", "GET /hello%0aAuthorization:%20good?name=ann",
 "GET /hello?name=ann%00"]
--- error_code eval
[403, 403, 403]
--- error_log
failed to process forward auth, err: invalid characters found in header value, X-Name
failed to process forward auth, err: invalid characters found in header value, X-Forwarded-Uri
--- no_error_log
asked:



=== TEST 17: what frames the client's request does not frame the question
--- conf
forward-auth:
  uri: http://127.0.0.1:1980/auth
  request_headers: [Authorization, Content-Length, Transfer-Encoding, Connection, Expect]
--- request
POST /echo
abc
--- more_headers
Authorization: good
--- response_body chomp
abc
--- error_log
asked: GET authorization=good|host=127.0.0.1:1980|
--- no_error_log
content-length=



=== TEST 18: a status below 300 is good, with or without a body
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/nobody"}
--- request
GET /hello
--- response_body
hello world



=== TEST 19: a redirection is given to the client, not followed
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/moved", client_headers: [Location]}
--- request
GET /hello
--- error_code: 302
--- response_headers
Location: http://127.0.0.1:1980/hello



=== TEST 20: an error of the service is its answer
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/broken", allow_degradation: true}
--- request
GET /hello
--- error_code: 500
--- response_body chomp
down for maintenance



=== TEST 21: a service that hangs up
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/gone"}
--- request
GET /hello
--- error_code: 403
--- error_log
failed to process forward auth, err: closed



=== TEST 22: nobody listens
--- conf
forward-auth: {uri: "http://127.0.0.1:1979/auth", status_on_error: 503}
--- request
GET /hello
--- error_code: 503
--- error_log
failed to process forward auth, err: connection refused



=== TEST 23: nobody listens, and requests may pass
--- conf
forward-auth: {uri: "http://127.0.0.1:1979/auth", allow_degradation: true}
--- request
GET /hello
--- response_body
hello world
--- no_error_log
failed to process



=== TEST 24: a slow service
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/slow", timeout: 200}
--- request
GET /hello
--- error_code: 403
--- error_log
failed to process forward auth, err: timeout



=== TEST 25: an answer with a head beyond all bounds
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/huge-head"}
--- request
GET /hello
--- error_code: 403
--- error_log
failed to process forward auth, err: response head is too large



=== TEST 26: an answer with a body beyond all bounds
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/huge-body", status_on_error: 502}
--- request
GET /hello
--- error_code: 502
--- error_log
failed to process forward auth, err: response body is longer than 8388608 bytes



=== TEST 27: an answer that is no HTTP
--- conf
forward-auth: {uri: "http://127.0.0.1:1980/raw?text=SSH-2.0-x%0d%0a%0d%0a"}
--- request
GET /hello
--- error_code: 403
--- error_log
failed to process forward auth, err: couldn't parse HTTP version



=== TEST 28: another protocol is no leave to pass
--- conf
forward-auth:
  uri: "http://127.0.0.1:1980/raw?text=HTTP%2f1.1+101+Switching%0d%0a%0d%0a"
--- request
GET /hello
--- error_code: 403
--- error_log
failed to process forward auth, err: unexpected status 101



=== TEST 29: an address that is none
--- conf
forward-auth: {uri: "not an address"}
--- request
GET /hello
--- error_code: 403
--- error_log
failed to process forward auth, err: bad uri
