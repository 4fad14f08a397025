--- Shared dictionaries for t/soak/dicts: mixed operations against a model, and what two workers
-- do to the same keys.
--
-- Every result of every operation is judged. What a worker alone writes is compared with a model
-- in plain tables; what both write is added up, for the test to compare in the end.
local floor, random = math.floor, math.random
local now, update_time = ngx.now, ngx.update_time

local _M = {}

local big, small, race = ngx.shared.soak_big, ngx.shared.soak_small, ngx.shared.soak_race
local flushed, lru = ngx.shared.soak_flush, ngx.shared.soak_lru

-- Keys of one worker, and how near to its end a key is left alone.
local KEYS, LISTS, SMALL_KEYS = 1500, 200, 20000
local MARGIN = 0.05

local me
-- key -> { v = value, f = flags, e = end or nil, l = items or nil }
local model, small_model, flush_model = {}, {}, {}
-- What the test adds up: name -> number.
local sums = {}
local said = {}
local sequence, queue_last = 0, {}
local adds, fresh = 0, 0


local function add_up(name, number)
    sums[name] = (sums[name] or 0) + number
end


local function expect(good, what, key, ...)
    if good then
        return
    end
    local got = {}
    for at = 1, select("#", ...) do
        got[at] = tostring((select(at, ...)))
    end
    error(what .. " of " .. key .. ": " .. table.concat(got, ", ")
          .. ", modelled: " .. require("cjson").encode(model[key] or "nothing"), 2)
end


local function text(length)
    return ("%x"):format(random(0, 0x7fffffff)):rep(1 + floor(length / 8)):sub(1, length)
end


local function value()
    local kind = random(4)
    if kind == 1 then
        return random(-1000000, 1000000)
    elseif kind == 2 then
        return random(2) == 1
    end
    return text(random(0, 60))
end


local function life()
    local kind = random(10)
    if kind == 1 then
        -- A wait that ends while the test runs.
        return random(60, 200) / 1000
    elseif kind == 2 then
        return random(1000, 2000)
    end
    return 0
end


-- The live entry of the model; false where time is about to decide, nil where there is none.
local function entry_of(key)
    local entry = model[key]
    if not entry or not entry.e then
        return entry
    end
    local rest = entry.e - now()
    if rest > MARGIN then
        return entry
    end
    if rest > -MARGIN then
        return false
    end
    model[key] = nil
    return nil
end


local function stored(key, new, flags, seconds)
    model[key] = { v = new, f = flags > 0 and flags or nil,
                   e = seconds > 0 and now() + seconds or nil }
end


local operations = {}


function operations.get(key, entry)
    local got, flags = big:get(key)
    if entry and entry.l then
        return expect(got == nil and flags == "value is a list", "get", key, got, flags)
    end
    expect(got == (entry and entry.v) or (got == nil and not entry), "get", key, got, flags)
    expect(flags == (entry and entry.f), "flags", key, got, flags)
end


function operations.get_stale(key, entry)
    if entry and not entry.l then
        local got, flags, stale = big:get_stale(key)
        expect(got == entry.v and flags == entry.f and stale == false, "get_stale", key, got,
               flags, stale)
    end
end


local function write(name, may)
    operations[name] = function(key, entry)
        local new, flags, seconds = value(), random(3) == 1 and random(1, 1000) or 0, life()
        local ok, err, forcible = big[name](big, key, new, seconds, flags)
        local wrong = may(entry)
        if wrong then
            return expect(not ok and err == wrong and not forcible, name, key, ok, err, forcible)
        end
        expect(ok == true and err == nil and not forcible, name, key, ok, err, forcible)
        stored(key, new, flags, seconds)
    end
end

local function always() end
local function exists(entry) return entry and "exists" end
local function missing(entry) return not entry and "not found" end

write("set", always)
write("safe_set", always)
write("add", exists)
write("safe_add", exists)
write("replace", missing)


function operations.delete(key)
    big:delete(key)
    model[key] = nil
end


function operations.incr(key, entry)
    local step = random(-50, 50)
    if entry and type(entry.v) == "number" then
        local got, err, forcible = big:incr(key, step)
        expect(got == entry.v + step and not err and not forcible, "incr", key, got, err)
        entry.v = got
        return
    end
    if entry then
        local got, err = big:incr(key, step, 0)
        return expect(got == nil and err == "not a number", "incr", key, got, err)
    end
    if random(2) == 1 then
        local got, err = big:incr(key, step)
        return expect(got == nil and err == "not found", "incr", key, got, err)
    end
    local seconds = life()
    local got, err, forcible = big:incr(key, step, 7, seconds)
    expect(got == 7 + step and not err and not forcible, "incr", key, got, err, forcible)
    stored(key, got, 0, seconds)
