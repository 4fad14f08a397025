--- `Template` of `pl.stringx` and `pl.text`: texts with "$name" or "${name}" in them.
-- @module moongate.pl_template
local error = error
local gsub = string.gsub
local setmetatable = setmetatable
local tostring = tostring
local type = type

local Template = {}
local mt = { __index = Template }


local function fill(text, values, missing)
    local function value_of(name)
        local value
        if type(values) == "function" then
            value = values(name)
        else
            value = values[name]
        end
        return value == nil and missing(name) or tostring(value)
    end
    return (gsub(gsub(gsub(text, "%$%$", "\0"), "%${([%w_]+)}", value_of), "%$([%w_]+)", value_of)
            :gsub("%z", "$"))
end


--- The text with all names replaced; one without a value raises.
function Template:substitute(values)
    return fill(self.text, values, function(name)
        error("not present in table " .. name, 0)
    end)
end


--- The text with those names replaced that have a value.
function Template:safe_substitute(values)
    return fill(self.text, values, function(name)
        return "$" .. name
    end)
end


--- As `substitute`; values of several lines keep the indent of their place.
function Template:indent_substitute(values)
    local text = gsub(self.text, "([ \t]*)%$([%w_]+)", function(lead, name)
        local value = values[name]
        if type(value) ~= "string" then
            return nil
        end
        return lead .. gsub(value, "\n", "\n" .. lead)
    end)
    return fill(text, values, function(name)
        error("not present in table " .. name, 0)
    end)
end


--- A template.
-- @tparam string text
return function(text)
    return setmetatable({ text = text, tmpl = text }, mt)
end
