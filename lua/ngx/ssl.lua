--- `ngx.ssl`: handshakes are answered in Rust from the ssl objects.
--
-- Certificates and keys for `setclientcert` stay the PEM texts they are.
-- @module ngx.ssl
local host = require("moongate.host")
local unsupported = require("moongate.unsupported")

local concat = table.concat
local decode = host.crypto.base64_decode
local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local type = type

local _M = unsupported.fill({
    version = "0.1.28",
    SSL3_VERSION = 0x0300,
    TLS1_VERSION = 0x0301,
    TLS1_1_VERSION = 0x0302,
    TLS1_2_VERSION = 0x0303,
    TLS1_3_VERSION = 0x0304,
}, "ngx.ssl.", {
    "clear_certs", "set_cert", "set_priv_key", "set_der_cert", "set_der_priv_key",
    "server_name", "raw_server_addr", "raw_client_addr", "get_tls1_version",
    "get_tls1_version_str", "verify_client", "server_port", "export_keying_material",
    "get_client_random", "get_req_ssl_pointer",
}, "not available in moongate: handshakes are answered from the ssl objects, without Lua")


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


--- The bytes of all PEM blocks whose label ends with `label`, one after the other.
local function der_of(pem, label)
    if type(pem) ~= "string" then
        return nil
    end
    local parts = {}
    for body in gmatch(pem, "%-%-%-%-%-BEGIN [%u ]-" .. label .. "%-%-%-%-%-(.-)%-%-%-%-%-END") do
        local bytes = decode((gsub(body, "%s", "")))
        if not bytes then
            return nil
        end
        parts[#parts + 1] = bytes
    end
    return parts[1] and concat(parts)
end


--- A certificate chain as DER, its certificates one after the other.
-- @treturn string|nil
-- @treturn nil|string error
function _M.cert_pem_to_der(pem)
    local der = der_of(pem, "CERTIFICATE")
    if not der then
        return nil, "no certificate in the PEM text"
    end
    return der
end


--- A private key as DER. One that is protected by a password is refused.
-- @treturn string|nil
-- @treturn nil|string error
function _M.priv_key_pem_to_der(pem)
    local der = der_of(pem, "PRIVATE KEY")
    if not der or find(pem, "ENCRYPTED", 1, true) then
        return nil, "no private key without a password in the PEM text"
    end
    return der
end


return _M
