# referer-restriction: the host in the Referer.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: neither list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        bypass_missing: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
value should match only one schema, but matches none



=== TEST 2: both lists
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["a.com"]
        blacklist: ["b.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
value should match only one schema, but matches both schemas 1 and 2



=== TEST 3: a host that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.a_b.com/x"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to match pattern



=== TEST 4: a wildcard inside
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["a.*.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to match pattern



=== TEST 5: bypass_missing that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["a.com"]
        bypass_missing: 1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "bypass_missing" validation failed



=== TEST 6: hosts on the white list: exact, with path, with port, wildcard, below the wildcard
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Referer: http://yy.com",
    "Referer: https://yy.com/a?b#c",
    "Referer: http://yy.com:8080/",
    "Referer: https://www.xx.com",
    "Referer: https://a.b.xx.com/p",
]
--- error_code eval
[200, 200, 200, 200, 200]



=== TEST 7: hosts off it: other, the wildcard itself, a suffix, below an exact one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Referer: http://zz.com",
    "Referer: https://xx.com",
    "Referer: https://www.xx.com.evil.org",
    "Referer: https://www.yy.com",
]
--- error_code eval
[403, 403, 403, 403]



=== TEST 8: the refusal
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Referer: http://zz.com
--- error_code: 403
--- response_body
{"message":"Your referer host is not allowed"}



=== TEST 9: the case of a host does not matter
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Referer: HTTPS://YY.Com/
--- response_body
hello world



=== TEST 10: no Referer, and some that are no URL
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "X-A: b",
    "Referer: yy.com",
    "Referer: www.xx.com/a",
    "Referer: http://",
    "Referer: about:blank",
]
--- error_code eval
[403, 403, 403, 403, 403]



=== TEST 11: with bypass_missing those pass, and other hosts still do not
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
        bypass_missing: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["X-A: b", "Referer: yy.com", "Referer: http://", "Referer: http://zz.com/"]
--- error_code eval
[200, 200, 200, 403]



=== TEST 12: a user name, a path or a query does not pass as a host
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Referer: http://yy.com\@evil.org/",
    "Referer: http://yy.com:80\@evil.org/",
    "Referer: http://evil.org/yy.com",
    "Referer: http://evil.org?yy.com",
    "Referer: http://evil.org\\.xx.com/",
]
--- error_code eval
[403, 403, 403, 403, 403]



=== TEST 13: a black list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        blacklist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "Referer: http://yy.com/a",
    "Referer: https://www.xx.com",
    "Referer: https://ok.org/",
    "Referer: http://ok.org\@yy.com/",
]
--- error_code eval
[403, 403, 200, 403]



=== TEST 14: another message
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
        message: "You are not welcome"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Referer: http://zz.com
--- error_code: 403
--- response_body
{"message":"You are not welcome"}



=== TEST 15: a very long Referer
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      referer-restriction:
        whitelist: ["*.xx.com", "yy.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
"Referer: http://" . "a." x 3000 . "xx.com/"
--- response_body
hello world
