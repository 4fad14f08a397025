--- `inspect`: values as readable text, tables with sorted keys.
-- @module inspect
local concat = table.concat
local floor = math.floor
local format = string.format
local getmetatable = getmetatable
local gsub = string.gsub
local huge = math.huge
local ipairs = ipairs
local match = string.match
local next = next
local rawget = rawget
local rep = string.rep
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

local _M = { _VERSION = "inspect.lua 3.1.0" }
_M.KEY = setmetatable({}, { __tostring = function() return "inspect.KEY" end })
_M.METATABLE = setmetatable({}, { __tostring = function() return "inspect.METATABLE" end })

local ORDER = { number = 1, boolean = 2, string = 3, table = 4, ["function"] = 5, userdata = 6,
                thread = 7 }

local ESCAPES = { ["\a"] = "\\a", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r",
                  ["\t"] = "\\t", ["\v"] = "\\v", ["\127"] = "\127" }
for i = 0, 31 do
    local char = string.char(i)
    ESCAPES[char] = ESCAPES[char] or "\\" .. i
end


local function quote(text)
    text = gsub(text, "\\", "\\\\")
    text = gsub(text, "(%c)%f[0-9]", function(one)
        if match(ESCAPES[one], "^\\%a$") or one == "\127" then
            return ESCAPES[one]
        end
        return format("\\%03d", one:byte())
    end)
    text = gsub(text, "%c", ESCAPES)
    if text:find('"', 1, true) and not text:find("'", 1, true) then
        return "'" .. text .. "'"
    end
    return '"' .. gsub(text, '"', '\\"') .. '"'
end


local function compare(a, b)
    local kind, other = type(a), type(b)
    if kind == other and (kind == "string" or kind == "number") then
        return a < b
    end
    local x, y = ORDER[kind] or 100, ORDER[other] or 100
    return x < y or (x == y and kind < other)
end


local function sequence_length(value)
    local count = 0
    while rawget(value, count + 1) ~= nil do
        count = count + 1
    end
    return count
end


local function sorted_keys(value, length)
    local keys = {}
    for key in next, value do
        if not (type(key) == "number" and key >= 1 and key <= length and floor(key) == key) then
            keys[#keys + 1] = key
        end
    end
    sort(keys, compare)
    return keys
end


local Writer = {}
local mt = { __index = Writer }


function Writer:id(value)
    local kind = type(value)
    self.ids[kind] = self.ids[kind] or { count = 0 }
    local known = self.ids[kind]
    if not known[value] then
        known.count = known.count + 1
        known[value] = known.count
    end
    return known[value]
end


function Writer:count(value)
    if type(value) ~= "table" then
        return
    end
    self.seen[value] = (self.seen[value] or 0) + 1
    if self.seen[value] == 1 then
        for key, item in next, value do
            self:count(key)
            self:count(item)
        end
        self:count(getmetatable(value))
    end
end


function Writer:key(key)
    if type(key) == "string" and match(key, "^[%a_][%w_]*$") then
        return key
    end
    return "[" .. self:text(key, 0) .. "]"
end


function Writer:table(value, level)
    if level >= self.depth then
        return "{...}"
    end
    local parts, mark = {}, ""
    if self.seen[value] > 1 then
        mark = "<" .. self:id(value) .. ">"
    end
    self.written[value] = true
    local length = sequence_length(value)
    local keys = sorted_keys(value, length)
    local meta = getmetatable(value)
    for i = 1, length do
        parts[i] = " " .. self:text(value[i], level + 1)
    end
    local indent = self.newline .. rep(self.indent, level + 1)
    for _, key in ipairs(keys) do
        parts[#parts + 1] = indent .. self:key(key) .. " = " .. self:text(value[key], level + 1)
    end
    if type(meta) == "table" then
        parts[#parts + 1] = indent .. "<metatable> = " .. self:text(meta, level + 1)
    end
    local ending = ""
    if #keys > 0 or type(meta) == "table" then
        ending = self.newline .. rep(self.indent, level)
    elseif length > 0 then
        ending = " "
    end
    return mark .. "{" .. concat(parts, ",") .. ending .. "}"
end


function Writer:text(value, level)
    local kind = type(value)
    if kind == "string" then
        return quote(value)
    elseif kind == "number" then
        return tostring(value)
    elseif kind == "boolean" or kind == "nil" or kind == "cdata" then
        return tostring(value)
    elseif kind == "table" then
        if value == _M.KEY or value == _M.METATABLE then
            return tostring(value)
        elseif self.written[value] then
            return "<table " .. self:id(value) .. ">"
        end
        return self:table(value, level)
    end
    return "<" .. kind .. " " .. self:id(value) .. ">"
end


local function process(func, value, path, known)
    if value == nil then
        return nil
    elseif known[value] then
        return known[value]
    end
    local made = func(value, path)
    if type(made) ~= "table" then
        return made
    end
    local copy = {}
    known[value] = copy
    local function below(key)
        local deeper = {}
        for i, step in ipairs(path) do
            deeper[i] = step
        end
        deeper[#deeper + 1] = key
        return deeper
    end
    for key, item in next, made do
        local deeper = below(key)
        deeper[#deeper + 1] = _M.KEY
        local new_key = process(func, key, deeper, known)
        if new_key ~= nil then
            copy[new_key] = process(func, item, below(new_key), known)
        end
    end
    local meta = process(func, getmetatable(made), below(_M.METATABLE), known)
    return setmetatable(copy, type(meta) == "table" and meta or nil)
end


--- A value as text.
-- @tparam any value
-- @tparam[opt] table options `depth`, `newline`, `indent`, `process`
function _M.inspect(value, options)
    options = options or {}
    if options.process then
        value = process(options.process, value, {}, {})
    end
    local writer = setmetatable({ depth = options.depth or huge, newline = options.newline or "\n",
                                  indent = options.indent or "  ", ids = {}, seen = {},
                                  written = {} }, mt)
    writer:count(value)
    return writer:text(value, 0)
end


return setmetatable(_M, { __call = function(_, ...) return _M.inspect(...) end })
