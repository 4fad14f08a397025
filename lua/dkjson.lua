--- `dkjson`: JSON with the functions of that library, over the gateway's own.
-- @module dkjson
local cjson = require("cjson.safe")

local concat = table.concat
local error = error
local getmetatable = getmetatable
local ipairs = ipairs
local null = ngx.null
local pairs = pairs
local rep = string.rep
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

local DEPTH_MAX = 200

local _M = { version = "dkjson 2.5", null = null }


--- A text in quotes.
function _M.quotestring(text)
    return (cjson.encode(text):gsub("\\/", "/"))
end


local function is_array(value)
    local kind = (getmetatable(value) or {}).__jsontype
    if kind then
        return kind == "array", #value
    end
    local count, most = 0, 0
    for key in pairs(value) do
        if type(key) ~= "number" or key < 1 or key % 1 ~= 0 then
            return false
        end
        count, most = count + 1, key > most and key or most
    end
    return count > 0 and most <= 2 * count, most
end


local Writer = {}
local mt = { __index = Writer }


function Writer:line(level)
    return self.indent and "\n" .. rep("  ", level) or ""
end


function Writer:list(value, length, level)
    local parts = {}
    for i = 1, length do
        local text, err = self:text(value[i], level + 1)
        if not text then
            return nil, err
        end
        parts[i] = self:line(level + 1) .. text
    end
    return "[" .. concat(parts, ",") .. (length > 0 and self:line(level) or "") .. "]"
end


local function ordered_keys(value, order)
    local keys, used = {}, {}
    for _, key in ipairs(order or {}) do
        if value[key] ~= nil then
            keys[#keys + 1], used[key] = key, true
        end
    end
    local rest = {}
    for key in pairs(value) do
        if not used[key] then
            rest[#rest + 1] = key
        end
    end
    sort(rest, function(a, b)
        return tostring(a) < tostring(b)
    end)
    for _, key in ipairs(rest) do
        keys[#keys + 1] = key
    end
    return keys
end


function Writer:object(value, level)
    local parts = {}
    local order = (getmetatable(value) or {}).__jsonorder or self.keyorder
    for _, key in ipairs(ordered_keys(value, order)) do
        if type(key) ~= "string" and type(key) ~= "number" then
            return nil, "type '" .. type(key) .. "' is not supported as a key by JSON."
        end
        local text, err = self:text(value[key], level + 1)
        if not text then
            return nil, err
        end
        parts[#parts + 1] = self:line(level + 1) .. _M.quotestring(tostring(key)) .. ":" .. text
    end
    return "{" .. concat(parts, ",") .. (#parts > 0 and self:line(level) or "") .. "}"
end


function Writer:text(value, level)
    local meta = type(value) == "table" and getmetatable(value)
    if meta and meta.__tojson then
        return meta.__tojson(value, self)
    elseif value == nil or value == null then
        return "null"
    elseif type(value) == "string" then
        return _M.quotestring(value)
    elseif type(value) == "number" then
        if value ~= value or value >= 1 / 0 or value <= -1 / 0 then
            return "null"
        end
        return (cjson.encode(value))
    elseif type(value) == "boolean" then
        return tostring(value)
    elseif type(value) ~= "table" then
        return nil, "type '" .. type(value) .. "' is not supported by JSON."
    elseif self.open[value] or level > DEPTH_MAX then
        return nil, "reference cycle"
    end
    self.open[value] = true
    local array, length = is_array(value)
    local text, err
    if array then
        text, err = self:list(value, length, level)
    else
        text, err = self:object(value, level)
    end
    self.open[value] = nil
    return text, err
end


--- A value as JSON.
-- @tparam[opt] table state `indent`, `keyorder`, `level`, `exception`
-- @treturn string|boolean|nil
-- @raise if something has no form in JSON
function _M.encode(value, state)
    state = state or {}
    local writer = setmetatable({ indent = state.indent, keyorder = state.keyorder, open = {} }, mt)
    local text, err = writer:text(value, state.level or 0)
    if not text then
        error(err, 2)
    end
    return text
end


--- JSON as a value.
-- @tparam string text
-- @tparam[opt=1] number from where to begin
-- @tparam[opt] any nullvalue what stands for null; nothing if absent
-- @treturn any
-- @treturn number|nil where it ended
-- @treturn nil|string error
function _M.decode(text, from, nullvalue)
    local value, err = cjson.decode(text:sub(from or 1))
    if value == nil then
        return nil, from or 1, err
    end
    local function clean(item)
        if item == null then
            return nullvalue
        elseif type(item) == "table" then
            for key, inner in pairs(item) do
                item[key] = clean(inner)
            end
            return setmetatable(item, { __jsontype = item[1] ~= nil and "array" or "object" })
        end
        return item
    end
    return clean(value), #text + 1
end


--- The library itself: there is nothing faster to use.
function _M.use_lpeg()
    return _M
end


return require("moongate.unsupported").fill(_M, "dkjson.", { "addnewline", "encodeexception" })
