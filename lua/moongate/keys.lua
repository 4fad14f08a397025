--- Keys of RSA, of elliptic curves and Ed25519: their forms and their parts.
--
-- A key is a table: `kind` ("rsa", "p256", "p384", "p521", "p256k1", "ed25519"), `spki` (the
-- public key in DER), `pkcs8` (if there is a private one), and `parts`, strings of bytes: RSA has
-- n, e and maybe d, p, q, dmp1, dmq1, iqmp; curves x, y and maybe d; Ed25519 x and maybe d.
-- @module moongate.keys
local asn1 = require("moongate.asn1")
local host = require("moongate.host")
local cjson = require("cjson.safe")

local b64_decode = host.crypto.base64url_decode
local b64_encode = host.crypto.base64url_encode
local byte = string.byte
local find = string.find
local gsub = string.gsub
local public = host.pkey.public
local rep = string.rep
local sub = string.sub
local type = type

local RSA = "1.2.840.113549.1.1.1"
local EC = "1.2.840.10045.2.1"
local ED25519 = "1.3.101.112"

local _M = {}

local CURVES = {
    p256 = { oid = "1.2.840.10045.3.1.7", bytes = 32, crv = "P-256", name = "prime256v1",
        nid = 415 },
    p384 = { oid = "1.3.132.0.34", bytes = 48, crv = "P-384", name = "secp384r1",
        nid = 715 },
    p521 = { oid = "1.3.132.0.35", bytes = 66, crv = "P-521", name = "secp521r1",
        nid = 716 },
    p256k1 = { oid = "1.3.132.0.10", bytes = 32, crv = "secp256k1", name = "secp256k1",
        nid = 714 },
}
_M.CURVES = CURVES

local RSA_PARTS = { "n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp" }
local JWK_PARTS = { n = "n", e = "e", d = "d", p = "p", q = "q", dmp1 = "dp", dmq1 = "dq",
                    iqmp = "qi" }


local function curve_of(value, field)
    for kind, curve in pairs(CURVES) do
        if curve[field] == value then
            return kind, curve
        end
    end
end


