--- Certificates, as far as `ngx.ocsp` looks into them.
--
-- A certificate is a table: `der`, `serial` (the bytes of the number), `issuer` and `subject` (the
-- names in DER), `spki`, `key_bits` (the bytes of the public key), `extensions` (bytes by OID).
-- @module moongate.x509
local asn1 = require("moongate.asn1")
local keys = require("moongate.keys")
local host = require("moongate.host")

local ipairs = ipairs
local sub = string.sub
local verify = host.pkey.verify

local VERSION_TAG = 0xa0
local EXTENSIONS_TAG = 0xa3

-- Signature algorithms by OID: the scheme of `host.pkey`, where %s stands for the kind of the key.
local SCHEMES = {
    ["1.2.840.113549.1.1.5"] = "rsa-pkcs1-sha1",
    ["1.2.840.113549.1.1.11"] = "rsa-pkcs1-sha256",
    ["1.2.840.113549.1.1.12"] = "rsa-pkcs1-sha384",
    ["1.2.840.113549.1.1.13"] = "rsa-pkcs1-sha512",
    ["1.2.840.10045.4.3.2"] = "ecdsa-%s-sha256",
    ["1.2.840.10045.4.3.3"] = "ecdsa-%s-sha384",
    ["1.2.840.10045.4.3.4"] = "ecdsa-%s-sha512",
    ["1.3.101.112"] = "ed25519",
}

local _M = {
    AUTHORITY_KEY = "2.5.29.35", SUBJECT_KEY = "2.5.29.14", EXTENDED_USAGE = "2.5.29.37",
    AUTHORITY_INFO = "1.3.6.1.5.5.7.1.1",
}


local function extensions_of(part)
    local found = {}
    for _, extension in ipairs(part and part[1] or {}) do
        local id, value = extension[1], extension[#extension]
        if id and id.tag == asn1.OID and value.tag == asn1.OCTET_STRING then
            found[asn1.oid_text(id.bytes)] = value.bytes
        end
    end
    return found
end


--- Reads a certificate that was read as ASN.1 before.
-- @treturn table|nil nil if it is none
function _M.of_node(node)
    local signed = node and node[1]
    if not signed or signed.tag ~= asn1.SEQUENCE or #node ~= 3 then
        return nil
    end
    local at = signed[1] and signed[1].tag == VERSION_TAG and 2 or 1
    local serial, issuer, subject = signed[at], signed[at + 2], signed[at + 4]
    local spki = signed[at + 5]
    if not spki or serial.tag ~= asn1.INTEGER or not spki[2]
        or spki[2].tag ~= asn1.BIT_STRING
    then
        return nil
    end

    local last = signed[#signed]
    return {
        der = node.all,
        signed = signed.all,
        algorithm = node[2],
        signature = sub(node[3].bytes, 2),
        serial = serial.bytes,
        issuer = issuer.all,
        subject = subject.all,
        spki = spki.all,
        key_bits = sub(spki[2].bytes, 2),
        extensions = extensions_of(last.tag == EXTENSIONS_TAG and last or nil),
    }
end


--- Reads certificates that follow each other.
-- @treturn {table,...}|nil nil if something is no certificate
function _M.chain(der)
    local list, at = {}, 1
    while at <= #der do
        local node, after = asn1.read_at(der, at)
        local cert = _M.of_node(node)
        if not cert then
            return nil
        end
        list[#list + 1] = cert
        at = after
    end
    return list
end


--- Whether the names, and the key's number if it is given, say that `issuer` issued `cert`.
function _M.is_issuer(issuer, cert)
    if issuer.subject ~= cert.issuer then
        return false
    end
    local wanted = asn1.read(cert.extensions[_M.AUTHORITY_KEY] or "")
    local own = asn1.read(issuer.extensions[_M.SUBJECT_KEY] or "")
    local id = wanted and wanted[1]
    if not id or id.tag ~= 0x80 or not own then
        return true
    end
    return id.bytes == own.bytes
end


--- Whether `signature` over `text` was made with the key of `cert`.
-- @tparam table cert
-- @tparam table algorithm ASN.1 node
function _M.verify(cert, algorithm, text, signature)
    local id = algorithm[1]
    local scheme = id and SCHEMES[asn1.oid_text(id.bytes)]
    local key = keys.from_der(cert.spki)
    if not scheme or not key then
        return false
    end
    return verify(scheme:format(key.kind), key.spki, text, signature) == true
end


return _M
