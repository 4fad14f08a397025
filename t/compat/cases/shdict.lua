-- Shared dictionaries.
local say, try = ...

local dict = ngx.shared.compat
local lists = ngx.shared.compat_lists
local small = ngx.shared.compat_small

local function fresh()
    dict:flush_all()
    dict:flush_expired()
    lists:flush_all()
    lists:flush_expired()
end

local function case(func)
    return function()
        fresh()
        func()
    end
end

return {
    ["set and get"] = case(function()
        say(dict:set("a", 1), dict:set("b", "text"), dict:set("c", true), dict:set("d", 1.5))
        say(dict:get("a"))
        say(dict:get("b"))
        say(dict:get("c"))
        say(dict:get("d"))
        say(dict:get("none"))
        say(dict:set("e", false), dict:get("e"))
        say(dict:set("empty", ""), dict:get("empty"))
        say(dict:set("bytes", "a\0b\255"), dict:get("bytes"))
    end),
    ["set nil removes"] = case(function()
        dict:set("a", 1)
        say(dict:set("a", nil))
        say(dict:get("a"))
        say(dict:set("never", nil))
        say(dict:add("a", nil))
        say(dict:replace("a", nil))
    end),
    ["keys"] = case(function()
        say(dict:set(12, "number"), dict:get("12"), dict:get(12))
        say(dict:set(1.5, "half"), dict:get("1.5"))
        say(try(dict.set, dict, nil, 1))
        say(try(dict.get, dict, nil))
        say(try(dict.set, dict, "", 1))
        say(try(dict.get, dict, ""))
        say(try(dict.set, dict, true, 1), dict:get("true"))
    end),
    ["keys: too long"] = case(function()
        say(try(dict.set, dict, ("k"):rep(65535), 1))
        say(try(dict.set, dict, ("k"):rep(65536), 1))
        say(try(dict.get, dict, ("k"):rep(65536)))
        say(try(dict.incr, dict, ("k"):rep(65536), 1))
    end),
    ["values that cannot be"] = case(function()
        say(try(dict.set, dict, "a", {}))
        say(try(dict.set, dict, "a", function() end))
        say(try(dict.set, dict, "a", ngx.null))
        say(try(dict.add, dict, "a", {}))
    end),
    ["wrong self"] = case(function()
        say(try(dict.get, "x", "a"))
        say(try(dict.get, {}, "a"))
        say(try(dict.get))
        say(try(dict.set, nil, "a", 1))
    end),
    ["flags"] = case(function()
        say(dict:set("a", 1, 0, 7), dict:get("a"))
        say(dict:set("a", 1, 0, 0), dict:get("a"))
        say(dict:set("a", 1, 0, 4294967295), dict:get("a"))
        dict:set("a", "v", nil, 3)
        say(dict:get_stale("a"))
        say(dict:incr("n", 1, 5), dict:get("n"))
    end),
    ["add"] = case(function()
        say(dict:add("a", 1))
        say(dict:add("a", 2))
        say(dict:get("a"))
        dict:set("gone", 1, 0.01)
        ngx.sleep(0.02)
        say(dict:add("gone", 2))
    end),
    ["replace"] = case(function()
        say(dict:replace("a", 1))
        dict:set("a", 1)
        say(dict:replace("a", "two"))
        say(dict:get("a"))
        dict:set("gone", 1, 0.01)
        ngx.sleep(0.02)
        say(dict:replace("gone", 2))
    end),
    ["safe_set and safe_add"] = case(function()
        say(dict:safe_set("a", 1))
        say(dict:safe_set("a", 2), dict:get("a"))
        say(dict:safe_add("a", 3))
        say(dict:safe_add("b", 3))
        say(dict:safe_set("big", ("x"):rep(2 * 1024 * 1024)))
        say(dict:safe_add("big", ("x"):rep(2 * 1024 * 1024)))
        say(dict:set("big", ("x"):rep(2 * 1024 * 1024)))
    end),
    ["delete"] = case(function()
        dict:set("a", 1)
        say(select("#", dict:delete("a")))
        say(dict:get("a"))
        say(dict:delete("a"))
    end),
    ["incr"] = case(function()
        say(dict:incr("n", 1))
        dict:set("n", 10)
        say(dict:incr("n", 5))
        say(dict:incr("n", -20))
        say(dict:incr("n", 0.5))
        say(dict:get("n"))
        dict:set("s", "text")
        say(dict:incr("s", 1))
        dict:set("t", "12")
        say(dict:incr("t", 1))
        dict:set("b", true)
        say(dict:incr("b", 1))
    end),
    ["incr: init"] = case(function()
        say(dict:incr("n", 1, 0))
        say(dict:incr("n", 1, 100))
        say(dict:incr("m", 5, 10))
        dict:set("s", "text")
        say(dict:incr("s", 1, 0))
    end),
    ["incr: init_ttl"] = case(function()
        say(dict:incr("n", 1, 0, 0.03))
        say(dict:incr("n", 1, 0, 0.03))
        local ttl = dict:ttl("n")
        say(ttl > 0, ttl <= 0.03)
        ngx.sleep(0.05)
        say(dict:get("n"))
        say(dict:incr("n", 1, 7, 0))
        say(dict:ttl("n"))
    end),
    ["incr: what cannot be"] = case(function()
        say(try(dict.incr, dict, "n"))
        say(try(dict.incr, dict, "n", "x"))
        say(try(dict.incr, dict, "n", "1", 0))
        say(try(dict.incr, dict, "n", 1, "x"))
        say(try(dict.incr, dict, "n", 1, 0, -1))
        say(try(dict.incr, dict, "n", 1, nil, 1))
        say(try(dict.incr, dict, nil, 1, 0))
        say(try(dict.incr, dict, "n", {}, 0))
    end),
    ["incr: large numbers"] = case(function()
        say(dict:incr("n", 1, 9007199254740991))
        say(dict:incr("i", math.huge, 0))
        say(dict:incr("f", 0.1, 0.2))
    end),
    ["expiry"] = case(function()
        dict:set("a", 1, 0.02)
        say(dict:get("a"))
        ngx.sleep(0.04)
        say(dict:get("a"))
        say(dict:get_stale("a"))
        say(dict:get("a"))
        say(dict:get_stale("none"))
    end),
    ["expiry: what cannot be"] = case(function()
        say(try(dict.set, dict, "a", 1, -1))
        say(try(dict.set, dict, "a", 1, "x"))
        say(try(dict.add, dict, "a", 1, -0.1))
        say(try(dict.set, dict, "a", 1, "5"))
        say(dict:set("a", 1, 0), dict:ttl("a"))
    end),
    ["get_stale"] = case(function()
        dict:set("a", "x", 0, 5)
        say(dict:get_stale("a"))
        dict:set("b", "y", 0.01)
        ngx.sleep(0.03)
        say(dict:get_stale("b"))
        say(try(dict.get_stale, dict, nil))
    end),
    ["ttl"] = case(function()
        say(dict:ttl("none"))
        dict:set("a", 1)
        say(dict:ttl("a"))
        dict:set("a", 1, 100)
        local ttl = dict:ttl("a")
        say(ttl > 99, ttl <= 100)
        dict:set("a", 1, 0.01)
        ngx.sleep(0.03)
        say(dict:ttl("a"))
        say(try(dict.ttl, dict, nil))
    end),
    ["expire"] = case(function()
        say(dict:expire("none", 1))
        dict:set("a", 1, 0, 9)
        say(dict:expire("a", 0.02))
        say(dict:get("a"))
        ngx.sleep(0.04)
        say(dict:get("a"))
        dict:set("a", 1, 0.02)
        say(dict:expire("a", 0))
        ngx.sleep(0.04)
        say(dict:get("a"))
        say(try(dict.expire, dict, "a"))
        say(try(dict.expire, dict, "a", -1))
        say(try(dict.expire, dict, "a", "x"))
    end),
    ["flush_all"] = case(function()
        dict:set("a", 1)
        dict:set("b", 2)
        say(select("#", dict:flush_all()))
        say(dict:get("a"), dict:get("b"))
        say(dict:get_stale("a"))
        say(dict:add("a", 3), dict:get("a"))
    end),
    ["flush_expired"] = case(function()
        dict:set("a", 1, 0.01)
        dict:set("b", 2, 0.01)
        dict:set("c", 3)
        dict:set("d", 3, 0.01)
        ngx.sleep(0.03)
        say(dict:flush_expired(1))
        say(dict:flush_expired())
        say(dict:flush_expired())
        say(dict:get("c"))
        say(try(dict.flush_expired, dict, "x"))
        say(dict:flush_expired(0))
    end),
    ["get_keys"] = case(function()
        say(dict:get_keys())
        dict:set("a", 1)
        dict:set("b", 1)
        dict:set("gone", 1, 0.01)
        ngx.sleep(0.03)
        local keys = dict:get_keys()
        table.sort(keys)
        say(keys)
        say(#dict:get_keys(1), #dict:get_keys(0))
    end),
    ["get_keys: 1024 unless told"] = case(function()
        for at = 1, 1100 do
            dict:set("k" .. at, at)
        end
        say(#dict:get_keys(), #dict:get_keys(0), #dict:get_keys(7), #dict:get_keys(5000))
        say(try(dict.get_keys, dict, "x"))
        say(#dict:get_keys(-1))
    end),
    ["capacity and free_space"] = case(function()
        say(dict:capacity(), type(dict:free_space()))
        say(small:capacity(), try(dict.capacity))
        say(dict:free_space() <= dict:capacity())
    end),
    ["lists"] = case(function()
        say(lists:lpush("l", "b"))
        say(lists:lpush("l", "a"))
        say(lists:rpush("l", "c"))
        say(lists:rpush("l", 4))
        say(lists:llen("l"))
        say(lists:lpop("l"), lists:rpop("l"), lists:lpop("l"), lists:lpop("l"))
        say(lists:lpop("l"), lists:rpop("l"), lists:llen("l"))
    end),
    ["lists and values"] = case(function()
        lists:set("v", 1)
        say(lists:lpush("v", 1))
        say(lists:rpush("v", 1))
        say(lists:lpop("v"))
        say(lists:rpop("v"))
        say(lists:llen("v"))
        lists:lpush("l", 1)
        say(lists:get("l"))
        say(lists:get_stale("l"))
        say(lists:incr("l", 1))
        say(lists:incr("l", 1, 0))
        say(lists:add("l", 1))
        say(lists:set("l", 1), lists:get("l"))
        lists:lpush("m", 1)
        say(lists:replace("m", 2), lists:get("m"))
    end),
    ["lists: what cannot be"] = case(function()
        say(try(lists.lpush, lists, "l", nil))
        say(try(lists.lpush, lists, "l", true))
        say(try(lists.rpush, lists, "l", {}))
        say(try(lists.lpush, lists, nil, "x"))
        say(try(lists.lpop, lists, nil))
        say(try(lists.llen, lists, nil))
        say(try(lists.lpush, lists, "", "x"))
        say(try(lists.lpush, lists, "l"))
    end),
    ["lists: expire"] = case(function()
        lists:rpush("l", 1)
        lists:rpush("l", 2)
        say(lists:ttl("l"))
        say(lists:expire("l", 0.02))
        say(lists:llen("l"))
        ngx.sleep(0.04)
        say(lists:llen("l"), lists:lpop("l"))
        say(lists:rpush("l", 3), lists:lpop("l"))
        lists:rpush("d", 1)
        lists:delete("d")
        say(lists:llen("d"))
    end),
    ["lists: in the keys"] = case(function()
        lists:rpush("l", 1)
        say(lists:get_keys())
        lists:flush_all()
        say(lists:get_keys(), lists:llen("l"))
    end),
    ["full: forcible"] = case(function()
        small:flush_all()
        small:flush_expired()
        local ok, err, forcible, at
        for n = 1, 400 do
            ok, err, forcible = small:set("key" .. n, ("x"):rep(100))
            if forcible then
                at = n
                break
            end
        end
        say(ok, err, forcible, at ~= nil)
        say(small:get("key" .. at) ~= nil, small:get("key1"))
        small:flush_all()
        small:flush_expired()
    end),
    ["full: safe_set says no memory"] = case(function()
        small:flush_all()
        small:flush_expired()
        local ok, err
        for n = 1, 400 do
            ok, err = small:safe_set("key" .. n, ("x"):rep(100))
            if not ok then
                break
            end
        end
        say(ok, err)
        say(small:get("key1") ~= nil)
        say(small:safe_add("fresh", ("x"):rep(100)))
        small:flush_all()
        small:flush_expired()
    end),
    ["as a field and by name"] = function()
        say(ngx.shared.compat == dict, ngx.shared["compat"] == dict, ngx.shared.none)
        local names = {}
        for name in pairs(ngx.shared) do
            if name:find("^compat") then
                names[#names + 1] = name
            end
        end
        table.sort(names)
        say(names)
    end,
    ["numbers keep their kind"] = case(function()
        dict:set("i", 12345678901234)
        dict:set("h", 0.1)
        dict:set("n", -0.5)
        dict:set("s", "1")
        say(dict:get("i"), dict:get("h"), dict:get("n"), dict:get("s"))
        say(type(dict:get("s")), 0.1 == dict:get("h"))
    end),
    ["results of set"] = case(function()
        say(select("#", dict:set("a", 1)), dict:set("a", 1))
        say(select("#", dict:add("a", 1)), dict:add("a", 1))
        say(select("#", dict:safe_set("a", 1)), dict:safe_set("a", 1))
        say(select("#", dict:get("a")), select("#", dict:get("none")))
        say(select("#", dict:incr("a", 1)), select("#", dict:incr("none", 1)))
        say(select("#", dict:incr("b", 1, 0)))
    end),
    ["incr: again and again"] = case(function()
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
    ["incr: what comes back"] = case(function()
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
    ["incr: lists"] = case(function()
        lists:lpush("l", 1)
        say(lists:incr("l", 1))
        say(lists:incr("l", 1, 0))
    end),
    ["incr: numbers at their ends"] = case(function()
        say(dict:incr("n", 1e308, 1e308), dict:incr("n", 1))
        say(dict:incr("m", 2 ^ 53, 1), dict:incr("z", 0, 0))
        say(dict:incr("x", 0 / 0, 0) ~= dict:get("x"))
    end),
    ["incr: a life of its own"] = case(function()
        say(dict:incr("n", 1, 0, 0.02))
        say(dict:incr("n", 1, 0, 10))
        ngx.sleep(0.05)
        say(dict:incr("n", 1, 0))
        say(dict:incr("never", 1, nil))
    end),
    ["incr: until there is no room"] = case(function()
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
    ["incr: a wrong object"] = case(function()
        say((try(dict.incr, {}, "n", 1)))
        say((try(dict.incr, "x", "n", 1)))
        say((try(dict.incr, nil, "n", 1)))
        say((try(dict.incr, io.stdout, "n", 1)))
    end),
}
