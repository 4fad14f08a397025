--- `resty.ldap.filter`: reads filters such as `(&(objectClass=person)(cn=a*))` (RFC 4515).
-- @module resty.ldap.filter
local char = string.char
local find = string.find
local format = string.format
local gsub = string.gsub
local match = string.match
local sub = string.sub
local tonumber = tonumber
local type = type

local DEPTH_MAX = 32

local _M = {
    OP_TYPE_AND = "and", OP_TYPE_OR = "or", OP_TYPE_NOT = "not",
    ITEM_TYPE_SUBSTRING = "substring", ITEM_TYPE_SIMPLE = "simple", ITEM_TYPE_PRESENT = "present",
    FILTER_TYPE_EQUAL = "equal", FILTER_TYPE_APPROX = "approx", FILTER_TYPE_GREATER = "greater",
    FILTER_TYPE_LESS = "less",
}

local OPERATORS = { ["="] = "equal", ["~="] = "approx", [">="] = "greater", ["<="] = "less" }
local SETS = { ["&"] = "and", ["|"] = "or", ["!"] = "not" }


-- The bytes of a value, or nil if something in it must have been written as `\xx`.
local function value_of(text)
    if find(text, "[%z()*]") or find(gsub(text, "\\%x%x", ""), "\\", 1, true) then
        return nil
    end
    return (gsub(text, "\\(%x%x)", function(digits)
        return char(tonumber(digits, 16))
    end))
end


local function is_utf8(text)
    return ngx.re.find(text, "^", "ju") ~= nil
end


local function item(text)
    local name, operator, value = match(text, "^%s*([%w.;-]+)%s*([~<>]?=)(.*)$")
    if not name or not is_utf8(value) then
        return nil
    end
    local made = { attribute_description = name, filter_type = OPERATORS[operator] }
    if operator == "=" and value == "*" then
        made.item_type = "present"
        return made
    elseif operator == "=" and find(value, "*", 1, true) then
        made.item_type, made.attribute_value = "substring", {}
        for part in (value .. "*"):gmatch("([^*]*)%*") do
            local bytes = value_of(part)
            if not bytes then
                return nil
            end
            made.attribute_value[#made.attribute_value + 1] = bytes
        end
        return made
    end
    made.item_type, made.attribute_value = "simple", value_of(value)
    return made.attribute_value and made
end


local function read(text, at, depth)
    at = match(text, "^%s*%(%s*()", at)
    if not at or depth > DEPTH_MAX then
        return nil
    end
    local kind = SETS[sub(text, at, at)]
    if not kind then
        local inner, after = match(text, "^([^()]*)%)%s*()", at)
        local made = inner and item(inner)
        return made, made and after
    end
    local made = { op_type = kind, items = {} }
    at = at + 1
    while not find(text, "^%s*%)", at) do
        local part
        part, at = read(text, at, depth + 1)
        if not part then
            return nil
        end
        made.items[#made.items + 1] = part
    end
    if #made.items == 0 or (kind == "not" and #made.items > 1) then
        return nil
    end
    return made, match(text, "^%s*%)%s*()", at)
end


--- Reads a filter.
-- @treturn table|nil
-- @treturn nil|string error
function _M.compile(text)
    if type(text) ~= "string" then
        return nil, "filter must be a string"
    end
    local made, after = read(text, 1, 1)
    if not made or after ~= #text + 1 then
        return nil, "invalid filter: " .. text
    end
    return made
end


--- A text so that it stands for itself in a filter.
-- @treturn string|nil
-- @treturn nil|string error
function _M.escape(value)
    if type(value) ~= "string" then
        return nil, "value must be a string"
    end
    return (gsub(value, "[%z*()\\=<>~]", function(one)
        return format("\\%02x", one:byte())
    end))
end


return _M
