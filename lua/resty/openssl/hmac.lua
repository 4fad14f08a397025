--- `resty.openssl.hmac`: the older name of `resty.openssl.mac`.
-- @module resty.openssl.hmac
local mac = require("resty.openssl.mac")

local _M = {}


--- Starts a code.
-- @tparam string key
-- @tparam[opt="sha1"] string digest
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(key, digest)
    local made, err = mac.new(key, "HMAC", nil, digest or "sha1")
    if not made then
        return nil, (err:gsub("^mac%.new", "hmac.new"))
    end
    return made
end


_M.istype = mac.istype

return _M
