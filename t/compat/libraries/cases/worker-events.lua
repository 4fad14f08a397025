-- Messages between workers.
-- original: resty.worker.events
local ev = require("resty.worker.events")
case("no such shm", function() return ev.configure({ shm = "none" }) end)
case("no table", function() return (pcall(ev.configure)) end)
for i, opts in ipairs({ { timeout = "x" }, { timeout = 0 }, { interval = "x" }, { interval = 0 }, { wait_max = -1 }, { wait_interval = -1 } }) do
    opts.shm = "compat-events"
    case("wrong option " .. i, function() return (ev.configure(opts)) end)
end
case("configure", function() return ev.configure({ shm = "compat-events", interval = 0.05 }) end)
case("configure again", function() return ev.configure({ shm = "compat-events" }) end)
case("configured", function() return ev.configured() end)
local seen = {}
local function note(data, event, source, pid) seen[#seen + 1] = { data, event, source, pid == ngx.worker.pid() or pid } end
local function taken() local list = seen seen = {} return list end
case("register", function() return (ev.register(note, "src", "one", "two")) end)
case("post", function() return ev.post("src", "one", { a = { 1, "x" } }), taken() end)
case("post of nothing", function() return ev.post("src", "two"), taken() end)
case("an event nobody wants", function() return ev.post("src", "three", 1), taken() end)
case("a source nobody wants", function() return ev.post("other", "one", 1), taken() end)
case("post_local", function() return ev.post_local("src", "one", "here"), taken() end)
case("post without a source", function() return ev.post("", "one") end)
case("post without an event", function() return ev.post("src", nil) end)
case("post_local without a source", function() return ev.post_local(nil, "one") end)
case("what has no form", function() return (ev.post("src", "one", { print })) end)
case("unique", function() ev.post("src", "one", 1, "once") ev.post("src", "one", 2, "once") return taken() end)
case("poll", function() return ev.poll() end)
case("poll from a handler", function() local inner ev.register(function() inner = ev.poll() end, "rec") ev.post("rec", "x") return inner end)
case("a handler that fails", function() ev.register(function() error("no") end, "bad") ev.register(note, "bad") return ev.post("bad", "x", 1), taken() end)
case("all of a source", function() ev.register(note, "whole") ev.post("whole", "x", 1) ev.post("whole", "y", 2) return taken() end)
case("unregister", function() return ev.unregister(note, "whole"), ev.post("whole", "x", 1), taken() end)
case("unregister of one event", function() return ev.unregister(note, "src", "one"), ev.post("src", "one"), ev.post("src", "two", 3), taken() end)
case("unregister of none", function() return ev.unregister(note, "nowhere") end)
case("register of no function", function() return (pcall(ev.register, "x")) end)
case("register_weak", function() local function own() seen[#seen + 1] = "weak" end ev.register_weak(own, "w") ev.post("w", "x") local first = taken() own = nil -- luacheck: ignore
    collectgarbage() collectgarbage() ev.post("w", "x") return first, taken() end)
case("everything", function() ev.register(note) ev.post("any", "thing", true) local list = taken() ev.unregister(note) return list end)
case("event_list", function() local list = ev.event_list("src", "a", "b") return list._source, list.a, list.b, (pcall(function() return list.c end)) end)
case("from a timer", function() ev.register(note, "late") ngx.timer.at(0, function() ev.post("late", "x", "later") end) ngx.sleep(0.2) return taken() end)
case("own events", function() return ev.events._source, ev.events.started, ev.events.stopping end)
