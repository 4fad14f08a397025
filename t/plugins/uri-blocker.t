# uri-blocker: patterns for the path and the query.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no rules
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      uri-blocker:
        rejected_code: 403
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "block_rules" is required



=== TEST 2: a pattern that does not compile
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      uri-blocker:
        block_rules: ["a", ".+("]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to check the configuration of plugin uri-blocker err:



=== TEST 3: the same rule twice
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      uri-blocker:
        block_rules: ["aa", "aa"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
expected unique items but items 1 and 2 are equal



=== TEST 4: a status below 200
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      uri-blocker:
        block_rules: ["aa"]
        rejected_code: 100
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "rejected_code" validation failed



=== TEST 5: an empty message
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      uri-blocker:
        block_rules: ["aa"]
        rejected_msg: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "rejected_msg" validation failed: string too short, expected at least 1, got 0



=== TEST 6: queries: harmless, either rule
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['select.+(from|limit)', '(?:(union(.*?)select))']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello?name=harmless",
    "GET /hello?name=select%20from",
    "GET /hello?name=union%20select",
    "GET /hello?name=;select+limit",
    "GET /hello",
]
--- error_code eval
[200, 403, 403, 403, 200]



=== TEST 7: without a message the body is the default page
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['select.+(from|limit)', '(?:(union(.*?)select))']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?a=union%20select
--- error_code: 403
--- response_body_like eval
qr/<title>403/



=== TEST 8: with a message
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['aa']
        rejected_code: 444
        rejected_msg: access is not allowed
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?aa=1
--- error_code: 444
--- response_body
{"error_msg":"access is not allowed"}



=== TEST 9: the path is decoded and normalised before
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['^/hello/secret']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello/secret",
    "GET /hello/%73ecret",
    "GET /hello//secret",
    "GET /hello/./secret",
    "GET /hello/a/../secret",
]
--- error_code eval
[403, 403, 403, 403, 403]



=== TEST 10: case
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['Wget']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?a=wget", "GET /hello?a=Wget"]
--- error_code eval
[200, 403]



=== TEST 11: case_insensitive
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['Wget', '^/hello/b$']
        case_insensitive: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?a=wGET", "GET /hello?a=WGET", "GET /hello/B", "GET /hello?a=curl"]
--- error_code eval
[403, 403, 403, 200]



=== TEST 12: a back reference means a group of its own rule
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['(x)(y)z', '(a|b)\1']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?q=aa", "GET /hello?q=ab", "GET /hello?q=bb"]
--- error_code eval
[403, 200, 403]



=== TEST 13: groups of one name in two rules
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['(?<n>aa)', '(?<n>bb)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?q=aa", "GET /hello?q=bb", "GET /hello?q=cc"]
--- error_code eval
[403, 403, 200]



=== TEST 14: a very long query
--- apisix_yaml
routes:
  - uri: "/hello*"
    plugins:
      uri-blocker:
        block_rules: ['a{3}$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request eval
"GET /hello?q=" . "ab" x 3000
--- response_body
hello world



=== TEST 15: no rule blocks nothing
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      uri-blocker:
        block_rules: []
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world
