--- Functions by the texts of operators, for `pl.tablex`.
-- @module moongate.pl_operator
local error = error
local getmetatable = getmetatable
local type = type

local OPERATORS = {
    ["+"] = function(a, b) return a + b end, ["*"] = function(a, b) return a * b end,
    ["-"] = function(a, b) return a - b end,
    ["/"] = function(a, b) return a / b end, ["%"] = function(a, b) return a % b end,
    ["^"] = function(a, b) return a ^ b end, [".."] = function(a, b) return a .. b end,
    ["=="] = function(a, b) return a == b end, ["~="] = function(a, b) return a ~= b end,
    ["<"] = function(a, b) return a < b end, ["<="] = function(a, b) return a <= b end,
    [">"] = function(a, b) return a > b end, [">="] = function(a, b) return a >= b end,
    ["#"] = function(a) return #a end, ["and"] = function(a, b) return a and b end,
    ["or"] = function(a, b) return a or b end,
}

local _M = {}


--- The function that is meant: an operator's, or the value itself if it can be called.
-- @tparam string|function func
-- @tparam number place of the argument, for the error
function _M.callable(func, place)
    local found = OPERATORS[func] or func
    local meta = getmetatable(found)
    if type(found) ~= "function" and not (type(meta) == "table" and meta.__call) then
        error("argument " .. place .. " must be callable", 3)
    end
    return found
end


return _M
