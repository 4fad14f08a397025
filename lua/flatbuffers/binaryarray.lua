--- `flatbuffers.binaryArray`: bytes that are read.
-- @module flatbuffers.binaryArray
local setmetatable = setmetatable
local sub = string.sub

local _M = {}

local mt = { __len = function(self) return #self.str end }
mt.__index = mt


--- Wraps a string.
function _M.New(text)
    return setmetatable({ str = text, size = #text }, mt)
end


--- The bytes between two places, counted from 0, the second left out.
function mt:Slice(from, to)
    return sub(self.str, (from or 0) + 1, to or #self.str)
end


return _M
