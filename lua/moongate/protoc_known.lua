--- The texts of Google's own types, for `protoc`, as far as messages use them.
-- @module moongate.protoc_known
local HEAD = 'syntax = "proto3"; package google.protobuf; '

local wrappers = {}
for name, kind in pairs({ Double = "double", Float = "float", Int64 = "int64", UInt64 = "uint64",
                          Int32 = "int32", UInt32 = "uint32", Bool = "bool", String = "string",
                          Bytes = "bytes" }) do
    wrappers[#wrappers + 1] = "message " .. name .. "Value { " .. kind .. " value = 1; }"
end

return {
    ["google/protobuf/any.proto"] = HEAD .. "message Any { string type_url = 1; bytes value = 2; }",
    ["google/protobuf/empty.proto"] = HEAD .. "message Empty { }",
    ["google/protobuf/timestamp.proto"] = HEAD
        .. "message Timestamp { int64 seconds = 1; int32 nanos = 2; }",
    ["google/protobuf/duration.proto"] = HEAD
        .. "message Duration { int64 seconds = 1; int32 nanos = 2; }",
    ["google/protobuf/field_mask.proto"] = HEAD
        .. "message FieldMask { repeated string paths = 1; }",
    ["google/protobuf/wrappers.proto"] = HEAD .. table.concat(wrappers, " "),
    ["google/protobuf/struct.proto"] = HEAD .. [[
        message Struct { map<string, Value> fields = 1; }
        message Value { oneof kind {
            NullValue null_value = 1; double number_value = 2; string string_value = 3;
            bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6;
        } }
        enum NullValue { NULL_VALUE = 0; }
        message ListValue { repeated Value values = 1; }
    ]],
    -- Its types are known before anything is loaded; a file that imports it uses options only.
    ["google/protobuf/descriptor.proto"] = HEAD .. [[
        message FileOptions { } message MessageOptions { bool map_entry = 7; }
        message FieldOptions { bool packed = 2; bool deprecated = 3; } message OneofOptions { }
        message EnumOptions { bool allow_alias = 2; } message EnumValueOptions { }
        message ServiceOptions { } message MethodOptions { }
    ]],
}
