--- `resty.openssl.x509`: exists by name only.
-- @module resty.openssl.x509
return require("moongate.unsupported").absent({}, "resty.openssl.x509.", { "new", "dup", "istype" })
