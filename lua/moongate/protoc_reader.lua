--- Reads the text of a .proto file into a table of the form of FileDescriptorProto.
--
-- Names of types stay as they are written; who reads several files resolves them.
-- @module moongate.protoc_reader
local lexer = require("moongate.protoc_lexer")

local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local setmetatable = setmetatable
local upper = string.upper

local DEPTH_MAX = 100

local SCALARS = {
    double = 1, float = 2, int64 = 3, uint64 = 4, int32 = 5, fixed64 = 6, fixed32 = 7, bool = 8,
    string = 9, bytes = 12, uint32 = 13, sfixed32 = 15, sfixed64 = 16, sint32 = 17, sint64 = 18,
}
local LABELS = { optional = 1, required = 2, repeated = 3 }

local Reader = setmetatable({}, { __index = lexer })
local mt = { __index = Reader }


-- `option a = b;`: only few matter here.
function Reader:option(options)
    local name = self:option_name()
    self:need("=")
    options[name] = self:constant()
    self:need(";")
end


function Reader:inline_options(field)
    if not self:mark("[") then
        return
    end
    repeat
        local name = self:option_name()
        self:need("=")
        local value = self:constant()
        if name == "default" then
            field.default_value = value
        elseif name == "json_name" then
            field.json_name = value
        elseif name == "packed" or name == "deprecated" then
            field.options = field.options or {}
            field.options[name] = value == "true"
        end
    until not self:mark(",")
    self:need("]")
end


local function json_name(name)
    return (gsub(name, "_(%a?)", upper))
end


local function set_type(field, kind)
    if SCALARS[kind] then
        field.type = SCALARS[kind]
    else
        field.type_name = kind
    end
end


