--- `ngx.base64`: base64 with the alphabet for URLs.
-- @module ngx.base64
local host = require("moongate.host")

local decode = host.crypto.base64url_decode
local decode_mime = require("moongate.api.text").decode_base64mime
local encode = host.crypto.base64url_encode
local type = type

local NO_STRING = "must provide a string"

local _M = { version = "0.1.28" }


--- Base64 with the alphabet for URLs and no padding.
function _M.encode_base64url(bytes)
    if type(bytes) ~= "string" then
        return nil, NO_STRING
    end
    return encode(bytes)
end


--- The bytes behind a text, whatever else stands between its letters.
function _M.decode_base64mime(text)
    if type(text) ~= "string" then
        return nil, NO_STRING
    end
    return decode_mime(text)
end


--- The bytes behind a text.
-- @treturn string|nil
-- @treturn nil|string "invalid input"
function _M.decode_base64url(text)
    if type(text) ~= "string" then
        return nil, NO_STRING
    end
    local bytes = decode(text)
    if bytes == nil then
        return nil, "invalid input"
    end
    return bytes
end


return _M
