--- One value per coroutine, as OpenResty's LuaJIT keeps it.
-- @module thread.exdata
local running = coroutine.running
local select = select
local setmetatable = setmetatable

local values = setmetatable({}, { __mode = "k" })

return function(...)
    local thread = running()
    if select("#", ...) == 0 then
        return values[thread]
    end
    values[thread] = (...)
end
