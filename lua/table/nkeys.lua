--- How many keys a table has (OpenResty's LuaJIT has it built in).
-- @module table.nkeys
local next = next

return function(t)
    local count = 0
    local key = next(t)
    while key ~= nil do
        count = count + 1
        key = next(t, key)
    end
    return count
end