end


function operations.ttl(key, entry)
    local rest, err = big:ttl(key)
    if not entry then
        return expect(rest == nil and err == "not found", "ttl", key, rest, err)
    end
    local modelled = entry.e and entry.e - now() or 0
    expect(rest and math.abs(rest - modelled) < MARGIN, "ttl", key, rest, err)
end


function operations.expire(key, entry)
    local seconds = life()
    local ok, err = big:expire(key, seconds)
    if not entry then
        return expect(ok == nil and err == "not found", "expire", key, ok, err)
    end
    expect(ok == true, "expire", key, ok, err)
    entry.e = seconds > 0 and now() + seconds or nil
end


local function push(name, left)
    operations[name] = function(key, entry)
        local item = random(2) == 1 and random(1, 1000) or text(random(1, 20))
        local length, err, forcible = big[name](big, key, item)
        if entry and not entry.l then
            return expect(length == nil and err == "value not a list", name, key, length, err)
        end
        if not entry then
            entry = { l = {} }
            model[key] = entry
        end
        table.insert(entry.l, left and 1 or #entry.l + 1, item)
        expect(length == #entry.l and not err and not forcible, name, key, length, err)
    end
end

local function pop(name, left)
    operations[name] = function(key, entry)
        local item, err = big[name](big, key)
        if not entry then
            return expect(item == nil and err == nil, name, key, item, err)
        end
        if not entry.l then
            return expect(item == nil and err == "value not a list", name, key, item, err)
        end
        local modelled = table.remove(entry.l, left and 1 or #entry.l)
        expect(item == modelled and not err, name, key, item, err)
        if #entry.l == 0 then
            model[key] = nil
        end
    end
end

push("lpush", true)
push("rpush", false)
pop("lpop", true)
pop("rpop", false)


function operations.llen(key, entry)
    local length, err = big:llen(key)
    if entry and not entry.l then
        return expect(length == nil and err == "value not a list", "llen", key, length, err)
    end
    expect(length == (entry and #entry.l or 0) and not err, "llen", key, length, err)
end


local keyed, listed = {}, {}
for _, name in ipairs({ "get", "get", "get", "get", "get", "set", "set", "set", "add", "replace",
                        "safe_set", "safe_add", "delete", "incr", "incr", "incr", "ttl", "expire",
                        "get_stale", "llen", "lpush", "rpop" }) do
    keyed[#keyed + 1] = name
end
for _, name in ipairs({ "lpush", "rpush", "lpush", "rpush", "lpop", "rpop", "llen", "get", "ttl",
                        "delete", "lpop" }) do
    listed[#listed + 1] = name
end


-- One operation on a key that nobody else writes.
local function private()
    local key, name
    if random(5) == 1 then
        key, name = me .. ":l" .. random(LISTS), listed[random(#listed)]
    else
        key, name = me .. ":k" .. random(KEYS), keyed[random(#keyed)]
    end
    local entry = entry_of(key)
    if entry == false then
        name = "delete"
    end
    said[name] = (said[name] or 0) + 1
    operations[name](key, entry)
end


-- What two workers do to the same keys.
local function shared()
    local kind = random(8)
    if kind <= 3 then
        local step = random(-9, 10)
        local got, err = race:incr("counter" .. random(16), step, 0)
        expect(got and not err, "incr", "a counter", got, err)
        add_up("counted", step)
    elseif kind == 4 then
        -- A key that nobody has counted before, in the same order in both workers.
        fresh = fresh + 1
        local got, err = race:incr("fresh" .. floor(fresh / 2), 1, 0)
        expect(got and not err, "incr", "a fresh key", got, err)
        add_up("fresh", 1)
    elseif kind == 5 then
        adds = adds + 1
        local ok, err = race:add("add" .. adds, me)
        expect(ok or err == "exists", "add", "a key of both", ok, err)
        sums.adds = adds
        add_up("added", ok and 1 or 0)
    elseif kind == 6 then
        sequence = sequence + 1
        local queue = "queue" .. random(4)
        local length, err = race:lpush(queue, sequence * 64 + me)
        expect(length, "lpush", queue, length, err)
        add_up("pushed", sequence * 64 + me)
        add_up("pushes", 1)
    else
        local queue = "queue" .. random(4)
        local item, err = race:rpop(queue)
        expect(err == nil, "rpop", queue, item, err)
        if item then
            add_up("popped", item)
            add_up("pops", 1)
            -- What one worker has pushed comes out in its order.
            local from = queue .. item % 64
            expect(item > (queue_last[from] or 0), "the order", queue, item, queue_last[from])
            queue_last[from] = item
        end
    end
end


-- In a dictionary that is too small for its keys a value is the last one written, or gone.
local function evicting()
    local key = me .. ":s" .. random(SMALL_KEYS)
    local kind = random(6)
    if kind <= 2 then
        local got, err = small:get(key)
        expect(got == nil or got == small_model[key], "get of a small one", key, got, err,
               small_model[key])
        add_up(got == nil and small_model[key] and "evicted" or "kept", 1)
    elseif kind == 3 then
        local new = text(random(0, 90))
        local ok, err = small:safe_set(key, new)
        expect(ok == true or (not ok and err == "no memory"), "safe_set", key, ok, err)
        if ok then
            small_model[key] = new
        else
            small_model[key] = nil
            add_up("no memory", 1)
            expect(small:get(key) == nil, "get after a failed safe_set", key, small:get(key))
        end
    elseif kind == 4 then
        small:delete(key)
        small_model[key] = nil
    else
        local new = text(random(0, 90))
        local ok, err, forcible = small:set(key, new)
        expect(ok == true and err == nil, "set of a small one", key, ok, err, forcible)
        small_model[key] = new
        add_up("forcible", forcible and 1 or 0)
        local free = small:free_space()
        expect(free >= 0 and free <= small:capacity(), "free_space", key, free)
    end
end


-- Both flush everything now and then: a value is the last one written, or gone.
local function flushing()
    local key = me .. ":f" .. random(200)
    local kind = random(400)
    if kind == 1 then
        flushed:flush_all()
        flush_model = {}
        for at = 1, 200 do
            expect(flushed:get(me .. ":f" .. at) == nil, "get after flush_all", key)
        end
    elseif kind == 2 then
        local count = flushed:flush_expired(5)
        expect(count <= 5, "flush_expired", key, count)
    elseif kind == 3 then
        local keys = flushed:get_keys(10)
        expect(#keys <= 10, "get_keys", key, #keys)
    elseif kind <= 200 then
        local got = flushed:get(key)
        expect(got == nil or got == flush_model[key], "get of a flushed one", key, got)
    else
        local new = value()
        expect(flushed:set(key, new) == true, "set of a flushed one", key)
        flush_model[key] = new
    end
end


-- All keys of the large dictionary: every one of ours that must be there, none that must not.
local function all_keys()
    big:flush_expired()
    local there = {}
    for _, key in ipairs(big:get_keys(0)) do
        expect(not there[key], "get_keys, twice", key)
        there[key] = true
    end
    for _, key in ipairs(big:get_keys(0)) do
        if key:sub(1, #me + 1) == me .. ":" then
            expect(entry_of(key) ~= nil, "get_keys", key)
        end
    end
    for key in pairs(model) do
        local entry = entry_of(key)
        expect(not entry or there[key], "get_keys, not there", key)
    end
    add_up("all keys", 1)
end


--- Does `count` operations.
function _M.run(args)
    if not me then
        me = tostring(ngx.worker.id() + 1)
        math.randomseed(tonumber(args.seed) + me)
    end
    for at = 1, tonumber(args.count) do
        local kind = at % 20
        if kind < 12 then
            private()
        elseif kind < 16 then
            shared()
        elseif kind < 19 then
            evicting()
        else
            flushing()
        end
        if at % 100 == 0 then
            update_time()
        end
    end
    all_keys()
    return me
end


--- What this worker has done: name=number lines.
function _M.sums()
    local lines = { "worker=" .. (me or 0) }
    for name, number in pairs(sums) do
        lines[#lines + 1] = name .. "=" .. ("%.0f"):format(number)
    end
    for name, number in pairs(said) do
        lines[#lines + 1] = "did " .. name .. "=" .. number
    end
    return table.concat(lines, "\n")
end


--- What is in the dictionary of both, queues emptied.
function _M.total()
    local counted, count, sum, in_fresh, winners = 0, 0, 0, 0, 0
    for at = 1, 16 do
        counted = counted + (race:get("counter" .. at) or 0)
    end
    for at = 1, 4 do
        local length = race:llen("queue" .. at)
        for _ = 1, length do
            count, sum = count + 1, sum + race:rpop("queue" .. at)
        end
        assert(race:llen("queue" .. at) == 0 and race:rpop("queue" .. at) == nil)
    end
    for _, key in ipairs(race:get_keys(0)) do
        if key:find("^fresh") then
            in_fresh = in_fresh + race:get(key)
        elseif key:find("^add") then
            winners = winners + 1
        end
    end
    return ("counted=%.0f\nleft=%.0f\nleft sum=%.0f\nfresh=%.0f\nwinners=%.0f")
        :format(counted, count, sum, in_fresh, winners)
end


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
function _M.lru()
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
function _M.lru_large()
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
