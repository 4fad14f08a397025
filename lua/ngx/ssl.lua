--- `ngx.ssl`: handshakes are answered in Rust from the ssl objects.
-- @module ngx.ssl
local unsupported = require("moongate.unsupported")

return unsupported.fill({ version = "0.1.28" }, "ngx.ssl.", {
    "clear_certs", "parse_pem_cert", "parse_pem_priv_key", "set_cert", "set_priv_key",
    "set_der_cert", "set_der_priv_key", "cert_pem_to_der", "priv_key_pem_to_der",
    "server_name", "raw_server_addr", "raw_client_addr", "get_tls1_version",
    "get_tls1_version_str", "verify_client", "server_port", "export_keying_material",
})
