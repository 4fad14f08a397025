--- Shared dictionaries for t/soak/dicts: mixed operations against a model, and what two workers
-- do to the same keys.
--
-- Every result of every operation is judged. What a worker alone writes is compared with a model
-- in plain tables; what both write is added up, for the test to compare in the end.
local of = require("soak_model")

local add_up, entry_of, expect, text, value = of.add_up, of.entry_of, of.expect, of.text, of.value
local floor, random = math.floor, math.random
local model, operations, sums = of.model, of.operations, of.sums
local update_time = ngx.update_time

local lru = require("soak_lru")
local _M = { lru = lru.small, lru_large = lru.large }

local big, small, race = ngx.shared.soak_big, ngx.shared.soak_small, ngx.shared.soak_race
local flushed = ngx.shared.soak_flush

-- Keys of one worker.
local KEYS, LISTS, SMALL_KEYS = 1500, 200, 20000

local me
local small_model, flush_model = {}, {}
local said = {}
local sequence, queue_last = 0, {}
local adds, fresh = 0, 0


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


return _M
