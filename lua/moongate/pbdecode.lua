--- Bytes into messages, for `pb`.
-- @module moongate.pbdecode
local wire = require("moongate.pbwire")

local error = error
local floor = math.floor
local format = string.format
local ipairs = ipairs
local setmetatable = setmetatable
local type = type

-- A message is written by a client or an upstream.
local DEPTH_MAX = 100

-- The set of types and options at hand; `use` changes it.
local state

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


-- The defaults of a message, as a table.
local function defaults_of(message)
    local made = {}
    for _, field in ipairs(message.fields) do
        if not field.repeated and not field.map and field.kind ~= "message" then
            made[field.name] = default_of(field)
        end
    end
    return made
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
        setmetatable(value, { __index = defaults_of(message) })
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
    return hook and hook(value) or value
end


return {
    --- Names the set of types and options.
    use = function(new)
        state = new
    end,

    --- The message of bytes.
    decode = function(message, text, value)
        return decode_message(message, text, value, 1)
    end,

    --- What a message has where nothing is said.
    defaults = defaults_of,
}
