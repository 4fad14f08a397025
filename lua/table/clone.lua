--- A shallow copy of a table, without its metatable.
-- @module table.clone
local new_tab = require("table.new")

local error = error
local next = next
local type = type

return function(t)
    if type(t) ~= "table" then
        error("bad argument #1 to 'clone' (table expected, got " .. type(t) .. ")", 2)
    end
    local copy = new_tab(#t, 0)
    for key, value in next, t do
        copy[key] = value
    end
    return copy
end
