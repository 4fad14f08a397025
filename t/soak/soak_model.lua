--- What a shared dictionary must hold, in plain tables, and the operations of t/soak/dicts: each
-- does the same to the dictionary and to the model, and judges what came back.
local floor, random = math.floor, math.random
local now = ngx.now

local big = ngx.shared.soak_big

local NGINX = not pcall(require, "apisix.core")

-- How near to its end a key is left alone, in seconds.
local MARGIN = 0.05

-- key -> { v = value, f = flags, e = end or nil, l = items or nil }
local model = {}
-- What the test adds up: name -> number.
local sums = {}


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
        -- nginx tells since when an expired one is over, as long as its memory is not needed.
        local over = NGINX and rest and rest < 0
        return expect(over or rest == nil and err == "not found", "ttl", key, rest, err)
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


return {
    model = model,
    sums = sums,
    add_up = add_up,
    expect = expect,
    text = text,
    value = value,
    entry_of = entry_of,
    operations = operations,
}
