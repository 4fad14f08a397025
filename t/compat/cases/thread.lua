-- Light threads, semaphores, coroutines.
local say, try = ...

local semaphore = require("ngx.semaphore")

return {
    ["spawn and wait"] = function()
        local thread = ngx.thread.spawn(function(a, b)
            say("runs at once", a, b)
            return a + b, "more"
        end, 1, 2)
        say(type(thread), coroutine.status(thread))
        say(ngx.thread.wait(thread))
    end,
    ["order"] = function()
        local function worker(name, seconds)
            say(name, "starts")
            ngx.sleep(seconds)
            say(name, "ends")
            return name
        end
        local a = ngx.thread.spawn(worker, "a", 0.02)
        local b = ngx.thread.spawn(worker, "b", 0.01)
        say("parent")
        say(ngx.thread.wait(a))
        say(ngx.thread.wait(b))
    end,
    ["wait for any"] = function()
        local a = ngx.thread.spawn(function() ngx.sleep(0.05) return "a" end)
        local b = ngx.thread.spawn(function() ngx.sleep(0.01) return "b" end)
        say(ngx.thread.wait(a, b))
        say(ngx.thread.kill(a))
    end,
    ["wait twice"] = function()
        local thread = ngx.thread.spawn(function() return 1 end)
        say(ngx.thread.wait(thread))
        say(ngx.thread.wait(thread))
    end,
    ["raises"] = function()
        local thread = ngx.thread.spawn(function() error("oops", 0) end)
        say(ngx.thread.wait(thread))
        thread = ngx.thread.spawn(function()
            ngx.sleep(0.001)
            error("late", 0)
        end)
        say(ngx.thread.wait(thread))
    end,
    ["raises a table"] = function()
        local thread = ngx.thread.spawn(function() error({ code = 7 }) end)
        local ok, err = ngx.thread.wait(thread)
        say(ok, type(err), type(err) == "table" and err.code)
        thread = ngx.thread.spawn(function() error() end)
        say(ngx.thread.wait(thread))
    end,
    ["spawn: what cannot be"] = function()
        say(try(ngx.thread.spawn))
        say(try(ngx.thread.spawn, "x"))
        say(try(ngx.thread.spawn, {}))
    end,
    ["wait: what cannot be"] = function()
        say(try(ngx.thread.wait))
        say(try(ngx.thread.wait, "x"))
        say(try(ngx.thread.wait, coroutine.create(function() end)))
        say(try(ngx.thread.kill))
        say(try(ngx.thread.kill, "x"))
        say(try(ngx.thread.kill, coroutine.create(function() end)))
    end,
    ["kill"] = function()
        local thread = ngx.thread.spawn(function()
            ngx.sleep(0.02)
            say("never")
        end)
        say(ngx.thread.kill(thread))
        say(ngx.thread.kill(thread))
        say(ngx.thread.wait(thread))
        say(coroutine.status(thread))
        ngx.sleep(0.03)
    end,
    ["kill one that ended"] = function()
        local thread = ngx.thread.spawn(function() return 1 end)
        say(ngx.thread.kill(thread))
        say(ngx.thread.wait(thread))
    end,
    ["threads of threads"] = function()
        local outer = ngx.thread.spawn(function()
            local inner = ngx.thread.spawn(function()
                ngx.sleep(0.005)
                return "inner"
            end)
            local ok, value = ngx.thread.wait(inner)
            return ok, value, "outer"
        end)
        say(ngx.thread.wait(outer))
    end,
    ["a thread spawns at once and reads the body"] = { method = "POST", body = "hello",
        access = function()
            local thread = ngx.thread.spawn(function()
                ngx.req.read_body()
                return ngx.req.get_body_data()
            end)
            say(ngx.thread.wait(thread))
        end },
    ["the request waits for its threads"] = { rewrite = function()
        ngx.thread.spawn(function()
            ngx.sleep(0.01)
            say("the thread")
        end)
        say("the parent")
    end, access = function()
        say("access")
    end },
    ["yield between threads"] = function()
        local thread = ngx.thread.spawn(function()
            for at = 1, 3 do
                say("thread", at)
                coroutine.yield()
            end
            return "over"
        end)
        say("parent", 1)
        coroutine.yield()
        say("parent", 2)
        say(ngx.thread.wait(thread))
    end,
    ["many threads"] = function()
        local threads, sum = {}, 0
        for at = 1, 50 do
            threads[at] = ngx.thread.spawn(function()
                ngx.sleep(0.001 * (at % 5))
                return at
            end)
        end
        for at = 1, 50 do
            local _, value = ngx.thread.wait(threads[at])
            sum = sum + value
        end
        say(sum)
    end,
    ["coroutines and sleep"] = function()
        local co = coroutine.create(function(a)
            ngx.sleep(0.001)
            local b = coroutine.yield(a + 1)
            ngx.sleep(0.001)
            return b * 2
        end)
        say(coroutine.resume(co, 1))
        say(coroutine.status(co))
        say(coroutine.resume(co, 5))
        say(coroutine.status(co))
        say(coroutine.resume(co))
    end,
    ["coroutine.wrap"] = function()
        local gen = coroutine.wrap(function()
            for at = 1, 3 do
                ngx.sleep(0)
                coroutine.yield(at)
            end
        end)
        say(gen(), gen(), gen(), gen())
        say(try(gen))
    end,
    ["coroutine errors"] = function()
        local co = coroutine.create(function() error("oops", 0) end)
        say(coroutine.resume(co))
        say(coroutine.status(co))
        say(try(coroutine.wrap(function() error("wrapped", 0) end)))
        say(try(coroutine.create, 12))
        co = coroutine.create(function() error({ a = 1 }) end)
        local ok, err = coroutine.resume(co)
        say(ok, type(err), err.a)
    end,
    ["coroutine.running"] = function()
        say(type(coroutine.running()))
        local seen
        local co
        co = coroutine.create(function()
            seen = coroutine.running() == co
            say(coroutine.status(co))
            say(coroutine.resume(co))
        end)
        coroutine.resume(co)
        say(seen)
    end,
    ["coroutine in pcall"] = function()
        local co = coroutine.create(function()
            local ok, err = pcall(function()
                coroutine.yield(1)
                ngx.sleep(0.001)
                error("inside", 0)
            end)
            coroutine.yield(ok, err)
            return "end"
        end)
        say(coroutine.resume(co))
        say(coroutine.resume(co))
        say(coroutine.resume(co))
        say(coroutine.resume(co))
    end,
    ["pcall and sleep"] = function()
        say(pcall(function()
            ngx.sleep(0.001)
            error("after", 0)
        end))
        say(xpcall(function()
            ngx.sleep(0.001)
            error("after", 0)
        end, function(err)
            return "handled " .. err
        end))
        say(xpcall(function(a, b) return a, b end, debug.traceback, 1, 2))
    end,
    ["sleep where none may be"] = function()
        say((select(2, try(string.gsub, "a", "a", function() ngx.sleep(0.001) end))))
        say((select(2, try(table.sort, { 2, 1 }, function(a,
            b) ngx.sleep(0.001) return a < b end))))
    end,
    ["sleep in metamethods and iterators"] = function()
        local object = setmetatable({}, {
            __index = function(_, name)
                ngx.sleep(0.001)
                return name
            end,
            __call = function(_, a)
                ngx.sleep(0.001)
                return a
            end,
        })
        say(object.field, object(3))
        for a in (function() local n = 0 return function()
            ngx.sleep(0.001)
            n = n + 1
            return n < 3 and n or nil
        end end)() do
            say(a)
        end
    end,
    ["semaphore"] = function()
        local sema = semaphore.new(0)
        say(sema:count())
        local thread = ngx.thread.spawn(function()
            say("waits", sema:count())
            return sema:wait(1)
        end)
        say(sema:count())
        say(sema:post(1))
        say(ngx.thread.wait(thread))
        say(sema:count())
    end,
    ["semaphore: places"] = function()
        local sema = semaphore.new(2)
        say(sema:wait(0), sema:wait(0))
        say(sema:wait(0))
        say(sema:wait(0.01))
        say(sema:post(3), sema:count())
    end,
    ["semaphore: what cannot be"] = function()
        say(try(semaphore.new, -1))
        say(try(semaphore.new, "x"))
        say(type(semaphore.new()), semaphore.new():count())
        local sema = semaphore.new()
        say(try(sema.wait, sema, -1))
        say(try(sema.wait, sema))
        say(try(sema.wait, sema, "x"))
        say(try(sema.post, sema, 0))
        say(try(sema.post, sema, -1))
        say(try(sema.post, sema, "x"))
        say(try(sema.count, {}))
        say(try(sema.wait, {}, 1))
    end,
    ["semaphore: several wait"] = function()
        local sema = semaphore.new()
        local threads = {}
        for at = 1, 3 do
            threads[at] = ngx.thread.spawn(function()
                local ok, err = sema:wait(0.5)
                say("woken", at, ok, err)
            end)
        end
        say(sema:count())
        sema:post(2)
        ngx.sleep(0.005)
        say(sema:count())
        sema:post()
        for at = 1, 3 do
            ngx.thread.wait(threads[at])
        end
    end,
    ["semaphore: killed while waiting"] = function()
        local sema = semaphore.new()
        local thread = ngx.thread.spawn(function() sema:wait(5) end)
        say(ngx.thread.kill(thread))
        say(sema:count())
    end,
}
