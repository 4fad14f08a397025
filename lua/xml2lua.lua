--- `xml2lua`: XML to Lua tables and back.
--
--     local handler = require("xmlhandler.tree"):new()
--     require("xml2lua").parser(handler):parse("<a><b>1</b></a>")
--     handler.root.a.b --> "1"
-- @module xml2lua
local parser = require("XmlParser")

local concat = table.concat
local error = error
local format = string.format
local io_open = io.open
local next = next
local pairs = pairs
local print = print
local rep = string.rep
local tostring = tostring
local type = type

local _M = { _VERSION = "1.6-2", pretty = true }


local function show(value, level)
    local indent = rep(" ", level * 2)
    for key, item in pairs(value) do
        if type(item) == "table" then
            print(indent .. key)
            show(item, level + 1)
        else
            print(indent .. key .. "=" .. item)
        end
    end
end


--- A parser that tells `handler` of every part of a document.
function _M.parser(handler)
    if handler == _M then
        error("You must call xml2lua.parse(handler) instead of xml2lua:parse(handler)")
    end
    return parser.new(handler, {
        stripWS = 1,
        expandEntities = 1,
        errorHandler = function(message, at)
            error(format("%s [char=%d]\n", message or "Parse Error", at))
        end,
    })
end


--- Prints a table, for a look at it.
function _M.printable(value)
    if type(value) == "table" then
        show(value, 1)
    end
end


--- A table as text, `{a=1,b={c=2}}`.
function _M.toString(value)
    if type(value) ~= "table" then
        return value
    end
    local parts = {}
    for key, item in pairs(value) do
        parts[#parts + 1] = format("%s=%s", key, _M.toString(item))
    end
    return "{" .. concat(parts, ",") .. "}"
end


--- The content of a file.
-- @raise if it cannot be read
function _M.loadFile(path)
    local file, err = io_open(path, "r")
    if not file then
        error(err)
    end
    local text = file:read("*a")
    file:close()
    return text
end


local function attributes(node)
    local text = ""
    for name, value in pairs(type(node) == "table" and node._attr or {}) do
        text = text .. " " .. name .. '="' .. value .. '"'
    end
    return text
end


local write


local function write_table(lines, node, name, level, indent)
    for key in pairs(node) do
        if type(key) == "number" then
            for _, item in pairs(node) do
                write(lines, item, name, level)
            end
            return
        end
    end
    local empty = true
    for key in pairs(node) do
        empty = empty and key == "_attr"
    end
    if empty then
        lines[#lines + 1] = indent .. "<" .. name .. attributes(node) .. "/>"
        return
    end
    if name ~= nil then
        lines[#lines + 1] = indent .. "<" .. name .. attributes(node) .. ">"
    end
    for key, item in pairs(node) do
        write(lines, item, key, level + 1)
    end
    if name ~= nil then
        lines[#lines + 1] = indent .. "</" .. name .. ">"
    end
end


function write(lines, value, name, level)
    if name == "_attr" then
        return
    end
    local indent = _M.pretty and rep(" ", level * 2) or ""
    if type(value) == "table" then
        write_table(lines, value, name, level, indent)
    elseif value == "" then
        lines[#lines + 1] = indent .. "<" .. name .. "/>"
    else
        lines[#lines + 1] = indent .. "<" .. name .. ">" .. tostring(value) .. "</" .. name .. ">"
    end
end


--- A table as XML.
-- @tparam table value
-- @tparam[opt] string name of the element around it; a table of one key gives its own
-- @tparam[opt=0] number level of indentation
function _M.toXml(value, name, level)
    local lines = {}
    local key = next(value)
    if key ~= nil and next(value, key) == nil then
        name = name or key
        value = value[key]
    end
    write(lines, value, name, level or 0)
    return concat(lines, _M.pretty and "\n" or "")
end


return _M
