-- Shared dictionaries: incr, which LuaJIT compiles.
local say, try, compat = ...

local dict = ngx.shared.compat
local lists = ngx.shared.compat_lists
local small = ngx.shared.compat_small

local case = compat.with_empty_dicts

return {
    ["again and again"] = case(function()
        dict:set("n", 0)
        local sum = 0
        for i = 1, 300 do
            sum = sum + dict:incr("n", i)
        end
        say(sum, dict:get("n"))
        for i = 1, 100 do
            local value, err, forcible = dict:incr("key" .. i, 2.5, i)
            if value ~= i + 2.5 or err ~= nil or forcible ~= false then
                say("wrong", i, value, err, forcible)
            end
        end
        say(dict:get("key100"), dict:incr("key100", -0.5, 7))
    end),
    ["what comes back"] = case(function()
        dict:set("n", 1)
        dict:set("t", "text")
        dict:set("b", true)
        say(select("#", dict:incr("n", 1)), select("#", dict:incr("n", 1, 5)))
        say(dict:incr("t", 1))
        say(dict:incr("b", 1))
        say(dict:incr("t", 1, 0))
        say(dict:incr("none", 1))
        say(dict:incr("none", 1, 0, 0))
        say(dict:incr("", 1))
        say(dict:incr(("k"):rep(70000), 1, 0))
        say(dict:incr(12, 1, 0), dict:get("12"))
        say(dict:incr("n", "2"), dict:incr("n", 1, "3"))
    end),
    ["lists"] = case(function()
        lists:lpush("l", 1)
        say(lists:incr("l", 1))
        say(lists:incr("l", 1, 0))
    end),
    ["numbers at their ends"] = case(function()
        say(dict:incr("n", 1e308, 1e308), dict:incr("n", 1))
        say(dict:incr("m", 2 ^ 53, 1), dict:incr("z", 0, 0))
        say(dict:incr("x", 0 / 0, 0) ~= dict:get("x"))
    end),
    ["a life of its own"] = case(function()
        say(dict:incr("n", 1, 0, 0.02))
        say(dict:incr("n", 1, 0, 10))
        ngx.sleep(0.05)
        say(dict:incr("n", 1, 0))
        say(dict:incr("never", 1, nil))
    end),
    ["until there is no room"] = case(function()
        local evicted = 0
        for i = 1, 400 do
            local value, _, forcible = small:incr(("key-%04d"):format(i), 1, 0)
            if value ~= 1 then
                say("wrong", i, value)
            end
            evicted = evicted + (forcible and 1 or 0)
        end
        say(evicted > 0, small:get("key-0400"), small:get("key-0001"))
        small:flush_all()
        small:flush_expired()
    end),
    ["a wrong object"] = case(function()
        say((try(dict.incr, {}, "n", 1)))
        say((try(dict.incr, "x", "n", 1)))
        say((try(dict.incr, nil, "n", 1)))
        say((try(dict.incr, io.stdout, "n", 1)))
    end),
}
