--- `pb`: Protocol Buffers by their descriptors, as lua-protobuf has it.
--
-- `pb.load` takes a FileDescriptorSet, `protoc` makes one of text. Types have a dot in front
-- (".package.Message"); names without one are looked up as if they had.
-- @module pb
local decoder = require("moongate.pbdecode")
local descriptor = require("moongate.pbtypes")
local encoder = require("moongate.pbencode")
local unsupported = require("moongate.unsupported")

local concat = table.concat
local error = error
local format = string.format
local ipairs = ipairs
local pairs = pairs
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = { version = "0.5.3" }

local state


local function use(new)
    state = new
    encoder.use(new)
    decoder.use(new)
end


use(descriptor.new_state())


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
        return nil, err
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
    use(new or descriptor.new_state())
    return old
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
    return encoder.encode(message, value or {})
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
    return decoder.decode(message, text or "", value)
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
    return decoder.defaults(message)
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


return unsupported.absent(_M, "pb.", { "pack", "unpack", "slice", "buffer", "typefmt", "result" },
    "messages are read and written whole")
