--- `ffi-zlib`: zlib and gzip streams, from an input function to an output function.
-- @module ffi-zlib
local host = require("moongate.host")

local concat = table.concat
local deflate = host.deflate
local min = math.min
local sub = string.sub

local CHUNK = 16384

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


local function write_all(text, output, size)
    for at = 1, #text, size do
        local _, err = output(sub(text, at, at + size - 1))
        if err then
            return false, "OUTPUT: " .. err
        end
    end
    return true
end


local function stream(work)
    return function(input, output, size, options)
        size = min(size or CHUNK, 1048576)
        local text, err = work(read_all(input, size), options or {})
        if not text then
            return false, "INFLATE: data error: " .. tostring(err)
        end
        return write_all(text, output, size)
    end
end


--- Unpacks gzip.
-- @tparam function input gives up to so many bytes, nil at the end
-- @tparam function output takes bytes
-- @tparam[opt=16384] number size
-- @treturn boolean
-- @treturn nil|string error
_M.inflateGzip = stream(function(text)
    return deflate.inflate_gzip(text, OUTPUT_BYTES_MAX)
end)

--- Unpacks zlib.
_M.inflateDeflate = stream(function(text)
    return deflate.inflate_deflate(text, OUTPUT_BYTES_MAX)
end)

--- Packs with gzip; `options.level` from 1 to 9.
_M.deflateGzip = stream(function(text, options)
    return deflate.gzip(text, options.level or 6)
end)

--- Packs with zlib.
_M.deflateDeflate = stream(function(text, options)
    return deflate.deflate(text, options.level or 6)
end)


--- The version of the format.
function _M.version()
    return "1.2.11"
end


return require("moongate.unsupported").absent(_M, "ffi-zlib.", { "adler", "crc" },
    "there are no structures of zlib's to pass; see ngx.crc32_long")
