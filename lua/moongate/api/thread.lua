--- `ngx.thread`: light threads.
-- @module moongate.api.thread
local host = require("moongate.host")

local error = error
local null = host.json.null
local setmetatable = setmetatable
local status = coroutine.status
local wait = host.thread_wait

local _M = { spawn = host.thread_spawn }

-- Threads that were ended from outside: to Lua itself they look as if they waited.
local killed = setmetatable({}, { __mode = "k" })


local function waited(ok, ...)
    if ok == null then
        error((...), 3)
    end
    return ok, ...
end


--- Waits for the end of one of some threads.
-- @treturn boolean|nil
-- @return what it returned, or its error
function _M.wait(...)
    return waited(wait(...))
end


--- Ends a thread.
-- @treturn number|nil 1
-- @treturn nil|string why not
function _M.kill(thread)
    local ok, err = host.thread_kill(thread)
    if not ok then
        return nil, err
    end
    killed[thread] = true
    return ok
end


function coroutine.status(co)
    if killed[co] then
        return "dead"
    end
    return status(co)
end


return _M
