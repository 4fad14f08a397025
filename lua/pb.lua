--- `pb`: Protocol Buffers by their descriptors, as lua-protobuf has it.
--
-- `pb.load` takes a FileDescriptorSet, `protoc` makes one of text. Types have a dot in front
-- (".package.Message"); names without one are looked up as if they had.
-- @module pb
local descriptor = require("moongate.pbtypes")
local unsupported = require("moongate.unsupported")
local wire = require("moongate.pbwire")

local concat = table.concat
local error = error
local floor = math.floor
local format = string.format
local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

-- A message is written by a client or an upstream.
local DEPTH_MAX = 100

local _M = { version = "0.5.3" }

local state = descriptor.new_state()


local function find(name)
    if sub(name, 1, 1) ~= "." then
        return state.types["." .. name]
    end
    return state.types[name]
end


--- Takes in types.
-- @tparam string bytes a FileDescriptorSet
-- @treturn boolean
-- @treturn number where reading ended
function _M.load(bytes)
    if type(bytes) ~= "string" then
        error("bad argument #1 to 'load' (string/buffer/slice expected, got " .. type(bytes) .. ")",
              2)
    end
    local set = descriptor.decode_set(bytes)
    if not set then
        return false, #bytes + 1
    end
    for _, file in ipairs(set.file or {}) do
        descriptor.add_file(state, file)
    end
    return true, #bytes + 1
end


function _M.loadfile(path)
    local file, err = io.open(path, "rb")
    if not file then
        error(path .. ": " .. err, 2)
    end
    local text = file:read("*a")
    file:close()
    return _M.load(text)
end


--- Forgets all types, or one.
function _M.clear(name)
    if name == nil then
        state.types, state.defaults, state.hooks = descriptor.base_types(), {}, {}
        return
    end
    local found = find(name)
    if found then
        state.types[found.name] = nil
    end
end


--- Changes the set of types; nil makes a fresh one.
-- @treturn table the set before
function _M.state(new)
    local old = state
    state = new or descriptor.new_state()
    return old
end


local encode_message


local function fail(what, field, err)
    if type(err) == "table" and err.wrong then
        error(format("bad argument #2 to 'encode' (%s expected for field '%s', got %s)", err.kind,
                     field, err.wrong), 0)
    end
    error(err, 0)
end


