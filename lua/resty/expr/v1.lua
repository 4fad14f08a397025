--- `resty.expr.v1`: expressions over variables, for instance `{{"arg_a", "==", "1"}}`.
-- @module resty.expr.v1
local host = require("moongate.host")

local expr_new = host.expr.new
local setmetatable = setmetatable

local _M = { _VERSION = "1.3.2" }
local mt = { __index = _M }


--- Compiles an expression.
-- @tparam table rule
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(rule)
    local compiled, err = expr_new(rule)
    if not compiled then
        return nil, err
    end
    return setmetatable({ compiled = compiled, rule = rule }, mt)
end


--- Evaluates it.
-- @tparam[opt] table vars indexed by name; `ngx.var` if nil
-- @treturn boolean|nil
-- @treturn nil|string error
function _M:eval(vars)
    return self.compiled:eval(vars or ngx.var)
end


return _M
