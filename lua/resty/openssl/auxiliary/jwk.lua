--- `resty.openssl.auxiliary.jwk`: keys as JSON Web Keys.
-- @module resty.openssl.auxiliary.jwk
local cjson = require("cjson.safe")
local host = require("moongate.host")
local keys = require("moongate.keys")

local digest = host.crypto.digest
local encode = host.crypto.base64url_encode

local _M = {}


--- The text of a key, with a `kid` made of its bytes.
-- @tparam table key of `resty.openssl.pkey`
-- @tparam boolean private
-- @treturn string|nil
-- @treturn nil|string error
function _M.dump_jwk(key, private)
    if private and not key:is_private() then
        return nil, "jwk.dump_jwk: could not dump public key as private key"
    end
    local jwk = keys.to_jwk(key.key, private)
    jwk.kid = encode(digest("sha256", key:tostring(private and "private" or "public", "DER")))
    return cjson.encode(jwk)
end


--- The key of a text.
-- @treturn table|nil
-- @treturn nil|string error
function _M.load_jwk(text)
    return require("resty.openssl.pkey").new(text, { format = "JWK" })
end


return _M
