# real-ip: the address of the client behind other proxies. The address shows in ip-restriction.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no source
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        recursive: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "source" is required



=== TEST 2: an empty source
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: ""
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "source" validation failed: string too short, expected at least 1, got 0



=== TEST 3: no trusted address
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
        trusted_addresses: []
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



=== TEST 4: a trusted address that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
        trusted_addresses: ["127.0.0.1/33"]
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



=== TEST 5: recursive that is no boolean
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
        recursive: "on"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "recursive" validation failed



=== TEST 6: an argument: allowed, not allowed, IPv6, with port, IPv6 with port
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello?ip=1.1.1.1",
    "GET /hello?ip=1.1.1.2",
    "GET /hello?ip=2001:db8::1",
    "GET /hello?ip=1.1.1.1:80",
    "GET /hello?ip=%5B2001:db8::1%5D:443",
]
--- error_code eval
[200, 403, 200, 200, 200]



=== TEST 7: no address
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 403
--- error_log
missing real address



=== TEST 8: addresses that are none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
[
    "GET /hello?ip=1.1.1",
    "GET /hello?ip=",
    "GET /hello?ip",
    "GET /hello?ip=a.b.c.d",
    "GET /hello?ip=1.1.1.1%00",
    "GET /hello?ip=%5B%5D",
]
--- error_code eval
[403, 403, 403, 403, 403, 403]
--- error_log
bad address: a.b.c.d



=== TEST 9: ports that are none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?ip=1.1.1.1:0", "GET /hello?ip=1.1.1.1:65536"]
--- error_code eval
[403, 403]
--- error_log
bad port: 65536



=== TEST 10: X-Forwarded-For: one, the last of several, of several lines
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "X-Forwarded-For: 1.1.1.1",
    "X-Forwarded-For: 9.9.9.9,   1.1.1.1",
    "X-Forwarded-For: 1.1.1.1, 9.9.9.9",
    "X-Forwarded-For: 9.9.9.9\nX-Forwarded-For: 8.8.8.8, 1.1.1.1",
]
--- error_code eval
[200, 200, 403, 200]



=== TEST 11: X-Real-IP
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_real_ip
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Real-IP: 1.1.1.1
--- response_body
hello world



=== TEST 12: a peer that is trusted, and one that is not
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: arg_ip
        trusted_addresses: ["127.0.0.0/24"]
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    plugins:
      real-ip:
        source: arg_ip
        trusted_addresses: ["192.128.0.0/16"]
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello?ip=1.1.1.1", "GET /hello1?ip=1.1.1.1"]
--- error_code eval
[200, 403]



=== TEST 13: recursive: the last address that is not trusted
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
        trusted_addresses: ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]
        recursive: true
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "X-Forwarded-For: 5.5.5.5, 1.1.1.1, 10.0.0.1, 10.0.0.2",
    "X-Forwarded-For: 1.1.1.1, 5.5.5.5, 10.0.0.2",
    "X-Forwarded-For: 1.1.1.1,10.0.0.1",
    "X-Forwarded-For: 1.1.1.1",
    "X-Forwarded-For: 5.5.5.5, 1.1.1.1, 2001:db8:1::9",
]
--- error_code eval
[200, 403, 200, 200, 200]



=== TEST 14: not recursive: simply the last one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
        trusted_addresses: ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Forwarded-For: 1.1.1.1, 10.0.0.1
--- error_code: 403



=== TEST 15: recursive: if all are trusted, the first one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
        trusted_addresses: ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]
        recursive: true
      ip-restriction:
        whitelist: ["10.0.0.1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Forwarded-For: 10.0.0.1, 10.0.0.2
--- response_body
hello world



=== TEST 16: recursive: rubbish among the addresses is no way in
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
        trusted_addresses: ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]
        recursive: true
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- more_headers eval
[
    "X-Forwarded-For: 1.1.1.1, evil, 10.0.0.1",
    "X-Forwarded-For: ,,,",
    "X-Forwarded-For: 1.1.1.1,",
]
--- error_code eval
[403, 403, 403]



=== TEST 17: recursive: a very long list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      real-ip:
        source: http_x_forwarded_for
        trusted_addresses: ["127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"]
        recursive: true
      ip-restriction:
        whitelist: ["1.1.1.1", "2001:db8::1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers eval
"X-Forwarded-For: 1.1.1.1" . ", 10.0.0.1" x 600
--- response_body
hello world



=== TEST 18: the upstream gets that address
--- apisix_yaml
routes:
  - uri: "/show"
    plugins:
      real-ip:
        source: arg_ip
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- upstream_server_config
location /show {
    content_by_lua_block {
        ngx.say(ngx.req.get_headers()["x-real-ip"])
    }
}
--- request
GET /show?ip=7.7.7.7
--- response_body
7.7.7.7
