--- `lua-utf8`: UTF-8 by characters.
--
-- Letters change their case as far as ASCII, Latin-1, Greek and Cyrillic go. The functions that
-- need tables of all of Unicode (width, normal forms, graphemes) and those with patterns
-- (`find`, `match`, `gmatch`, `gsub`) raise; `ngx.re` with the option `u` has patterns.
-- @module lua-utf8
local letters = require("moongate.letters")

local byte = string.byte
local concat = table.concat
local error = error
local find = string.find
local gsub = string.gsub
local match = string.match
local select = select
local sub = string.sub
local tonumber = tonumber
local type = type

local CODE_MAX = 0x10ffff

local decode, encode, is_cont = letters.decode, letters.encode, letters.is_cont
local upper, lower = letters.upper, letters.lower

local _M = { charpattern = "[%z\1-\127\194-\253][\128-\191]*" }


-- A byte's position counted from the start, as `string` does it.
local function position(at, length)
    return at >= 0 and at or (-at > length and 0 or length + at + 1)
end


--- Characters of codes.
function _M.char(...)
    local parts = {}
    for i = 1, select("#", ...) do
        local code = select(i, ...)
        if code < 0 or code > CODE_MAX then
            error("bad argument #" .. i .. " to 'char' (value out of range)", 2)
        end
        parts[i] = encode(code)
    end
    return concat(parts)
end


