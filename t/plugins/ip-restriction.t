# ip-restriction: the address of the client.
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
      ip-restriction:
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
      ip-restriction:
        whitelist: ["10.0.0.0/8"]
        blacklist: ["11.0.0.0/8"]
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
      ip-restriction:
        blacklist: []
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



=== TEST 4: an address that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.255.256.0/24"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate item 1: object matches none of the required



=== TEST 5: a mask too long
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.255.254.0/38"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to validate item 1: object matches none of the required



=== TEST 6: an IPv6 address that only looks like one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["::1/129"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log eval
qr/invalid ip address: ::1\/129|object matches none of the required/



=== TEST 7: an empty message
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.0.0.0/8"]
        message: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "message" validation failed: string too short, expected at least 1, got 0



=== TEST 8: a status that tells too much
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.0.0.0/8"]
        response_code: 500
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "response_code" validation failed



=== TEST 9: the client is on the white list, as an address and in a network
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.0.0.1", "127.0.0.1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      ip-restriction:
        whitelist: ["127.0.0.0/8", "::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1"]
--- error_code eval
[200, 200]
--- response_body eval
["hello world\n", "hello1 world\n"]



=== TEST 10: the client is not on the white list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.0.0.0/8", "127.0.0.2"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 403
--- response_body
{"message":"Your IP address is not allowed"}



=== TEST 11: the client is on the black list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        blacklist: ["127.0.0.0/24"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 403
--- response_body
{"message":"Your IP address is not allowed"}



=== TEST 12: the client is not on the black list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        blacklist: ["10.0.0.0/8", "fe80::/32"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 13: another message and status
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        blacklist: ["127.0.0.1"]
        message: "Do you want to do something bad?"
        response_code: 404
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- response_body
{"message":"Do you want to do something bad?"}



=== TEST 14: a header does not change the address, unless config.yaml trusts the sender
--- yaml_config
nginx_config:
  http:
    real_ip_from: ["192.0.2.1"]
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        whitelist: ["10.0.0.0/8"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "X-Forwarded-For: 10.0.0.1",
    "X-Real-IP: 10.0.0.1",
    "X-Forwarded-For: 10.0.0.1\nForwarded: for=10.0.0.1",
]
--- error_code eval
[403, 403, 403]



=== TEST 15: behind a proxy that real-ip trusts, the header does: in the list, outside, IPv6, rubbish
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
        trusted_addresses: ["127.0.0.0/8"]
      ip-restriction:
        whitelist: ["10.0.0.0/8", "2001:db8::/32"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "X-Forwarded-For: 10.1.2.3",
    "X-Forwarded-For: 11.1.2.3",
    "X-Forwarded-For: 2001:db8::7",
    "X-Forwarded-For: 10.1.2.3.4",
]
--- error_code eval
[200, 403, 200, 403]



=== TEST 16: _meta.disable switches it off
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        blacklist: ["127.0.0.1"]
        _meta:
          disable: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 17: two routes keep their own lists
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      ip-restriction:
        blacklist: ["127.0.0.1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      ip-restriction:
        blacklist: ["127.0.0.2"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1", "GET /hello"]
--- error_code eval
[403, 200, 403]
