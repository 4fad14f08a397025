--- What `pb` knows of types: descriptors taken apart into tables, and the options.
--
-- A message has `fields` (in the order of numbers), `by_name` and `by_number`; an enum `order`,
-- `by_name` and `by_value`. The descriptors' own format is written here by hand, since it is
-- what everything else is read with.
-- @module moongate.pbtypes
local wire = require("moongate.pbwire")

local floor = math.floor
local ipairs = ipairs
local match = string.match
local pairs = pairs
local sort = table.sort
local sub = string.sub
local tonumber = tonumber

local _M = {}

local KINDS = {
    "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group",
    "message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64",
}

local UNPACKED = { string = true, bytes = true, message = true, group = true }

-- Message -> number -> name, kind or message, whether repeated.
local FORMAT = {
    FileDescriptorSet = { [1] = { "file", "FileDescriptorProto", true } },
    FileDescriptorProto = {
        [1] = { "name", "string" }, [2] = { "package", "string" },
        [3] = { "dependency", "string", true }, [4] = { "message_type", "DescriptorProto", true },
        [5] = { "enum_type", "EnumDescriptorProto", true },
        [6] = { "service", "ServiceDescriptorProto", true },
        [7] = { "extension", "FieldDescriptorProto", true }, [12] = { "syntax", "string" },
    },
    DescriptorProto = {
        [1] = { "name", "string" }, [2] = { "field", "FieldDescriptorProto", true },
        [3] = { "nested_type", "DescriptorProto", true },
        [4] = { "enum_type", "EnumDescriptorProto", true }, [7] = { "options", "MessageOptions" },
        [6] = { "extension", "FieldDescriptorProto", true },
        [8] = { "oneof_decl", "OneofDescriptorProto", true },
    },
    FieldDescriptorProto = {
        [1] = { "name", "string" }, [2] = { "extendee", "string" }, [3] = { "number", "int32" },
        [4] = { "label", "enum", false, { "LABEL_OPTIONAL", "LABEL_REQUIRED", "LABEL_REPEATED" } },
        [5] = { "type", "enum", false, {} }, [6] = { "type_name", "string" },
        [7] = { "default_value", "string" }, [8] = { "options", "FieldOptions" },
        [9] = { "oneof_index", "int32" }, [10] = { "json_name", "string" },
        [17] = { "proto3_optional", "bool" },
    },
    OneofDescriptorProto = { [1] = { "name", "string" } },
    EnumDescriptorProto = {
        [1] = { "name", "string" }, [2] = { "value", "EnumValueDescriptorProto", true },
        [3] = { "options", "EnumOptions" },
    },
    EnumValueDescriptorProto = { [1] = { "name", "string" }, [2] = { "number", "int32" } },
    EnumOptions = { [2] = { "allow_alias", "bool" } },
    ServiceDescriptorProto = {
        [1] = { "name", "string" }, [2] = { "method", "MethodDescriptorProto", true },
    },
    MethodDescriptorProto = {
        [1] = { "name", "string" }, [2] = { "input_type", "string" },
        [3] = { "output_type", "string" }, [5] = { "client_streaming", "bool" },
        [6] = { "server_streaming", "bool" },
    },
    MessageOptions = { [7] = { "map_entry", "bool" } },
    FieldOptions = { [2] = { "packed", "bool" }, [3] = { "deprecated", "bool" } },
}
for number, kind in ipairs(KINDS) do
    FORMAT.FieldDescriptorProto[5][4][number] = "TYPE_" .. kind:upper()
end


local function new_type(name, kind, proto3)
    return { name = name, basename = match(name, "[^.]+$"), kind = kind, proto3 = proto3,
             fields = {}, by_name = {}, by_number = {}, by_value = {}, order = {} }
end


local function finish_field(field)
    field.tag = wire.varint(field.number * 8 + (field.packed and 2 or wire.WIRE[field.kind]))
    return field
end


