--- Reads JSON as `dkjson` does: comments, commas too many, and text that begins anywhere.
-- @module moongate.dkjson_reader
local byte = string.byte
local char = string.char
local concat = table.concat
local find = string.find
local floor = math.floor
local gmatch = string.gmatch
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber

-- A text may nest its tables so deep, and no deeper: reading recurses.
local DEPTH_MAX = 1000

local LONG = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local _M = {}


local Reader = {}
local mt = { __index = Reader }


function Reader:place(at)
    local line, begin = 1, 0
    for newline in gmatch(sub(self.text, 1, at - 1), "()\n") do
        line, begin = line + 1, newline
    end
    return "line " .. line .. ", column " .. (at - begin)
end


function Reader:unterminated(what, at)
    return nil, #self.text + 1, "unterminated " .. what .. " at " .. self:place(at)
end


-- Where the next thing begins that is no blank, comment or byte order mark.
function Reader:skip(at)
    local text = self.text
    while true do
        at = find(text, "%S", at)
        if not at then
            return nil
        elseif sub(text, at, at + 2) == "\239\187\191" then
            at = at + 3
        elseif sub(text, at, at + 1) == "//" then
            at = find(text, "[\n\r]", at + 2)
        elseif sub(text, at, at + 1) == "/*" then
            local _, last = find(text, "*/", at + 2, true)
            at = last and last + 1
        else
            return at
        end
        if not at then
            return nil
        end
    end
end


local function utf8(code)
    if code < 0x80 then
        return char(code)
    elseif code < 0x800 then
        return char(0xc0 + floor(code / 64), 0x80 + code % 64)
    elseif code < 0x10000 then
        return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
    end
    return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
                0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end


-- The character of a "\u" and where it ends; two halves of a pair make one.
local function unicode(text, at)
    local high = tonumber(match(text, "^%x%x%x%x", at) or "", 16)
    if not high then
        return "u", at
    end
    local low = tonumber(match(text, "^\\u(%x%x%x%x)", at + 4) or "", 16)
    if low and high >= 0xd800 and high < 0xdc00 and low >= 0xdc00 and low < 0xe000 then
        return utf8((high - 0xd800) * 0x400 + low - 0xdc00 + 0x10000), at + 10
    end
    return utf8(high), at + 4
end


function Reader:string(from)
    local text, parts, at = self.text, {}, from + 1
    while true do
        local stop = find(text, '["\\]', at)
        if not stop then
            return self:unterminated("string", from)
        end
        parts[#parts + 1] = sub(text, at, stop - 1)
        if byte(text, stop) == 34 then
            return concat(parts), stop + 1
        end
        local letter = sub(text, stop + 1, stop + 1)
        if letter == "u" then
            parts[#parts + 1], at = unicode(text, stop + 2)
        else
            parts[#parts + 1], at = LONG[letter] or letter, stop + 2
        end
    end
end


-- What stands behind a colon, which gives the value before it a name.
function Reader:named(into, name, at)
    if name == nil then
        return nil, "cannot use nil as table index (at " .. self:place(at) .. ")", at
    end
    local value, err
    at = self:skip(at + 1)
    if not at then
        return nil
    end
    value, at, err = self:value(at)
    if err then
        return nil, err, at
    end
    into[name] = value
    return self:skip(at)
end


function Reader:table(what, close, from)
    local into = setmetatable({}, self[what])
    local count, at = 0, self:skip(from + 1)
    self.depth = self.depth + 1
    if self.depth > DEPTH_MAX then
        return nil, from, "nested too deep at " .. self:place(from)
    end
    while at and sub(self.text, at, at) ~= close do
        local value, err, err_at
        value, at, err = self:value(at)
        if err then
            return nil, at, err
        end
        at = self:skip(at)
        if at and byte(self.text, at) == 58 then
            at, err, err_at = self:named(into, value, at)
            if err then
                return nil, err_at, err
            end
        else
            count = count + 1
            into[count] = value
        end
        if at and byte(self.text, at) == 44 then
            at = self:skip(at + 1)
        end
    end
    self.depth = self.depth - 1
    if not at then
        return self:unterminated(what, from)
    end
    return into, at + 1
end


local WORDS = { ["true"] = true, ["false"] = false }


function Reader:value(at)
    local text = self.text
    at = self:skip(at)
    if not at then
        return nil, #text + 1, "no valid JSON value (reached the end)"
    end
    local first = sub(text, at, at)
    if first == "{" then
        return self:table("object", "}", at)
    elseif first == "[" then
        return self:table("array", "]", at)
    elseif first == '"' then
        return self:string(at)
    end
    local digits, word = match(text, "^%-?[%d.]+[eE]?[+-]?%d*", at), match(text, "^%a%w*", at)
    local number = digits and tonumber(digits)
    if number then
        return number, at + #digits
    elseif word and WORDS[word] ~= nil then
        return WORDS[word], at + #word
    elseif word == "null" then
        return self.null, at + #word
    end
    return nil, at, "no valid JSON value at " .. self:place(at)
end


--- The value that begins in a text.
-- @tparam string text
-- @tparam number at where to begin
-- @tparam table options `null`, what stands for null, and the metatables `object` and `array`
-- @treturn any
-- @treturn number the place behind it, or that of the error
-- @treturn nil|string error
function _M.read(text, at, options)
    local reader = setmetatable({ text = text, null = options.null, object = options.object,
                                  array = options.array, depth = 0 }, mt)
    return reader:value(at)
end


return _M
