-- Tables that are used again.
-- original: tablepool
local pool = require("tablepool")
case("fetch", function() return pool.fetch("t1", 4, 0) end)
case("release and fetch", function() local t = pool.fetch("t2", 0, 1) t.a = 1 pool.release("t2", t) local again = pool.fetch("t2", 0, 1) return again == t, again end)
case("no_clear", function() local t = pool.fetch("t3", 0, 1) t.a = 1 pool.release("t3", t, true) local again = pool.fetch("t3", 0, 1) return again == t, again end)
case("another tag", function() local t = pool.fetch("t4", 0, 1) pool.release("t4", t) return pool.fetch("t5", 0, 1) == t end)
case("last in, first out", function() local a, b = pool.fetch("t6", 0, 0), pool.fetch("t6", 0, 0) pool.release("t6", a) pool.release("t6", b) return pool.fetch("t6", 0, 0) == b, pool.fetch("t6", 0, 0) == a end)
case("metatable stays", function() local t = setmetatable(pool.fetch("t7", 0, 0), { __index = { x = 1 } }) pool.release("t7", t) return pool.fetch("t7", 0, 0).x end)
case("release of nothing", function() return pool.release("t8") end)
case("more than a pool keeps", function()
    local list = {}
    for i = 1, 250 do list[i] = pool.fetch("t9", 0, 0) end
    for i = 1, 250 do pool.release("t9", list[i]) end
    local known, back = {}, 0
    for i = 1, 250 do known[list[i]] = true end
    for _ = 1, 250 do back = back + (known[pool.fetch("t9", 0, 0)] and 1 or 0) end
    return back
end)
case("a list is emptied", function() local t = pool.fetch("t10", 4, 0) t[1], t[2] = 1, 2 pool.release("t10", t) return #pool.fetch("t10", 4, 0) end)
case("fetch without sizes", function() return pool.fetch("t11") end)
