--- `core.lrucache`: objects made from configuration, kept per version of it.
-- @module apisix.core.lrucache
local host = require("moongate.host")
local log = require("apisix.core.log")
local lru = require("resty.lrucache")

local min = math.min
local now = host.time.now
local phase = host.phase
local sleep = host.sleep
local tostring = tostring

local GLOBAL_COUNT = 1024
local GLOBAL_TTL = 3600
local PLUGIN_COUNT = 8
local PLUGIN_TTL = 300

-- Waiting for another coroutine that makes the same object.
local WAIT_FIRST = 0.001
local WAIT_STEP_MAX = 0.5
local WAIT_MAX = 5
local BUSY_MAX = 30

local CAN_YIELD = {
    access = true,
    before_proxy = true,
    content = true,
    rewrite = true,
    ssl_session_fetch = true,
    ssl_session_store = true,
    timer = true,
}

local _M = { version = 0.1 }


--- Whether the running phase may wait for somebody.
function _M.can_wait()
    return CAN_YIELD[phase()] or false
end


local function remember(cache, key, version, object, err)
    if object ~= nil then
        cache.lru:set(key, { val = object, ver = version }, cache.ttl)
    elseif cache.negative then
        cache.negative:set(key, { err = err, ver = version }, cache.negative_ttl)
    end
end


-- Makes a new object behind the back of the requests that still get the stale one.
local function refresh(cache, key, version, create, ...)
    if cache.refreshing[key] then
        return true
    end

    local function run(premature, ...)
        cache.refreshing[key] = nil
        if premature then
            return
        end
        local object, err = create(...)
        if object == nil then
            log.error("failed to refresh stale obj for key ", tostring(key), ": ", err)
            return
        end
        remember(cache, key, version, object)
    end

    local ok, err = host.timer_at(0, run, false, ...)
    if not ok then
        log.warn("failed to start refreshing a stale object: ", err)
        return false
    end
    cache.refreshing[key] = true
    return true
end


local function find(cache, key, version, create, ...)
    local entry, stale = cache.lru:get(key)
    if entry and entry.ver == version then
        return entry
    end
    if not stale or stale.ver ~= version then
        return nil
    end

    if not cache.invalid_stale then
        cache.lru:set(key, stale, cache.ttl)
        return stale
    end
    if cache.refresh_stale and refresh(cache, key, version, create, ...) then
        return stale
    end
    return nil
end


-- What is known of a failure: its entry, or nil.
local function failure(cache, key, version)
    local failed = cache.negative and cache.negative:get(key)
    if failed and failed.ver == version then
        return failed
    end
end


-- One coroutine makes the object, the others wait for it. A maker that died without a
-- word (an exit inside `create`) loses its turn after a while.
local function make_alone(cache, key, version, create, ...)
    local busy, waited, step = cache.busy, 0, WAIT_FIRST
    while busy[key] and busy[key] > now() do
        if waited >= WAIT_MAX then
            return nil, "failed to acquire the lock: timeout"
        end
        sleep(step)
        waited = waited + step
        step = min(step * 2, WAIT_STEP_MAX)

        local entry = find(cache, key, version, create, ...)
        if entry then
            return entry.val
        end
        local failed = failure(cache, key, version)
        if failed then
            return nil, failed.err
        end
    end

    busy[key] = now() + BUSY_MAX
    local object, err = create(...)
    remember(cache, key, version, object, err)
    busy[key] = nil
    return object, err
end


--- A cache.
-- @tparam[opt] table opts
--   `type` "plugin" for small defaults (8 objects, 5 minutes; otherwise 1024, 1 hour),
--   `count`, `ttl` (seconds), `invalid_stale` (an expired object is made again even if its
--   version is still right), `refresh_stale` (it is handed out while it is made again),
--   `serial_creating` (one coroutine at a time makes an object), `neg_ttl` and `neg_count`
--   (remember failures)
-- @treturn function(key, version, create, ...) -> object | nil, error
function _M.new(opts)
    opts = opts or {}
    local is_plugin = opts.type == "plugin"
    local cache = {
        lru = lru.new(opts.count or (is_plugin and PLUGIN_COUNT or GLOBAL_COUNT)),
        ttl = opts.ttl or (is_plugin and PLUGIN_TTL or GLOBAL_TTL),
        invalid_stale = opts.invalid_stale,
        refresh_stale = opts.refresh_stale,
        refreshing = {},
        busy = {},
    }
    if opts.neg_ttl and opts.neg_count then
        cache.negative = lru.new(opts.neg_count)
        cache.negative_ttl = opts.neg_ttl
    end
    local serial = opts.serial_creating

    return function(key, version, create, ...)
        local failed = failure(cache, key, version)
        if failed then
            return nil, failed.err
        end

        local entry = find(cache, key, version, create, ...)
        if entry then
            return entry.val
        end
        if serial and _M.can_wait() then
            return make_alone(cache, key, version, create, ...)
        end
        local object, err = create(...)
        -- What fails where nobody may wait may fail for that: it is no knowledge.
        if object ~= nil or not serial then
            remember(cache, key, version, object, err)
        end
        return object, err
    end
end


--- A cache that all plugins share.
_M.global = _M.new()


local function ctx_key(ctx, extra_key)
    local key = ctx.conf_type .. "#" .. ctx.conf_id
    if extra_key then
        return key .. "#" .. extra_key
    end
    return key
end


--- Looks up an object that belongs to the conf the request runs with.
-- @tparam function cache from `new`
-- @tparam table ctx
-- @param[opt] extra_key when one conf has several objects
-- @tparam function create
-- @param ... arguments of `create`
function _M.plugin_ctx(cache, ctx, extra_key, create, ...)
    return cache(ctx_key(ctx, extra_key), ctx.conf_version, create, ...)
end


--- The text that identifies that conf and its version.
function _M.plugin_ctx_id(ctx, extra_key)
    return ctx_key(ctx, extra_key) .. "#" .. ctx.conf_version
end


return _M
