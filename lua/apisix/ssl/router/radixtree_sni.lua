--- `apisix.ssl.router.radixtree_sni`: exists by name. Certificates are picked in Rust.
-- @module apisix.ssl.router.radixtree_sni
local unsupported = require("moongate.unsupported")

return unsupported.fill({}, "apisix.ssl.router.radixtree_sni.", {
    "set_cert_and_key", "set_pem_ssl_key", "match_and_set", "set", "ssls",
}, "not available: handshakes are answered in Rust")
