-- Pickers of nodes: consistent hashing and weighted turns.
-- original: resty.chash
local chash = require("resty.chash")
local roundrobin = require("resty.roundrobin")
local function spread(picker, count)
    local counts = {}
    for i = 1, count do
        local id = picker:find("key" .. i)
        counts[id] = (counts[id] or 0) + 1
    end
    return counts
end
local ring = chash:new({ ["10.0.0.1:80"] = 1, ["10.0.0.2:80"] = 2, ["host:8080"] = 1 })
for i, key in ipairs({ "a", "b", "hello", "/index.html", "10.1.2.3", ("x"):rep(1000), "\0" }) do
    case("find " .. i, function() return (ring:find(key)) end)
end
case("find of a number", function() return (ring:find(12)) end)
case("spread", function() return spread(ring, 500) end)
case("next", function()
    local id, index = ring:find("a")
    local seen = { id }
    for _ = 1, 40 do
        id, index = ring:next(index)
        seen[#seen + 1] = id
    end
    return seen
end)
case("set", function() ring:set("10.0.0.1:80", 3) return spread(ring, 300) end)
case("incr", function() ring:incr("host:8080", 2) return spread(ring, 300) end)
case("incr by one", function() ring:incr("host:8080") return spread(ring, 300) end)
case("decr", function() ring:decr("host:8080", 2) return spread(ring, 300) end)
case("delete", function() ring:delete("10.0.0.2:80") return spread(ring, 300) end)
case("decr to nothing", function() ring:decr("10.0.0.1:80", 3) return spread(ring, 100) end)
case("reinit", function() ring:reinit({ a = 1, b = 1, c = 1 }) return spread(ring, 300) end)
case("added later", function() ring:incr("d", 2) return spread(ring, 300) end)
case("one node", function() return spread(chash:new({ only = 1 }), 10) end)
local rr = roundrobin:new({ a = 5, b = 1, c = 1 })
local function turns(picker, count)
    local counts = {}
    for _ = 1, count do
        local id = picker:find()
        counts[id] = (counts[id] or 0) + 1
    end
    return counts
end
case("rr find", function() return turns(rr, 70) end)
case("rr next", function() local counts = {} for _ = 1, 7 do local id = rr:next() counts[id] = (counts[id] or 0) + 1 end return counts end)
case("rr set", function() rr:set("b", 5) return turns(rr, 110) end)
case("rr incr", function() rr:incr("c") rr:incr("c", 3) return turns(rr, 150) end)
case("rr decr", function() rr:decr("a") rr:decr("a", 2) return turns(rr, 120) end)
case("rr delete", function() rr:delete("b") return turns(rr, 70) end)
case("rr reinit", function() rr:reinit({ x = 2, y = 4 }) return turns(rr, 60) end)
case("rr new node", function() rr:set("z", 2) return turns(rr, 80) end)
case("rr one node", function() return turns(roundrobin:new({ only = 3 }), 5) end)
case("rr all gone", function() rr:delete("x") rr:delete("y") rr:delete("z") return rr:find() end)
