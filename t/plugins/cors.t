# cors: preflight requests and the headers that browsers look for.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: an origin without a scheme
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "a.com"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "allow_origins" validation failed: failed to match pattern



=== TEST 2: a star within a list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,*"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "allow_origins" validation failed: failed to match pattern



=== TEST 3: credentials for everybody
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
you can not set '*' for other option when 'allow_credential' is true



=== TEST 4: credentials and timing for everybody
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_credential: true
        allow_origins: "https://a.com"
        allow_methods: GET
        allow_headers: x
        timing_allow_origins: "*"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
you can not set '*' for other option when 'allow_credential' is true



=== TEST 5: a pattern that does not compile
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_regex: ["a.(*.com"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
failed to check the configuration of plugin cors err:



=== TEST 6: an empty list of patterns
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_regex: []
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



=== TEST 7: max_age that is no integer
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        max_age: "10"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "max_age" validation failed: wrong type: expected integer, got string



=== TEST 8: defaults allow all
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://a.com
--- response_headers
Access-Control-Allow-Origin: *
Access-Control-Allow-Methods: *
Access-Control-Allow-Headers: *
Access-Control-Max-Age: 5
! Access-Control-Expose-Headers
! Access-Control-Allow-Credentials
! Timing-Allow-Origin
! Vary
--- response_body
hello world



=== TEST 9: a preflight request is answered here
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
OPTIONS /hello
--- more_headers
Origin: https://a.com
Access-Control-Request-Method: PUT
--- response_headers
Access-Control-Allow-Origin: *
Access-Control-Max-Age: 5
--- response_body eval
""



=== TEST 10: a list: an origin on it
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,https://b.com:8443"
        allow_methods: "GET,POST"
        allow_headers: "x-a,x-b"
        expose_headers: "x-c"
        max_age: 600
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://b.com:8443
--- response_headers
Access-Control-Allow-Origin: https://b.com:8443
Vary: Origin
Access-Control-Allow-Methods: GET,POST
Access-Control-Allow-Headers: x-a,x-b
Access-Control-Expose-Headers: x-c
Access-Control-Max-Age: 600
Access-Control-Allow-Credentials: true
--- response_body
hello world



=== TEST 11: a list: another origin
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,https://b.com:8443"
        allow_methods: "GET,POST"
        allow_headers: "x-a,x-b"
        expose_headers: "x-c"
        max_age: 600
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://c.com
--- response_headers
! Access-Control-Allow-Origin
! Access-Control-Allow-Methods
! Access-Control-Allow-Credentials
Vary: Origin
--- response_body
hello world



=== TEST 12: a list: the same host with another port
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,https://b.com:8443"
        allow_methods: "GET,POST"
        allow_headers: "x-a,x-b"
        expose_headers: "x-c"
        max_age: 600
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://b.com
--- response_headers
! Access-Control-Allow-Origin
! Access-Control-Allow-Methods
! Access-Control-Allow-Credentials
Vary: Origin
--- response_body
hello world



=== TEST 13: a list: no origin
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,https://b.com:8443"
        allow_methods: "GET,POST"
        allow_headers: "x-a,x-b"
        expose_headers: "x-c"
        max_age: 600
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-A: b
--- response_headers
! Access-Control-Allow-Origin
! Access-Control-Allow-Methods
! Access-Control-Allow-Credentials
Vary: Origin
--- response_body
hello world



=== TEST 14: a list: two origins in one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,https://b.com:8443"
        allow_methods: "GET,POST"
        allow_headers: "x-a,x-b"
        expose_headers: "x-c"
        max_age: 600
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://a.com,https://b.com:8443
--- response_headers
! Access-Control-Allow-Origin
! Access-Control-Allow-Methods
! Access-Control-Allow-Credentials
Vary: Origin
--- response_body
hello world



=== TEST 15: a list: a suffix of an allowed one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com,https://b.com:8443"
        allow_methods: "GET,POST"
        allow_headers: "x-a,x-b"
        expose_headers: "x-c"
        max_age: 600
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://a.com.evil.org
--- response_headers
! Access-Control-Allow-Origin
! Access-Control-Allow-Methods
! Access-Control-Allow-Credentials
Vary: Origin
--- response_body
hello world



=== TEST 16: one origin
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://a.com
--- response_headers
Access-Control-Allow-Origin: https://a.com
Vary: Origin



=== TEST 17: ** answers with the origin and the headers that were asked for
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "**"
        allow_methods: "**"
        allow_headers: "**"
        allow_credential: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
OPTIONS /hello
--- more_headers
Origin: https://any.org
Access-Control-Request-Headers: x-one,x-two
--- response_headers
Access-Control-Allow-Origin: https://any.org
Access-Control-Allow-Methods: GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE
Access-Control-Allow-Headers: x-one,x-two
Access-Control-Allow-Credentials: true
Vary: Origin



=== TEST 18: ** without an origin
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "**"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
Access-Control-Allow-Origin: *



=== TEST 19: patterns: a match
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_regex: ['.*\.test\.com$', '^https://other\.org$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: http://a.test.com
--- response_headers
Access-Control-Allow-Origin: http://a.test.com



=== TEST 20: patterns: the second one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_regex: ['.*\.test\.com$', '^https://other\.org$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://other.org
--- response_headers
Access-Control-Allow-Origin: https://other.org



=== TEST 21: patterns: no match
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_regex: ['.*\.test\.com$', '^https://other\.org$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: http://a.test.com.evil.org
--- response_headers
! Access-Control-Allow-Origin



=== TEST 22: patterns: no origin
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_regex: ['.*\.test\.com$', '^https://other\.org$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_headers
! Access-Control-Allow-Origin



=== TEST 23: origins in the metadata: allowed
--- apisix_yaml
plugin_metadata:
  - id: cors
    allow_origins:
      one: "https://one.com,https://uno.com"
      all: "**"
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_metadata: ["missing", "one"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://uno.com
--- response_headers
Access-Control-Allow-Origin: https://uno.com



=== TEST 24: origins in the metadata: not allowed
--- apisix_yaml
plugin_metadata:
  - id: cors
    allow_origins:
      one: "https://one.com,https://uno.com"
      all: "**"
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_metadata: ["missing", "one"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://due.com
--- response_headers
! Access-Control-Allow-Origin



=== TEST 25: origins in the metadata or in the conf
--- apisix_yaml
plugin_metadata:
  - id: cors
    allow_origins:
      one: "https://one.com,https://uno.com"
      all: "**"
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins_by_metadata: ["missing", "one"]
        allow_origins: "https://due.com"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://due.com
--- response_headers
Access-Control-Allow-Origin: https://due.com



=== TEST 26: timing for one origin
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        timing_allow_origins: "https://t.com"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://t.com
--- response_headers
Timing-Allow-Origin: https://t.com
Access-Control-Allow-Origin: *



=== TEST 27: timing for another origin, by pattern
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        timing_allow_origins_by_regex: ['^https://t[0-9]+\.com$']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://t.com
--- response_headers
! Timing-Allow-Origin



=== TEST 28: Vary of the upstream stays
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_origins: "https://a.com"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://a.com
resp-Vary: Via
--- response_headers
Vary: Via, Origin



=== TEST 29: an answer of the gateway has the headers too
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors: {}
      ip-restriction:
        blacklist: ["127.0.0.1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Origin: https://a.com
--- error_code: 403
--- response_headers
Access-Control-Allow-Origin: *



=== TEST 30: a line break in the asked headers cannot start a new one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      cors:
        allow_headers: "**"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
OPTIONS /hello
--- more_headers
Origin: https://a.com
Access-Control-Request-Headers: x%0d%0aSet-Cookie: a=b
--- response_headers
! Set-Cookie
Access-Control-Allow-Headers: x%0d%0aSet-Cookie: a=b
