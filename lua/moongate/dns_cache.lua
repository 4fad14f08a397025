--- What `resty.dns.client` knows: records by type and name, and questions that are under way.
-- @module moongate.dns_cache
local lrucache = require("resty.lrucache")
local resolver = require("resty.dns.resolver")
local semaphore = require("ngx.semaphore")
local utils = require("resty.dns.utils")

local gsub = string.gsub
local huge = math.huge
local ipairs = ipairs
local lower = string.lower
local min = math.min
local now = ngx.now
local pairs = pairs
local pcall = pcall

local NAME_ERROR = 3

local _M = {}

-- What the client was told, and "type:name" -> records.
local settings, cache
-- name -> the type that was found.
local types = {}
-- "type:name" -> `{ waiting, semaphore, records, err }`.
local asking = {}


--- Forgets everything.
-- @tparam table options of the client
function _M.reset(options)
    settings, cache, types = options, lrucache.new(options.cacheSize or 10000), {}
end


--- The records of a type and name.
function _M.get(name, kind)
    return cache:get(kind .. ":" .. name)
end


--- The type that was found for a name.
function _M.found(name)
    return types[name]
end


function _M.set_found(name, kind)
    types[name] = kind
end


local function ttl_of(records)
    if not records[1] then
        local quick = records.errcode and records.errcode ~= NAME_ERROR
        return quick and settings.badTtl or settings.emptyTtl
    elseif settings.validTtl then
        return settings.validTtl
    end
    local ttl = huge
    for _, record in ipairs(records) do
        ttl = min(ttl, record.ttl)
    end
    return ttl
end


--- Keeps records for as long as they say, and as long again as stale ones are wanted.
function _M.keep(name, kind, records)
    local key = kind .. ":" .. name
    local old = cache:get(key)
    if not records[1] and records.errcode ~= NAME_ERROR and old and old[1] then
        -- A server that fails does not take away what was known.
        return
    end
    for _, record in ipairs(records) do
        record.ttl = settings.validTtl or record.ttl
        if record.type == resolver.TYPE_AAAA then
            record.address = utils.parseHostname(record.address)
        elseif record.type == resolver.TYPE_SRV then
            record.target = utils.parseHostname(record.target)
        end
    end
    records.ttl = ttl_of(records)
    records.expire = now() + records.ttl
    if records.ttl + settings.staleTtl > 0 then
        cache:set(key, records, records.ttl + settings.staleTtl)
    end
end


-- Sorts what a server said: what was asked for stays, the rest is kept under its own names.
local function sort_out(name, kind, answers)
    local own, others = { errcode = answers.errcode, errstr = answers.errstr }, {}
    local asked = gsub(name, "%.$", "")
    for _, record in ipairs(answers) do
        record.name = lower(record.name)
        if record.type == kind and record.name == asked then
            own[#own + 1] = record
        else
            local key = record.type .. ":" .. record.name
            others[key] = others[key] or {}
            others[key][#others[key] + 1] = record
        end
    end
    for _, list in pairs(others) do
        _M.keep(list[1].name, list[1].type, list)
        types[list[1].name] = types[list[1].name] or list[1].type
    end
    _M.keep(name, kind, own)
    return own
end


--- Asks a server.
-- @treturn table|nil
-- @treturn nil|string error
function _M.query(name, options)
    local asker, err = resolver:new(settings)
    if not asker then
        return nil, "failed to create a resolver: " .. err
    end
    local answers
    answers, err = asker:query(name, options)
    if not answers then
        return nil, err
    end
    return sort_out(name, options.qtype, answers)
end


--- Asks, or waits for somebody who asks the same.
-- @treturn table|nil
-- @treturn nil|string error
function _M.query_once(name, options)
    local key = options.qtype .. ":" .. name
    local ask = asking[key]
    if ask then
        ask.waiting = ask.waiting + 1
        local ok, err = ask.semaphore:wait(settings.timeout / 1000 * settings.retrans)
        if not ok then
            return nil, "dns lookup pool exceeded retries (1): " .. err
        end
        return ask.records, ask.err
    end

    ask = { waiting = 0, semaphore = semaphore.new() }
    asking[key] = ask
    local ok, records, err = pcall(_M.query, name, options)
    asking[key] = nil
    if ok then
        ask.records, ask.err = records, err
    else
        ask.err = records
    end
    if ask.waiting > 0 then
        ask.semaphore:post(ask.waiting)
    end
    return ask.records, ask.err
end


--- Asks again, unless somebody does; for a timer.
function _M.refresh(premature, name, options)
    if not premature and not asking[options.qtype .. ":" .. name] then
        _M.query_once(name, options)
    end
end


return _M
