# consumer-restriction: the name of consumer, group, service or route.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
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
object matches none of the required



=== TEST 2: an empty list
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        whitelist: []
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



=== TEST 3: a type that does not exist
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        type: host
        whitelist: ["a"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "type" validation failed: matches none of the enum values



=== TEST 4: a name that is no string
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        blacklist: [7]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
wrong type: expected string, got number



=== TEST 5: a method that does not exist
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        allowed_by_methods:
          - user: jack
            methods: ["FETCH"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
matches none of the enum values



=== TEST 6: a status below 200
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        whitelist: ["a"]
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



=== TEST 7: a white list: on it, off it
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        whitelist: ["jack1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: Basic amFjazE6MQ==", "Authorization: Basic amFjazI6Mg=="]
--- error_code eval
[200, 403]
--- response_body eval
["hello world\n", "{\"message\":\"The consumer_name is forbidden.\"}\n"]



=== TEST 8: a black list: on it, off it
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        blacklist: ["jack1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: Basic amFjazE6MQ==", "Authorization: Basic amFjazI6Mg=="]
--- error_code eval
[403, 200]
--- response_body eval
["{\"message\":\"The consumer_name is forbidden.\"}\n", "hello world\n"]



=== TEST 9: who is not authenticated is refused by the auth plugin
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        whitelist: ["jack1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_body
{"message":"Missing authorization in request"}



=== TEST 10: without an auth plugin there is no consumer, whatever the client says
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        whitelist: ["jack1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
X-Consumer-Username: jack1
--- error_code: 401
--- response_body
{"message":"The request is rejected, please check the consumer_name for this request"}



=== TEST 11: another status and message
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        blacklist: ["jack1"]
        rejected_code: 451
        rejected_msg: "not for you"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Basic amFjazE6MQ==
--- error_code: 451
--- response_body
{"message":"not for you"}



=== TEST 12: methods: the first entry of a user counts, others are free
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        allowed_by_methods:
          - user: jack1
            methods: ["POST", "PUT"]
          - user: jack1
            methods: ["GET"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "POST /hello", "GET /hello"]
--- more_headers eval
[
    "Authorization: Basic amFjazE6MQ==",
    "Authorization: Basic amFjazE6MQ==",
    "Authorization: Basic amFjazI6Mg==",
]
--- error_code eval
[403, 200, 200]



=== TEST 13: a name on the white list may use all methods
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        allowed_by_methods:
          - user: jack1
            methods: ["POST", "PUT"]
          - user: jack1
            methods: ["GET"]
        whitelist: ["jack1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "POST /hello"]
--- more_headers eval
["Authorization: Basic amFjazE6MQ==", "Authorization: Basic amFjazI6Mg=="]
--- error_code eval
[200, 403]



=== TEST 14: an entry without methods allows none
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        allowed_by_methods:
          - user: jack1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: Basic amFjazE6MQ==", "Authorization: Basic amFjazI6Mg=="]
--- error_code eval
[403, 200]



=== TEST 15: groups
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        type: consumer_group_id
        whitelist: ["staff"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello"]
--- more_headers eval
["Authorization: Basic amFjazE6MQ==", "Authorization: Basic amFjazI6Mg=="]
--- error_code eval
[200, 401]
--- response_body eval
[
    "hello world\n",
    "{\"message\":\"The request is rejected, please check the consumer_group_id for this request\"}\n",
]



=== TEST 16: routes
--- apisix_yaml
routes:
  - id: "r1"
    uri: "/hello"
    plugins:
      consumer-restriction:
        type: route_id
        blacklist: ["r1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - id: "r2"
    uri: "/hello1"
    plugins:
      consumer-restriction:
        type: route_id
        blacklist: ["r1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1"]
--- error_code eval
[403, 200]



=== TEST 17: services
--- apisix_yaml
services:
  - id: s1
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
routes:
  - uri: "/hello"
    service_id: s1
    plugins:
      consumer-restriction:
        type: service_id
        whitelist: ["s1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/hello1"
    service_id: s1
    plugins:
      consumer-restriction:
        type: service_id
        whitelist: ["s2"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello1"]
--- error_code eval
[200, 403]
--- response_body eval
["hello world\n", "{\"message\":\"The service_id is forbidden.\"}\n"]



=== TEST 18: a route without a service
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      consumer-restriction:
        type: service_id
        whitelist: ["s1"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 401
--- response_body
{"message":"The request is rejected, please check the service_id for this request"}



=== TEST 19: names are compared exactly
--- apisix_yaml
consumer_groups:
  - id: staff
    plugins:
      response-rewrite:
        headers:
          X-Staff: "yes"
consumers:
  - username: jack1
    group_id: staff
    plugins:
      basic-auth:
        username: jack1
        password: "1"
  - username: jack2
    plugins:
      basic-auth:
        username: jack2
        password: "2"
routes:
  - uri: "/hello"
    plugins:
      basic-auth: {}
      consumer-restriction:
        blacklist: ["JACK1", "jack", "jack11"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- more_headers
Authorization: Basic amFjazE6MQ==
--- response_body
hello world
