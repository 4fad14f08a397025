--- `ngx.ssl`: certificates and keys, and what belongs to a handshake.
--
-- Handshakes are answered in Rust from the ssl objects. What asks about one answers as it does for
-- a connection without TLS. Certificates and keys for `setclientcert` are PEM texts.
-- @module ngx.ssl
local asn1 = require("moongate.asn1")
local keys = require("moongate.keys")
local unsupported = require("moongate.unsupported")
local x509 = require("moongate.x509")

local concat = table.concat
local error = error
local find = string.find
local sub = string.sub
local type = type

local CERTIFICATE = "%-%-%-%-%-BEGIN [%u ]-CERTIFICATE%-%-%-%-%-.-"
                    .. "%-%-%-%-%-END [%u ]-CERTIFICATE%-%-%-%-%-"
local NO_TLS = "bad request"
local WHY = "not available in moongate: handshakes are answered from the ssl objects, without Lua"

local _M = {
    version = "0.1.28",
    SSL3_VERSION = 0x0300,
    TLS1_VERSION = 0x0301,
    TLS1_1_VERSION = 0x0302,
    TLS1_2_VERSION = 0x0303,
    TLS1_3_VERSION = 0x0304,
}

for _, name in ipairs({ "clear_certs", "set_cert", "set_priv_key", "set_der_cert",
    "set_der_priv_key", "server_name", "server_port", "get_tls1_version", "get_tls1_version_str",
    "export_keying_material", "export_keying_material_early",
    "get_client_random", "get_req_ssl_pointer", "get_shared_ssl_ciphers" }) do
    _M[name] = unsupported.refuse("ngx.ssl." .. name, WHY, nil, NO_TLS)
end
_M.verify_client = unsupported.refuse("ngx.ssl.verify_client", WHY, nil,
                                      "API disabled in the current context")
for _, name in ipairs({ "raw_server_addr", "raw_client_addr" }) do
    _M[name] = unsupported.refuse("ngx.ssl." .. name, WHY, nil, nil, NO_TLS)
end


local function need_text(value, name)
    if type(value) ~= "string" then
        error("bad argument #1 to '" .. name .. "' (string expected, got " .. type(value) .. ")", 3)
    end
end


-- The DER of all certificates of a PEM text, which must be nothing else.
local function certificates(pem)
    local found, at = {}, 1
    while true do
        local from, to = find(pem, CERTIFICATE, at)
        if not from then
            return found[1] and found
        end
        local _, der = asn1.pem(sub(pem, from, to))
        if not der or not x509.of_node(asn1.read(der)) then
            return nil
        end
        found[#found + 1] = der
        at = to + 1
    end
end


--- A certificate chain for `setclientcert`.
-- @treturn string|nil
-- @treturn nil|string error
function _M.parse_pem_cert(pem)
    need_text(pem, "parse_pem_cert")
    if not certificates(pem) then
        return nil, "PEM_read_bio_X509_AUX() failed"
    end
    return pem
end


--- A private key for `setclientcert`.
-- @treturn string|nil
-- @treturn nil|string error
function _M.parse_pem_priv_key(pem)
    need_text(pem, "parse_pem_priv_key")
    local key = keys.from_pem(pem)
    if not key or not key.pkcs8 then
        return nil, "PEM_read_bio_PrivateKey() failed"
    end
    return pem
end


--- A certificate chain in DER for `setclientcert`.
function _M.parse_der_cert(der)
    need_text(der, "parse_der_cert")
    local chain = x509.chain(der)
    if not chain or not chain[1] then
        return nil, "d2i_X509_bio() failed"
    end
    local parts = {}
    for i, cert in ipairs(chain) do
        parts[i] = asn1.to_pem("CERTIFICATE", cert.der)
    end
    return concat(parts)
end


--- A private key in DER for `setclientcert`.
function _M.parse_der_priv_key(der)
    need_text(der, "parse_der_priv_key")
    local key = keys.from_der(der)
    if not key or not key.pkcs8 then
        return nil, "d2i_PrivateKey_bio() failed"
    end
    return asn1.to_pem("PRIVATE KEY", key.pkcs8)
end


--- A certificate chain as DER, its certificates one after the other.
-- @treturn string|nil
-- @treturn nil|string error
function _M.cert_pem_to_der(pem)
    need_text(pem, "cert_pem_to_der")
    local found = certificates(pem)
    if not found then
        return nil, "PEM_read_bio_X509_AUX() failed"
    end
    return concat(found)
end


--- A private key as DER, in the form of its own kind. One that is protected by a password is
-- refused: nothing here decrypts it.
-- @treturn string|nil
-- @treturn nil|string error
function _M.priv_key_pem_to_der(pem)
    need_text(pem, "priv_key_pem_to_der")
    local key = keys.from_pem(pem)
    local der = key and (key.pkcs1 or key.sec1 or key.pkcs8)
    if not der then
        return nil, "PEM_read_bio_PrivateKey() failed"
    end
    return der
end


return _M
