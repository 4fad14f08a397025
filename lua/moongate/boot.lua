--- The first module of a VM: globals, and what LuaJIT lacks against OpenResty.
local host = require("moongate.host")

-- Before anybody takes the functions that it replaces.
require("moongate.door")

-- Host functions written with mlua raise error objects; plugins expect strings.
local function text_error(ok, ...)
    if not ok and type((...)) == "userdata" then
        local text = tostring((...))
        text = text:gsub("^runtime error: ", ""):gsub("\nstack traceback:.*", "")
        return false, text
    end
    return ok, ...
end

local raw_pcall = pcall
local raw_xpcall = xpcall

function pcall(func, ...)
    return text_error(raw_pcall(func, ...))
end

function xpcall(func, handler, ...)
    return raw_xpcall(func, function(err)
        if type(err) == "userdata" then
            err = tostring(err)
        end
        return handler(err)
    end, ...)
end

-- A host function that waits yields a mark to whoever resumed the coroutine. Plugins may
-- run host functions inside coroutines of their own: the mark travels on to the scheduler.
local raw_resume = coroutine.resume
local raw_yield = coroutine.yield
local mark = host.mark

local function relay(co, ok, ...)
    if ok and (...) == mark then
        return relay(co, raw_resume(co, raw_yield(mark)))
    end
    return ok, ...
end

-- LuaJIT bounds the depth of each coroutine, but not how deep they are nested; Lua does.
local NESTED_MAX = 200
local running = coroutine.running
local depths = setmetatable({}, { __mode = "k" })

function coroutine.resume(co, ...)
    local depth = (depths[running()] or 0) + 1
    if depth > NESTED_MAX then
        return false, "C stack overflow"
    end
    if type(co) == "thread" then
        depths[co] = depth
    end
    return relay(co, raw_resume(co, ...))
end

local function unwrap(ok, ...)
    if ok then
        return ...
    end
    error((...), 0)
end

function coroutine.wrap(func)
    local co = coroutine.create(func)
    return function(...)
        return unwrap(coroutine.resume(co, ...))
    end
end

-- OpenResty's values; mainline's flush all traces when a few dozen plugins are reloaded.
require("jit.opt").start("maxtrace=8000", "maxrecord=16000", "minstitch=3", "maxmcode=40960")

require("moongate.ngx")
require("moongate.crypto_symbols")

-- What is printed is for the log, as in OpenResty: there is no terminal.
local emit = require("moongate.logging").emit

function print(...)
    emit(ngx.NOTICE, 2, ...)
end

-- As in OpenResty, where `require("ngx")` gives the same table.
package.loaded.ngx = ngx

-- Libraries require the parts of resty.core to have them in place; here they always are.
for _, name in ipairs({ "base64", "coroutine", "ctx", "exit", "hash", "misc", "ndk", "param",
    "phase", "request", "response", "shdict", "socket", "time", "uri", "utils", "var",
    "worker" }) do
    package.preload["resty.core." .. name] = function()
        return { version = require("resty.core.base").version }
    end
end

-- Each VM draws its own numbers, or all workers would draw the same.
local a, b, c, d = host.crypto.random_bytes(4):byte(1, 4)
math.randomseed(((a * 256 + b) * 256 + c) * 256 + d)

-- Writing a global is allowed and told once, with its place.
setmetatable(_G, {
    __newindex = function(globals, name, value)
        local info = debug.getinfo(2, "Sl")
        if info and info.what ~= "C" and info.short_src ~= "[C]" then
            ngx.log(ngx.WARN, "writing a global Lua variable ('", tostring(name), "') at ",
                    info.short_src, ":", info.currentline)
        end
        rawset(globals, name, value)
    end,
})
