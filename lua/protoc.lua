--- `protoc`: reads .proto texts and gives their types to `pb`.
--
--     local protoc = require("protoc").new()
--     protoc:load([[ syntax = "proto3"; message M { string name = 1; } ]], "m.proto")
--
-- Messages, enums, services, maps, oneofs, extensions and groups of options are read; values of
-- options are not kept but for those that change the wire format.
-- @module protoc
local pb = require("pb")
local reader = require("moongate.protoc_reader")
local known = require("moongate.protoc_known")

local error = error
local getmetatable = getmetatable
local io_open = io.open
local ipairs = ipairs
local setmetatable = setmetatable
local tostring = tostring
local type = type

local _M = {}
local mt = { __index = _M }


--- A reader with files of its own.
function _M.new()
    return setmetatable({ paths = { "" }, loaded = {}, typemap = {}, include_imports = false,
                          proto3_optional = true }, mt)
end


_M.paths, _M.loaded, _M.typemap = { "" }, {}, {}


--- Kept for the original's signature: there is nothing that would have to be loaded anew.
function _M.reload()
end


--- Forgets all files that were read.
function _M:reset()
    self.loaded, self.typemap = {}, {}
end


--- A folder that imports are looked for in.
function _M:addpath(path)
    self.paths[#self.paths + 1] = path
end


local function read_file(self, name)
    for _, path in ipairs(self.paths) do
        local file = io_open((path == "" and "" or path .. "/") .. name, "rb")
        if file then
            local text = file:read("*a")
            file:close()
            return text
        end
    end
end


local parse


local function import(self, name, from)
    if self.loaded[name] then
        return self.loaded[name]
    end
    local text = read_file(self, name) or known[name]
    if text then
        return parse(self, text, name)
    end
    local unknown = self.unknown_import
    if unknown == true then
        return nil
    elseif type(unknown) == "function" then
        local found = unknown(self, name)
        return type(found) == "string" and parse(self, found, name) or found
    end
    error(from .. ": module load error: " .. name .. " is not found", 0)
end


-- Every type's full name, so that references can be told.
local function note_types(self, prefix, list, kind)
    for _, item in ipairs(list or {}) do
        local name = prefix .. "." .. item.name
        self.typemap[name] = kind
        if kind == "message" then
            note_types(self, name, item.nested_type, "message")
            note_types(self, name, item.enum_type, "enum")
        end
    end
end


local function resolve(self, scope, name, where)
    if name:sub(1, 1) == "." then
        return name, self.typemap[name]
    end
    local prefix = scope
    while true do
        local full = prefix .. "." .. name
        if self.typemap[full] then
            return full, self.typemap[full]
        end
        if prefix == "" then
            break
        end
        prefix = prefix:match("^(.*)%.[^.]*$") or ""
    end
    local unknown = self.unknown_type
    if unknown == true or (type(unknown) == "string" and ("." .. name):find(unknown)) then
        return "." .. name, "message"
    end
    error(where .. ": unknown type '" .. name .. "'", 0)
end


local MESSAGE, ENUM = 11, 14


local function resolve_fields(self, scope, list, where)
    for _, field in ipairs(list or {}) do
        if field.type_name then
            local full, kind = resolve(self, scope, field.type_name, where)
            field.type_name = full
            field.type = kind == "enum" and ENUM or MESSAGE
        end
        if field.extendee then
            field.extendee = (resolve(self, scope, field.extendee, where))
        end
    end
end


local function resolve_messages(self, scope, list, where)
    for _, message in ipairs(list or {}) do
        local inner = scope .. "." .. message.name
        resolve_fields(self, inner, message.field, where)
        resolve_fields(self, inner, message.extension, where)
        resolve_messages(self, inner, message.nested_type, where)
    end
end


function parse(self, text, name)
    local file = reader.read(text, name)
    for _, dependency in ipairs(file.dependency or {}) do
        import(self, dependency, name)
    end
    local scope = file.package and "." .. file.package or ""
    note_types(self, scope, file.message_type, "message")
    note_types(self, scope, file.enum_type, "enum")
    resolve_messages(self, scope, file.message_type, name)
    resolve_fields(self, scope, file.extension, name)
    for _, service in ipairs(file.service or {}) do
        for _, method in ipairs(service.method or {}) do
            method.input_type = resolve(self, scope, method.input_type, name)
            method.output_type = resolve(self, scope, method.output_type, name)
        end
    end
    self.loaded[name] = file
    return file
end


local function instance(self)
    return getmetatable(self) == mt and self or nil
end


-- What `protoc:f(text, name)` and `protoc.f(text, name)` were given.
local function arguments(self, text, name)
    local own = type(self) == "table" and (instance(self) or self == _M and _M.new())
    if own then
        return own, text, name or "<input>"
    end
    return _M.new(), self, text or "<input>"
end


--- A text as table, as a FileDescriptorProto.
-- @raise with file and line
function _M.parse(self, text, name)
    self, text, name = arguments(self, text, name)
    return parse(self, text, name)
end


local function with_imports(self, file, list, seen)
    for _, name in ipairs(file.dependency or {}) do
        local other = self.loaded[name]
        if other and not seen[name] then
            seen[name] = true
            with_imports(self, other, list, seen)
            list[#list + 1] = other
        end
    end
    return list
end


--- A text as FileDescriptorSet.
-- @treturn string
-- @raise with file and line
function _M.compile(self, text, name)
    self, text, name = arguments(self, text, name)
    local file = parse(self, text, name)
    local list = self.include_imports and with_imports(self, file, {}, {}) or {}
    list[#list + 1] = file
    return pb.encode(".google.protobuf.FileDescriptorSet", { file = list })
end


--- Gives the types of a text, and of what it imports, to `pb`.
-- @treturn boolean
-- @treturn number
-- @raise with file and line
function _M.load(self, text, name)
    self, text, name = arguments(self, text, name)
    local file = parse(self, text, name)
    local list = with_imports(self, file, {}, {})
    list[#list + 1] = file
    return pb.load(pb.encode(".google.protobuf.FileDescriptorSet", { file = list }))
end


local function from_file(func)
    return function(self, name)
        local own = type(self) == "table" and instance(self) or _M.new()
        name = type(self) == "string" and self or name
        local text = read_file(own, name)
        if not text then
            error("module load error: " .. tostring(name) .. " is not found", 2)
        end
        return func(own, text, name)
    end
end


_M.loadfile = from_file(_M.load)
_M.compilefile = from_file(_M.compile)
_M.parsefile = from_file(_M.parse)


return _M
