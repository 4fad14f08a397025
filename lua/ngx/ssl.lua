--- `ngx.ssl`: handshakes are answered in Rust from the ssl objects.
--
-- Certificates and keys for `setclientcert` stay the PEM texts they are.
-- @module ngx.ssl
local unsupported = require("moongate.unsupported")

local find = string.find
local type = type

local _M = unsupported.fill({ version = "0.1.28" }, "ngx.ssl.", {
    "clear_certs", "set_cert", "set_priv_key", "set_der_cert", "set_der_priv_key",
    "cert_pem_to_der", "priv_key_pem_to_der", "server_name", "raw_server_addr",
    "raw_client_addr", "get_tls1_version", "get_tls1_version_str", "verify_client",
    "server_port", "export_keying_material",
})


--- A certificate chain for `setclientcert`.
-- @treturn string|nil
-- @treturn nil|string error
function _M.parse_pem_cert(pem)
    if type(pem) ~= "string" or not find(pem, "-----BEGIN CERTIFICATE-----", 1, true) then
        return nil, "no certificate in the PEM text"
    end
    return pem
end


--- A private key for `setclientcert`.
-- @treturn string|nil
-- @treturn nil|string error
function _M.parse_pem_priv_key(pem)
    if type(pem) ~= "string" or not find(pem, "-----BEGIN [%u ]*PRIVATE KEY-----") then
        return nil, "no private key in the PEM text"
    end
    return pem
end


return _M
