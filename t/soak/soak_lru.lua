--- Who goes when a shared dictionary is full: what t/soak/dicts asks, of moongate as of nginx.
local floor = math.floor

local _M = {}

local lru = ngx.shared.soak_lru


local function fill(prefix, from, to)
    for at = from, to do
        local ok, err, forcible = lru:set(prefix .. at, ("v"):rep(40))
        assert(ok, err)
        if forcible then
            return at
        end
    end
    error("it is never full")
end


--- Who goes when there is no room: sentences, which hold in any implementation.
function _M.small()
    local lines = {}
    local function note(name, ...)
        lines[#lines + 1] = name .. ": " .. table.concat({ ... }, " ")
    end
    lru:flush_all()
    lru:flush_expired()
    local full = fill("k", 1, 100000)
    note("the first of all goes first", tostring(lru:get("k1")),
         tostring(lru:get("k" .. full) ~= nil))
    local gone = 0
    while lru:get("k" .. gone + 1) == nil do
        gone = gone + 1
    end
    -- Looking at them has made these the youngest.
    local half = floor(full / 2)
    for at = gone + 1, half do
        lru:get("k" .. at)
    end
    local quarter = floor(full / 4)
    local forced = 0
    for at = 1, quarter do
        local ok, err, forcible = lru:set("n" .. at, ("v"):rep(40))
        assert(ok and err == nil)
        forced = forced + (forcible and 1 or 0)
    end
    note("nearly each new one takes a place", tostring(forced > quarter * 0.9))
    local kept, dropped, last_dropped, first_kept = 0, 0, 0, math.huge
    for at = gone + 1, half do
        kept = kept + (lru:get("k" .. at) and 1 or 0)
    end
    note("who was looked at stays", tostring(kept == half - gone))
    for at = half + 1, full do
        if lru:get("k" .. at) then
            first_kept = math.min(first_kept, at)
        else
            dropped, last_dropped = dropped + 1, at
        end
    end
    note("the others go, the older before the younger", tostring(dropped > 0),
         tostring(last_dropped < first_kept))
    for at = 1, quarter do
        if not lru:get("n" .. at) then
            note("gone, although new", at)
        end
    end
    local ok, err, forcible = lru:safe_set("safe", ("v"):rep(30000))
    note("safe_set", tostring(ok), tostring(err), tostring(forcible))
    ok, err, forcible = lru:safe_add("safe", ("v"):rep(30000))
    note("safe_add", tostring(ok), tostring(err), tostring(forcible))
    -- nginx throws thirty out before it gives up, moongate none: whether somebody was forced
    -- out, and who has to go for the next ones, is not compared.
    ok, err = lru:set("large", ("v"):rep(200000))
    note("too large at all", tostring(ok), tostring(err))
    note("afterwards", tostring(lru:get("large")), tostring(lru:get("safe")))
    note("add", tostring(lru:add("added", ("v"):rep(40))))
    note("incr", tostring(lru:incr("counted", 1, 0)))
    -- What has expired goes before anybody who lives, and nobody is forced out for it.
    lru:flush_all()
    ok, err, forcible = lru:set("after", ("v"):rep(40))
    note("after flush_all", tostring(ok), tostring(err), tostring(forcible))
    lru:flush_expired()
    note("the last of all", table.concat(lru:get_keys(0), ","))
    return table.concat(lines, "\n") .. "\n"
end


--- The same in a dictionary of several megabytes, where who goes is known but roughly.
function _M.large()
    local dict, last = ngx.shared.soak_large, nil
    for at = 1, 1000000 do
        local _, _, forcible = dict:set("k" .. at, ("v"):rep(100))
        if forcible then
            last = at
            break
        end
    end
    local half, quarter = floor(last / 2), floor(last / 4)
    for at = 1000, half do
        dict:get("k" .. at)
    end
    for at = 1, quarter do
        dict:set("n" .. at, ("v"):rep(100))
    end
    local kept, new = 0, 0
    for at = 1000, half do
        kept = kept + (dict:get("k" .. at) and 1 or 0)
    end
    for at = 1, quarter do
        new = new + (dict:get("n" .. at) and 1 or 0)
    end
    return ("full=%d\nlooked at=%d\nkept=%d\nnew=%d\nnew kept=%d"):format(
        last, half - 999, kept, quarter, new)
end


return _M
