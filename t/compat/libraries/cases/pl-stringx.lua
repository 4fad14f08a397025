-- Texts of Penlight.
-- original: pl.stringx
-- differs: dedent 8, the original does not count a tab alone
-- differs: Template, the original takes the sign off a name without a value
-- differs: Template with an indent, the original ends with a line break more
-- differs: format_operator, it would change all texts of the gateway
local stringx = require("pl.stringx")
local texts = { "", "a", "hello world", "  x  ", "ABC", "123", "a1_", "\t\n", "Hello World foo", "a,b,,c", "äö" }
for i, text in ipairs(texts) do
    for _, name in ipairs({ "isalpha", "isdigit", "isalnum", "isspace", "islower", "isupper", "strip", "lstrip", "rstrip", "title", "capitalize", "lines", "splitlines", "split", "dedent", "shorten", "quote_string" }) do
        case(name .. " " .. i, function()
            local found = stringx[name](text, name == "shorten" and 8 or nil)
            if name == "lines" then
                local all = {}
                for line in found do all[#all + 1] = line end
                return all
            end
            return type(found) == "table" and { unpack(found) } or found
        end)
    end
    case("startswith " .. i, function() return stringx.startswith(text, "a"), stringx.startswith(text, ""), stringx.startswith(text, { "h", "a" }) end)
    case("endswith " .. i, function() return stringx.endswith(text, "d"), stringx.endswith(text, ""), stringx.endswith(text, { "x", "d" }) end)
    case("split by a comma " .. i, function() return { unpack(stringx.split(text, ",")) }, { unpack(stringx.split(text, "o", 1)) }, { unpack(stringx.split(text, "o", 2)) } end)
    case("replace " .. i, function() return stringx.replace(text, "o", "0"), stringx.replace(text, "o", "%1", 1), stringx.replace(text, ".", "!") end)
    case("count " .. i, function() return stringx.count(text, "o"), stringx.count(text, "l"), stringx.count(text, "ll", true) end)
    case("find " .. i, function() return stringx.lfind(text, "o") or "none", stringx.lfind(text, "o", 6) or "none", stringx.rfind(text, "o") or "none", stringx.rfind(text, "o", 1, 5) or "none", stringx.lfind(text, "o", 1, 3) or "none" end)
    case("just " .. i, function() return stringx.ljust(text, 6), stringx.rjust(text, 6), stringx.center(text, 7), stringx.ljust(text, 6, "*"), stringx.rjust(text, 6, "*"), stringx.center(text, 8, "*") end)
    case("partition " .. i, function() return { stringx.partition(text, "o") }, { stringx.rpartition(text, "o") } end)
    case("splitv " .. i, function() return stringx.splitv(text, ",") end)
    case("at " .. i, function() return stringx.at(text, 1), stringx.at(text, -1), stringx.at(text, 99) end)
    case("expandtabs " .. i, function() return stringx.expandtabs(text .. "\tx", 4), stringx.expandtabs("a\tb") end)
    case("indent " .. i, function() return stringx.indent(text, 2), stringx.indent("a\nb", 1, ">") end)
    case("wrap " .. i, function() return { unpack(stringx.wrap(text, 6)) } end)
    case("fill " .. i, function() return stringx.fill(text, 6) end)
end
case("join", function() return stringx.join(",", { 1, "a", 2 }), stringx.join("", {}), stringx.join("-", { "a" }) end)
case("strip of chars", function() return stringx.strip("xxayx", "x"), stringx.lstrip("xxa", "x"), stringx.rstrip("axx", "x"), stringx.strip("[a]", "[]") end)
case("split with empties", function() return { unpack(stringx.split(" a  b ")) }, { unpack(stringx.split("a--b", "--")) }, { unpack(stringx.split(",a,", ",")) } end)
case("splitlines that keep their ends", function() return { unpack(stringx.splitlines("a\nb\r\nc", true)) }, { unpack(stringx.splitlines("a\nb\r\nc")) }, { unpack(stringx.splitlines("a\n\n")) } end)
case("shorten of the end", function() return stringx.shorten("abcdefghijkl", 8), stringx.shorten("abcdefghijkl", 8, true), stringx.shorten("abc", 2) end)
case("dedent", function() return stringx.dedent("  a\n    b\n  c") end)
case("indent of nothing", function() return stringx.indent("a\n\nb", 2) end)
case("quote_string", function() return stringx.quote_string("a\nb"), stringx.quote_string("a]]b\nc"), stringx.quote_string("it's") end)
case("Template", function() return stringx.Template("$a and ${b} $$"):substitute({ a = 1, b = 2 }), stringx.Template("$a $none"):safe_substitute({ a = 1 }) end)
case("Template without a value", function() return (pcall(function() return stringx.Template("$none"):substitute({}) end)) end)
case("Template with an indent", function() return stringx.Template("  $a"):indent_substitute({ a = "x\ny" }) end)
case("replace of nothing", function() return (pcall(stringx.replace, "abc", "", "x")) end)
case("wrong argument", function() return (pcall(stringx.strip, 12)), (pcall(stringx.split, nil)), (pcall(stringx.startswith, "a", 1)) end)
case("format_operator", function() local old = getmetatable("").__mod stringx.format_operator() local text = "%s=%d" % { "a", 1 } getmetatable("").__mod = old return text end)
case("import", function() return type(stringx.import) end)
