# Health of nodes as plugins see it: `apisix.healthcheck_manager`, for the upstreams of objects and
# for those that a plugin makes of its own conf.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("warn");

run_tests;

__DATA__

=== TEST 1: the checker of a route knows its nodes, and counts what a plugin reports
--- apisix_yaml
routes:
  - id: watched
    uri: "/watched"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
        "127.0.0.2:1980": 1
      checks:
        active: {}
        passive:
          healthy: {successes: 1}
          unhealthy: {http_failures: 2, tcp_failures: 1, timeouts: 1}
  - id: plain
    uri: "/plain"
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
  - uri: "/t"
    plugins:
      serverless-pre-function:
        phase: access
        functions:
          - |
            return function(conf, ctx)
                local manager = require("apisix.healthcheck_manager")
                local checker = manager.fetch_checker("/apisix/routes/watched", 1)
                local seen = { tostring(manager.fetch_checker("/apisix/routes/plain", 1)) }
                local function look(ip)
                    seen[#seen + 1] = tostring(manager.fetch_node_status(checker, ip, 1980))
                end
                look("127.0.0.1")
                checker:report_http_status("127.0.0.1", 1980, nil, 503)
                look("127.0.0.1")
                checker:report_http_status("127.0.0.1", 1980, nil, 503)
                look("127.0.0.1")
                look("127.0.0.2")
                seen[#seen + 1] = checker.status_ver
                checker:report_success("127.0.0.1", 1980)
                look("127.0.0.1")
                checker:report_timeout("127.0.0.2", 1980)
                look("127.0.0.2")
                checker:report_tcp_failure("127.0.0.1", 1980, "127.0.0.1", "connect")
                look("127.0.0.1")
                checker:set_target_status("127.0.0.1", 1980, nil, true)
                look("127.0.0.1")
                local ok, err = checker:get_target_status("127.0.0.3", 1980)
                seen[#seen + 1] = tostring(ok) .. " " .. err
                look("127.0.0.3")
                return 200, table.concat(seen, ", ")
            end
#END
--- request
GET /t
--- response_body chomp
nil, true, true, false, true, 1, true, false, false, true, nil target not found, true
--- error_log
unhealthy HTTP increment (2/2) for '127.0.0.1(127.0.0.1:1980)': a plugin says so
node 127.0.0.1(127.0.0.1:1980) of /apisix/routes/watched is healthy and gets traffic again: set by hand



=== TEST 2: an upstream that a plugin makes of its conf is probed
--- user_files
>>> ../plugins/maker.lua
local core = require("apisix.core")
local manager = require("apisix.healthcheck_manager")

local _M = {
    version = 1, priority = 1, name = "maker",
    schema = { type = "object", properties = { parts = { type = "array" } } },
}

function _M.check_schema(conf)
    return core.schema.check(_M.schema, conf)
end

function _M.construct_upstream(part)
    if not part then
        return nil, "there is no such part"
    end
    return { nodes = { { host = "127.0.0.1", port = part.port, weight = 1 } },
             checks = part.checks }
end

local function path(at)
    return "/apisix/routes/1#plugins['maker'].parts[" .. at .. "]"
end

function _M.access(conf, ctx)
    local good, bad = manager.fetch_checker(path(0), 1), manager.fetch_checker(path(1), 1)
    local again = manager.fetch_checker(path(0), 1) == good
    local anew = manager.fetch_checker(path(0), 2)
    local none = manager.fetch_checker(path(2), 1)
    local until_ = ngx.now() + 20
    local function healthy(checker, port)
        return manager.fetch_node_status(checker, "127.0.0.1", port)
    end
    while healthy(bad, 1) and ngx.now() < until_ do
        ngx.sleep(0.05)
    end
    return 200, table.concat({ tostring(again), tostring(good.dead), tostring(anew.dead),
                               tostring(none), tostring(healthy(anew, 1980)),
                               tostring(healthy(bad, 1)) }, ", ")
end

return _M
--- extra_yaml_config
plugins:
  - maker
--- apisix_yaml
routes:
  - id: 1
    uri: "/t"
    plugins:
      maker:
        parts:
          - port: 1980
            checks: {active: {type: tcp, healthy: {interval: 1}, unhealthy: {interval: 1}}}
          - port: 1
            checks: {active: {type: tcp, healthy: {interval: 1},
                              unhealthy: {interval: 1, tcp_failures: 1}}}
          - port: 1980
#END
--- request
GET /t
--- timeout: 30
--- response_body chomp
true, true, false, nil, true, false
--- error_log
of /apisix/routes/1#plugins['maker'].parts[1] is unhealthy and gets no more traffic
