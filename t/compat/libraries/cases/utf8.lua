-- Characters of UTF-8.
-- original: lua-utf8
local utf8 = require("lua-utf8")
local text = "aé€😀z"
local bad = "a\255b\233"
case("len", function() return utf8.len(text), utf8.len(""), utf8.len(text, 2), utf8.len(text, 2, 3) end)
case("len of no UTF-8", function() return utf8.len(bad) end)
case("char", function() return utf8.char(97, 233, 8364, 128512, 0x7fffffff), utf8.char() end)
case("codepoint", function() return utf8.codepoint(text, 1, -1) end)
case("codepoint of one", function() return utf8.codepoint(text, 2) end)
case("codes", function()
    local list = {}
    for at, code in utf8.codes(text) do
        list[#list + 1] = at .. "=" .. code
    end
    return list
end)
for _, n in ipairs({ -6, -5, -3, -1, 1, 2, 3, 5, 6, 7 }) do
    case("offset " .. n, function() return utf8.offset(text, n) end)
end
case("offset from", function() return utf8.offset(text, 3, 2), utf8.offset(text, -2, 7), utf8.offset(text, 0, 5) end)
for _, range in ipairs({ { 1, 1 }, { 2, 3 }, { -2 }, { 3 }, { 0, 2 }, { 4, 2 }, { -9, 2 }, { 2, 99 } }) do
    case("sub " .. table.concat(range, ","), function() return utf8.sub(text, unpack(range)) end)
end
case("byte", function() return utf8.byte(text, 1, -1) end)
case("byte of one", function() return utf8.byte(text, 3) end)
case("reverse", function() return utf8.reverse(text) end)
case("insert", function() return utf8.insert(text, "!"), utf8.insert(text, 2, "!"), utf8.insert(text, -1, "!") end)
case("remove", function() return utf8.remove(text), utf8.remove(text, 2), utf8.remove(text, 2, 3) end)
case("charpos", function() return utf8.charpos(text, 3) end)
case("charpos from", function() return utf8.charpos(text, 2, 1) end)
case("charpos back", function() return utf8.charpos(text, -1) end)
case("next", function() return utf8.next(text, 2) end)
case("next by n", function() return utf8.next(text, 1, 2) end)
case("upper", function() return utf8.upper("straé"), utf8.upper(97), utf8.upper("привет") end)
case("lower", function() return utf8.lower("ÄB"), utf8.lower("ΑΒΓ") end)
case("ncasecmp", function() return utf8.ncasecmp("Hello", "hELLO"), utf8.ncasecmp("a", "B") end)
case("isvalid", function() return utf8.isvalid(text), utf8.isvalid(bad) end)
case("clean", function() return utf8.clean(bad .. "\255\255c") end)
case("clean with", function() return utf8.clean(bad, "?") end)
case("invalidoffset", function() return utf8.invalidoffset(bad), utf8.invalidoffset(text) end)
case("escape", function() return utf8.escape("%123%u123%{123}%u{123}%xABC%x{ABC}%%%?") end)
