# What plugins that others published ask for, beyond what the plugins of this tree use.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

run_tests;

__DATA__

=== TEST 1: ngx is a module too
--- apisix_yaml
routes:
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local module = require "ngx"
            return function()
                return 200, tostring(module == ngx) .. "\n"
            end
#END
--- request
GET /t
--- response_body
true



=== TEST 2: pl.types
--- apisix_yaml
routes:
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local types = require("pl.types")
            return function()
                local seen = {}
                local function say(...)
                    for at = 1, select("#", ...) do
                        seen[#seen + 1] = tostring((select(at, ...)))
                    end
                end
                say(types.is_empty(nil), types.is_empty({}), types.is_empty(""),
                    types.is_empty(" ", true), types.is_empty(5))
                say(types.is_empty({ 1 }), types.is_empty(" "), types.is_empty("x", true))
                say(types.to_bool("Yes"), types.to_bool("1"), types.to_bool(2),
                    types.to_bool("an", { "AN" }), types.to_bool({ 1 }, nil, true))
                say(types.to_bool("no"), types.to_bool(0), types.to_bool({ 1 }),
                    types.to_bool(nil, nil, true))
                say(types.is_callable(print), types.is_callable({}), types.is_integer(2.5),
                    types.is_type({}, "table"), types.type(io.stdout), types.type("x"))
                return 200, table.concat(seen, " ") .. "\n"
            end
#END
--- request
GET /t
--- response_body
true true true true true false false false true true true true true false false false false true false false true file string



=== TEST 3: ip-restriction.init decides for another plugin
--- apisix_yaml
routes:
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local base = require("apisix.plugins.ip-restriction.init")
            return function(_, ctx)
                local conf = { blacklist = { "127.0.0.0/8" }, message = "not from here" }
                local ok, err = base.check_schema(conf)
                local wrong, why = base.check_schema({ whitelist = { "127.0.0.1/200" } })
                local code, body = base.restrict(conf, ctx)
                local passes = base.restrict({ whitelist = { "127.0.0.1" } }, ctx)
                local seen = { tostring(ok), tostring(err), tostring(wrong),
                               tostring(why ~= nil), tostring(base.version), code,
                               body.message, tostring(passes) }
                return 200, table.concat(seen, " ") .. "\n"
            end
#END
--- request
GET /t
--- response_body
true nil false true 0.1 403 not from here nil



=== TEST 4: limit-conn.init counts for another plugin, with a conf of its own
--- apisix_yaml
routes:
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local counter = require("apisix.plugins.limit-conn.init")
            local conf = { conn = 1, burst = 0, default_conn_delay = 0.1, key = "remote_addr" }
            return function(_, ctx)
                local first = counter.increase(conf, ctx)
                local second = counter.increase(conf, ctx)
                counter.decrease(conf, ctx)
                local third = counter.increase(conf, ctx)
                counter.decrease(conf, ctx)
                return 200, table.concat({ tostring(first), tostring(second),
                                           tostring(third) }, " ") .. "\n"
            end
#END
--- request
GET /t
--- response_body
nil 503 nil



=== TEST 5: a time limit of nil is the default, a negative one an error
--- apisix_yaml
routes:
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local http = require("resty.http")
            return function()
                local client = http.new()
                client:set_timeout(nil)
                client:set_timeouts(nil, "500", 500)
                local res, err = client:request_uri("http://127.0.0.1:1980/hello")
                local udp = ngx.socket.udp()
                udp:settimeout(nil)
                local ok, why = pcall(client.set_timeout, client, -1)
                return 200, table.concat({ res and res.status or err, tostring(ok), why }, " ")
            end
#END
--- request
GET /t
--- response_body_like
^200 false .*bad timeout value



=== TEST 6: a consumer's part of a plugin has a schema of its own, also where it serves
--- user_files
>>> ../plugins/badge.lua
local core = require("apisix.core")
local consumers = require("apisix.consumer")

local schema = { type = "object", required = { "gate" },
                 properties = { gate = { type = "string" } } }
local consumer_schema = { type = "object", required = { "badge" },
                          properties = { badge = { type = "string" } } }
local _M = { version = 1, priority = 2500, type = "auth", name = "badge", schema = schema,
             consumer_schema = consumer_schema }

function _M.check_schema(conf, schema_type)
    local ok, err
    if schema_type == core.schema.TYPE_CONSUMER then
        ok, err = core.schema.check(consumer_schema, conf)
    else
        ok, err = core.schema.check(schema, conf)
    end
    return ok, err
end

function _M.rewrite(conf, ctx)
    local known = consumers.plugin("badge")
    for _, consumer in ipairs(known and known.nodes or {}) do
        if consumer.auth_conf.badge == core.request.header(ctx, "badge") then
            consumers.attach_consumer(ctx, consumer, known)
            return
        end
    end
    return 401
end

return _M
--- extra_yaml_config
moongate:
  add_plugins: [badge]
--- apisix_yaml
routes:
  - uri: "/hello"
    plugins:
      badge: {gate: "north"}
    upstream_id: 1
upstreams:
  - id: 1
    type: roundrobin
    nodes:
      "127.0.0.1:1980": 1
consumers:
  - username: ann
    plugins:
      badge: {badge: "7"}
#END
--- more_headers
badge: 7
--- request
GET /hello
--- error_code: 200
--- no_error_log
is refused on this worker



=== TEST 7: and whoever shows nothing is refused
--- request
GET /hello
--- error_code: 401



=== TEST 8: connections and requests behind nginx's symbols
--- apisix_yaml
routes:
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            local ffi = require("ffi")
            ffi.cdef [[
                typedef uint64_t third_party_count;
                extern third_party_count *ngx_stat_accepted;
                extern third_party_count *ngx_stat_handled;
                extern third_party_count *ngx_stat_requests;
                extern third_party_count *ngx_stat_active;
                extern third_party_count *ngx_stat_reading;
                extern third_party_count *ngx_stat_writing;
                extern third_party_count *ngx_stat_waiting;
            ]]
            local function count(name)
                return tonumber(ffi.C["ngx_stat_" .. name][0])
            end
            local function comes(name, value)
                local deadline = ngx.now() + 15
                repeat
                    if count(name) == value then
                        return true
                    end
                    ngx.sleep(0.05)
                    ngx.update_time()
                until ngx.now() > deadline
                return name .. " is " .. count(name) .. " and not " .. value
            end
            return function()
                -- The connection and the request that asks are one of each.
                local seen = { comes("active", 1), comes("writing", 1), comes("waiting", 0),
                               comes("reading", 0) }
                local accepted, held = count("accepted"), {}
                for at = 1, 5 do
                    held[at] = ngx.socket.tcp()
                    seen[#seen + 1] = held[at]:connect("127.0.0.1", 1984) == 1
                end
                seen[#seen + 1] = comes("active", 6)
                seen[#seen + 1] = comes("waiting", 5)
                seen[#seen + 1] = comes("accepted", accepted + 5)
                seen[#seen + 1] = comes("handled", accepted + 5)
                local requests = count("requests")
                seen[#seen + 1] = requests > 0
                for _, sock in ipairs(held) do
                    sock:send("GET /none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
                    seen[#seen + 1] = sock:receive("*a") ~= nil
                    sock:close()
                end
                seen[#seen + 1] = comes("requests", requests + 5)
                seen[#seen + 1] = comes("active", 1)
                for at, good in ipairs(seen) do
                    seen[at] = tostring(good)
                end
                return 200, table.concat(seen, " ") .. "\n"
            end
#END
--- timeout: 60
--- request
GET /t
--- response_body
true true true true true true true true true true true true true true true true true true true true true
