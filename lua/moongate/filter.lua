--- Routes' `filter_func`: Lua functions over the variables of a request.
local core = require("apisix.core")

local _M = {}

--- Makes a function that Rust can call without arguments.
-- @tparam function func takes vars, returns whether the route matches
function _M.wrap(func)
    return function()
        local ctx = {}
        core.ctx.set_vars_meta(ctx)
        return func(ctx.var) and true or false
    end
end

return _M
