# Messages between two workers, and what a plugin reload does to them.
#
# The plugin `ledger` counts in a dictionary what each worker hears, and what a VM hears twice.
# /round posts from both workers until each has posted, and tells what was wrong afterwards.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");
workers(2);

run_tests;

__DATA__

=== TEST 1: what one worker posts comes to both, once
--- user_files
>>> ../plugins/ledger.lua
local compat = require("resty.worker.events")
local bus = require("resty.events").new({ listening = "unix:/ledger", broker_id = 0 })

local GENERATION = "first"
local QUIET_SECONDS = 1
local PATIENCE_SECONDS = 30

local _M = { version = 1, priority = 1, name = "ledger", schema = { type = "object" } }
local ledger = ngx.shared.ledger

-- What this VM has heard; a worker has two of them while the code changes.
local heard = {}

local function key(library, id, worker)
    return table.concat({ "heard", library, id, worker }, ":")
end

local function note(library, id)
    local name = key(library, id, ngx.worker.id())
    ledger:incr(name, 1, 0)
    if heard[name] then
        ledger:incr("twice", 1, 0)
    end
    heard[name] = true
end

function _M.init()
    compat.configure({ shm = "worker-events" })
    compat.register(function(id) note("worker.events", id) end, "ledger", "posted")
    bus:init_worker()
    bus:subscribe("ledger", "published", function(id) note("resty.events", id) end)
end

local function post(id)
    assert(compat.post("ledger", "posted", id))
    assert(bus:publish("all", "ledger", "published", id))
    return ngx.worker.id()
end

local function wait(good)
    local deadline = ngx.now() + PATIENCE_SECONDS
    while not good() and ngx.now() < deadline do
        ngx.sleep(0.05)
    end
end

-- A request on a connection of its own; what it is answered.
local function ask(port, method, path)
    local sock = ngx.socket.tcp()
    sock:settimeout(30000)
    assert(sock:connect("127.0.0.1", port))
    assert(sock:send(method .. " " .. path .. " HTTP/1.0\r\nHost: t\r\n\r\n"))
    local answer = assert(sock:receive("*a"))
    sock:close()
    return answer:match("\r\n\r\n(.*)")
end

-- Calls `each` for each library, number and worker.
local function all(first, last, each)
    for _, library in ipairs({ "worker.events", "resty.events" }) do
        for id = first, last do
            for worker = 0, 1 do
                each(library, id, worker)
            end
        end
    end
end

-- The numbers that are not heard by a worker as often as `good(times)` wants.
local function wrong(first, last, good)
    local found = {}
    all(first, last, function(library, id, worker)
        local times = ledger:get(key(library, id, worker)) or 0
        if not good(times) then
            found[#found + 1] = ("%s %d: worker %d heard it %d times"):format(
                library, id, worker, times)
        end
    end)
    return found
end

local function told(first, last, good)
    wait(function() return #wrong(first, last, good) == 0 end)
    -- What comes twice comes a little later.
    ngx.sleep(QUIET_SECONDS)
    local found = wrong(first, last, good)
    found[#found + 1] = ledger:get("twice") and "a VM heard a message twice" or nil
    return #found == 0 and "as it should be\n" or table.concat(found, "\n", 1, math.min(#found, 9))
end

local function round()
    local seen, first, id = {}, (ledger:get("last") or 0) + 1
    repeat
        id = ledger:incr("last", 1, 0)
        seen[ask(1984, "GET", "/post?id=" .. id)] = true
    until seen["0"] and seen["1"] or id - first > 200
    assert(seen["0"] and seen["1"], "one of the workers gets no connection")
    return told(first, id, function(times) return times == 1 end)
end

-- Posts all the time while the code changes.
local function change()
    local first, last, swapped = (ledger:get("last") or 0) + 1
    local path = ngx.config.prefix() .. "plugins/ledger.lua"
    local file = assert(io.open(path))
    local text = file:read("*a"):gsub('GENERATION = "%w+"', 'GENERATION = "second"', 1)
    file:close()
    file = assert(io.open(path .. ".new", "w"))
    file:write(text)
    file:close()
    assert(os.rename(path .. ".new", path))
    local reload = ngx.thread.spawn(function()
        ngx.sleep(0.1)
        swapped = ask(9090, "PUT", "/v1/plugins/reload")
    end)
    local after = 0
    while after < 30 do
        last = ledger:incr("last", 1, 0)
        post(last)
        ngx.sleep(0.01)
        after = swapped and after + 1 or 0
    end
    ngx.thread.wait(reload)
    ledger:set("changed:first", first)
    ledger:set("changed:last", last)
    return swapped .. "\n"
end

-- What was posted meanwhile: each worker has heard it, in whichever of its VMs.
local function changed()
    return told(ledger:get("changed:first"), ledger:get("changed:last"), function(times)
        return times >= 1
    end)
end

function _M.access(_, ctx)
    local uri = ctx.var.uri
    if uri == "/post" then
        return 200, tostring(post(tonumber(ctx.var.arg_id)))
    end
    return 200, ({ ["/round"] = round, ["/change"] = change, ["/changed"] = changed,
                   ["/generation"] = function() return GENERATION .. "\n" end })[uri]()
end

return _M
--- extra_yaml_config
moongate:
  add_plugins: [ledger]
nginx_config:
  http:
    custom_lua_shared_dict:
      ledger: 4m
--- apisix_yaml
routes:
  - uri: /*
    plugins: {ledger: {}}
#END
--- timeout: 60
--- request
GET /round
--- response_body
as it should be



=== TEST 2: the code changes while there are messages
--- timeout: 60
--- request
GET /change
--- response_body
done



=== TEST 3: none of them is lost, none comes to a VM twice
--- timeout: 60
--- request
GET /changed
--- response_body
as it should be



=== TEST 4: the new code serves
--- request
GET /generation
--- response_body
second



=== TEST 5: and hears, on both workers, once
--- timeout: 60
--- request
GET /round
--- response_body
as it should be
