-- Caches of a worker.
-- original: resty.lrucache
-- original: resty.lrucache.pureffi
for _, name in ipairs({ "resty.lrucache", "resty.lrucache.pureffi" }) do
    local lru = require(name)
    local cache = lru.new(2)
    case(name .. " new of no size", function() return lru.new(0) end)
    case(name .. " get of nothing", function() return cache:get("x") end)
    case(name .. " set and get", function() cache:set("a", 1) return cache:get("a") end)
    case(name .. " flags", function() cache:set("a", { 1 }, nil, 7) return cache:get("a") end)
    case(name .. " eviction", function()
        cache:set("b", 2)
        cache:get("a")
        cache:set("c", 3)
        return cache:get("b") == nil, cache:get("c")
    end)
    case(name .. " stale", function()
        cache:set("s", 9, 0.01)
        ngx.sleep(0.03)
        return cache:get("s")
    end)
    case(name .. " delete", function() cache:delete("c") return cache:get("c") end)
    case(name .. " capacity", function() return cache:capacity() end)
    case(name .. " count", function() return cache:count() end)
    case(name .. " keys", function() return cache:get_keys(1) end)
    case(name .. " flush", function() cache:flush_all() return cache:count(), cache:get("a") end)
end
