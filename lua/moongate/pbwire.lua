--- The wire format of Protocol Buffers: numbers in and out of bytes, for `pb`.
-- @module moongate.pbwire
local bit = require("bit")
local ffi = require("ffi")

local band = bit.band
local byte = string.byte
local char = string.char
local error = error
local floor = math.floor
local match = string.match
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local u64 = ffi.typeof("uint64_t")
local i64 = ffi.typeof("int64_t")
local f32, f64 = ffi.new("float[1]"), ffi.new("double[1]")
local u32box, u64box = ffi.new("uint32_t[1]"), ffi.new("uint64_t[1]")

local _M = {}

--- Wire types: 0 varint, 1 eight bytes, 2 with its length, 5 four bytes.
_M.WIRE = {
    double = 1, float = 5, int64 = 0, uint64 = 0, int32 = 0, fixed64 = 1, fixed32 = 5, bool = 0,
    string = 2, message = 2, bytes = 2, uint32 = 0, enum = 0, sfixed32 = 5, sfixed64 = 1,
    sint32 = 0, sint64 = 0, group = 3,
}


--- Bytes of a number with seven bits in each.
function _M.varint(value)
    if type(value) == "number" and value >= 0 and value < 0x80 then
        return char(value)
    end
    local text = ""
    if type(value) == "number" and value >= 0 and value < 0x20000000000000 then
        while value >= 0x80 do
            text = text .. char(value % 0x80 + 0x80)
            value = floor(value / 0x80)
        end
        return text .. char(value)
    end
    value = type(value) == "number" and ffi.cast(u64, ffi.cast(i64, value)) or ffi.cast(u64, value)
    while value >= 0x80ULL do
        text = text .. char(tonumber(band(value, 0x7fULL)) + 0x80)
        value = bit.rshift(value, 7)
    end
    return text .. char(tonumber(value))
end


--- The number at `at` and the position after it; a Lua number as long as it is exact.
function _M.read_varint(text, at)
    local value, scale = 0, 1
    for i = 0, 6 do
        local part = byte(text, at + i)
        if not part then
            return nil
        end
        value = value + part % 0x80 * scale
        if part < 0x80 then
            return value, at + i + 1
        end
        scale = scale * 0x80
    end
    local wide = ffi.cast(u64, value)
    for i = 7, 9 do
        local part = byte(text, at + i)
        if not part then
            return nil
        end
        wide = wide + bit.lshift(ffi.cast(u64, part % 0x80), 7 * i)
        if part < 0x80 then
            return wide, at + i + 1
        end
    end
    return nil
end


-- What a caller gave as 64 bits: a number, or "#123", "-5", "0x1f".
local function integer(value)
    if type(value) == "number" then
        return value
    elseif type(value) == "cdata" then
        return ffi.cast(i64, value)
    elseif type(value) ~= "string" then
        return nil
    end
    local sign, hex = match(value, "^#?([-+]?)0[xX](%x+)$")
    local digits = not hex and match(value, "^#?[-+]?(%d+)$")
    if not hex and not digits then
        local number = tonumber(value)
        return number and number % 1 == 0 and number or nil
    end
    sign = sign or match(value, "^#?([-+]?)")
    local wide = ffi.cast(u64, 0)
    local base = hex and 16 or 10
    for one in (hex or digits):gmatch(".") do
        wide = wide * base + tonumber(one, 16)
    end
    wide = ffi.cast(i64, wide)
    return sign == "-" and -wide or wide
end


local function wrong(value, kind)
    error({ wrong = type(value), kind = kind }, 0)
end


local function zigzag(value)
    local wide = ffi.cast(i64, value)
    return ffi.cast(u64, bit.bxor(bit.lshift(wide, 1), bit.arshift(wide, 63)))
end


local function fixed(value, size)
    if size == 4 then
        u32box[0] = ffi.cast("uint32_t", ffi.cast(i64, value))
        return ffi.string(u32box, 4)
    end
    u64box[0] = ffi.cast(u64, ffi.cast(i64, value))
    return ffi.string(u64box, 8)
end


