--- `apisix.utils.content-decode`: undoing a Content-Encoding.
-- @module apisix.utils.content-decode
local host = require("moongate.host")

local deflate = host.deflate

-- Bytes that one body may grow to.
local INFLATED_MAX = 64 * 1024 * 1024

local _M = {}


local function decoder(name, inflate)
    return function(data)
        local text, err = inflate(data, INFLATED_MAX)
        if not text then
            return nil, name .. " err: " .. err
        end
        return text
    end
end


local decoders = {
    gzip = decoder("inflate gzip", deflate.inflate_gzip),
    deflate = decoder("inflate deflate", deflate.inflate_deflate),
    br = deflate.inflate_brotli and decoder("brotli decode", deflate.inflate_brotli),
}


--- The function for an encoding: data -> text | nil, error. nil for one not known.
function _M.dispatch_decoder(encoding)
    return decoders[encoding] or nil
end


return _M
