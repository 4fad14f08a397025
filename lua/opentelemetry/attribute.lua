--- `opentelemetry.attribute`: names with values of a type.
-- @module opentelemetry.attribute
local ipairs = ipairs
local tostring = tostring

local _M = {}

for name, field in pairs({ string = "string_value", int = "int_value", bool = "bool_value",
                           double = "double_value" }) do
    local function value_of(value)
        if name == "string" then
            value = tostring(value)
        end
        return { [field] = value }
    end

    _M[name] = function(key, value)
        return { key = key, value = value_of(value) }
    end

    _M[name .. "_array"] = function(key, values)
        local list = {}
        for i, value in ipairs(values) do
            list[i] = value_of(value)
        end
        return { key = key, value = { array_value = { values = list } } }
    end
end

return _M
