--- `resty.rsa`: RSA with keys in PEM.
-- @module resty.rsa
local pkey = require("resty.openssl.pkey")

local lower = string.lower
local setmetatable = setmetatable

local _M = {
    _VERSION = "1.1.0",
    PADDING = { RSA_PKCS1_PADDING = 1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3,
                RSA_PKCS1_OAEP_PADDING = 4 },
    KEY_TYPE = { PKCS1 = "PKCS#1", PKCS8 = "PKCS#8" },
}
local mt = { __index = _M }


--- A key pair.
-- @tparam number bits 2048, 3072, 4096 or 8192
-- @tparam[opt] boolean pkcs8 in the newer forms
-- @treturn string|nil public key
-- @treturn string private key, or the error
function _M:generate_rsa_keys(bits, pkcs8)
    local key, err = pkey.new({ type = "RSA", bits = bits })
    if not key then
        return nil, err
    end
    return key:to_PEM("public", not pkcs8), key:to_PEM("private", not pkcs8)
end


--- A key for one thing to do.
-- @tparam table opts `public_key` or `private_key`, `padding`, `algorithm` ("SHA256"), `key_type`
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(opts)
    local text = opts.public_key or opts.private_key
    if not text then
        return nil, "public_key or private_key is needed"
    elseif opts.password then
        return nil, "not supported: private keys with a password"
    end
    local key, err = pkey.new(text)
    if not key then
        return nil, err
    end
    return setmetatable({ key = key, padding = opts.padding,
                          algorithm = opts.algorithm and lower(opts.algorithm) }, mt)
end


function _M:encrypt(text)
    return self.key:encrypt(text, self.padding)
end


function _M:decrypt(text)
    return self.key:decrypt(text, self.padding)
end


function _M:sign(text)
    return self.key:sign(text, self.algorithm, self.padding)
end


--- Whether the signature is good.
-- @treturn boolean
-- @treturn nil|string error
function _M:verify(text, signature)
    local good, err = self.key:verify(signature, text, self.algorithm, self.padding)
    return good == true, err or (not good and "the signature does not fit" or nil)
end


return _M
