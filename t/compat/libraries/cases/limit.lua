-- Limits of requests, counts and connections.
-- original: resty.limit.req
-- original: resty.limit.count
-- differs: count, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
-- differs: count without commit, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
-- differs: count uncommit, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
-- differs: count expires, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
-- differs: combine, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
-- differs: combine where the last one refuses, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
-- differs: combine where the first one refuses, it counts up and tells what was used, as version 1.2 does, which APISIX 3.18 runs with
local dict = ngx.shared.compat
dict:flush_all()
local req, count, conn, traffic = require("resty.limit.req"), require("resty.limit.count"), require("resty.limit.conn"), require("resty.limit.traffic")
for name, class in pairs({ req = req, count = count, conn = conn }) do
    case("no dictionary: " .. name, function() return class.new("none", 1, 1, 1) end)
    case("wrong numbers: " .. name, function() return class.new("compat", 0, 0, 0) end)
end
case("wrong burst", function() return req.new("compat", 1, -1) end)
case("wrong burst of conn", function() return conn.new("compat", 1, -1, 1) end)
case("wrong delay of conn", function() return conn.new("compat", 1, 0, 0) end)
case("wrong window", function() return count.new("compat", 1, 0) end)
local function round(delay, rest)
    return type(delay) == "number" and math.floor(delay * 10 + 0.5) / 10 or delay, type(rest) == "number" and math.floor(rest + 0.5) or rest
end
case("req", function()
    ngx.update_time()
    local lim, seen = req.new("compat", 2, 3), {}
    for i = 1, 6 do
        seen[i] = { round(lim:incoming("r", true)) }
    end
    return seen
end)
case("req without commit", function() local lim = req.new("compat", 2, 3) return { round(lim:incoming("r2", false)) }, { round(lim:incoming("r2", false)) }, { round(lim:incoming("r2", true)) } end)
case("req uncommit", function()
    local lim = req.new("compat", 2, 3)
    lim:incoming("r3", true)
    lim:incoming("r3", true)
    local delay, rest = round(lim:incoming("r3", true))
    return delay, rest, lim:uncommit("r3"), { round(lim:incoming("r3", true)) }
end)
case("req uncommit of nothing", function() return req.new("compat", 2, 3):uncommit("none") end)
case("req set_rate", function() local lim = req.new("compat", 2, 3) lim:set_rate(10) lim:incoming("r4", true) return { round(lim:incoming("r4", true)) } end)
case("req set_burst", function() local lim = req.new("compat", 1, 3) lim:set_burst(0) lim:incoming("r5", true) return lim:incoming("r5", true) end)
case("count", function()
    local lim, seen = count.new("compat", 3, 10), {}
    for i = 1, 5 do
        seen[i] = { lim:incoming("c", true) }
    end
    return seen
end)
case("count without commit", function() local lim = count.new("compat", 3, 10) return { lim:incoming("c2", false) }, { lim:incoming("c2", false) }, { lim:incoming("c2", true) } end)
case("count uncommit", function() local lim = count.new("compat", 3, 10) lim:incoming("c3", true) return lim:uncommit("c3"), lim:uncommit("none"), { lim:incoming("c3", true) } end)
case("count expires", function() local lim = count.new("compat", 1, 0.1) lim:incoming("c4", true) local _, err = lim:incoming("c4", true) ngx.sleep(0.2) return err, { lim:incoming("c4", true) } end)
case("count is refused", function() local lim = count.new("compat", 1, 10) lim:incoming("c5", true) return { lim:incoming("c5", false) }, { lim:incoming("c5", true) } end)
case("conn", function()
    local lim, seen = conn.new("compat", 2, 1, 0.5), {}
    for i = 1, 4 do
        seen[i] = { lim:incoming("n", true), lim:is_committed() }
    end
    return seen, lim:leaving("n", 1.5), { lim:incoming("n", true) }
end)
case("conn without commit", function() local lim = conn.new("compat", 2, 1, 0.5) return { lim:incoming("n2", false) }, lim:is_committed(), { lim:incoming("n2", true) }, lim:is_committed() end)
case("conn leaving without a latency", function() local lim = conn.new("compat", 2, 1, 0.5) lim:incoming("n3", true) return lim:leaving("n3"), lim:leaving("n3") end)
case("conn leaving of nothing", function() return conn.new("compat", 2, 1, 0.5):leaving("none") end)
case("conn uncommit", function() local lim = conn.new("compat", 2, 1, 0.5) lim:incoming("n4", true) return lim:uncommit("n4"), { lim:incoming("n4", true) } end)
case("conn set_conn", function() local lim = conn.new("compat", 2, 1, 0.5) lim:set_conn(1) lim:set_burst(0) lim:incoming("n5", true) return { lim:incoming("n5", true) } end)
case("combine", function()
    local a, b, states = count.new("compat", 2, 10), conn.new("compat", 2, 1, 0.5), {}
    local seen = {}
    for i = 1, 3 do
        seen[i] = { traffic.combine({ a, b }, { "t1", "t2" }, states) }
        seen[i].states = { unpack(states) }
    end
    return seen, { a:incoming("t1", false) }, { b:incoming("t2", false) }
end)
case("combine where the last one refuses", function()
    local a, b = count.new("compat", 5, 10), count.new("compat", 1, 10)
    return { traffic.combine({ a, b }, { "u1", "u2" }) }, { traffic.combine({ a, b }, { "u1", "u2" }) }, { a:incoming("u1", false) }
end)
case("combine where the first one refuses", function()
    local a, b = count.new("compat", 1, 10), count.new("compat", 5, 10)
    return { traffic.combine({ a, b }, { "v1", "v2" }) }, { traffic.combine({ a, b }, { "v1", "v2" }) }, { b:incoming("v2", false) }
end)
dict:flush_all()
