--- Sample data for `mocking`: values that fit a schema, and their text as XML.
local concat = table.concat
local char = string.char
local floor = math.floor
local gsub = string.gsub
local ipairs = ipairs
local lower = string.lower
local pairs = pairs
local random = math.random
local rep = string.rep
local sort = table.sort
local tostring = tostring
local type = type

local NUMBER_MAX = 10000
local ITEMS_MAX = 3
local LETTERS_MAX = 10
local FIRST_LETTER, LAST_LETTER = 97, 122

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local _M = {}

-- type -> generator(property)
local generators = {}


function generators.string(property)
    if type(property.example) == "string" then
        return property.example
    end
    local letters = {}
    for i = 1, random(LETTERS_MAX) do
        letters[i] = char(random(FIRST_LETTER, LAST_LETTER))
    end
    return concat(letters)
end


function generators.number(property)
    if type(property.example) == "number" then
        return property.example
    end
    return random() * NUMBER_MAX
end


function generators.integer(property)
    if type(property.example) == "number" then
        return floor(property.example)
    end
    return random(NUMBER_MAX)
end


function generators.boolean(property)
    if type(property.example) == "boolean" then
        return property.example
    end
    return random(2) == 2
end


function generators.array(property)
    if type(property.items) ~= "table" then
        return nil
    end
    local list = {}
    for i = 1, random(ITEMS_MAX) do
        list[i] = _M.value(property.items)
    end
    return list
end


function generators.object(property)
    local object = {}
    if type(property.properties) == "table" then
        for name, inner in pairs(property.properties) do
            object[name] = _M.value(inner)
        end
    end
    return object
end


--- A random value for a schema; nil where the schema names no type that is known.
function _M.value(property)
    if type(property) ~= "table" or type(property.type) ~= "string" then
        return nil
    end
    local generate = generators[lower(property.type)]
    return generate and generate(property)
end


--- The value of an object, whatever type the outermost schema has.
_M.object = generators.object


local function escaped(value)
    return (gsub(tostring(value), '[&<>"]', ESCAPES))
end


local write


local function write_object(lines, name, object, depth)
    local names = {}
    for field in pairs(object) do
        names[#names + 1] = tostring(field)
    end
    sort(names)

    local indent = rep("  ", depth)
    lines[#lines + 1] = indent .. "<" .. name .. ">"
    for _, field in ipairs(names) do
        write(lines, field, object[field], depth + 1)
    end
    lines[#lines + 1] = indent .. "</" .. name .. ">"
end


function write(lines, name, value, depth)
    if type(value) ~= "table" then
        lines[#lines + 1] = rep("  ", depth) .. "<" .. name .. ">" .. escaped(value)
                            .. "</" .. name .. ">"
    elseif value[1] ~= nil then
        for _, item in ipairs(value) do
            write(lines, name, item, depth)
        end
    else
        write_object(lines, name, value, depth)
    end
end


--- An object as XML; a list becomes one element per item.
-- @tparam table object
-- @tparam string name of the outermost element
-- @treturn string
function _M.xml(object, name)
    local lines = {}
    write_object(lines, name, object, 0)
    return concat(lines, "\n")
end


return _M
