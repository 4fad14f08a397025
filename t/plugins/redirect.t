# redirect: to a place, to what a pattern makes of the path, to https.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: no place
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        ret_code: 301
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



=== TEST 2: two places
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: "/a"
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
value should match only one schema, but matches both schemas 1 and 3



=== TEST 3: one part of a pattern
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        regex_uri: ["^/a"]
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
expect array to have at least 2 items



=== TEST 4: a pattern that does not compile
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        regex_uri: ['^/test/(.*', '/$1']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
invalid regex_uri (^/test/(.*, /$1), err:



=== TEST 5: https and the query
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
        append_query_string: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
only one of `http_to_https` and `append_query_string` can be configured.



=== TEST 6: a status below 200
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: "/a"
        ret_code: 100
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
property "ret_code" validation failed



=== TEST 7: the default status
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: "/new"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 302
--- response_headers
Location: /new



=== TEST 8: variables
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: '$uri/add${uri}/$arg_name/$nothing/end'
        ret_code: 301
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?name=json
--- error_code: 301
--- response_headers
Location: /hello/add/hello/json//end



=== TEST 9: an escaped variable stays
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: '\$uri/foo$uri\$uri/bar'
        ret_code: 301
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 301
--- response_headers
Location: \$uri/foo/hello\$uri/bar



=== TEST 10: a dollar alone
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: '/a$/b'
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 302
--- response_headers
Location: /a$/b



=== TEST 11: a pattern: a match
--- apisix_yaml
routes:
  - uri: "/test/*"
    plugins:
      redirect:
        regex_uri: ['^/test/(.*)/(.*)', '/$2/$1']
        ret_code: 301
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /test/x/y
--- error_code: 301
--- response_headers
Location: /y/x



=== TEST 12: a pattern: no match goes to the upstream
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        regex_uri: ['^/other', '/x']
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 13: append_query_string
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: "/new"
        append_query_string: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?a=1&b=%20
--- error_code: 302
--- response_headers
Location: /new?a=1&b=%20



=== TEST 14: append_query_string behind a query
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: "/new?x=1"
        append_query_string: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?a=1
--- error_code: 302
--- response_headers
Location: /new?x=1&a=1



=== TEST 15: append_query_string without one
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        uri: "/new"
        append_query_string: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 302
--- response_headers
Location: /new



=== TEST 16: encode_uri leaves the query
--- apisix_yaml
routes:
  - uri: "/he*"
    plugins:
      redirect:
        uri: "$uri?x=1"
        encode_uri: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /he%20llo?x=a%20b
--- error_code: 302
--- response_headers
Location: /he%20llo?x=1



=== TEST 17: a line break in the path cannot start a header
--- apisix_yaml
routes:
  - uri: "/he*"
    plugins:
      redirect:
        uri: "$uri"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /he%0d%0aSet-Cookie:%20a=b
--- error_code: 302
--- response_headers
! Set-Cookie
Location: /he%0D%0ASet-Cookie: a=b



=== TEST 18: https, with GET
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello?a=1
--- more_headers
Host: foo.com
--- error_code: 301
--- response_headers
Location: https://foo.com/hello?a=1



=== TEST 19: https, with a method that has a body
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
POST /hello
body
--- more_headers
Host: foo.com
--- error_code: 308
--- response_headers
Location: https://foo.com/hello



=== TEST 20: https, on a port of plugin_attr
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- extra_yaml_config
plugin_attr:
  redirect:
    https_port: 8443
--- request
GET /hello
--- more_headers
Host: foo.com:1984
--- error_code: 301
--- response_headers
Location: https://foo.com:8443/hello



=== TEST 21: https, on its usual port
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- extra_yaml_config
plugin_attr:
  redirect:
    https_port: 443
--- request
GET /hello
--- more_headers
Host: foo.com
--- error_code: 301
--- response_headers
Location: https://foo.com/hello



=== TEST 22: https, on the port the gateway listens on
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- yaml_config
apisix:
  node_listen: 1984
  ssl:
    enable: true
    listen:
      - port: 6443
deployment:
  role: data_plane
  role_data_plane:
    config_provider: yaml
--- request
GET /hello
--- more_headers
Host: foo.com
--- error_code: 301
--- response_headers
Location: https://foo.com:6443/hello



=== TEST 23: https, on a port that is none
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: true
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- extra_yaml_config
plugin_attr:
  redirect:
    https_port: 70000
--- request
GET /hello
--- more_headers
Host: foo.com
--- error_code: 301
--- response_headers
Location: https://foo.com/hello



=== TEST 24: http_to_https: false
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      redirect:
        http_to_https: false
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body
hello world
