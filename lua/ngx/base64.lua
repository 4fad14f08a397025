--- `ngx.base64`: base64 with the alphabet for URLs.
-- @module ngx.base64
local host = require("moongate.host")

local decode = host.crypto.base64url_decode

local _M = {
    version = "0.1.28",
    encode_base64url = host.crypto.base64url_encode,
}


--- The bytes behind a text.
-- @treturn string|nil
-- @treturn nil|string "invalid input"
function _M.decode_base64url(text)
    local bytes = decode(text)
    if bytes == nil then
        return nil, "invalid input"
    end
    return bytes
end


return _M
