--- `ffi-zlib`: zlib and gzip streams, from an input function to an output function.
-- @module ffi-zlib
local bit = require("bit")
local ffi = require("ffi")
local host = require("moongate.host")

local byte = string.byte
local cast = ffi.cast
local concat = table.concat
local deflate = host.deflate
local floor = math.floor
local min = math.min
local sub = string.sub
local tonumber = tonumber

local CHUNK = 16384
local CHUNK_MAX = 1048576

-- The bits of a window with the header of gzip.
local GZIP = 31

-- Of CRC-32, its lowest bit first.
local POLYNOMIAL = 0xedb88320

-- What comes out of a stream is bounded, whatever its sender says.
local OUTPUT_BYTES_MAX = 1024 * 1024 * 1024

local _M = { _VERSION = "0.6.0" }


local function read_all(input, size)
    local parts = {}
    while true do
        local part = input(size)
        if not part or part == "" then
            return concat(parts)
        end
        parts[#parts + 1] = part
    end
end


local function write_all(text, output, size, step)
    for at = 1, #text, size do
        local _, err = output(sub(text, at, at + size - 1))
        if err then
            return false, step .. ": " .. err
        end
    end
    return true, "stream end"
end


-- The bits of a window say what is around a stream too: over 15 gzip, below 0 nothing.
local function inflate_by(bits)
    return (bits or GZIP) > 15 and deflate.inflate_gzip or deflate.inflate_deflate
end


local function deflate_by(options)
    local bits = options.windowBits or GZIP
    if bits > 15 then
        return deflate.gzip
    end
    return function(text, level)
        local packed = deflate.deflate(text, level)
        -- Two bytes before and four behind are what zlib adds.
        return bits < 0 and sub(packed, 3, -5) or packed
    end
end


--- Unpacks a stream.
-- @tparam function input gives up to so many bytes, nil at the end
-- @tparam function output takes bytes
-- @tparam[opt=16384] number size
-- @tparam[opt=31] number bits 31 for gzip, 15 for zlib, -15 for neither
-- @treturn boolean
-- @treturn string "stream end", or the error
function _M.inflateGzip(input, output, size, bits)
    size = min(size or CHUNK, CHUNK_MAX)
    local packed = read_all(input, size)
    if packed == "" then
        return false, "INFLATE: Data error, no input bytes"
    end
    local text = inflate_by(bits)(packed, OUTPUT_BYTES_MAX)
    if not text then
        return false, "INFLATE: data error"
    end
    return write_all(text, output, size, "INFLATE")
end


--- Packs a stream.
-- @tparam[opt] table options `level` from 1 to 9, `windowBits` as `bits` above
-- @treturn boolean
-- @treturn string "stream end", or the error
function _M.deflateGzip(input, output, size, options)
    size = min(size or CHUNK, CHUNK_MAX)
    options = options or {}
    local text = deflate_by(options)(read_all(input, size), options.level or 6)
    return write_all(text, output, size, "DEFLATE")
end


--- Unpacks zlib.
function _M.inflateDeflate(input, output, size)
    return _M.inflateGzip(input, output, size, 15)
end


--- Packs with zlib.
function _M.deflateDeflate(input, output, size, options)
    return _M.deflateGzip(input, output, size, { level = (options or {}).level, windowBits = 15 })
end


--- The Adler-32 checksum of a text, going on from another one.
-- @treturn cdata
function _M.adler(text, sum)
    sum = tonumber(sum or 0)
    local low, high = sum % 65536, floor(sum / 65536)
    for i = 1, #text do
        low = (low + byte(text, i)) % 65521
        high = (high + low) % 65521
    end
    return cast("unsigned long", high * 65536 + low)
end


--- The CRC-32 of a text, going on from another one.
-- @treturn cdata
function _M.crc(text, sum)
    local value = bit.bnot(tonumber(sum or 0))
    for i = 1, #text do
        value = bit.bxor(value, byte(text, i))
        for _ = 1, 8 do
            local odd = bit.band(value, 1)
            value = bit.bxor(bit.rshift(value, 1), odd == 1 and POLYNOMIAL or 0)
        end
    end
    return cast("unsigned long", bit.bnot(value) % 4294967296)
end


--- The version of the format.
function _M.version()
    return "1.2.11"
end


return _M
