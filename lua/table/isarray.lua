--- Whether all keys of a table are numbers; an empty table is an array.
-- @module table.isarray
local next = next
local type = type

return function(t)
    local key = next(t)
    while key ~= nil do
        if type(key) ~= "number" then
            return false
        end
        key = next(t, key)
    end
    return true
end
