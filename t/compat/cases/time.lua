-- Times: those that pass are compared with each other, the rest is text.
local say, try, compat = ...

local done = compat.done

return {
    ["http_time"] = function()
        say(ngx.http_time(1290079655), ngx.http_time(0), ngx.http_time(4102444800))
        say(ngx.http_time(1290079655.9))
    end,
    ["http_time: what cannot be"] = function()
        say(try(ngx.http_time))
        say(try(ngx.http_time, nil))
        say(try(ngx.http_time, "x"))
        say(try(ngx.http_time, {}))
    end,
    ["cookie_time"] = function()
        say(ngx.cookie_time(1547047823), ngx.cookie_time(0), ngx.cookie_time(4102444800))
        say(try(ngx.cookie_time))
        say(try(ngx.cookie_time, nil))
        say(try(ngx.cookie_time, "x"))
    end,
    ["parse_http_time"] = function()
        say(ngx.parse_http_time("Thu, 18 Nov 2010 11:27:35 GMT"))
        say(ngx.parse_http_time("Thursday, 18-Nov-10 11:27:35 GMT"))
        say(ngx.parse_http_time("Thu Nov 18 11:27:35 2010"))
        say(ngx.parse_http_time("Thu, 01 Jan 1970 00:00:00 GMT"))
    end,
    ["parse_http_time: not a time"] = function()
        for _, text in ipairs({ "", "abc", "Thu, 18 Nov 2010 11:27:35",
            "Thu, 31 Feb 2010 11:27:35 GMT",
            "Thu, 18 Nov 2010 25:27:35 GMT", "18 Nov 2010 11:27:35 GMT",
            "Xxx, 18 Nov 2010 11:27:35 GMT", "Thu, 18 Nov 1960 11:27:35 GMT",
            "Thu, 18 Nov 2010 11:27:35 PST" }) do
            say(text, ngx.parse_http_time(text))
        end
        say(try(ngx.parse_http_time, nil))
        say(try(ngx.parse_http_time, 12))
    end,
    ["formats"] = function()
        say((ngx.today():gsub("%d", "N")), (ngx.localtime():gsub("%d", "N")))
        say((ngx.utctime():gsub("%d", "N")))
        say(ngx.today() == ngx.localtime():sub(1, 10))
    end,
    ["now and time"] = function()
        say(type(ngx.now()), type(ngx.time()), math.floor(ngx.now()) == ngx.time())
        say(ngx.time() % 1, math.abs(os.time() - ngx.time()) <= 1)
        say(math.abs(ngx.now() * 1000 - math.floor(ngx.now() * 1000 + 0.5)) < 0.001)
    end,
    ["now stands until update_time"] = function()
        local before = ngx.now()
        local stop = os.clock() + 0.02
        while os.clock() < stop do end
        say(ngx.now() == before)
        ngx.update_time()
        say(ngx.now() > before)
    end,
    ["update_time returns nothing"] = function()
        say(select("#", ngx.update_time()))
    end,
    ["sleep moves the time"] = function()
        local before = ngx.now()
        ngx.sleep(0.02)
        local past = ngx.now() - before
        say(past >= 0.015, past < 2)
    end,
    ["sleep: what cannot be"] = function()
        say(try(ngx.sleep))
        say(try(ngx.sleep, -1))
        say(try(ngx.sleep, "x"))
        say(try(ngx.sleep, {}))
        say(try(ngx.sleep, nil))
    end,
    ["sleep: nothing and texts"] = function()
        say(select("#", ngx.sleep(0)))
        say(try(ngx.sleep, "0.001"))
    end,
    ["req.start_time"] = function()
        local past = ngx.now() - ngx.req.start_time()
        say(past >= 0, past < 5, ngx.req.start_time() == ngx.req.start_time())
    end,
    ["now in a loop"] = function()
        local first, same = ngx.now(), 0
        for _ = 1, 1000 do
            if ngx.now() == first and ngx.time() == math.floor(first) then
                same = same + 1
            end
        end
        say(same)
    end,
    ["now goes on after whatever waits"] = function()
        local before = ngx.now()
        local thread = ngx.thread.spawn(function()
            ngx.sleep(0.02)
            return ngx.now()
        end)
        local _, inside = ngx.thread.wait(thread)
        say(inside > before, ngx.now() >= inside)
        local run = coroutine.wrap(function()
            coroutine.yield(ngx.now())
            ngx.sleep(0.02)
            return ngx.now()
        end)
        local first = run()
        say(run() > first)
    end,
    ["now in a timer"] = { waits = true, access = function()
        local before = ngx.now()
        ngx.timer.at(0.02, function()
            say("later", ngx.now() > before)
            done()
        end)
    end },
    ["update_time in a loop"] = function()
        local before = ngx.now()
        repeat
            ngx.update_time()
        until ngx.now() > before
        say(ngx.now() - before < 5, ngx.time() <= ngx.now())
    end,
}
