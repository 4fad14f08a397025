--- Messages into bytes, for `pb`.
-- @module moongate.pbencode
local wire = require("moongate.pbwire")

local concat = table.concat
local error = error
local format = string.format
local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local tonumber = tonumber
local type = type

-- A message is written by a client or an upstream.
local DEPTH_MAX = 100

-- The set of types and options at hand; `use` changes it.
local state

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
        value = hook(value) or value
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


return {
    --- Names the set of types and options.
    use = function(new)
        state = new
    end,

    --- The bytes of a message.
    encode = function(message, value)
        return encode_message(message, value, 1)
    end,
}
