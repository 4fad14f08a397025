-- Protocol Buffers.
-- original: pb
-- differs: import, ours knows the types of Google
local pb = require("pb")
local protoc = require("protoc")
local hex = require("resty.string").to_hex
pb.state(nil)
protoc.reload()
protoc.experimental_allow_proto3_optional = true
local text = [[
syntax = "proto3";
package demo.v1;
// comment
message Inner { string name = 1; int32 count = 2; }
enum Color { RED = 0; GREEN = 1; BLUE = 5; }
message All {
    double d = 1; float f = 2; int32 i32 = 3; int64 i64 = 4; uint32 u32 = 5; uint64 u64 = 6;
    sint32 s32 = 7; sint64 s64 = 8; fixed32 f32 = 9; fixed64 f64 = 10; sfixed32 sf32 = 11;
    sfixed64 sf64 = 12; bool b = 13; string s = 14; bytes by = 15; Color color = 16; Inner inner = 17;
    repeated int32 numbers = 18; repeated string words = 19; repeated Inner inners = 20;
    map<string, int32> counts = 21; map<int32, Inner> by_id = 22;
    oneof choice { string left = 23; Inner right = 24; }
    optional string maybe = 25; repeated Color colors = 26; repeated int32 loose = 27 [packed = false];
    /* block */ message Nested { int64 x = 1; }
    Nested nested = 28;
}
service Greeter { rpc Hello (Inner) returns (stream All) {} }
]]
case("load", function() return (protoc:load(text, "demo.proto")) end)
case("type", function() return pb.type("demo.v1.All") end)
case("type with a dot", function() return pb.type(".demo.v1.Color") end)
case("type that is none", function() return pb.type("demo.v1.None") end)
case("field", function() return pb.field("demo.v1.All", "numbers") end)
case("field by number", function() return pb.field("demo.v1.All", 23) end)
case("fields", function()
    local list = {}
    for name, number, kind, _, label in pb.fields("demo.v1.All") do
        list[#list + 1] = table.concat({ name, number, kind, label }, " ")
    end
    table.sort(list)
    return list
end)
case("enum", function() return pb.enum("demo.v1.Color", 5), pb.enum("demo.v1.Color", "GREEN"), pb.enum("demo.v1.Color", 9) end)
local function both(name, value)
    case(name, function()
        local bytes = pb.encode("demo.v1.All", value)
        -- The original writes fields in the order of Lua's tables.
        return #bytes, pb.decode("demo.v1.All", bytes)
    end)
end
both("empty", {})
both("numbers", { d = 1.5, f = 0.25, i32 = -5, i64 = -7000000000, u32 = 4000000000, u64 = 9000000000 })
both("zigzag", { s32 = -3, s64 = -7000000000 })
both("fixed", { f32 = 7, f64 = 8, sf32 = -7, sf64 = -8 })
both("texts", { s = "héllo", by = "\0\1\255" })
both("bool and enum", { b = true, color = "BLUE" })
both("enum by number", { color = 1 })
both("an enum's unknown number", { color = 77 })
both("nested", { inner = { name = "n", count = 3 }, nested = { x = 5 } })
both("lists", { numbers = { 1, 2, 300, -1 }, words = { "a", "", "c" }, inners = { { name = "x" }, {} }, colors = { "RED", "BLUE" }, loose = { 1, 2 } })
both("map", { counts = { a = 1 }, by_id = { [7] = { name = "seven" } } })
both("oneof", { left = "l" })
both("the other oneof", { right = { name = "r" } })
both("optional", { maybe = "" })
both("defaults are left out", { i32 = 0, s = "", b = false, color = "RED" })
both("64 bits as text", { i64 = "#-123", u64 = "#18446744073709551615" })
both("hexadecimal text", { i64 = "0x10" })
for name, value in pairs({ ["a text as number"] = { i32 = "x" }, ["a table as text"] = { s = {} }, ["a number as message"] = { inner = 5 },
                           ["no list"] = { numbers = 5 }, ["an unknown enum"] = { color = "PINK" } }) do
    case("refused: " .. name, function() return (pcall(pb.encode, "demo.v1.All", value)) end)
end
case("unknown fields", function() return pb.decode("demo.v1.Inner", "\10\1a\24\5\50\2xy") end)
case("cut short", function() return (pcall(pb.decode, "demo.v1.Inner", "\10\5a")) end)
case("encode of no type", function() return (pcall(pb.encode, "demo.v1.None", {})) end)
case("decode of nothing", function() return pb.decode("demo.v1.Inner") end)
case("packed and unpacked", function()
    return pb.decode("demo.v1.All", "\144\1\1\144\1\2").numbers, pb.decode("demo.v1.All", "\218\1\2\1\2").loose
end)
for _, option in ipairs({ "enum_as_value", "enum_as_name", "int64_as_string", "int64_as_hexstring", "int64_as_number", "no_default_values",
                          "use_default_values", "auto_default_values", "encode_default_values" }) do
    case("option " .. option, function()
        pb.option(option)
        local bytes = pb.encode("demo.v1.All", { i64 = -7000000000, u64 = 1, color = "GREEN", i32 = 0 })
        return #bytes, pb.decode("demo.v1.All", bytes)
    end)
end
pb.option("no_encode_default_values")
case("option that is none", function() return (pcall(pb.option, "none")) end)
case("array metatable", function()
    local mark = {}
    pb.defaults("*array", mark)
    local made = pb.decode("demo.v1.All", "")
    pb.defaults("*array", nil)
    return getmetatable(made.numbers) == mark
end)
case("state", function()
    local old = pb.state(nil)
    local gone = pb.type("demo.v1.All")
    pb.state(old)
    return gone, pb.type("demo.v1.All")
end)
case("descriptor", function()
    local set = pb.decode("google.protobuf.FileDescriptorSet", protoc:compile(text, "demo.proto"))
    local file = set.file[1]
    return file.name, file.package, #file.message_type, file.service[1].method[1].input_type,
           file.service[1].method[1].server_streaming, file.message_type[2].field[17].type_name
end)
case("proto2", function()
    protoc:load([[ syntax = "proto2"; message P { required int32 a = 1; optional string b = 2 [default = "x"]; repeated int32 c = 3; } ]], "p2.proto")
    return #hex(pb.encode("P", { a = 0, b = "x", c = { 1, 2 } })), pb.decode("P", "\8\5")
end)
case("import", function()
    protoc:load([[ syntax = "proto3"; import "google/protobuf/timestamp.proto"; message T { google.protobuf.Timestamp at = 1; } ]], "t.proto")
    return hex(pb.encode("T", { at = { seconds = 5 } }))
end)
for i, wrong in ipairs({ "message {", "message A { int32 = 1; }", "message A { int32 a 1; }", "foo", "message A { Unknown x = 1; }", 'import "none.proto";' }) do
    case("wrong text " .. i, function() return (pcall(protoc.load, protoc.new(), wrong, "w.proto")) end)
end
case("loaded", function()
    local own = protoc.new()
    own:load('syntax = "proto3"; package q; message M { int32 a = 1; } service S { rpc F (M) returns (M); }', "q.proto")
    local file = own.loaded["q.proto"]
    return file.package, file.service[1].name, file.service[1].method[1].output_type
end)
case("tohex", function() return pb.tohex("\1\255") end)
