--- How many keys a table has (OpenResty's LuaJIT has it built in).
-- @module table.nkeys
local error = error
local next = next
local type = type

return function(t)
    if type(t) ~= "table" then
        error("bad argument #1 to 'nkeys' (table expected, got " .. type(t) .. ")", 2)
    end
    local count = 0
    local key = next(t)
    while key ~= nil do
        count = count + 1
        key = next(t, key)
    end
    return count
end
