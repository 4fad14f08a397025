# ua-restriction: the User-Agent of the client.
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
      ua-restriction:
        message: "no"
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
      ua-restriction:
        allowlist: ["a"]
        denylist: ["b"]
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



=== TEST 3: an empty list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: []
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
expect array to have at least 1 items



=== TEST 4: a pattern that does not compile
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ["good", "(bad"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to check the configuration of plugin ua-restriction err:



=== TEST 5: an empty pattern
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        allowlist: [""]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
string too short, expected at least 1, got 0



=== TEST 6: a message too long
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ["a"]
        message: "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "message" validation failed: string too long, expected at most 1024, got 1025



=== TEST 7: a deny list: no match, a text, a pattern, another case
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "User-Agent: foo/bar",
    "User-Agent: my-bot2",
    "User-Agent: Baiduspider/3.0",
    "User-Agent: BAIDUSPIDER/3.0",
]
--- error_code eval
[200, 403, 403, 200]



=== TEST 8: the refusal
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
User-Agent: my-bot2
--- error_code: 403
--- response_body
{"message":"Not allowed"}



=== TEST 9: an allow list: no match, a text, a pattern
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        allowlist: ['my-bot1', '(Baiduspider)/(\d+)\.(\d+)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["User-Agent: foo/bar", "User-Agent: my-bot1", "User-Agent: Baiduspider/3.0"]
--- error_code eval
[403, 200, 200]



=== TEST 10: no User-Agent
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 403
--- response_body
{"message":"Not allowed"}



=== TEST 11: no User-Agent, and bypass_missing
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
        bypass_missing: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["X-A: b", "User-Agent: my-bot2"]
--- error_code eval
[200, 403]



=== TEST 12: a repeated header: one denied value is enough, in any place
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "User-Agent: my-bot1\nUser-Agent: my-bot2",
    "User-Agent: my-bot2\nUser-Agent: my-bot1",
    "User-Agent: a\nUser-Agent: b",
]
--- error_code eval
[403, 403, 200]



=== TEST 13: a repeated header: one allowed value is enough, in any place
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        allowlist: ['my-bot1', '(Baiduspider)/(\d+)\.(\d+)']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "User-Agent: foo/bar\nUser-Agent: my-bot1",
    "User-Agent: my-bot1\nUser-Agent: foo/bar",
    "User-Agent: a\nUser-Agent: b",
]
--- error_code eval
[200, 200, 403]



=== TEST 14: anchors see the value without the space around it
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['^bot$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
["User-Agent:   bot  ", "User-Agent: bot", "User-Agent: a bot"]
--- error_code eval
[403, 403, 200]



=== TEST 15: a header of blanks and a very long one take no time
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['(a+)+$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
"User-Agent: x" . " " x 5000 . "y"
--- response_body
hello world



=== TEST 16: another message
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
        message: "Go away"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
User-Agent: my-bot2
--- error_code: 403
--- response_body
{"message":"Go away"}



=== TEST 17: _meta.disable switches it off
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ua-restriction:
        denylist: ['my-bot2', '(Baiduspider)/(\d+)\.(\d+)']
        _meta:
          disable: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
User-Agent: my-bot2
--- response_body
hello world
