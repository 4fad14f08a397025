--- `ngx.semaphore`: waiting of one light thread for another on the same VM.
-- @module ngx.semaphore
local host = require("moongate.host")

local error = error
local await = host.semaphore_wait
local new_semaphore = host.semaphore
local setmetatable = setmetatable
local tonumber = tonumber
local type = type

local _M = { version = "0.1.28" }
local mt = { __index = _M }


local function of(self)
    local sem = type(self) == "table" and self.sem
    if not sem then
        error("not a semaphore instance", 3)
    end
    return sem
end


--- A semaphore with `resources` free places.
function _M.new(resources)
    resources = tonumber(resources) or 0
    if resources < 0 then
        error("no negative number", 2)
    end
    return setmetatable({ sem = new_semaphore(resources) }, mt)
end


--- Takes one place.
-- @tparam number timeout seconds; 0 does not wait
-- @treturn boolean|nil
-- @treturn nil|string "timeout"
function _M:wait(timeout)
    local sem = of(self)
    timeout = tonumber(timeout)
    if not timeout then
        error("bad timeout: a number is expected", 2)
    end
    if timeout < 0 then
        error("no negative number", 2)
    end
    local taken, err = sem:try(timeout)
    if taken == nil then
        return nil, err
    end
    if taken then
        return true
    end
    local ok, why = await()
    return ok or false, why
end


--- Frees places and wakes who waits for them.
function _M:post(resources)
    local sem = of(self)
    resources = tonumber(resources) or 1
    if resources < 1 then
        error("positive number required", 2)
    end
    sem:post(resources)
    return true
end


--- Free places; below zero: how many wait.
function _M:count()
    return of(self):count()
end


return _M
