--- `flatbuffers.view`: a table in bytes that are read. Whatever leads out of them raises.
-- @module flatbuffers.view
local N = require("flatbuffers.numTypes")

local error = error
local setmetatable = setmetatable
local sub = string.sub
local type = type

local _M = {}

local mt = {}
mt.__index = mt


--- A table at a byte, counted from 0.
function _M.New(bytes, pos)
    return setmetatable({ bytes = bytes, pos = pos }, mt)
end


--- Where a field is, counted from the table's start; 0 if it is not there.
function mt:Offset(slot)
    local vtable = self.pos - N.SOffsetT:Unpack(self.bytes, self.pos)
    if slot < N.VOffsetT:Unpack(self.bytes, vtable) then
        return N.VOffsetT:Unpack(self.bytes, vtable + slot)
    end
    return 0
end


--- Follows the reference at a place.
function mt:Indirect(at)
    return at + N.UOffsetT:Unpack(self.bytes, at)
end


local function slice(self, from, length)
    local text = type(self.bytes) == "table" and self.bytes.str or self.bytes
    if from + length > #text then
        error("Offset is not within the buffer", 3)
    end
    return sub(text, from + 1, from + length)
end


function mt:String(at)
    at = self:Indirect(at)
    return slice(self, at + 4, N.UOffsetT:Unpack(self.bytes, at))
end


function mt:VectorLen(offset)
    return N.UOffsetT:Unpack(self.bytes, self:Indirect(self.pos + offset))
end


--- Where a vector's first element is.
function mt:Vector(offset)
    return self:Indirect(self.pos + offset) + 4
end


--- The bytes of a vector, or some of them, counted from 1.
function mt:VectorAsString(slot, from, to)
    local offset = self:Offset(slot)
    if offset == 0 then
        return nil
    end
    from = from or 1
    to = to or self:VectorLen(offset)
    return slice(self, self:Vector(offset) + from - 1, to - from + 1)
end


--- Points `other` to the table of a union.
function mt:Union(other, offset)
    other.pos = self:Indirect(offset + self.pos)
    other.bytes = self.bytes
end


--- A number at a place.
function mt:Get(kind, at)
    return kind:Unpack(self.bytes, at)
end


return _M
