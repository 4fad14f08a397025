--- `flatbuffers.builder`: writes tables, from the end of the bytes to their beginning.
--
-- An offset counts from the end, so it stays true whatever is put in front.
-- @module flatbuffers.builder
local N = require("flatbuffers.numTypes")

local concat = table.concat
local error = error
local max = math.max
local rep = string.rep
local setmetatable = setmetatable

local _M = {}

local mt = {}
mt.__index = mt


--- A builder; the size is a hint that is not needed.
function _M.New(_)
    return setmetatable({ nested = false }, mt):Clear()
end


--- Forgets everything.
function mt:Clear()
    self.pieces, self.size, self.align = {}, 0, 1
    self.nested, self.finished, self.slots, self.vtables = false, false, nil, {}
    return self
end


local function put(self, text)
    self.pieces[#self.pieces + 1] = text
    self.size = self.size + #text
end


--- The bytes, the last pieces first.
function mt:Output()
    if not self.finished then
        error("Builder Not Finished", 2)
    end
    local list, pieces = {}, self.pieces
    for i = #pieces, 1, -1 do
        list[#list + 1] = pieces[i]
    end
    return concat(list)
end


function mt:Offset()
    return self.size
end


function mt:Pad(count)
    if count > 0 then
        put(self, rep("\0", count))
    end
end


--- Makes room so that what follows `extra` bytes is aligned to `size`.
function mt:Prep(size, extra)
    self.align = max(self.align, size)
    self:Pad(-(self.size + extra) % size)
end


--- Puts a number in front.
function mt:Prepend(kind, value)
    self:Prep(kind.bytewidth, 0)
    put(self, kind:Pack(value))
end


function mt:PrependUOffsetTRelative(offset)
    self:Prep(4, 0)
    if offset > self.size then
        error("Offset arithmetic error", 2)
    end
    put(self, N.UOffsetT:Pack(self.size - offset + 4))
end


function mt:StartVector(size, count, alignment)
    if self.nested then
        error("nested object or vector", 2)
    end
    self.nested = true
    self:Prep(4, size * count)
    self:Prep(alignment, size * count)
    return self.size
end


function mt:EndVector(count)
    if not self.nested then
        error("no vector was begun", 2)
    end
    self.nested = false
    put(self, N.UOffsetT:Pack(count))
    return self.size
end


local function bytes(self, text, ending)
    if self.nested then
        error("nested object or vector", 3)
    end
    self:Prep(4, #text + #ending)
    put(self, text .. ending)
    put(self, N.UOffsetT:Pack(#text))
    return self.size
end


function mt:CreateString(text)
    return bytes(self, text, "\0")
end


function mt:CreateByteVector(text)
    return bytes(self, text, "")
end


function mt:StartObject(count)
    if self.nested then
        error("nested object or vector", 2)
    end
    self.nested = true
    self.slots, self.count, self.start = {}, count, self.size
end


--- Notes that field `slot`, counted from 0, is what was just put in front.
function mt:Slot(slot)
    self.slots[slot] = self.size
end


--- A field that is a number; its default is not written.
function mt:PrependSlot(kind, slot, value, default)
    if value ~= default then
        self:Prepend(kind, value)
        self:Slot(slot)
    end
end


--- A field that refers to something.
function mt:PrependUOffsetTRelativeSlot(slot, value, default)
    if value ~= default then
        self:PrependUOffsetTRelative(value)
        self:Slot(slot)
    end
end


for name, kind in pairs(N) do
    mt["Prepend" .. name] = function(self, value)
        self:Prepend(kind, value)
    end
    mt["Prepend" .. name .. "Slot"] = function(self, slot, value, default)
        self:PrependSlot(kind, slot, value, default)
    end
end


--- Ends a table: what its fields are is written in front of it, once for all tables alike.
function mt:EndObject()
    if not self.nested then
        error("no object was begun", 2)
    end
    self:Prep(4, 0)
    put(self, N.SOffsetT:Pack(0))
    local place, mark = self.size, #self.pieces
    local last = self.count - 1
    while last >= 0 and not self.slots[last] do
        last = last - 1
    end
    local parts = { N.VOffsetT:Pack((last + 3) * 2), N.VOffsetT:Pack(place - self.start) }
    for slot = 0, last do
        parts[#parts + 1] = N.VOffsetT:Pack(self.slots[slot] and place - self.slots[slot] or 0)
    end
    local vtable = concat(parts)
    local known = self.vtables[vtable]
    if not known then
        put(self, vtable)
        known = self.size
        self.vtables[vtable] = known
    end
    self.pieces[mark] = N.SOffsetT:Pack(known - place)
    self.nested, self.slots = false, nil
    return place
end


--- Ends the bytes with a reference to the root.
function mt:Finish(root)
    if self.nested then
        error("nested object or vector", 2)
    end
    self:Prep(self.align, 4)
    self:PrependUOffsetTRelative(root)
    self.finished = true
    return self.size
end


return _M
