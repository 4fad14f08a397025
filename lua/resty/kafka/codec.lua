--- Numbers, texts and record sets of Kafka's protocol, in and out of bytes.
-- @module resty.kafka.codec
local ffi = require("ffi")
local host = require("moongate.host")

local bit = require("bit")
local byte = string.byte
local char = string.char
local concat = table.concat
local crc32 = host.crypto.crc32
local floor = math.floor
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber

local _M = {}

_M.PRODUCE, _M.FETCH, _M.LIST_OFFSETS, _M.METADATA = 0, 1, 2, 3
_M.SASL_HANDSHAKE, _M.API_VERSIONS, _M.SASL_AUTHENTICATE = 17, 18, 36


function _M.int8(value)
    return char(value % 256)
end


function _M.int16(value)
    value = value % 65536
    return char(floor(value / 256), value % 256)
end


function _M.int32(value)
    value = value % 4294967296
    return char(floor(value / 16777216), floor(value / 65536) % 256, floor(value / 256) % 256,
                value % 256)
end


--- 64 bits, of a Lua number or an `int64_t`.
function _M.int64(value)
    local wide = ffi.cast("uint64_t", ffi.cast("int64_t", value))
    return _M.int32(tonumber(bit.rshift(wide, 32))) .. _M.int32(tonumber(bit.band(wide,
                                                                              0xffffffffULL)))
end


function _M.string(text)
    if text == nil then
        return _M.int16(-1)
    end
    return _M.int16(#text) .. text
end


function _M.bytes(text)
    if text == nil then
        return _M.int32(-1)
    end
    return _M.int32(#text) .. text
end


--- The frame of a request.
function _M.request(key, version, correlation, client_id, body)
    local text = _M.int16(key) .. _M.int16(version) .. _M.int32(correlation)
                 .. _M.string(client_id) .. body
    return _M.int32(#text) .. text
end


--- A set of messages in the older form, which every broker takes.
-- @tparam {string,...} list keys and messages by turns, `size` of them
-- @tparam number version 0, or 1 with the time in milliseconds
function _M.message_set(list, size, version, millis)
    local parts, offset = {}, 0
    for i = 1, size, 2 do
        local key = list[i]
        local body = char(version, 0)
                     .. (version == 1 and _M.int64(millis) or "")
                     .. _M.bytes(key ~= "" and key or nil) .. _M.bytes(list[i + 1])
        local message = _M.int32(crc32(body)) .. body
        parts[#parts + 1] = _M.int64(offset) .. _M.int32(#message) .. message
        offset = offset + 1
    end
    return concat(parts)
end


local Reader = {}
local mt = { __index = Reader }


--- Reads an answer; what lies beyond its end raises.
function _M.reader(text)
    return setmetatable({ text = text, at = 1 }, mt)
end


function Reader:take(count)
    local from = self.at
    if count < 0 or from + count - 1 > #self.text then
        error("the answer is cut short", 0)
    end
    self.at = from + count
    return sub(self.text, from, from + count - 1)
end


function Reader:int8()
    local value = byte(self:take(1))
    return value < 128 and value or value - 256
end


function Reader:int16()
    local a, b = byte(self:take(2), 1, 2)
    local value = a * 256 + b
    return value < 32768 and value or value - 65536
end


function Reader:int32()
    local a, b, c, d = byte(self:take(4), 1, 4)
    local value = ((a * 256 + b) * 256 + c) * 256 + d
    return value < 2147483648 and value or value - 4294967296
end


--- An `int64_t`.
function Reader:int64()
    local high, low = self:int32(), self:int32() % 4294967296
    return ffi.cast("int64_t", high) * 4294967296LL + ffi.cast("int64_t", low)
end


function Reader:string()
    local size = self:int16()
    return size >= 0 and self:take(size) or nil
end


function Reader:bytes()
    local size = self:int32()
    return size >= 0 and self:take(size) or nil
end


--- Calls `func` for each element of an array.
function Reader:array(func)
    local list = {}
    for i = 1, self:int32() do
        list[i] = func(self)
    end
    return list
end


--- Messages of a set in the older forms; the last one may be cut.
function _M.read_message_set(text, base)
    local reader, records = _M.reader(text), {}
    while reader.at + 12 <= #text do
        local offset, size = reader:int64(), reader:int32()
        if reader.at + size - 1 > #text then
            break
        end
        local body = _M.reader(reader:take(size))
        body:int32()
        local magic = body:int8()
        if magic > 1 then
            return nil, "not supported: record batches (message format 2)"
        end
        body:int8()
        local time = magic == 1 and body:int64() or nil
        local record = { offset = offset, timestamp = time, key = body:bytes(),
                         value = body:bytes() }
        if base == nil or offset >= base then
            records[#records + 1] = record
        end
    end
    return records
end


return _M
