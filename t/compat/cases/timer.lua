-- Timers.
local say, try, compat = ...

local function pass()
    return "pass"
end

-- A case whose function ends by compat.done().
local function later(func)
    return { access = function()
        func()
        return pass()
    end, waits = true, log = function() end }
end

return {
    ["at"] = later(function()
        say(ngx.timer.at(0.001, function(premature, a, b, c)
            say(premature, a, b, c, ngx.get_phase())
            compat.done()
        end, 1, nil, "x"))
    end),
    ["at 0 runs after the request's code"] = later(function()
        ngx.timer.at(0, function()
            say("timer")
            compat.done()
        end)
        say("request")
    end),
    ["at: what cannot be"] = function()
        say(try(ngx.timer.at))
        say(try(ngx.timer.at, 1))
        say(try(ngx.timer.at, -1, function() end))
        say(try(ngx.timer.at, "x", function() end))
        say(try(ngx.timer.at, 0, "x"))
        say(try(ngx.timer.at, nil, function() end))
    end,
    ["every: what cannot be"] = function()
        say(try(ngx.timer.every))
        say(try(ngx.timer.every, 0, function() end))
        say(try(ngx.timer.every, -1, function() end))
        say(try(ngx.timer.every, 1, "x"))
    end,
    ["what a timer may not"] = later(function()
        ngx.timer.at(0, function()
            say(try(ngx.say, "x"))
            say(try(ngx.exit, 200))
            say(try(function() return ngx.var.uri end))
            say(try(function() return ngx.status end))
            say(try(function() return ngx.header.x end))
            say(try(ngx.req.get_headers))
            say(try(ngx.req.get_method))
            say(try(ngx.redirect, "/x"))
            say(try(ngx.req.read_body))
            say(try(ngx.resp.get_headers))
            say(try(ngx.req.get_uri_args))
            say(try(ngx.req.set_header, "a", "b"))
            say(try(ngx.req.start_time))
            say(try(ngx.flush))
            compat.done()
        end)
    end),
    ["sleep, threads and sockets"] = later(function()
        ngx.timer.at(0, function()
            ngx.sleep(0.001)
            local thread = ngx.thread.spawn(function()
                ngx.sleep(0.001)
                return "thread"
            end)
            say(ngx.thread.wait(thread))
            local sock = ngx.socket.tcp()
            say(sock:connect("127.0.0.1", compat.env.tcp))
            say(sock:send("say hello\\n\n"))
            say(sock:receive())
            say(sock:close())
            compat.done()
        end)
    end),
    ["a timer from a timer"] = later(function()
        local function again(_, depth)
            say(depth)
            if depth == 3 then
                return compat.done()
            end
            say(ngx.timer.at(0, again, depth + 1))
        end
        ngx.timer.at(0, again, 1)
    end),
    ["a timer that raises"] = later(function()
        ngx.timer.at(0, function() error("oops") end)
        ngx.timer.at(0.005, function()
            say("the next one runs")
            compat.done()
        end)
    end),
    ["counts"] = later(function()
        local pending = ngx.timer.pending_count()
        ngx.timer.at(0.002, function()
            say(ngx.timer.running_count())
            compat.done()
        end)
        say(ngx.timer.pending_count() - pending)
        say(ngx.timer.running_count())
    end),
    ["arguments are kept"] = later(function()
        local list = { 1, 2 }
        ngx.timer.at(0.002, function(_, given, text)
            say(given, text, given == list)
            compat.done()
        end, list, "text")
        list[3] = 3
    end),
    ["exit ends it"] = later(function()
        ngx.timer.at(0, function()
            say("before")
            pcall(ngx.exit, 0)
            say("after")
        end)
        ngx.timer.at(0.01, compat.done)
    end),
    ["log in a timer"] = { access = function()
        ngx.timer.at(0, function()
            ngx.log(ngx.ERR, "from a timer")
            compat.done()
        end)
        return "pass"
    end, waits = true, compare = "log" },
}
