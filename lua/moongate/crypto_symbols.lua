--- Makes the functions of libcrypto callable by `ffi.C`, as they are in nginx.
--
-- nginx is linked with that library; moongate is not. Whoever declares one of its functions gets
-- the system's library loaded, once and for good; nobody else has it in memory.
-- @module moongate.crypto_symbols
local ffi = require("ffi")

local find = string.find
local ipairs = ipairs
local pcall = pcall

-- What the names of its functions begin with.
local PREFIXES = { "EVP_", "RAND_", "HMAC_", "MD5_", "SHA1_", "SHA224_", "SHA256_", "SHA384_",
                   "SHA512_", "AES_", "BIO_", "BN_", "PEM_", "X509_", "RSA_", "ASN1_", "ERR_" }
local LIBRARIES = { "libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so" }

local declare = ffi.cdef
local tried = false


local function wants(text)
    for _, prefix in ipairs(PREFIXES) do
        if find(text, "%f[%w_]" .. prefix .. "[%w_]+%s*%(") then
            return true
        end
    end
    return false
end


--- Declares types and functions, as it always does.
function ffi.cdef(text, ...)
    if not tried and type(text) == "string" and wants(text) then
        tried = true
        for _, name in ipairs(LIBRARIES) do
            if pcall(ffi.load, name, true) then
                break
            end
        end
    end
    return declare(text, ...)
end


return true
