--- Whether all keys of a table are numbers; an empty table is an array.
-- @module table.isarray
local error = error
local next = next
local type = type

return function(t)
    if type(t) ~= "table" then
        error("bad argument #1 to 'isarray' (table expected, got " .. type(t) .. ")", 2)
    end
    local key = next(t)
    while key ~= nil do
        if type(key) ~= "number" then
            return false
        end
        key = next(t, key)
    end
    return true
end
