--- `flatbuffers.numTypes`: numbers of fixed size, little endian.
-- @module flatbuffers.numTypes
local ffi = require("ffi")

local error = error
local tonumber = tonumber
local type = type

local _M = {}

local ctypes = {
    Bool = "uint8_t", Uint8 = "uint8_t", Uint16 = "uint16_t", Uint32 = "uint32_t",
    Uint64 = "uint64_t", Int8 = "int8_t", Int16 = "int16_t", Int32 = "int32_t",
    Int64 = "int64_t", Float32 = "float", Float64 = "double",
}


for name, ctype in pairs(ctypes) do
    local size = ffi.sizeof(ctype)
    local box = ffi.new(ctype .. "[1]")
    local pointer = ffi.typeof("const " .. ctype .. " *")
    local kind = { name = name, bytewidth = size }


    --- The bytes of a number.
    function kind:Pack(value)
        if type(value) == "boolean" then
            value = value and 1 or 0
        elseif type(value) ~= "number" then
            error("number expected, got " .. type(value), 2)
        end
        box[0] = value
        return ffi.string(box, size)
    end


    --- The number at a byte, counted from 0.
    function kind:Unpack(bytes, at)
        local text = type(bytes) == "table" and bytes.str or bytes
        if at < 0 or at + size > #text then
            error("Offset is not within the buffer", 2)
        end
        local value = tonumber(ffi.cast(pointer, ffi.cast("const char *", text) + at)[0])
        if name == "Bool" then
            return value ~= 0
        end
        return value
    end


    _M[name] = kind
end


_M.Byte = _M.Int8
_M.UOffsetT, _M.SOffsetT, _M.VOffsetT = _M.Uint32, _M.Int32, _M.Uint16

return _M
