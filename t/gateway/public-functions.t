# Functions that plugins call and that no plugin of ours tests by itself, and the lines about
# objects that users of APISIX look for in the error log.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: the provider is named at start, a refused object with its kind and reason
--- apisix_yaml
routes:
  - id: r1
    uri: "/hello"
    plugins:
      uri-blocker: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 404
--- error_log
use config_provider: yaml
routes [r1] is refused
failed to check item data of [routes] err:failed to check the configuration of plugin uri-blocker



=== TEST 2: upstream.set chooses, also when asked again with the same table
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local up = { type = "roundrobin", nodes = { { host = "127.0.0.1", port = 1980,
                         weight = 1 } } }
            return function(conf, ctx)
                local upstream = require("apisix.upstream")
                upstream.set(ctx, "a", "1", up)
                upstream.set(ctx, "b", "1", up)
                upstream.set(ctx, "a", "1", up)
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /hello", "GET /hello"]
--- error_code eval
[200, 200, 200]
--- no_error_log
[error]



=== TEST 3: the same table with another version is read anew
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local up = { type = "roundrobin", nodes = { { host = "127.0.0.1", port = 1,
                         weight = 1 } } }
            return function(conf, ctx)
                local upstream = require("apisix.upstream")
                upstream.set(ctx, "a", 1, up)
                up.nodes = { { host = "127.0.0.1", port = 1980, weight = 1 } }
                upstream.set(ctx, "a", 2, up)
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1": 1
#END
--- request
GET /hello
--- response_body
hello world



=== TEST 4: an upstream that is none does not let the request go elsewhere
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local up = { type = "roundrobin", nodes = { { host = "127.0.0.1", port = "x" } } }
                require("apisix.upstream").set(ctx, "a", "1", up)
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- error_code: 500
--- error_log
failed to set upstream a: 



=== TEST 5: who made the response
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-post-function:
        phase: header_filter
        functions:
          - "return function(conf, ctx) ngx.header.X = require('apisix.core').response.get_response_source(ctx) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/down"
    plugins:
      serverless-post-function:
        phase: header_filter
        functions:
          - "return function(conf, ctx) ngx.header.X = require('apisix.core').response.get_response_source(ctx) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1": 1
  - uri: "/own"
    plugins:
      mocking:
        response_example: "mine"
      serverless-post-function:
        phase: header_filter
        functions:
          - "return function(conf, ctx) ngx.header.X = require('apisix.core').response.get_response_source(ctx) end"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- pipelined_requests eval
["GET /hello", "GET /down", "GET /own"]
--- error_code eval
[200, 502, 200]
--- response_headers eval
["X: upstream", "X: nginx", "X: apisix"]
--- error_log
connect() to 127.0.0.1:1 failed



=== TEST 6: latency over several tries
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local details = require("apisix.utils.log-util").latency_details_in_ms
                local list = {}
                for i, tries in ipairs({ "0.001, 0.002", "0.004", "-", "-, 0.5" }) do
                    local _, upstream = details({ var = { upstream_response_time = tries } })
                    list[i] = upstream and math.floor(upstream + 0.5) or "none"
                end
                return 200, table.concat(list, " ")
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body chomp
3 4 none 500



=== TEST 7: a conf knows the object it is part of, and its schema does not
--- apisix_yaml
routes:
  - id: r1
    uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local parent = conf._meta.parent
                local shown = require("apisix.core").json.encode(conf._meta)
                return 200, parent.resource_key .. " " .. type(parent.resource_version) .. " "
                            .. shown
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body chomp
/apisix/routes/r1 string {}



=== TEST 8: numbers of the process
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local host = require("moongate.host")
                local stats, found = host.stats(), false
                for _, name in ipairs(host.dict_names()) do
                    found = found or name == "plugin-limit-count"
                end
                return 200, (stats.active > 0 and stats.accepted >= stats.active
                             and stats.waiting + stats.writing >= 1 and found) and "good" or "bad"
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body chomp
good



=== TEST 9: who looks at all of ctx sees what it says of the route
--- apisix_yaml
routes:
  - id: r1
    uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local seen = {}
                for key in pairs(ctx) do
                    seen[key] = true
                end
                local text = require("apisix.core").json.encode(ctx, true)
                return 200, tostring(seen.route_id) .. " " .. tostring(seen.conf_type)
                            .. " " .. tostring(seen.matched_route) .. " "
                            .. tostring(text:find('"route_id":"r1"', 1, true) ~= nil)
            end
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
--- request
GET /hello
--- response_body chomp
true true true true



=== TEST 10: a clone of a ctx knows the conf, what is not set has its default
--- apisix_yaml
routes:
  - id: mine
    uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local core = require("apisix.core")
                local copy = core.table.clone(ctx)
                local var = ctx.var
                var.llm_model = "m"
                return 200, table.concat({ copy.conf_type, copy.conf_id, var.request_type,
                                           var.llm_model, var.llm_stream }, " ")
            end
#END
--- request
GET /hello
--- response_body chomp
route mine traditional_http m false



=== TEST 11: lua_response_filter sends what the filters of the plugins make of it
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local plugin = require("apisix.plugin")
                local own = { name = "own", lua_body_filter = function(_, _, headers, body)
                    return nil, body:upper() .. headers.x
                end }
                ctx.plugins = { own, {} }
                plugin.lua_response_filter(ctx, { x = "!" }, "one")
                plugin.lua_response_filter(ctx, { x = "?" }, "two")
                return ngx.exit(200)
            end
#END
--- request
GET /hello
--- response_body chomp
ONE!TWO?



=== TEST 12: resty.limit.count counts up, a pipeline of resty.http keeps its order
--- apisix_yaml
routes:
  - uri: "/count"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function()
                local limit = require("resty.limit.count").new("plugin-limit-count", 3, 60)
                local seen = {}
                for at, cost in ipairs({ 1, 2, 1 }) do
                    local delay, used = limit:incoming(ngx.var.request_uri, true, cost)
                    seen[at] = tostring(delay) .. "/" .. used
                end
                return 200, table.concat(seen, " ")
            end
  - uri: "/pipeline"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function()
                local http = require("resty.http").new()
                assert(http:connect("127.0.0.1", ngx.var.server_port))
                local responses = assert(http:request_pipeline({
                    { path = "/count?again" }, { path = "/nowhere" },
                }))
                local first = responses[1].status .. " " .. responses[1]:read_body()
                local second = responses[2]
                return 200, first .. ", " .. second.status
            end
#END
--- pipelined_requests eval
["GET /count", "GET /pipeline"]
--- response_body eval
["0/1 0/3 nil/rejected", "200 0/1 0/3 nil/rejected, 404"]
