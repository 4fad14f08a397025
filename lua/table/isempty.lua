--- Whether a table has no key (OpenResty's LuaJIT has it built in).
-- @module table.isempty
local next = next

return function(t)
    return next(t) == nil
end
