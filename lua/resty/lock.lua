--- `resty.lock`: a lock in a shared dictionary, for coroutines of all workers.
-- @module resty.lock
local host = require("moongate.host")

local dict_get = host.dict.get
local error = error
local min = math.min
local setmetatable = setmetatable
local sleep = host.sleep
local tostring = tostring
local type = type

local _M = { _VERSION = "0.09" }
local mt = { __index = _M }


--- A lock object; it can hold one key at a time.
-- @tparam string dict_name
-- @tparam[opt] table opts seconds: `exptime` (30) after which a lock is free by itself,
--   `timeout` (5) how long to wait, `step` (0.001) first pause, `ratio` (2) by which pauses
--   grow, `max_step` (0.5)
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(dict_name, opts)
    local dict = dict_get(dict_name)
    if not dict then
        return nil, "dictionary not found"
    end

    opts = opts or {}
    local exptime = opts.exptime or 30
    return setmetatable({
        dict = dict,
        exptime = exptime,
        timeout = min(opts.timeout or 5, exptime),
        step = opts.step or 0.001,
        ratio = opts.ratio or 2,
        max_step = opts.max_step or 0.5,
    }, mt)
end


--- Takes the lock for `key`, waiting for it.
-- @treturn number|nil seconds waited
-- @treturn nil|string "locked", "timeout" or another error
function _M:lock(key)
    if not key then
        return nil, "nil key"
    end
    if self.key then
        return nil, "locked"
    end

    key = tostring(key)
    local step, waited = self.step, 0
    while true do
        local ok, err = self.dict:add(key, true, self.exptime)
        if ok then
            self.key = key
            return waited
        end
        if err ~= "exists" then
            return nil, err
        end
        if waited >= self.timeout then
            return nil, "timeout"
        end

        step = min(step, self.timeout - waited, self.max_step)
        sleep(step)
        waited = waited + step
        step = step * self.ratio
    end
end


--- Gives the lock back.
-- @treturn number|nil 1
-- @treturn nil|string "unlocked" or another error
function _M:unlock()
    local key = self.key
    if not key then
        return nil, "unlocked"
    end
    self.key = nil
    local ok, err = self.dict:delete(key)
    if not ok and err then
        return nil, err
    end
    return 1
end


--- Sets anew when the held lock becomes free by itself.
-- @tparam[opt] number seconds otherwise `exptime`
function _M:expire(seconds)
    if not self.key then
        return nil, "unlocked"
    end
    if seconds ~= nil and (type(seconds) ~= "number" or seconds < 0) then
        error("bad argument #1 to 'expire' (number expected)", 2)
    end
    local ok, err = self.dict:replace(self.key, true, seconds or self.exptime)
    if not ok then
        return nil, err
    end
    return true
end


return _M
