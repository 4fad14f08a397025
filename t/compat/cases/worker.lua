-- ngx.run_worker_thread: functions that run beside the workers.
local say, try = ...

local POOL = "default"


local function run(...)
    return ngx.run_worker_thread(POOL, "worker_functions", ...)
end


return {
    ["results"] = function()
        say(run("sum", 1, 2))
        say(run("echo", "text", 12.5, true, false))
        say(run("nothing"))
        say(select("#", run("nothing")))
    end,
    ["types"] = function()
        say(run("types", 1, "x", true, { 1 }))
        say(run("echo", -1.5, "", "a\0b", 1e100))
    end,
    ["nil"] = function()
        say(select("#", run("echo", nil, 1)))
        say(run("types", nil, 1))
    end,
    ["tables"] = function()
        say(run("echo", { 1, 2, { a = "b", c = { true, false } } }))
        say(run("echo", {}))
        local list = { "one" }
        say(run("change", list))
        say(list)
    end,
    ["it raises"] = function()
        local ok, err = run("fail")
        say(ok, type(err), tostring(err):match("what it raised"))
        ok, err = run("fail_with", "plain")
        say(ok, type(err))
    end,
    ["what is not there"] = function()
        say((run("no such function")))
        say((ngx.run_worker_thread(POOL, "no_such_module", "sum")))
    end,
    ["what cannot be passed"] = function()
        say((run("types", function() end)))
        say((run("types", coroutine.create(function() end))))
        say((run("types", { { print } })))
        say((run("give_function")))
    end,
    ["what cannot be"] = function()
        say((try(ngx.run_worker_thread)))
        say((try(ngx.run_worker_thread, POOL)))
        say((try(ngx.run_worker_thread, POOL, "worker_functions")))
    end,
    ["work"] = function()
        say(run("work", 300000))
    end,
    ["many at a time"] = function()
        local threads = {}
        for i = 1, 8 do
            threads[i] = ngx.thread.spawn(run, "sum", i, i)
        end
        for i = 1, 8 do
            say(ngx.thread.wait(threads[i]))
        end
    end,
    ["functions of ngx"] = function()
        say(run("base64", "hello"))
    end,
}