--- How many characters lie between two bytes; nil and where, if something is none.
function _M.len(text, from, to, lax)
    local at = position(from or 1, #text)
    to = position(to or -1, #text)
    local count = 0
    while at <= to do
        local _, after = decode(text, at, lax)
        if not after then
            return nil, at
        end
        at, count = after, count + 1
    end
    return count
end


--- The codes of the characters that begin between two bytes.
function _M.codepoint(text, from, to, lax)
    from = position(from or 1, #text)
    to = position(to or from, #text)
    if from < 1 then
        error("bad argument #2 to 'codepoint' (out of range)", 2)
    elseif to > #text then
        error("bad argument #3 to 'codepoint' (out of range)", 2)
    end
    local codes, at = {}, from
    while at <= to do
        local code, after = decode(text, at, lax)
        if not code then
            error("invalid UTF-8 code", 2)
        end
        codes[#codes + 1] = code
        at = after
    end
    return unpack(codes)
end


--- `for position, code in utf8.codes(text)`.
function _M.codes(text, lax)
    return function(_, at)
        if at > 0 then
            at = at + 1
            while is_cont(text, at) do
                at = at + 1
            end
        else
            at = 1
        end
        if at > #text then
            return nil
        end
        local code = decode(text, at, lax)
        if not code then
            error("invalid UTF-8 code", 2)
        end
        return at, code
    end, text, 0
end


-- The first and the last byte of the character at `at`.
local function extent(text, at)
    local to = at
    while is_cont(text, to + 1) do
        to = to + 1
    end
    return at, to
end


--- The byte where the n-th character from byte `from` begins, and the byte where it ends.
function _M.offset(text, n, from)
    local at = position(from or (n > 0 and 1 or #text + 1), #text)
    if at < 1 or at > #text + 1 then
        error("bad argument #3 to 'offset' (position out of range)", 2)
    end
    if n == 0 then
        while at > 1 and is_cont(text, at) do
            at = at - 1
        end
        return extent(text, at)
    end
    if is_cont(text, at) then
        error("initial position is a continuation byte", 2)
    end
    if n < 0 then
        while n < 0 and at > 1 do
            repeat
                at = at - 1
            until at <= 1 or not is_cont(text, at)
            n = n + 1
        end
    else
        n = n - 1
        while n > 0 and at <= #text do
            repeat
                at = at + 1
            until not is_cont(text, at)
            n = n - 1
        end
    end
    if n == 0 then
        return extent(text, at)
    end
end


-- The characters as a list; what is none counts by bytes.
local function split(text)
    local list, at = {}, 1
    while at <= #text do
        local _, after = decode(text, at, true)
        after = after or at + 1
        list[#list + 1] = sub(text, at, after - 1)
        at = after
    end
    return list
end


-- A range of characters, ends included, counted as `string.sub` does.
local function range(count, from, to)
    from, to = from or 1, to or -1
    if from < 0 then
        from = math.max(count + from + 1, 1)
    elseif from == 0 then
        from = 1
    end
    if to < 0 then
        to = count + to + 1
    end
    return from, math.min(to, count)
end


--- The characters from one to another.
function _M.sub(text, from, to)
    local list = split(text)
    from, to = range(#list, from, to)
    return from > to and "" or concat(list, "", from, to)
end


--- The codes of the characters from one to another.
function _M.byte(text, from, to)
    local list = split(text)
    from = from or 1
    from, to = range(#list, from, to or from)
    local codes = {}
    for i = from, to do
        codes[#codes + 1] = decode(list[i], 1, true) or byte(list[i])
    end
    return unpack(codes)
end


function _M.reverse(text)
    local list, back = split(text), {}
    for i = #list, 1, -1 do
        back[#back + 1] = list[i]
    end
    return concat(back)
end


--- Puts a text before the n-th character, or at the end.
function _M.insert(text, n, part)
    local list = split(text)
    if part == nil then
        part, n = n, #list + 1
    elseif n < 0 then
        n = math.max(#list + n + 1, 1)
    end
    table.insert(list, math.max(1, math.min(n, #list + 1)), part)
    return concat(list)
end


--- Takes characters out, the last one if none are named.
function _M.remove(text, from, to)
    local list = split(text)
    from, to = range(#list, from or -1, to or -1)
    if from > to then
        return text
    end
    return concat(list, "", 1, from - 1) .. concat(list, "", to + 1)
end


--- Where the n-th character after byte `from` begins, and its code.
function _M.charpos(text, from, n)
    if n == nil then
        from, n = nil, from or 1
        if n > 0 then
            n = n - 1
        elseif n < 0 then
            from = #text + 1
        end
    end
    local at = position(from or 1, #text)
    while n > 0 and at <= #text do
        at = _M.offset(text, 2, at) or #text + 1
        n = n - 1
    end
    while n < 0 and at > 1 do
        at = _M.offset(text, -1, at)
        n = n + 1
    end
    if n ~= 0 or at > #text then
        return nil
    end
    return at, (decode(text, at, true))
end


--- The next character after byte `at`: its position and code.
function _M.next(text, at, n)
    if at == nil then
        if text == "" then
            return nil
        end
        return 1, (decode(text, 1, true))
    end
    return _M.charpos(text, at, n or 1)
end


local function mapper(change)
    return function(text)
        if type(text) == "number" then
            return change(text)
        end
        return (gsub(text, _M.charpattern, function(one)
            local code = decode(one, 1, true)
            return code and encode(change(code)) or one
        end))
    end
end


_M.upper, _M.lower, _M.fold, _M.title = mapper(upper), mapper(lower), mapper(lower), mapper(upper)


--- -1, 0 or 1: how two texts stand to each other without case.
function _M.ncasecmp(a, b)
    a, b = _M.fold(a), _M.fold(b)
    return a == b and 0 or a < b and -1 or 1
end


function _M.isvalid(text)
    return _M.len(text) ~= nil
end


--- Where the first byte is that belongs to no character.
function _M.invalidoffset(text, from)
    from = from and position(from, #text) or 1
    local _, at = _M.len(text, math.max(from, 1))
    return at
end


--- Replaces what is no UTF-8.
-- @treturn string
-- @treturn boolean whether nothing had to be
function _M.clean(text, replacement)
    replacement = replacement or "\239\191\189"
    local parts, at, valid, bad = {}, 1, true, false
    while at <= #text do
        local _, after = decode(text, at)
        if after then
            parts[#parts + 1] = sub(text, at, after - 1)
        elseif not bad then
            parts[#parts + 1] = replacement
        end
        bad = not after
        valid = valid and not bad
        at = after or at + 1
    end
    return concat(parts), valid
end


--- "%123", "%{123}", "%u123", "%xABC", "%x{ABC}", and "%?" for the character itself.
function _M.escape(text)
    local parts, at = {}, 1
    while true do
        local from = find(text, "%", at, true)
        parts[#parts + 1] = sub(text, at, (from or 0) - 1)
        if not from then
            return concat(parts)
        end
        local digits, after = match(text, "^u?{(%d+)}()", from + 1)
        if not digits then
            digits, after = match(text, "^u?(%d+)()", from + 1)
        end
        local base = 10
        if not digits then
            base = 16
            digits, after = match(text, "^x{(%x+)}()", from + 1)
            if not digits then
                digits, after = match(text, "^x(%x+)()", from + 1)
            end
        end
        if digits then
            parts[#parts + 1] = encode(tonumber(digits, base))
            at = after
        else
            local one = match(text, _M.charpattern, from + 1)
            if not one then
                error("invalid escape sequence", 2)
            end
            parts[#parts + 1] = one
            at = from + 1 + #one
        end
    end
end


return require("moongate.unsupported").absent(_M, "lua-utf8.", {
    "find", "match", "gmatch", "gsub", "width", "widthindex", "widthlimit", "isnfc",
    "normalize_nfc", "grapheme_indices",
},
    "patterns are ngx.re's with flag u; there are no Unicode "
    .. "tables for the rest")