-- The types of descriptors themselves, so that a FileDescriptorSet can be read as a message.
function _M.base_types()
    local types, prefix = {}, ".google.protobuf."
    for name in pairs(FORMAT) do
        types[prefix .. name] = new_type(prefix .. name, "message", false)
    end
    for name, parts in pairs(FORMAT) do
        local message = types[prefix .. name]
        for number, part in pairs(parts) do
            local field = { name = part[1], number = number, kind = part[2], repeated = part[3] }
            if FORMAT[part[2]] then
                field.kind, field.type_name = "message", prefix .. part[2]
                field.type = types[field.type_name]
            elseif part[4] then
                local enum = new_type(prefix .. name .. "." .. part[1], "enum", false)
                for value, label in ipairs(part[4]) do
                    enum.by_name[label], enum.by_value[value] = value, label
                    enum.order[value] = { label, value }
                end
                field.type, field.type_name = enum, enum.name
            end
            message.by_number[number], message.by_name[part[1]] = field, field
            message.fields[#message.fields + 1] = finish_field(field)
        end
        sort(message.fields, function(a, b)
            return a.number < b.number
        end)
    end
    return types
end


local OPTIONS = {
    enum_as_name = { "enum_as_value", false }, enum_as_value = { "enum_as_value", true },
    int64_as_number = { "int64", nil }, int64_as_string = { "int64", "int64_as_string" },
    int64_as_hexstring = { "int64", "int64_as_hexstring" },
    encode_default_values = { "encode_default_values", true },
    no_encode_default_values = { "encode_default_values", false },
    decode_default_array = { "decode_default_array", true },
    no_decode_default_array = { "decode_default_array", false },
    decode_default_message = { "decode_default_message", true },
    no_decode_default_message = { "decode_default_message", false },
    enable_hooks = { "enable_hooks", true }, disable_hooks = { "enable_hooks", false },
    enable_enchooks = { "enable_enchooks", true }, disable_enchooks = { "enable_enchooks", false },
    encode_order = { "order", true }, no_encode_order = { "order", false },
}
for _, name in ipairs({ "auto_default_values", "no_default_values", "use_default_values",
                        "use_default_metatable" }) do
    OPTIONS[name] = { "defaults", name }
end


--- Sets an option; false if there is none of this name.
function _M.set_option(options, name)
    local found = OPTIONS[name]
    if not found then
        return false
    end
    options[found[1]] = found[2]
    return true
end


function _M.new_state()
    return { types = _M.base_types(), defaults = {}, hooks = {}, encode_hooks = {},
             options = { defaults = "auto_default_values", enable_hooks = false } }
end


local function decode(name, bytes)
    local value, at = {}, 1
    while at <= #bytes do
        local tag, after = wire.read_varint(bytes, at)
        if not tag then
            return nil
        end
        local part = FORMAT[name][floor(tag / 8)]
        if not part then
            at = wire.skip(bytes, after, tag % 8)
        else
            local item
            if FORMAT[part[2]] then
                item, at = wire.read_bytes(bytes, after)
                item = item and decode(part[2], item)
            elseif part[2] == "string" then
                item, at = wire.read_bytes(bytes, after)
            else
                item, at = wire.decode(part[2], bytes, after)
            end
            if item == nil then
                return nil
            elseif part[3] then
                value[part[1]] = value[part[1]] or {}
                table.insert(value[part[1]], item)
            else
                value[part[1]] = item
            end
        end
        if not at then
            return nil
        end
    end
    return value
end


--- Reads a FileDescriptorSet; nil if it is none.
function _M.decode_set(bytes)
    return decode("FileDescriptorSet", bytes)
end


local function add_enum(state, prefix, enum)
    local made = new_type(prefix .. "." .. enum.name, "enum", false)
    for _, value in ipairs(enum.value or {}) do
        local number = value.number or 0
        made.by_name[value.name] = number
        made.by_value[number] = made.by_value[number] or value.name
        made.order[#made.order + 1] = { value.name, number }
    end
    state.types[made.name] = made
end


local function default_value(field)
    local text = field.default_value
    if text == nil or field.kind == "string" or field.kind == "bytes" then
        return text
    elseif field.kind == "bool" then
        return text == "true"
    elseif field.kind == "enum" then
        return text
    end
    return tonumber(text)
end


local function add_field(message, field, oneofs)
    local kind = KINDS[field.type or 0] or "message"
    local made = {
        name = field.name, number = field.number, kind = kind, type_name = field.type_name,
        repeated = field.label == 3, required = field.label == 2,
        default_value = field.default_value,
    }
    if field.oneof_index then
        made.oneof, made.oneof_index = oneofs[field.oneof_index + 1], field.oneof_index
    end
    -- Whether a default value is told apart from none.
    made.presence = field.oneof_index ~= nil or not message.proto3
    made.presence_only = field.proto3_optional
    local option = (field.options or {}).packed
    made.packed = made.repeated and not UNPACKED[kind]
                  and (option == true or (message.proto3 and option ~= false))
    if made.name and made.number and KINDS[field.type or 11] then
        made.default = default_value(made)
        local known = message.by_number[made.number]
        if known then
            for i, other in ipairs(message.fields) do
                if other == known then
                    table.remove(message.fields, i)
                    break
                end
            end
        end
        message.by_name[made.name], message.by_number[made.number] = made, made
        message.fields[#message.fields + 1] = finish_field(made)
    end
end


local function add_message(state, prefix, message, proto3, added)
    local name = prefix .. "." .. message.name
    local made = new_type(name, "message", proto3)
    made.map_entry = (message.options or {}).map_entry
    state.types[name] = made
    added[#added + 1] = made
    local oneofs = {}
    for i, oneof in ipairs(message.oneof_decl or {}) do
        oneofs[i] = oneof.name
    end
    for _, field in ipairs(message.field or {}) do
        add_field(made, field, oneofs)
    end
    for _, nested in ipairs(message.nested_type or {}) do
        add_message(state, name, nested, proto3, added)
    end
    for _, enum in ipairs(message.enum_type or {}) do
        add_enum(state, name, enum)
    end
end


-- Fields point to types that may come later, or in another file; they are looked up late.
local late = { __index = function(field, key)
    if key ~= "type" then
        return nil
    end
    local found = field.state.types[field.type_name]
    if not found then
        found = new_type(field.type_name or ".", field.kind == "enum" and "enum" or "message", true)
    end
    field.type = found
    return found
end }


--- Takes a file's types in.
function _M.add_file(state, file)
    local prefix = (file.package or "") ~= "" and "." .. file.package or ""
    local added, proto3 = {}, file.syntax == "proto3"
    for _, message in ipairs(file.message_type or {}) do
        add_message(state, prefix, message, proto3, added)
    end
    for _, enum in ipairs(file.enum_type or {}) do
        add_enum(state, prefix, enum)
    end
    for _, extension in ipairs(file.extension or {}) do
        local target = state.types[extension.extendee]
        if target and target.kind == "message" then
            extension.name = sub(prefix, 2) .. (prefix == "" and "" or ".") .. extension.name
            add_field(target, extension, {})
            added[#added + 1] = target
        end
    end
    for _, message in ipairs(added) do
        sort(message.fields, function(a, b)
            return a.number < b.number
        end)
        for _, field in ipairs(message.fields) do
            if field.type_name and not rawget(field, "type") then
                field.state = state
                setmetatable(field, late)
                field.map = field.kind == "message" and field.repeated
                            and (state.types[field.type_name] or {}).map_entry or nil
            end
        end
    end
end


return _M
