-- The rest of pb and protoc.
-- original: protoc
-- original: pb
-- differs: encode and decode, the original does not load what a file imports
local pb, protoc = require("pb"), require("protoc")
local dir = os.tmpname()
os.remove(dir)
os.execute("mkdir " .. dir)
local function write(name, text) local file = io.open(dir .. "/" .. name, "wb") file:write(text) file:close() end
write("a.proto", 'syntax = "proto3"; package more; import "b.proto"; message A { string name = 1; B b = 2; repeated int32 list = 3; map<string, int32> map = 4; enum E { ZERO = 0; ONE = 1; } E e = 5; }')
write("b.proto", 'syntax = "proto3"; package more; message B { int64 id = 1; bytes data = 2; }')
local p = protoc.new()
case("addpath", function() return type(p:addpath(dir)) end)
case("loadfile", function() return (p:loadfile("a.proto")) end)
case("types", function() local names = {} for name in pb.types() do if name:find("more") then names[#names + 1] = name end end table.sort(names) return names end)
case("encode and decode", function() return pb.decode("more.A", pb.encode("more.A", { name = "x", b = { id = 5, data = "\0\1" }, list = { 1, 2 }, e = "ONE" })) end)
case("parsefile", function() local file = p:parsefile("b.proto") return file.name, file.package, #file.message_type end)
case("compilefile", function() local bytes = p:compilefile("b.proto") return #bytes > 20 end)
case("parse", function() local file = p:parse('syntax = "proto3"; message P { bool x = 1; }', "p.proto") return file.message_type[1].name, file.message_type[1].field[1].name end)
case("parse of nonsense", function() return (pcall(p.parse, p, "message {", "bad.proto")) end)
case("loadfile of none", function() return (pcall(p.loadfile, p, "none.proto")) end)
case("reset", function() p:reset() return (pcall(p.parse, p, 'syntax = "proto3"; message Q { string a = 1; }')) end)
case("pb.loadfile", function() local other = protoc.new() write("c.pb", other:compile('syntax = "proto3"; package filed; message C { int32 n = 1; }', "c.proto")) return (pb.loadfile(dir .. "/c.pb")), pb.tohex(pb.encode("filed.C", { n = 3 })) end)
case("pb.loadfile of none", function() local ok, found = pcall(pb.loadfile, "/none/such") return ok and found end)
case("fromhex", function() return pb.tohex(pb.fromhex("0a 0b0C")), #pb.fromhex("") end)
case("hook", function()
    pb.option("enable_hooks")
    local seen
    local old = pb.hook("filed.C", function(value) seen = value.n end)
    local read = pb.decode("filed.C", pb.encode("filed.C", { n = 9 }))
    pb.hook("filed.C", nil)
    pb.option("disable_hooks")
    return old, seen, read
end)
case("encode_hook", function()
    pb.option("enable_enchooks")
    local old = pb.encode_hook("filed.C", function(value) return { n = value.n + 1 } end)
    local made = pb.tohex(pb.encode("filed.C", { n = 1 }))
    pb.encode_hook("filed.C", nil)
    pb.option("disable_enchooks")
    return old, made
end)
case("clear of one", function() pb.clear("filed.C") return pb.type("filed.C"), pb.type("more.A") end)
os.execute("rm -r " .. dir)
