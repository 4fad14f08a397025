--- `dkjson`: JSON with the functions of that library, in Lua as it is.
--
-- It writes what `__tojson`, `__jsontype` and `__jsonorder` of a metatable ask for, and reads more
-- than JSON: comments, commas too many, and text that begins anywhere. Use `cjson` for speed.
-- @module dkjson
local reader = require("moongate.dkjson_reader")

local byte = string.byte
local concat = table.concat
local error = error
local find = string.find
local format = string.format
local getmetatable = getmetatable
local gsub = string.gsub
local huge = math.huge
local ipairs = ipairs
local pairs = pairs
local rep = string.rep
local select = select
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

-- Tables may be nested so deep, and no deeper: writing recurses.
local DEPTH_MAX = 1000

local _M = {
    version = "dkjson 2.5",
    null = setmetatable({}, { __tojson = function() return "null" end }),
}

local SHORT = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
                ["\r"] = "\\r", ["\t"] = "\\t" }

-- Characters that JavaScript or an editor does not show or breaks lines at.
local UNSEEN = {
    "\194[\128-\159\173]", "\216[\128-\132]", "\220\143", "\225\158[\180\181]",
    "\226\128[\140-\143\168-\175]", "\226\129[\160-\175]", "\239\187\191", "\239\191[\176-\191]",
}


local function escape(text)
    local a, b, c = byte(text, 1, 3)
    if a >= 0xe0 then
        a = ((a - 0xe0) * 64 + b - 0x80) * 64 + c - 0x80
    elseif a >= 0xc0 then
        a = (a - 0xc0) * 64 + b - 0x80
    end
    return SHORT[text] or format("\\u%04x", a)
end


--- A text in quotes.
-- @treturn string
function _M.quotestring(text)
    text = gsub(text, '[%z\1-\31"\\\127]', escape)
    if find(text, "[\194\216\220\225\226\239]") then
        for _, pattern in ipairs(UNSEEN) do
            text = gsub(text, pattern, escape)
        end
    end
    return '"' .. text .. '"'
end


-- How long a table is as an array, nil if it is none. `n` may tell of nils at the end; more than
-- ten places of which most are empty make an object.
local function array_length(value)
    local last, told, count = 0, 0, 0
    for key, item in pairs(value) do
        if key == "n" and type(item) == "number" then
            told = item
        elseif type(key) ~= "number" or key < 1 or key % 1 ~= 0 then
            return nil
        else
            last, count = key > last and key or last, count + 1
        end
    end
    if last > 10 and last > told and last > 2 * count then
        return nil
    end
    return last > told and last or told
end


local Writer = {}
local writer_mt = { __index = Writer }


function Writer:put(text)
    local length = self.length + 1
    self.buffer[length], self.length = text, length
    return true
end


function Writer:new_line(level)
    if self.state.indent then
        self:put("\n")
        self:put(rep("  ", level))
    end
end


-- Something that has no form of its own: the state's handler may give it one.
function Writer:fail(reason, value, message)
    local state = self.state
    if not state.exception then
        return nil, message
    end
    state.bufferlen = self.length
    local text, err = state.exception(reason, value, state, message)
    self.length = state.bufferlen
    if not text then
        return nil, err or message
    end
    return type(text) ~= "string" or self:put(text)
end


function Writer:custom(value, to_json)
    local state = self.state
    state.bufferlen = self.length
    local text, err = to_json(value, state)
    self.length = state.bufferlen
    if not text then
        return self:fail("custom encoder failed", value, err or "custom encoder failed")
    end
    return type(text) ~= "string" or self:put(text)
end


function Writer:array(value, length, level)
    self:put("[")
    for i = 1, length do
        if i > 1 then
            self:put(",")
        end
        local ok, err = self:value(value[i], level)
        if not ok then
            return nil, err
        end
    end
    return self:put("]")
end


