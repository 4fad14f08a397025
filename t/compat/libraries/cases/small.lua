-- Small libraries: inspect, ltn12, base64, ffi-zlib.
-- original: inspect
-- original: ltn12
-- original: base64
local inspect = require("inspect")
local values = {
    1, 1.5, "a", 'it\'s "x"', "a\nb\0c\1272", true, {}, { 1, 2, 3 }, { a = 1, b = "x" }, { 1, a = { 2, { 3 } } }, { [1.5] = 1, [true] = 2, ["a b"] = 3, ["end"] = 4 },
    setmetatable({ 1 }, { __index = { a = 1 } }), math.huge, print, { print, print }, { [{}] = 1 },
}
for i, value in ipairs(values) do
    case("inspect " .. i, function() return inspect(value) end)
end
case("inspect of nil", function() return inspect(nil) end)
case("inspect with depth", function() return inspect({ a = { b = { c = 1 } } }, { depth = 2 }) end)
case("inspect in one line", function() return inspect({ a = { 1 }, b = 2 }, { newline = "", indent = "" }) end)
case("inspect of a loop", function() local t = { a = 1 } t.t = t return inspect(t) end)
case("inspect of a table twice", function() local t = { 1 } return inspect({ t, t }) end)
case("inspect with process", function() return inspect({ a = 1, secret = 2 }, { process = function(v, p) if p[#p] ~= "secret" then return v end end }) end)
local ltn12 = require("ltn12")
local function drain(source)
    local list = {}
    local ok, err = ltn12.pump.all(source, (ltn12.sink.table(list)))
    return list, ok, err
end
local function up(chunk) return chunk and chunk:upper() end
case("source.string", function() return drain(ltn12.source.string("hello")) end)
case("source of blocks", function() return #drain(ltn12.source.string(("x"):rep(5000))) end)
case("source.empty", function() return drain(ltn12.source.empty()) end)
case("source.error", function() return drain(ltn12.source.error("bad")) end)
case("source.cat", function() return drain(ltn12.source.cat(ltn12.source.string("a"), ltn12.source.string("b"))) end)
case("source.chain", function() return drain(ltn12.source.chain(ltn12.source.string("abc"), up)) end)
case("sink.chain", function()
    local list = {}
    ltn12.pump.all(ltn12.source.string("abc"), ltn12.sink.chain(up, (ltn12.sink.table(list))))
    return list
end)
case("sink.error", function() return ltn12.pump.all(ltn12.source.string("a"), ltn12.sink.error("full")) end)
case("sink.null", function() return ltn12.pump.all(ltn12.source.string("a"), ltn12.sink.null()) end)
local base64 = require("base64")
for _, text in ipairs({ "", "a", "ab", "abc", "\0\255\254?>", ("x"):rep(100) }) do
    case("base64 " .. #text, function() return base64.encode(text), base64.decode(base64.encode(text)) end)
end
case("base64url", function() return base64.encode("\251\255?", base64.makeencoder("-", "_", "")), base64.decode("-_8_", base64.makedecoder("-", "_")) end)
case("base64 with blanks", function() return base64.decode("YW\nJj") end)
