--- Makes the modules `A6.*`: the messages between a gateway and a plugin runner.
--
-- A module has the functions that a generator of FlatBuffers would write for the table: `New`,
-- `GetRootAsX`, `Start`, `AddField`, `StartFieldVector`, `End`, and methods to read fields.
-- @module moongate.a6
local flatbuffers = require("flatbuffers")

local N = flatbuffers.N
local ipairs = ipairs
local require = require
local setmetatable = setmetatable
local type = type

local _M = {}


local function add_number(module, methods, name, slot, kind)
    local at = 4 + 2 * slot
    methods[name] = function(self)
        local offset = self.view:Offset(at)
        return offset ~= 0 and self.view:Get(kind, offset + self.view.pos) or 0
    end
    module["Add" .. name] = function(builder, value)
        builder:PrependSlot(kind, slot, value, 0)
    end
end


local function add_reference(module, name, slot)
    module["Add" .. name] = function(builder, value)
        builder:PrependUOffsetTRelativeSlot(slot, value, 0)
    end
end


local function add_text(module, methods, name, slot)
    methods[name] = function(self)
        local offset = self.view:Offset(4 + 2 * slot)
        if offset ~= 0 then
            return self.view:String(offset + self.view.pos)
        end
    end
    add_reference(module, name, slot)
end


local function add_vector(module, methods, name, slot, width, read)
    local at = 4 + 2 * slot
    methods[name] = function(self, index)
        local offset = self.view:Offset(at)
        if offset ~= 0 then
            return read(self.view, self.view:Vector(offset) + (index - 1) * width)
        end
        return width == 1 and 0 or nil
    end
    methods[name .. "Length"] = function(self)
        local offset = self.view:Offset(at)
        return offset ~= 0 and self.view:VectorLen(offset) or 0
    end
    module["Start" .. name .. "Vector"] = function(builder, count)
        return builder:StartVector(width, count, width)
    end
    add_reference(module, name, slot)
end


local function read_byte(view, at)
    return view:Get(N.Uint8, at)
end


local function read_entry(view, at)
    local entry = require("A6.TextEntry").New()
    entry:Init(view.bytes, view:Indirect(at))
    return entry
end


local function add_union(module, methods, name, slot)
    methods[name] = function(self)
        local offset = self.view:Offset(4 + 2 * slot)
        if offset ~= 0 then
            local found = flatbuffers.view.New(0, 0)
            self.view:Union(found, offset)
            return found
        end
    end
    add_reference(module, name, slot)
end


local function add(module, methods, name, slot, kind)
    if N[kind] then
        add_number(module, methods, name, slot, N[kind])
    elseif kind == "text" then
        add_text(module, methods, name, slot)
    elseif kind == "bytes" then
        add_vector(module, methods, name, slot, 1, read_byte)
        methods[name .. "AsString"] = function(self, from, to)
            return self.view:VectorAsString(4 + 2 * slot, from, to)
        end
    elseif kind == "entries" then
        add_vector(module, methods, name, slot, 4, read_entry)
    else
        add_union(module, methods, name, slot)
    end
end


--- A module for a table.
-- @tparam string name of the table
-- @tparam table fields pairs of a name and a kind: a number's type, "text", "bytes", "entries"
--   (of `A6.TextEntry`) or "union"
function _M.table(name, fields)
    local module, methods = {}, {}
    local mt = { __index = methods }


    function module.New()
        return setmetatable({}, mt)
    end


    function methods:Init(bytes, pos)
        self.view = flatbuffers.view.New(bytes, pos)
    end


    module["GetRootAs" .. name] = function(bytes, offset)
        if type(bytes) == "string" then
            bytes = flatbuffers.binaryArray.New(bytes)
        end
        local made = module.New()
        made:Init(bytes, N.UOffsetT:Unpack(bytes, offset) + offset)
        return made
    end


    for i, field in ipairs(fields) do
        add(module, methods, field[1], i - 1, field[2])
    end


    function module.Start(builder)
        builder:StartObject(#fields)
    end


    function module.End(builder)
        return builder:EndObject()
    end


    return module
end


return _M
