--- `ngx.semaphore`: waiting of one light thread for another on the same VM.
-- @module ngx.semaphore
local host = require("moongate.host")

local error = error
local await = host.semaphore_wait
local new_semaphore = host.semaphore
local setmetatable = setmetatable
local type = type

local _M = { version = "0.1.28" }
local mt = { __index = _M }


--- A semaphore with `resources` free places.
function _M.new(resources)
    resources = resources or 0
    if type(resources) ~= "number" or resources < 0 then
        error("no zero or negative number", 2)
    end
    return setmetatable({ sem = new_semaphore(resources) }, mt)
end


--- Takes one place.
-- @tparam number timeout seconds; 0 does not wait
-- @treturn boolean|nil
-- @treturn nil|string "timeout"
function _M:wait(timeout)
    if type(timeout) ~= "number" or timeout < 0 then
        error("bad timeout: no negative number", 2)
    end
    local taken, err = self.sem:try(timeout)
    if taken == nil then
        return nil, err
    end
    if taken then
        return true
    end
    return await()
end


--- Frees places and wakes who waits for them.
function _M:post(resources)
    resources = resources or 1
    if type(resources) ~= "number" or resources < 1 then
        error("no zero or negative number", 2)
    end
    self.sem:post(resources)
    return true
end


--- Free places; below zero: how many wait.
function _M:count()
    return self.sem:count()
end


return _M