local function fill_up(bytes, length)
    bytes = gsub(bytes, "^%z+", "")
    return rep("\0", length - #bytes) .. bytes
end


local function rsa_algorithm()
    return asn1.sequence(asn1.oid(RSA), asn1.write(asn1.NULL))
end


local function rsa_pkcs1(parts)
    local numbers = { asn1.integer("\0") }
    for _, name in ipairs(RSA_PARTS) do
        numbers[#numbers + 1] = asn1.integer(parts[name])
    end
    return asn1.sequence(unpack(numbers))
end


local function pkcs8(algorithm, inner)
    return asn1.sequence(asn1.integer("\0"), algorithm, asn1.octets(inner))
end


local function finish_rsa(parts)
    local key = { kind = "rsa", parts = parts }
    key.spki = asn1.sequence(rsa_algorithm(), asn1.bits(
        asn1.sequence(asn1.integer(parts.n), asn1.integer(parts.e))))
    if parts.d then
        for _, name in ipairs(RSA_PARTS) do
            if not parts[name] then
                return nil, "the private RSA key has no " .. name
            end
        end
        key.pkcs1 = rsa_pkcs1(parts)
        key.pkcs8 = pkcs8(rsa_algorithm(), key.pkcs1)
    end
    return key
end


local function finish_ec(kind, parts)
    local curve = CURVES[kind]
    local key = { kind = kind, parts = parts }
    local algorithm = asn1.sequence(asn1.oid(EC), asn1.oid(curve.oid))
    if parts.d then
        parts.d = fill_up(parts.d, curve.bytes)
    end
    if not parts.x then
        local bare = asn1.sequence(asn1.integer("\1"), asn1.octets(parts.d),
                                   asn1.write(0xa0, asn1.oid(curve.oid)))
        local spki, err = public(kind, bare)
        if not spki then
            return nil, err
        end
        local point = sub(asn1.read(spki)[2].bytes, 2)
        parts.x = sub(point, 2, curve.bytes + 1)
        parts.y = sub(point, curve.bytes + 2)
    end
    parts.x, parts.y = fill_up(parts.x, curve.bytes), fill_up(parts.y, curve.bytes)
    if #parts.x ~= curve.bytes or #parts.y ~= curve.bytes then
        return nil, "the point does not belong to the curve"
    end
    local point = asn1.bits("\4" .. parts.x .. parts.y)
    key.spki = asn1.sequence(algorithm, point)
    if parts.d then
        key.sec1 = asn1.sequence(asn1.integer("\1"), asn1.octets(parts.d),
                                 asn1.write(0xa0, asn1.oid(curve.oid)), asn1.write(0xa1, point))
        key.pkcs8 = pkcs8(algorithm, asn1.sequence(asn1.integer("\1"), asn1.octets(parts.d),
                                                   asn1.write(0xa1, point)))
    end
    return key
end


local function finish_ed(parts)
    local algorithm = asn1.sequence(asn1.oid(ED25519))
    local key = { kind = "ed25519", parts = parts }
    if parts.d then
        key.pkcs8 = pkcs8(algorithm, asn1.octets(parts.d))
        if not parts.x then
            local spki, err = public("ed25519", key.pkcs8)
            if not spki then
                return nil, err
            end
            parts.x = sub(asn1.read(spki)[2].bytes, 2)
        end
    end
    if #(parts.x or "") ~= 32 then
        return nil, "an Ed25519 key has 32 bytes"
    end
    key.spki = asn1.sequence(algorithm, asn1.bits(parts.x))
    return key
end


local function rsa_numbers(node, from)
    local parts = {}
    for i, name in ipairs(RSA_PARTS) do
        local number = node[from + i - 1]
        if number and number.tag == asn1.INTEGER then
            parts[name] = asn1.unsigned(number)
        end
    end
    if not parts.n or not parts.e then
        return nil, "no RSA key"
    end
    return finish_rsa(parts)
end


local function ec_private(node, kind)
    local parts = {}
    if not node or not node[2] or node[2].tag ~= asn1.OCTET_STRING then
        return nil, "no EC key"
    end
    parts.d = node[2].bytes
    for i = 3, #node do
        local inner = node[i][1]
        if node[i].tag == 0xa0 and inner then
            kind = curve_of(asn1.oid_text(inner.bytes), "oid") or kind
        elseif node[i].tag == 0xa1 and inner and byte(inner.bytes, 2) == 4 then
            local point = sub(inner.bytes, 3)
            parts.x, parts.y = sub(point, 1, #point / 2), sub(point, #point / 2 + 1)
        end
    end
    if not kind then
        return nil, "the curve is not supported: P-256, P-384, P-521 and secp256k1 are"
    end
    return finish_ec(kind, parts)
end


-- SubjectPublicKeyInfo and PKCS #8 name the algorithm alike; `value` is what is inside.
local function by_algorithm(algorithm, value, private)
    local oid = algorithm[1] and algorithm[1].tag == asn1.OID and asn1.oid_text(algorithm[1].bytes)
    if oid == RSA then
        local node = asn1.read(value)
        if not node then
            return nil, "no RSA key"
        end
        return rsa_numbers(node, private and 2 or 1)
    elseif oid == ED25519 then
        if private then
            local inner = asn1.read(value)
            return finish_ed({ d = inner and inner.bytes or "" })
        end
        return finish_ed({ x = value })
    elseif oid == EC then
        local kind, curve = curve_of(algorithm[2] and asn1.oid_text(algorithm[2].bytes), "oid")
        if private then
            return ec_private(asn1.read(value), kind)
        end
        if not kind then
            return nil, "the curve is not supported: P-256, P-384, P-521 and secp256k1 are"
        end
        if byte(value) ~= 4 or #value ~= 2 * curve.bytes + 1 then
            return nil, "the point is not written in full"
        end
        return finish_ec(kind, { x = sub(value, 2, curve.bytes + 1),
                                 y = sub(value, curve.bytes + 2) })
    end
    return nil, "the algorithm " .. (oid or "of the key")
                .. " is not supported: RSA, EC and Ed25519 are"
end


--- A key in DER, in whatever form.
-- @treturn table|nil
-- @treturn nil|string error
function _M.from_der(der)
    local node = asn1.read(der)
    if not node or node.tag ~= asn1.SEQUENCE or not node[1] then
        return nil, "no key in the DER text"
    end
    local first, second, third = node[1], node[2], node[3]
    if first.tag == asn1.SEQUENCE and second and second.tag == asn1.BIT_STRING then
        return by_algorithm(first, sub(second.bytes, 2), false)
    elseif first.tag == asn1.SEQUENCE and second and second.tag == asn1.SEQUENCE then
        -- A certificate: the key is the element that has an algorithm and bits.
        for _, part in ipairs(first) do
            if part.tag == asn1.SEQUENCE and #part == 2 and part[1].tag == asn1.SEQUENCE
               and part[2].tag == asn1.BIT_STRING then
                return by_algorithm(part[1], sub(part[2].bytes, 2), false)
            end
        end
    elseif first.tag == asn1.INTEGER and second and second.tag == asn1.SEQUENCE and third then
        return by_algorithm(second, third.bytes, true)
    elseif first.tag == asn1.INTEGER and second and second.tag == asn1.OCTET_STRING then
        return ec_private(node)
    elseif first.tag == asn1.INTEGER and #node >= 9 then
        return rsa_numbers(node, 2)
    elseif first.tag == asn1.INTEGER and #node == 2 then
        return rsa_numbers(node, 1)
    end
    return nil, "no key in the DER text"
end


--- A key in PEM.
function _M.from_pem(text)
    local from = 1
    while true do
        local kind, der, headers = asn1.pem(sub(text, from))
        if not kind then
            return nil, "no key in the PEM text"
        end
        if find(kind .. (headers or ""), "ENCRYPTED", 1, true) then
            return nil, "not supported: private keys with a passphrase"
        end
        if kind ~= "EC PARAMETERS" then
            return _M.from_der(der)
        end
        local _, to = find(text, "-----END EC PARAMETERS", from, true)
        from = to + 1
    end
end


--- A key as JSON Web Key: a table or its text.
function _M.from_jwk(jwk)
    if type(jwk) == "string" then
        jwk = cjson.decode(jwk)
    end
    if type(jwk) ~= "table" then
        return nil, "no JSON Web Key"
    end
    local parts = {}
    if jwk.kty == "RSA" then
        for part, name in pairs(JWK_PARTS) do
            parts[part] = type(jwk[name]) == "string" and b64_decode(jwk[name]) or nil
        end
        if not parts.n or not parts.e then
            return nil, 'at least "n" and "e" parameter is required'
        end
        return finish_rsa(parts)
    end
    for _, name in ipairs({ "x", "y", "d" }) do
        parts[name] = type(jwk[name]) == "string" and b64_decode(jwk[name]) or nil
    end
    if jwk.kty == "OKP" and jwk.crv == "Ed25519" then
        return finish_ed(parts)
    elseif jwk.kty == "EC" then
        local kind = curve_of(jwk.crv, "crv")
        if not kind then
            return nil, "the curve " .. tostring(jwk.crv) .. " is not supported"
        end
        if not parts.d and not (parts.x and parts.y) then
            return nil, 'at least "x" and "y" parameter is required'
        end
        return finish_ec(kind, parts)
    end
    return nil, "not yet supported jwk type \"" .. tostring(jwk.kty) .. "\""
end


--- The JSON Web Key of a key, as a table.
function _M.to_jwk(key, private)
    local parts = key.parts
    if key.kind == "rsa" then
        local jwk = { kty = "RSA" }
        for part, name in pairs(JWK_PARTS) do
            if part == "n" or part == "e" or private then
                jwk[name] = parts[part] and b64_encode(parts[part])
            end
        end
        return jwk
    end
    local curve = CURVES[key.kind]
    return {
        kty = curve and "EC" or "OKP",
        crv = curve and curve.crv or "Ed25519",
        x = b64_encode(parts.x),
        y = parts.y and b64_encode(parts.y),
        d = private and parts.d and b64_encode(parts.d) or nil,
    }
end


--- The curve's kind by one of its names.
function _M.curve_kind(name)
    return curve_of(name, "name") or curve_of(name, "crv")
           or (name == "P-256" or name == "secp256r1") and "p256" or nil
end


return _M
