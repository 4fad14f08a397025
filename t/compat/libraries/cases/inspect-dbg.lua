-- Breakpoints as the hooks file of APISIX's plugin inspect sets them.
-- original: apisix.inspect.dbg
-- differs: a filter that removes all, the original puts the others back
-- differs: the compiler was off, the original turns it on
local logged = {}
if side == "original" then
    local function note(...) logged[#logged + 1] = table.concat({ ... }) end
    package.loaded["apisix.core"] = { log = { warn = note, error = note } }
end
local dbg = require("apisix.inspect.dbg")
jit.on()
-- Line 3 and 4 have locals a, b, the upvalue up; line 9 is reached by a tail call.
local target = assert(loadstring([[
local up, other = "upvalue", "unused"
local function run(a, ...)
    local b = a + 1
    local c = b .. up
    return c, ...
end
local object = {}
function object.method(self, x)
    return x
end
local function tail(x)
    return object.method(object, x)
end
local function loop(n)
    local sum = 0
    for i = 1, n do
        sum = sum + i
    end
    return sum
end
return { run = run, tail = tail, loop = loop, object = object }
]], "@/some/folder/target.lua"))()
local function copy(from)
    local to = {}
    for key, value in pairs(from) do to[key] = type(value) == "function" and "function" or value end
    return to
end
local function keys()
    local found = {}
    for i, hook in ipairs(dbg.hooks()) do found[i] = hook.key end
    return found
end
-- Calls with a hook there; what the filter saw, whether it stayed.
local function hooked(file, line, keep, call)
    local seen = {}
    dbg.set_hook(file, line, nil, function(info)
        seen[#seen + 1] = { vals = copy(info.vals), uv = copy(info.uv), name = dbg.getname(info.finfo), line = info.finfo.currentline }
        return keep
    end)
    local result = { call() }
    local left = keys()
    dbg.unset_all()
    return seen, result, left, (jit.status()), debug.gethook()
end
local function run() return target.run(1, "more") end
case("no hooks", function() return dbg.hooks(), (debug.gethook()) end)
for _, file in ipairs({ "target.lua", "folder/target.lua", "/some/folder/target.lua", "@/some/folder/target.lua", "get.lua", "other.lua", "Target.lua", "target", "" }) do
    case("file " .. file, function() return hooked(file, 3, true, run) end)
end
for line = 1, 6 do
    case("line " .. line, function() return hooked("target.lua", line, true, run) end)
end
case("it stays", function() return hooked("target.lua", 4, false, function() run() return run() end) end)
for i, answer in ipairs({ 1, "x", 0 }) do
    case("what is not false " .. i, function() return hooked("target.lua", 4, answer, function() run() return run() end) end)
end
case("nothing is not false", function() return hooked("target.lua", 4, nil, function() run() return run() end) end)
case("a method", function() return hooked("target.lua", 9, true, function() return target.object:method(5) end) end)
case("a tail call", function() return hooked("target.lua", 9, true, function() return target.tail(6) end) end)
case("a loop", function()
    local seen, result, left = hooked("target.lua", 17, false, function() return target.loop(5) end)
    return #seen, seen[3], result, left
end)
case("a compiled loop", function()
    for _ = 1, 200 do target.loop(1000) end
    local count = 0
    dbg.set_hook("target.lua", 17, target.loop, function() count = count + 1 return count == 7 end)
    local sum = target.loop(1000)
    return sum, count, keys(), (jit.status())
end)
case("another function is compiled", function()
    for _ = 1, 200 do target.loop(1000) end
    local count = 0
    dbg.set_hook("target.lua", 4, target.run, function() count = count + 1 return false end)
    run()
    run()
    dbg.unset_all()
    run()
    return count, target.loop(1000)
end)
case("two on a line", function()
    local order = {}
    for i = 1, 3 do dbg.set_hook("target.lua", 3, nil, function() order[#order + 1] = i return i ~= 2 end) end
    run()
    local left = keys()
    run()
    dbg.unset_all()
    return order, left
end)
case("several lines", function()
    local order = {}
    for line = 5, 3, -1 do dbg.set_hook("target.lua", line, nil, function(info) order[#order + 1] = info.finfo.currentline return line == 4 end) end
    run()
    local first = keys()
    run()
    local status = jit.status()
    dbg.unset_all()
    return order, first, status, (jit.status())
end)
case("in a coroutine", function()
    local co
    return hooked("target.lua", 4, true, function()
        co = coroutine.wrap(function() return coroutine.yield(1), run() end)
        co()
        return co()
    end)
end)
case("a filter that fails", function()
    dbg.set_hook("target.lua", 3, nil, function() error("no") end)
    dbg.set_hook("target.lua", 3, nil, function() return false end)
    local result = { run() }
    local left = keys()
    dbg.unset_all()
    return result, left, (jit.status())
end)
case("a filter that is none", function()
    dbg.set_hook("target.lua", 3, nil, nil)
    local result = { run() }
    return result, keys(), (jit.status())
end)
case("a filter that waits", function()
    local after
    dbg.set_hook("target.lua", 3, nil, function() ngx.sleep(0.001) after = true return false end)
    local result = { run() }
    return result, after, keys()
end)
case("a filter that yields", function()
    dbg.set_hook("target.lua", 3, nil, function() coroutine.yield(1) return false end)
    local co = coroutine.wrap(run)
    return { co() }, keys()
end)
case("a filter counts frames", function()
    local found, trace = {}, nil
    dbg.set_hook("target.lua", 4, nil, function()
        found = { debug.getinfo(4, "l").currentline, debug.getlocal(4, 1) }
        trace = debug.traceback("here", 4):match("target.lua:%d+: in function[^\n]*"):sub(1, 25)
    end)
    run()
    return found, trace
end)
case("a filter runs hooked code", function()
    local count = 0
    dbg.set_hook("target.lua", 4, nil, function() count = count + 1 return #{ run() } == 0 end)
    run()
    return count, keys(), dbg.unset_all()
end)
case("a filter changes a local", function()
    dbg.set_hook("target.lua", 4, nil, function() debug.setlocal(4, 3, 70) end)
    return run()
end)
case("a filter that sets another", function()
    local order = {}
    dbg.set_hook("target.lua", 3, nil, function()
        order[1] = 3
        dbg.set_hook("target.lua", 4, nil, function() order[2] = 4 end)
    end)
    run()
    return order, keys(), dbg.unset_all()
end)
case("a filter that removes all", function()
    dbg.set_hook("target.lua", 3, nil, function() dbg.unset_all() return false end)
    dbg.set_hook("target.lua", 4, nil, function() return false end)
    run()
    return keys(), dbg.unset_all(), (jit.status())
end)
case("removed by name", function()
    for line = 3, 5 do dbg.set_hook("target.lua", line, nil, function() return false end) end
    dbg.set_hook("target.lua", 4, nil, function() return false end)
    dbg.unset_hook("other.lua", 4)
    local all = keys()
    dbg.unset_hook("target.lua", 4)
    local two = keys()
    dbg.unset_hook("target.lua", 3)
    dbg.unset_hook("target.lua", 5)
    return all, two, keys(), (jit.status()), (debug.gethook())
end)
case("without a file", function()
    dbg.set_hook(nil, 1, nil, function() return false end)
    local found = keys()
    dbg.unset_hook(nil, 1)
    return found, keys()
end)
case("without a line", function() return dbg.set_hook("target.lua", nil, nil, print) end)
case("a line in letters", function()
    local count = 0
    dbg.set_hook("target.lua", "4", nil, function() count = count + 1 return false end)
    run()
    return count, keys(), dbg.unset_all()
end)
case("a line in words", function()
    dbg.set_hook("target.lua", "four", nil, function() return false end)
    run()
    return keys(), dbg.unset_all()
end)
case("a line that is none", function() return pcall(dbg.set_hook, "target.lua", {}, nil, print), dbg.unset_all() end)
case("unset nothing", function() return dbg.unset_hook("x", 1), dbg.unset_all() end)
for i, info in ipairs({
    { what = "C", name = "print" }, { what = "C" }, { what = "main", short_src = "a.lua", currentline = 3, namewhat = "" }, { what = "Lua", short_src = "a.lua", currentline = 3, namewhat = "", name = "x" },
    { what = "Lua", short_src = "a.lua", currentline = 3, namewhat = "local", name = "x" }, { what = "main", short_src = "a.lua", currentline = 3, namewhat = "local", name = "x" },
}) do
    case("name " .. i, function() return dbg.getname(info) end)
end
case("the compiler was off", function()
    jit.off()
    dbg.set_hook("target.lua", 4, nil, function() end)
    run()
    return (jit.status()), jit.on()
end)
jit.on()
