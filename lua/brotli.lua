--- `brotli`: streams of Brotli (RFC 7932).
--
--     local packer = require("brotli").compressor:new({ quality = 6 })
--     local text = packer:compress("a") .. packer:flush() .. packer:finish()
--     local plain = require("brotli").decompressor:new():decompress(text)
-- @module brotli
local host = require("moongate.host")

local brotli = host.brotli

local _M = { _VERSION = "0.3.0" }


--- Packs: `compress(piece)`, `flush()` and `finish()` give what has come out so far.
_M.compressor = {
    BROTLI_MODE_GENERIC = 0, BROTLI_MODE_TEXT = 1, BROTLI_MODE_FONT = 2,

    --- A stream.
    -- @tparam[opt] table options `mode`, `quality` (0 to 11), `lgwin` (10 to 24), `lgblock`
    -- @treturn userdata
    -- @raise if an option is out of its range
    new = function(_, options)
        return brotli.packer(options)
    end,
}

--- Unpacks: `decompress(piece)` and `finish()` give what has come out so far, and raise if the
-- text is no such stream.
_M.decompressor = {
    --- A stream.
    -- @treturn userdata
    new = function()
        return brotli.unpacker()
    end,
}


--- Packs a text.
-- @tparam string text
-- @tparam[opt] table options as for a stream
-- @treturn string
function _M.compress(text, options)
    local packer = brotli.packer(options)
    return packer:compress(text) .. packer:finish()
end


--- Unpacks a text.
-- @treturn string
-- @raise if it is none
function _M.decompress(text)
    local unpacker = brotli.unpacker()
    return unpacker:decompress(text) .. unpacker:finish()
end


return _M