-- The keys of `order` that are there, then all others, sorted.
local function ordered_keys(value, order)
    local keys, used, rest = {}, {}, {}
    for _, key in ipairs(order or {}) do
        if value[key] ~= nil then
            keys[#keys + 1], used[key] = key, true
        end
    end
    for key in pairs(value) do
        rest[#rest + 1] = not used[key] and key or nil
    end
    sort(rest, function(a, b)
        return tostring(a) < tostring(b)
    end)
    for _, key in ipairs(rest) do
        keys[#keys + 1] = key
    end
    return keys
end


function Writer:object(value, order, level)
    self:put("{")
    for i, key in ipairs(ordered_keys(value, order)) do
        local kind = type(key)
        if kind ~= "string" and kind ~= "number" then
            return nil, "type '" .. kind .. "' is not supported as a key by JSON."
        end
        if i > 1 then
            self:put(",")
        end
        self:new_line(level)
        self:put(_M.quotestring(tostring(key)) .. ":")
        local ok, err = self:value(value[key], level)
        if not ok then
            return nil, err
        end
    end
    self:new_line(level - 1)
    return self:put("}")
end


function Writer:table(value, meta, level)
    local length = array_length(value)
    if length == 0 and (meta.__jsontype or self.state.empty) == "object" then
        length = nil
    end
    if level >= DEPTH_MAX then
        return nil, "nested too deep"
    elseif length then
        return self:array(value, length, level + 1)
    end
    return self:object(value, meta.__jsonorder or self.state.keyorder, level + 1)
end


-- Tables that are being written must not come again below themselves.
function Writer:once(value, meta, level)
    if self.open[value] then
        return self:fail("reference cycle", value, "reference cycle")
    end
    self.open[value] = true
    local ok, err
    if meta.__tojson then
        ok, err = self:custom(value, meta.__tojson)
    else
        ok, err = self:table(value, meta, level)
    end
    self.open[value] = nil
    return ok, err
end


function Writer:value(value, level)
    local kind = type(value)
    local meta = getmetatable(value)
    meta = kind ~= "string" and type(meta) == "table" and meta or {}
    if kind == "table" or meta.__tojson then
        return self:once(value, meta, level)
    elseif kind == "string" then
        return self:put(_M.quotestring(value))
    elseif kind == "number" then
        local finite = value == value and value < huge and value > -huge
        return self:put(finite and tostring(value) or "null")
    elseif kind == "nil" or kind == "boolean" then
        return self:put(value == nil and "null" or tostring(value))
    end
    return self:fail("unsupported type", value, "type '" .. kind .. "' is not supported by JSON.")
end


--- A value as JSON.
-- @tparam any value
-- @tparam[opt] table state `indent`, `level`, `keyorder`, `exception`, and `buffer` with
--   `bufferlen`, to which the text is added
-- @treturn string|boolean the text, or true if it is in the buffer
-- @raise if something has no form in JSON
function _M.encode(value, state)
    state = state or {}
    local given = state.buffer
    state.buffer = given or {}
    local writer = setmetatable({ state = state, buffer = state.buffer, open = state.tables or {},
                                  length = state.bufferlen or 0 }, writer_mt)
    local ok, err = writer:value(value, state.level or 0)
    if not ok then
        error(err, 2)
    elseif given then
        state.bufferlen = writer.length
        return true
    end
    state.buffer, state.bufferlen = nil, nil
    return concat(writer.buffer, "", 1, writer.length)
end


--- Begins a new line in the buffer of a state, if it indents: for use in `__tojson`.
function _M.addnewline(state)
    if state.indent then
        local length = state.bufferlen or #state.buffer
        state.buffer[length + 1] = "\n"
        state.buffer[length + 2] = rep("  ", state.level or 0)
        state.bufferlen = length + 2
    end
end


--- A handler for a state's `exception` that writes the message instead of the value.
function _M.encodeexception(_, _, _, message)
    return _M.quotestring("<" .. message .. ">")
end


--- The value that begins in a text.
-- @tparam string text
-- @tparam[opt=1] number from where to begin
-- @tparam[opt] any null what stands for null; nothing if absent
-- @param[opt] ... the metatables of objects and of arrays; those with `__jsontype` if absent
-- @treturn any
-- @treturn number the place behind it, or that of the error
-- @treturn nil|string error
function _M.decode(text, from, null, ...)
    local object, array = ...
    if select("#", ...) == 0 then
        object, array = { __jsontype = "object" }, { __jsontype = "array" }
    end
    return reader.read(text, from or 1, { null = null, object = object, array = array })
end


--- The library itself: there is nothing faster to use.
function _M.use_lpeg()
    return _M
end


return _M