local function encode_value(field, value, depth)
    if field.kind == "message" then
        if type(value) ~= "table" then
            fail("encode", field.name, { wrong = type(value), kind = "table" })
        end
        local text = encode_message(field.type, value, depth + 1)
        return wire.varint(#text) .. text
    elseif field.kind == "enum" and type(value) == "string" then
        local number = field.type.by_name[value]
        if not number then
            local as_number = tonumber(value)
            if not as_number then
                error(format("bad argument #2 to 'encode' (can not encode unknown enum '%s' at "
                             .. "field '%s')", value, field.name), 0)
            end
            number = as_number
        end
        return wire.encode("enum", number)
    end
    local ok, text = pcall(wire.encode, field.kind, value)
    if not ok then
        fail("encode", field.name, text)
    end
    return text
end


local function is_default(field, value)
    if field.kind == "message" then
        return false
    elseif field.kind == "enum" then
        return value == 0 or field.type.by_name[value] == 0
    elseif field.kind == "bool" then
        return value == false
    elseif field.kind == "string" or field.kind == "bytes" then
        return value == ""
    end
    return value == 0
end


local function encode_map(parts, field, value, depth)
    local entry = field.type
    local key_field, value_field = entry.by_number[1], entry.by_number[2]
    for key, item in pairs(value) do
        local text = wire.varint(8 + wire.WIRE[key_field.kind])
                     .. encode_value(key_field, key, depth)
        text = text .. wire.varint(16 + wire.WIRE[value_field.kind])
               .. encode_value(value_field, item, depth)
        parts[#parts + 1] = field.tag .. wire.varint(#text) .. text
    end
end


local function encode_field(parts, message, field, value, depth)
    if field.map then
        if type(value) ~= "table" then
            fail("encode", field.name, { wrong = type(value), kind = "table" })
        end
        encode_map(parts, field, value, depth)
    elseif field.repeated then
        if type(value) ~= "table" then
            fail("encode", field.name, { wrong = type(value), kind = "table" })
        end
        if field.packed then
            local packed = {}
            for i, item in ipairs(value) do
                packed[i] = encode_value(field, item, depth)
            end
            local text = concat(packed)
            if text ~= "" then
                parts[#parts + 1] = field.tag .. wire.varint(#text) .. text
            end
        else
            for _, item in ipairs(value) do
                parts[#parts + 1] = field.tag .. encode_value(field, item, depth)
            end
        end
    elseif not (message.proto3 and not field.presence and not state.options.encode_default_values
                and is_default(field, value)) then
        parts[#parts + 1] = field.tag .. encode_value(field, value, depth)
    end
end


function encode_message(message, value, depth)
    if depth > DEPTH_MAX then
        error("message is nested too deeply", 0)
    end
    local hook = state.options.enable_enchooks and state.encode_hooks[message.name]
    if hook then
        value = hook(message.name, value) or value
    end
    local parts = {}
    for _, field in ipairs(message.fields) do
        local item = value[field.name]
        if item ~= nil then
            encode_field(parts, message, field, item, depth)
        end
    end
    return concat(parts)
end


--- The bytes of a message.
-- @tparam string name of its type
-- @tparam table value
-- @raise if something does not fit
function _M.encode(name, value)
    local message = find(name)
    if not message or message.kind ~= "message" then
        error("bad argument #1 to 'encode' (type '" .. name .. "' does not exists)", 2)
    end
    return encode_message(message, value or {}, 1)
end


local decode_message


local function array()
    local meta = state.defaults["*array"]
    return meta and setmetatable({}, meta) or {}
end


local function map()
    local meta = state.defaults["*map"]
    return meta and setmetatable({}, meta) or {}
end


local function default_of(field)
    if field.default ~= nil then
        return field.default
    elseif field.kind == "string" or field.kind == "bytes" then
        return ""
    elseif field.kind == "bool" then
        return false
    elseif field.kind == "enum" then
        local first = field.type.by_value[0] or (field.type.order[1] or {})[1]
        return state.options.enum_as_value and (field.type.by_name[first] or 0) or first or 0
    end
    return 0
end


local function defaults_into(message, value)
    local style = state.options.defaults
    local use = style == "use_default_values" or (style == "auto_default_values" and message.proto3)
    for _, field in ipairs(message.fields) do
        if field.map or field.repeated then
            if value[field.name] == nil and (message.proto3 and style ~= "no_default_values"
                                             or state.options.decode_default_array) then
                value[field.name] = field.map and map() or array()
            end
        elseif use and field.kind ~= "message" and not field.oneof and not field.presence_only
               and value[field.name] == nil then
            value[field.name] = default_of(field)
        elseif state.options.decode_default_message and field.kind == "message" and not field.oneof
               and value[field.name] == nil then
            value[field.name] = {}
        end
    end
end


local function decode_one(field, text, at, depth)
    if field.kind == "message" then
        local bytes, after = wire.read_bytes(text, at)
        if not bytes then
            return nil
        end
        return decode_message(field.type, bytes, nil, depth + 1), after
    elseif field.kind == "string" or field.kind == "bytes" then
        return wire.read_bytes(text, at)
    end
    local value, after = wire.decode(field.kind, text, at, state.options.int64)
    if field.kind == "enum" and value and not state.options.enum_as_value then
        value = field.type.by_value[value] or value
    end
    return value, after
end


local function truncated(name)
    error("invalid bytes for " .. name, 0)
end


local function decode_packed(field, text, at, list)
    local bytes, after = wire.read_bytes(text, at)
    if not bytes then
        return nil
    end
    local from = 1
    while from <= #bytes do
        local value
        value, from = decode_one(field, bytes, from, 1)
        if from == nil then
            return nil
        end
        list[#list + 1] = value
    end
    return after
end


local function decode_entry(field, text, at, list, depth)
    local bytes, after = wire.read_bytes(text, at)
    if not bytes then
        return nil
    end
    local entry = { false, false }
    local from = 1
    while from <= #bytes do
        local tag, start = wire.read_varint(bytes, from)
        if not tag then
            return nil
        end
        local part = field.type.by_number[floor(tag / 8)]
        if part then
            local value
            value, from = decode_one(part, bytes, start, depth)
            entry[part.number] = { value }
        else
            from = wire.skip(bytes, start, tag % 8)
        end
        if not from then
            return nil
        end
    end
    local key_field, value_field = field.type.by_number[1], field.type.by_number[2]
    local key = entry[1] and entry[1][1]
    if not entry[1] then
        key = default_of(key_field)
    end
    local value = entry[2] and entry[2][1]
    if not entry[2] then
        value = value_field.kind == "message" and {} or default_of(value_field)
    end
    list[key] = value
    return after
end


local function forget_siblings(message, value, field)
    for _, other in ipairs(message.fields) do
        if other.oneof == field.oneof and other ~= field then
            value[other.name] = nil
        end
    end
end


local function decode_field(message, field, value, text, at, kind, depth)
    if field.map then
        value[field.name] = value[field.name] or map()
        return decode_entry(field, text, at, value[field.name], depth)
    elseif field.repeated then
        local list = value[field.name] or array()
        value[field.name] = list
        if kind == 2 and wire.WIRE[field.kind] ~= 2 then
            return decode_packed(field, text, at, list)
        end
        local item, after = decode_one(field, text, at, depth)
        list[#list + 1] = item
        return after
    end
    local item, after = decode_one(field, text, at, depth)
    if after then
        value[field.name] = item
        if field.oneof then
            forget_siblings(message, value, field)
            value[field.oneof] = field.name
        end
    end
    return after
end


function decode_message(message, text, value, depth)
    if depth > DEPTH_MAX then
        error("message is nested too deeply", 0)
    end
    value = value or {}
    local style = state.options.defaults
    if style == "use_default_metatable" then
        setmetatable(value, { __index = _M.defaults(message.name) })
    end
    local at = 1
    while at <= #text do
        local tag, after = wire.read_varint(text, at)
        if type(tag) ~= "number" then
            truncated(message.name)
        end
        local field, kind = message.by_number[floor(tag / 8)], tag % 8
        if field and (kind == wire.WIRE[field.kind] or (kind == 2 and field.repeated)) then
            at = decode_field(message, field, value, text, after, kind, depth)
        elseif field then
            error(format("type mismatch for field '%s' at offset %d, %s expected for type %s, got "
                         .. "%s", field.name, after, wire.WIRE[field.kind] == 2 and "bytes"
                         or "varint", field.type_name or field.kind, kind == 2 and "bytes"
                         or "varint"), 0)
        else
            at = wire.skip(text, after, kind)
        end
        if not at then
            truncated(message.name)
        end
    end
    defaults_into(message, value)
    local hook = state.options.enable_hooks and state.hooks[message.name]
    return hook and hook(message.name, value) or value
end


--- The message of bytes.
-- @tparam string name of its type
-- @tparam[opt=""] string text
-- @tparam[opt] table value to fill
-- @raise if the bytes are no such message
function _M.decode(name, text, value)
    local message = find(name)
    if not message or message.kind ~= "message" then
        error("bad argument #1 to 'decode' (type '" .. name .. "' does not exists)", 2)
    end
    return decode_message(message, text or "", value, 1)
end


--- What a type is.
-- @treturn string|nil its name, with a dot in front
-- @treturn string its last name
-- @treturn string "message", "enum" or "map"
function _M.type(name)
    local found = find(name)
    if not found then
        return nil
    end
    return found.name, found.basename, found.map_entry and "map" or found.kind
end


--- Walks over all types.
function _M.types()
    local names = {}
    for name in pairs(state.types) do
        names[#names + 1] = name
    end
    sort(names)
    local at = 0
    return function()
        at = at + 1
        if names[at] then
            return _M.type(names[at])
        end
    end
end


local function describe(field)
    local label = field.packed and "packed" or field.repeated and "repeated"
                  or field.required and "required" or "optional"
    return field.name, field.number, field.type_name or field.kind, field.default, label,
           field.oneof, field.oneof_index
end


--- One field: name, number, type, default, label, and what `oneof` it is in.
function _M.field(name, key)
    local message = find(name)
    if not message then
        return nil
    elseif message.kind == "enum" then
        if type(key) == "number" then
            return message.by_value[key], message.by_value[key] and key
        end
        return message.by_name[key] and key, message.by_name[key]
    end
    local field = type(key) == "number" and message.by_number[key] or message.by_name[key]
    if field then
        return describe(field)
    end
end


--- Walks over the fields of a message, or the values of an enum.
function _M.fields(name)
    local message = find(name)
    local at = 0
    return function()
        at = at + 1
        if not message then
            return nil
        elseif message.kind == "enum" then
            local pair = message.order[at]
            if pair then
                return pair[1], pair[2]
            end
        elseif message.fields[at] then
            return describe(message.fields[at])
        end
    end
end


--- The name of an enum's number, or the number of its name.
function _M.enum(name, key)
    local found = find(name)
    if not found or found.kind ~= "enum" then
        return nil
    end
    if type(key) == "number" then
        return found.by_value[key]
    end
    return found.by_name[key]
end


--- The table of a type's defaults, or of all arrays ("*array") or maps ("*map").
function _M.defaults(name, value)
    if sub(name, 1, 1) == "*" then
        local old = state.defaults[name]
        if value ~= nil then
            state.defaults[name] = type(value) == "table" and value or nil
        end
        return old
    end
    local message = find(name)
    if not message then
        error("bad argument #1 to 'defaults' (type not found)", 2)
    end
    local made = {}
    for _, field in ipairs(message.fields) do
        if not field.repeated and not field.map and field.kind ~= "message" then
            made[field.name] = default_of(field)
        end
    end
    return made
end


--- Sets one of the options of lua-protobuf.
function _M.option(name)
    local known = descriptor.set_option(state.options, name)
    if not known then
        error("bad argument #1 to 'option' (invalid option '" .. tostring(name) .. "')", 2)
    end
end


local function hook_of(field)
    return function(name, func)
        local message = find(name)
        if not message then
            error("bad argument #1 to 'hook' (type not found)", 2)
        end
        local old = state[field][message.name]
        state[field][message.name] = func
        return old
    end
end


_M.hook = hook_of("hooks")
_M.encode_hook = hook_of("encode_hooks")


--- Bytes as digits, each pair followed by a blank but the last.
function _M.tohex(text)
    local parts = {}
    for i = 1, #text do
        parts[i] = format("%02X", text:byte(i))
    end
    return concat(parts, " ")
end


function _M.fromhex(digits)
    return (digits:gsub("%X", ""):gsub("%x%x", function(pair)
        return string.char(tonumber(pair, 16))
    end))
end


return unsupported.fill(_M, "pb.", { "pack", "unpack", "slice", "buffer", "typefmt", "result" })
