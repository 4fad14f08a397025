--- A shallow copy of a table, without its metatable.
-- @module table.clone
local new_tab = require("table.new")

local next = next

return function(t)
    local copy = new_tab(#t, 0)
    for key, value in next, t do
        copy[key] = value
    end
    return copy
end
