-- Streams of zlib and gzip.
-- original: ffi-zlib
-- differs: two streams of gzip, the original stops after the first one
local zlib = require("ffi-zlib")
local function source(text)
    local at = 1
    return function(size)
        if at > #text then return nil end
        local part = text:sub(at, at + size - 1)
        at = at + size
        return part
    end
end
local function sink(list) return function(text) list[#list + 1] = text end end
local function run(name, text, ...)
    local list = {}
    local ok, err = zlib[name](source(text), sink(list), ...)
    return ok, err, table.concat(list)
end
local texts = { "a", "hello world", ("abc"):rep(20000), "\0\1\255" }
for i, text in ipairs(texts) do
    case("gzip and back " .. i, function() local ok, err, packed = run("deflateGzip", text) local _, _, plain = run("inflateGzip", packed) return ok, err, plain == text, packed:sub(1, 2) end)
    case("zlib and back " .. i, function() local ok, err, packed = run("deflateGzip", text, 1000, { windowBits = 15 }) local _, _, plain = run("inflateGzip", packed, 1000, 15) return ok, err, plain == text end)
    case("levels " .. i, function() local _, _, fast = run("deflateGzip", text, 16384, { level = 1 }) local _, _, best = run("deflateGzip", text, 16384, { level = 9 }) local _, _, plain = run("inflateGzip", best) return #best <= #fast, plain == text end)
end
case("nothing to inflate", function() return run("inflateGzip", "") end)
case("nonsense", function() return run("inflateGzip", "this is no gzip stream") end)
case("nothing to deflate", function() return (run("deflateGzip", "")) end)
case("an output that fails", function() local _, _, packed = run("deflateGzip", "hello") return zlib.inflateGzip(source(packed), function() return nil, "full" end) end)
case("a small buffer", function() local _, _, packed = run("deflateGzip", ("abc"):rep(1000), 10) local _, _, plain = run("inflateGzip", packed, 7) return #plain end)
case("version", function() return type(zlib.version()), zlib.version():match("^1%.%d+") end)
case("adler", function() return zlib.adler("hello"), zlib.adler("lo", zlib.adler("hel")), zlib.adler("") end)
case("crc", function() return zlib.crc("hello"), zlib.crc("lo", zlib.crc("hel")), zlib.crc("") end)
if side == "ours" then
    local packed, plain = {}, {}
    zlib.deflateDeflate(source("hello"), sink(packed))
    assert(zlib.inflateDeflate(source(table.concat(packed)), sink(plain)) and table.concat(plain) == "hello")
end
case("raw and back", function() local _, _, packed = run("deflateGzip", "hello", 100, { windowBits = -15 }) local _, _, plain = run("inflateGzip", packed, 100, -15) return plain end)
case("two streams of gzip", function() local _, _, packed = run("deflateGzip", "one") return run("inflateGzip", packed .. packed) end)
case("cut off", function() local _, _, packed = run("deflateGzip", ("hello"):rep(100)) return (run("inflateGzip", packed:sub(1, 20))) end)