local function add(owner, list, item)
    owner[list] = owner[list] or {}
    local items = owner[list]
    items[#items + 1] = item
    return item
end


function Reader:end_of_field(field)
    self:need("=")
    field.number = self:integer()
    self:inline_options(field)
    self:need(";")
end


function Reader:map_field(message)
    self:need("<")
    local key = self:ident()
    if not SCALARS[key] or key == "double" or key == "float" or key == "bytes" then
        self:fail("a map cannot have keys of type " .. key)
    end
    self:need(",")
    local value = self:full_ident()
    self:need(">")
    local name = self:ident()
    local entry = gsub(gsub(name, "^%l", upper), "_(%a)", upper) .. "Entry"
    local parts = { { name = "key", number = 1, label = 1, json_name = "key" },
                    { name = "value", number = 2, label = 1, json_name = "value" } }
    set_type(parts[1], key)
    set_type(parts[2], value)
    add(message, "nested_type", { name = entry, field = parts, options = { map_entry = true } })
    self:end_of_field(add(message, "field", { name = name, label = 3, type_name = entry,
                                              json_name = json_name(name) }))
end


function Reader:oneof(message)
    add(message, "oneof_decl", { name = self:ident() })
    local index = #message.oneof_decl - 1
    self:need("{")
    while not self:mark("}") do
        local kind = self:full_ident()
        if kind == "option" then
            self:option({})
        else
            local name = self:ident()
            local field = add(message, "field", { name = name, label = 1, oneof_index = index,
                                                  json_name = json_name(name) })
            set_type(field, kind)
            self:end_of_field(field)
        end
    end
end


-- A field whose first word was read.
function Reader:field(message, word, list)
    local label = LABELS[word]
    local kind = label and self:full_ident() or word
    if kind == "group" then
        self:fail("groups are not supported")
    end
    local name = self:ident()
    local field = { name = name, label = label or 1, json_name = json_name(name) }
    set_type(field, kind)
    if word == "optional" and self.proto3 and list == "field" then
        field.proto3_optional = true
        self.optionals[#self.optionals + 1] = { message, field }
    end
    add(message, list, field)
    self:end_of_field(field)
    return field
end


function Reader:extend(owner)
    local extendee = self:full_ident()
    self:need("{")
    while not self:mark("}") do
        self:field(owner, self:full_ident(), "extension").extendee = extendee
    end
end


-- `reserved 1, 2 to 5, "a";` and `extensions 100 to max;`
function Reader:pass_over()
    local _, to = find(self.text, ";", self.at, true)
    if not to then
        self:fail("';' expected")
    end
    self.at = to + 1
end


function Reader:message(owner, list, depth)
    if depth > DEPTH_MAX then
        self:fail("messages are nested too deeply")
    end
    local message = add(owner, list, { name = self:ident() })
    self:need("{")
    while not self:mark("}") do
        if not self:mark(";") then
            local word = self:full_ident()
            if word == "message" and not find(self.text, "^%s*[%a_][%w_]*%s*=", self.at) then
                self:message(message, "nested_type", depth + 1)
            elseif word == "enum" and not find(self.text, "^%s*[%a_][%w_]*%s*=", self.at) then
                self:enum(message)
            elseif word == "map" then
                self:map_field(message)
            elseif word == "oneof" then
                self:oneof(message)
            elseif word == "option" then
                self:option({})
            elseif word == "extend" then
                self:extend(message)
            elseif word == "reserved" or word == "extensions" then
                self:pass_over()
            else
                self:field(message, word, "field")
            end
        end
    end
end


function Reader:enum(owner)
    local enum = add(owner, "enum_type", { name = self:ident(), value = {} })
    self:need("{")
    while not self:mark("}") do
        if not self:mark(";") then
            local word = self:ident()
            if word == "option" and not find(self.text, "^%s*=", self.at) then
                local options = {}
                self:option(options)
                if options.allow_alias == "true" then
                    enum.options = { allow_alias = true }
                end
            elseif word == "reserved" and not find(self.text, "^%s*=", self.at) then
                self:pass_over()
            else
                self:need("=")
                local value = { name = word, number = self:integer() }
                self:inline_options({})
                self:need(";")
                enum.value[#enum.value + 1] = value
            end
        end
    end
end


function Reader:method(service)
    local method = add(service, "method", { name = self:ident() })
    for _, side in ipairs({ "input_type", "output_type" }) do
        if side == "output_type" and self:ident() ~= "returns" then
            self:fail("'returns' expected")
        end
        self:need("(")
        local word = self:full_ident()
        if word == "stream" and not self:mark(")") then
            method[side == "input_type" and "client_streaming" or "server_streaming"] = true
            word = self:full_ident()
        end
        method[side] = word
        self:need(")")
    end
    if self:mark("{") then
        while not self:mark("}") do
            if not self:mark(";") then
                self:ident()
                self:option({})
            end
        end
    else
        self:need(";")
    end
end


function Reader:service(file)
    local service = add(file, "service", { name = self:ident() })
    self:need("{")
    while not self:mark("}") do
        if not self:mark(";") then
            local word = self:ident()
            if word == "rpc" then
                self:method(service)
            else
                self:option({})
            end
        end
    end
end


function Reader:top(file)
    local word = self:ident()
    if word == "syntax" or word == "edition" then
        self:need("=")
        file.syntax = self:string()
        self.proto3 = file.syntax == "proto3"
        self:need(";")
    elseif word == "package" then
        file.package = self:full_ident()
        self:need(";")
    elseif word == "import" then
        self:take("^(public)()")
        self:take("^(weak)()")
        add(file, "dependency", self:string())
        self:need(";")
    elseif word == "option" then
        self:option({})
    elseif word == "message" then
        self:message(file, "message_type", 1)
    elseif word == "enum" then
        self:enum(file)
    elseif word == "service" then
        self:service(file)
    elseif word == "extend" then
        self:extend(file)
    else
        self:fail("unknown keyword '" .. word .. "'")
    end
end


local _M = {}


--- Reads a text.
-- @tparam string text
-- @tparam string name for messages
-- @treturn table
-- @raise with name and line
function _M.read(text, name)
    local self = setmetatable({ text = text, at = 1, name = name, optionals = {} }, mt)
    local file = { name = name }
    while true do
        if not self:mark(";") then
            self:skip()
            if self.at > #text then
                break
            end
            self:top(file)
        end
    end
    -- `optional` in proto3 is a oneof of one field.
    for _, pair in ipairs(self.optionals) do
        local message, field = pair[1], pair[2]
        add(message, "oneof_decl", { name = "_" .. field.name })
        field.oneof_index = #message.oneof_decl - 1
    end
    return file
end


return _M
