--- Characters of UTF-8: their codes, their bytes and their case, for `lua-utf8`.
-- @module moongate.letters
local byte = string.byte
local char = string.char
local floor = math.floor
local ipairs = ipairs

local _M = {}


--- The bytes of a code.
local function encode(code)
    if code < 0x80 then
        return char(code)
    end
    local tail, room, mark = "", 0x20, 0xc0
    repeat
        tail = char(0x80 + code % 64) .. tail
        code = floor(code / 64)
        if code < room then
            break
        end
        room, mark = room / 2, mark + room
    until false
    return char(mark + code) .. tail
end


-- The code at byte `at` and the position after it; nil if no character begins there.
local function decode(text, at, lax)
    local first = byte(text, at)
    if not first then
        return nil
    elseif first < 0x80 then
        return first, at + 1
    elseif first < 0xc2 or first > 0xfd then
        return nil
    end
    local count = first < 0xe0 and 1 or first < 0xf0 and 2 or first < 0xf8 and 3
                  or first < 0xfc and 4 or 5
    local code = first % 2 ^ (6 - count)
    for i = 1, count do
        local next_byte = byte(text, at + i)
        if not next_byte or next_byte < 0x80 or next_byte > 0xbf then
            return nil
        end
        code = code * 64 + next_byte % 64
    end
    local least = count == 1 and 0x80 or count == 2 and 0x800 or count == 3 and 0x10000
                  or count == 4 and 0x200000 or 0x4000000
    if code < least or (not lax and (code > 0x10ffff or (code >= 0xd800 and code <= 0xdfff))) then
        return nil
    end
    return code, at + count + 1
end


local function is_cont(text, at)
    local value = byte(text, at)
    return value ~= nil and value >= 0x80 and value < 0xc0
end


local PAIRS = { { 0x61, 0x7a, 32 }, { 0xe0, 0xf6, 32 }, { 0xf8, 0xfe, 32 }, { 0x3b1, 0x3c1, 32 },
                { 0x3c3, 0x3cb, 32 }, { 0x430, 0x44f, 32 }, { 0x450, 0x45f, 80 } }


local function upper(code)
    for _, pair in ipairs(PAIRS) do
        if code >= pair[1] and code <= pair[2] then
            return code - pair[3]
        end
    end
    if code >= 0x100 and code <= 0x137 and code % 2 == 1 and code ~= 0x131 then
        return code - 1
    end
    return code
end


local function lower(code)
    for _, pair in ipairs(PAIRS) do
        if code >= pair[1] - pair[3] and code <= pair[2] - pair[3] then
            return code + pair[3]
        end
    end
    if code >= 0x100 and code <= 0x137 and code % 2 == 0 and code ~= 0x130 then
        return code + 1
    end
    return code
end


_M.encode, _M.decode, _M.is_cont = encode, decode, is_cont
_M.upper, _M.lower = upper, lower

return _M