--- The bytes of a number or text of a kind.
function _M.encode(kind, value)
    if kind == "string" or kind == "bytes" then
        local text = type(value) == "number" and tostring(value) or value
        if type(text) ~= "string" then
            wrong(value, "string")
        end
        return _M.varint(#text) .. text
    elseif kind == "bool" then
        if type(value) ~= "boolean" and type(value) ~= "number" then
            return value and "\1" or "\0"
        end
        return (value == false or value == 0) and "\0" or "\1"
    elseif kind == "float" or kind == "double" then
        local number = tonumber(value)
        if not number then
            wrong(value, "number")
        end
        local box = kind == "float" and f32 or f64
        box[0] = number
        return ffi.string(box, kind == "float" and 4 or 8)
    end
    local number = integer(value)
    if number == nil then
        wrong(value, "number")
    elseif kind == "fixed32" or kind == "sfixed32" then
        return fixed(number, 4)
    elseif kind == "fixed64" or kind == "sfixed64" then
        return fixed(number, 8)
    elseif kind == "sint32" or kind == "sint64" then
        return _M.varint(zigzag(number))
    elseif kind == "uint32" then
        return _M.varint(tonumber(ffi.cast("uint32_t", ffi.cast(i64, number))))
    elseif kind == "int32" or kind == "enum" then
        return _M.varint(tonumber(ffi.cast("int32_t", ffi.cast(i64, number))))
    end
    return _M.varint(number)
end


-- 64 bits as the options want them. As lua-protobuf does, what is larger than a signed number
-- becomes negative.
local function wide_value(wide, style)
    local value = ffi.cast(i64, wide)
    local number = tonumber(value)
    if not style or (number >= -0x80000000 and number <= 0xffffffff) then
        return number
    end
    local sign = number < 0 and "-" or ""
    local size = number < 0 and -value or value
    if style == "int64_as_hexstring" then
        return "#" .. sign .. "0x" .. bit.tohex(size):upper():gsub("^0+", "")
    end
    return "#" .. sign .. tostring(ffi.cast(u64, size)):gsub("ULL$", "")
end


local function read_fixed(text, at, size)
    if at + size - 1 > #text then
        return nil
    end
    return sub(text, at, at + size - 1), at + size
end


--- The value of a kind at `at`, and the position after it.
function _M.decode(kind, text, at, style)
    if kind == "double" or kind == "float" then
        local size = kind == "double" and 8 or 4
        local bytes, after = read_fixed(text, at, size)
        if not bytes then
            return nil
        end
        local box = kind == "double" and f64 or f32
        ffi.copy(box, bytes, size)
        return tonumber(box[0]), after
    elseif kind == "fixed32" or kind == "sfixed32" or kind == "fixed64" or kind == "sfixed64" then
        local size = kind:find("32", 1, true) and 4 or 8
        local bytes, after = read_fixed(text, at, size)
        if not bytes then
            return nil
        end
        if size == 4 then
            ffi.copy(u32box, bytes, 4)
            local value = tonumber(u32box[0])
            return kind == "sfixed32" and bit.tobit(value) or value, after
        end
        ffi.copy(u64box, bytes, 8)
        return wide_value(u64box[0] + 0ULL, style), after
    end
    local value, after = _M.read_varint(text, at)
    if value == nil then
        return nil
    elseif kind == "bool" then
        return value ~= 0 and value ~= 0ULL, after
    elseif kind == "sint32" or kind == "sint64" then
        local wide = ffi.cast(u64, value)
        wide = bit.bxor(bit.rshift(wide, 1), -bit.band(wide, 1ULL))
        return wide_value(wide, style), after
    elseif kind == "int32" or kind == "enum" then
        return tonumber(ffi.cast("int32_t", ffi.cast(u64, value))), after
    elseif kind == "uint32" then
        return tonumber(ffi.cast("uint32_t", ffi.cast(u64, value))), after
    end
    return wide_value(ffi.cast(u64, value), style), after
end


--- The text with its length at `at`.
function _M.read_bytes(text, at)
    local size, after = _M.read_varint(text, at)
    size = size and tonumber(size)
    if not size or after + size - 1 > #text then
        return nil
    end
    return sub(text, after, after + size - 1), after + size
end


--- The position after a value of a wire type.
function _M.skip(text, at, wire, depth)
    depth = depth or 0
    if wire == 0 then
        local _, after = _M.read_varint(text, at)
        return after
    elseif wire == 1 or wire == 5 then
        local after = at + (wire == 1 and 8 or 4)
        return after <= #text + 1 and after or nil
    elseif wire == 2 then
        local _, after = _M.read_bytes(text, at)
        return after
    elseif wire == 3 and depth < 100 then
        while true do
            local tag, after = _M.read_varint(text, at)
            if not tag then
                return nil
            elseif tag % 8 == 4 then
                return after
            end
            at = _M.skip(text, after, tag % 8, depth + 1)
            if not at then
                return nil
            end
        end
    end
end


return _M
