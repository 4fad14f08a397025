--- Whether a table has no key (OpenResty's LuaJIT has it built in).
-- @module table.isempty
local error = error
local next = next
local type = type

return function(t)
    if type(t) ~= "table" then
        error("bad argument #1 to 'isempty' (table expected, got " .. type(t) .. ")", 2)
    end
    return next(t) == nil
end
