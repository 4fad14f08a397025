--- `resty.openssl`: the door to the modules of this family.
--
-- The work is done by the gateway's own library (AWS-LC), so there is no OpenSSL to load. What
-- that library does not offer raises or returns "not supported: NAME".
-- @module resty.openssl
local _M = { _VERSION = "1.5.1" }


--- Loads all modules of the family into this table.
function _M.load_modules()
    for _, name in ipairs({ "bn", "cipher", "digest", "hmac", "kdf", "mac", "pkey", "rand",
                            "version" }) do
        _M[name] = require("resty.openssl." .. name)
    end
    return _M
end


function _M.load_library()
    return "aws-lc"
end


--- What encoded digests, ciphers and kinds of keys there are.
-- @tparam string kind "cipher", "digest", "mac" or "kdf"
function _M.list_algorithms(kind)
    local lists = {
        digest = { "md5", "sha1", "sha224", "sha256", "sha384", "sha512" },
        mac = { "HMAC" },
        kdf = { "HKDF", "PBKDF2" },
        cipher = {},
    }
    for _, bits in ipairs({ 128, 192, 256 }) do
        for _, mode in ipairs({ "cbc", "cfb", "ctr", "ecb", "gcm", "ofb" }) do
            lists.cipher[#lists.cipher + 1] = "aes-" .. bits .. "-" .. mode
        end
    end
    return lists[kind] or {}
end


function _M.get_fips_mode()
    return false
end


return require("moongate.unsupported").absent(_M, "resty.openssl.", {
    "set_fips_mode", "set_default_properties", "resty_hmac_compat", "list_ssl_ciphers",
},
    "its crypto library is not OpenSSL")
