--- `resty.openssl.version`: what library there is. Plugins choose their way by it.
-- @module resty.openssl.version
return {
    version_num = 0x30000000,
    version_text = "AWS-LC",
    OPENSSL_3X = true,
    OPENSSL_111_OR_LATER = true,
    OPENSSL_11_OR_LATER = true,
    OPENSSL_11 = false,
    OPENSSL_111 = false,
    BORINGSSL = false,
    version = function()
        return "AWS-LC"
    end,
}
