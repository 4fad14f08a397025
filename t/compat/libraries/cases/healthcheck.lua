-- Checks of nodes: what is reported, and what is found by asking.
-- original: resty.healthcheck
-- original: resty.worker.events
-- peer: health
-- differs: get_target_list, the original that was at hand is Kong's, which has none
-- differs: get_target_list of none, as above
-- differs: get_target_list without a dictionary, as above
local ev = require("resty.worker.events")
ev.configure({ shm = "compat-events", interval = 0.05 })
local healthcheck = require("resty.healthcheck")
local port = tonumber(ports.health)
local last = 0
local function new(checks, more)
    last = last + 1
    local opts = { name = "it" .. last, shm_name = "compat-events", type = "http", checks = checks }
    for key, value in pairs(more or {}) do opts[key] = value end
    return healthcheck.new(opts)
end
local seen = {}
local function watch(checker) seen = {} ev.register(function(data, event) seen[#seen + 1] = event .. " " .. tostring(data and data.ip) end, checker.EVENT_SOURCE) end
for i, opts in ipairs({ {}, { name = "x" }, { name = "x", shm_name = "none" }, { name = "x", shm_name = "compat-events", type = "ftp" }, { name = "x", shm_name = "compat-events", checks = { active = { type = "udp" } } }, { name = "x", shm_name = "compat-events", checks = { active = { timeout = "x" } } }, { name = "x", shm_name = "compat-events", checks = { active = { timeout = -1 } } }, { name = "x", shm_name = "compat-events", checks = { passive = { healthy = { successes = 255 } } } }, { name = "x", shm_name = "compat-events", checks = { active = { unhealthy = { tcp_failures = 2 ^ 40 } } } }, { name = "x", shm_name = "compat-events", checks = 5 } }) do
    case("wrong options " .. i, function() return (pcall(healthcheck.new, opts)) end)
end
local passive = { passive = { healthy = { successes = 2 }, unhealthy = { tcp_failures = 2, http_failures = 3, timeouts = 2 } } }
local c = new(passive)
watch(c)
local function after(ok, err) ngx.sleep(0.05) return ok, err, (c:get_target_status("10.0.0.1", 80)) end
case("no such node", function() return c:get_target_status("10.0.0.1", 80) end)
case("add_target", function() return after(c:add_target("10.0.0.1", 80)) end)
case("add_target again", function() return after(c:add_target("10.0.0.1", 80, nil, false)) end)
case("add_target that is ill", function() return c:add_target("10.0.0.2", 80, "h.test", false), ngx.sleep(0.05), (c:get_target_status("10.0.0.2", 80, "h.test")) end)
case("add_target without an address", function() return (pcall(c.add_target, c)), (pcall(c.add_target, c, "1.2.3.4")) end)
case("one failure", function() return after(c:report_tcp_failure("10.0.0.1", 80)) end)
case("two failures", function() return after(c:report_tcp_failure("10.0.0.1", 80)) end)
case("one success", function() return after(c:report_success("10.0.0.1", 80)) end)
case("a failure in between", function() return after(c:report_tcp_failure("10.0.0.1", 80)) end)
case("a success again", function() return after(c:report_success("10.0.0.1", 80)) end)
case("two successes", function() return after(c:report_success("10.0.0.1", 80)) end)
case("timeouts", function() c:report_timeout("10.0.0.1", 80) return after(c:report_timeout("10.0.0.1", 80)) end)
case("statuses that heal", function() c:report_http_status("10.0.0.1", 80, nil, 200) return after(c:report_http_status("10.0.0.1", 80, nil, "301")) end)
case("a status that says nothing", function() return after(c:report_http_status("10.0.0.1", 80, nil, 404)) end)
case("statuses that hurt", function() for _ = 1, 3 do c:report_http_status("10.0.0.1", 80, nil, 500) end return after() end)
case("report_failure", function() c:set_target_status("10.0.0.1", 80, nil, true) for _ = 1, 3 do c:report_failure("10.0.0.1", 80) end return after() end)
case("reports of nobody", function() return c:report_failure("10.9.9.9", 80), c:report_success("10.9.9.9", 80), c:report_timeout("10.9.9.9", 80) end)
case("set_target_status", function() return after(c:set_target_status("10.0.0.1", 80, nil, true)) end)
case("set_target_status of nobody", function() return c:set_target_status("10.9.9.9", 80, nil, true) end)
case("set_target_status without a status", function() return (pcall(c.set_target_status, c, "10.0.0.1", 80)) end)
case("set_all_target_statuses_for_hostname", function() local ok, err = c:set_all_target_statuses_for_hostname("h.test", 80, true) ngx.sleep(0.05) return ok, err, (c:get_target_status("10.0.0.2", 80, "h.test")) end)
case("events", function() ngx.sleep(0.1) return seen end)
case("remove_target", function() return c:remove_target("10.0.0.2", 80, "h.test"), ngx.sleep(0.05), c:get_target_status("10.0.0.2", 80, "h.test") end)
case("remove_target of nobody", function() return c:remove_target("10.9.9.9", 80) end)
case("a limit of 0", function() local d = new({ passive = { unhealthy = { tcp_failures = 0 } } }) d:add_target("10.0.0.3", 80) ngx.sleep(0.05) for _ = 1, 9 do d:report_tcp_failure("10.0.0.3", 80) end ngx.sleep(0.05) return (d:get_target_status("10.0.0.3", 80)) end)
case("two of a name are one", function() local d = new(passive, { name = "it1" }) ngx.sleep(0.05) return (d:get_target_status("10.0.0.1", 80)) end)
case("clear", function() return c:clear(), ngx.sleep(0.05), c:get_target_status("10.0.0.1", 80) end)
case("delayed_clear", function()
    c:add_target("10.0.0.5", 80)
    c:add_target("10.0.0.6", 80)
    local ok = c:delayed_clear(0.1)
    c:add_target("10.0.0.6", 80)
    ngx.sleep(3.5)
    return ok, c:get_target_status("10.0.0.5", 80) or "gone", (c:get_target_status("10.0.0.6", 80))
end)
case("delayed_clear without a delay", function() return (pcall(c.delayed_clear, c)) end)
case("event names", function() return c.events.healthy, c.events.mostly_unhealthy, (pcall(function() return c.events.none end)) end)
case("get_target_list", function()
    local list = healthcheck.get_target_list("it1", "compat-events")
    return list[1].ip, list[1].status, list[1].counter
end)
case("get_target_list of none", function() return healthcheck.get_target_list("nobody", "compat-events") end)
case("get_target_list without a dictionary", function() return healthcheck.get_target_list("it1", "none") end)
-- Active checks.
local function set(status)
    local sock = ngx.socket.tcp()
    sock:connect("127.0.0.1", port)
    sock:send("GET /set/" .. status .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    sock:receive("*a")
    sock:close()
end
local function until_status(checker, node_port, wanted)
    for _ = 1, 100 do
        if checker:get_target_status("127.0.0.1", node_port) == wanted then return "in time" end
        ngx.sleep(0.1)
    end
    return "too late"
end
local active = { active = { http_path = "/x", timeout = 1, healthy = { interval = 0.2, successes = 1 }, unhealthy = { interval = 0.2, http_failures = 2, tcp_failures = 1 } } }
case("active checks", function()
    set(500)
    local a = new(active)
    a:add_target("127.0.0.1", port)
    local ill = until_status(a, port, false)
    set(200)
    local well = until_status(a, port, true)
    a:stop()
    return ill, well
end)
case("active checks of nobody there", function() local a = new(active) a:add_target("127.0.0.1", 1) local ill = until_status(a, 1, false) a:stop() return ill end)
case("active checks by TCP", function() local a = new({ active = { type = "tcp", healthy = { interval = 0.2, successes = 1 }, unhealthy = { interval = 0.2 } } }) a:add_target("127.0.0.1", port, nil, false) local well = until_status(a, port, true) a:stop() return well end)
case("stop", function() set(200) local a = new(active) a:add_target("127.0.0.1", port) ngx.sleep(0.05) a:stop() set(500) ngx.sleep(0.8) local still = a:get_target_status("127.0.0.1", port) a:start() local ill = until_status(a, port, false) a:stop() return still, ill end)
set(200)
case("run_single_check", function() local a = new({ active = { healthy = { successes = 1 } } }) a:add_target("127.0.0.1", port, nil, false) ngx.sleep(0.05) a:run_single_check("127.0.0.1", port) ngx.sleep(0.05) return (a:get_target_status("127.0.0.1", port)) end)
case("headers", function() local a = new({ active = { headers = { ["X-A"] = { "1", "2" }, ["X-B"] = "3" }, healthy = { successes = 1 } } }) a:add_target("127.0.0.1", port, "name.test", false) ngx.sleep(0.05) a:run_single_check("127.0.0.1", port, "name.test") ngx.sleep(0.05) return (a:get_target_status("127.0.0.1", port, "name.test")) end)
