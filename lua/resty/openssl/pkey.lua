--- `resty.openssl.pkey`: keys of RSA, elliptic curves and Ed25519.
-- @module resty.openssl.pkey
local bn = require("resty.openssl.bn")
local asn1 = require("moongate.asn1")
local cjson = require("cjson.safe")
local digest_module = require("resty.openssl.digest")
local host = require("moongate.host")
local keys = require("moongate.keys")

local find = string.find
local lower = string.lower
local pkey = host.pkey
local setmetatable = setmetatable
local tostring = tostring
local type = type

local PADDINGS = {
    RSA_PKCS1_PADDING = 1, RSA_SSLV23_PADDING = 2, RSA_NO_PADDING = 3,
    RSA_PKCS1_OAEP_PADDING = 4, RSA_X931_PADDING = 5, RSA_PKCS1_PSS_PADDING = 6,
}

local TYPES = {
    rsa = { id = 6, nid = 6, sn = "rsaEncryption", ln = "rsaEncryption" },
    ec = { id = 408, nid = 408, sn = "id-ecPublicKey", ln = "id-ecPublicKey" },
    ed25519 = { id = 1087, nid = 1087, sn = "ED25519", ln = "ED25519" },
}

-- Which digest goes with which curve; the library signs with no other.
local CURVE_DIGESTS = { p256 = "sha256", p256k1 = "sha256", p384 = "sha384", p521 = "sha512" }

local _M = { PADDINGS = PADDINGS }
for name, number in pairs(PADDINGS) do
    _M[name] = number
end
local mt = { __index = _M, __tostring = function(self) return self:tostring("public") end }


local function wrap(key, err)
    if not key then
        return nil, "pkey.new:load_key: " .. err
    end
    return setmetatable({ key = key, key_type = (TYPES[key.kind] or TYPES.ec).id }, mt)
end


local function generate(opts)
    local kind = opts.type and lower(opts.type) or "rsa"
    local name
    if kind == "rsa" then
        name = "rsa-" .. (opts.bits or 2048)
    elseif kind == "ec" then
        name = keys.curve_kind(opts.curve or "prime192v1") or opts.curve or "prime192v1"
    else
        name = kind
    end
    local der, err = pkey.generate(name)
    if not der then
        return nil, "pkey.new:generate_key: " .. err
    end
    return wrap(keys.from_der(der))
end


-- Tries the form that was named, or all.
local function load(text, format)
    format = format or "*"
    local key, err
    if format == "PEM" or (format == "*" and find(text, "-----BEGIN", 1, true)) then
        key, err = keys.from_pem(text)
    elseif format == "JWK" or (format == "*" and find(text, "^%s*{")) then
        key, err = keys.from_jwk(text)
    else
        key, err = keys.from_der(text)
    end
    return key, err
end


--- A key: read, or made anew.
-- @tparam[opt] string|table value PEM, DER or JWK; or `{ type = "RSA", bits = 2048 }`,
--   `{ type = "EC", curve = "prime256v1" }`, `{ type = "Ed25519" }`
-- @tparam[opt] table opts `format` ("PEM", "DER", "JWK"), `type` ("pr", "pu")
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(value, opts)
    if value == nil then
        return generate({})
    elseif type(value) == "table" then
        return generate(value)
    elseif type(value) ~= "string" then
        return nil, "pkey.new: unexpected type " .. type(value) .. " at #1"
    end
    local key, err = load(value, opts and opts.format)
    if key and opts and opts.type == "pr" and not key.pkcs8 then
        key, err = nil, "no private key in the text"
    elseif key and opts and opts.type == "pu" then
        key = { kind = key.kind, spki = key.spki, parts = { n = key.parts.n, e = key.parts.e,
                                                            x = key.parts.x, y = key.parts.y } }
    end
    return wrap(key, err)
end


function _M.istype(value)
    return type(value) == "table" and getmetatable(value) == mt
end


function _M:is_private()
    return self.key.pkcs8 ~= nil
end


--- What kind of key it is.
-- @tparam[opt] boolean nid_only the number alone
function _M:get_key_type(nid_only)
    local found = TYPES[self.key.kind] or TYPES.ec
    return nid_only and found.nid or found
end


--- Bytes of a signature or of the modulus.
function _M:get_size()
    local curve = keys.CURVES[self.key.kind]
    if curve then
        return 2 * curve.bytes + 8
    end
    return self.key.parts.n and #self.key.parts.n or 64
end


function _M:get_default_digest_type()
    return { sn = "SHA256", ln = "sha256", nid = 672, id = "2.16.840.1.101.3.4.2.1",
             mandatory = false }
end


--- Its parts: numbers of RSA and of curves are `resty.openssl.bn`.
function _M:get_parameters()
    local parts, found = self.key.parts, {}
    local curve = keys.CURVES[self.key.kind]
    if self.key.kind == "rsa" then
        for name, bytes in pairs(parts) do
            found[name] = bn.from_binary(bytes)
        end
    elseif curve then
        found.group = curve.nid
        found.x, found.y = bn.from_binary(parts.x), bn.from_binary(parts.y)
        found.public = bn.from_binary("\4" .. parts.x .. parts.y)
        found.private = parts.d and bn.from_binary(parts.d)
    else
        found.public, found.private = parts.x, parts.d
    end
    return found
end


-- The name of how this key signs, or why it does not.
local function scheme_of(self, md, padding, opts)
    local kind = self.key.kind
    if kind == "ed25519" then
        return "ed25519"
    elseif kind ~= "rsa" then
        md = md or CURVE_DIGESTS[kind]
        local raw = opts and opts.ecdsa_use_raw and "-raw" or ""
        return "ecdsa-" .. kind .. "-" .. md .. raw
    end
    md = md or "sha256"
    if padding == nil or padding == PADDINGS.RSA_PKCS1_PADDING then
        return "rsa-pkcs1-" .. md
    elseif padding == PADDINGS.RSA_PKCS1_PSS_PADDING then
        return "rsa-pss-" .. md
    end
    return nil, "not supported: padding " .. tostring(padding)
end


local function text_and_md(value, md)
    if digest_module.istype(value) then
        return value:text(), value.name
    elseif type(value) ~= "string" then
        return nil, "expect a digest instance or a string at #1"
    end
    return value, md and lower(md)
end


--- Signs a text, or what a digest was given.
-- @tparam table|string value a `resty.openssl.digest`, or the text itself
-- @tparam[opt] string md digest of a text
-- @tparam[opt] number padding one of `PADDINGS`, for RSA
-- @tparam[opt] table opts `ecdsa_use_raw`
-- @treturn string|nil
-- @treturn nil|string error
function _M:sign(value, md, padding, opts)
    local text, name = text_and_md(value, md)
    if not text then
        return nil, "pkey:sign: " .. name
    elseif not self.key.pkcs8 then
        return nil, "pkey:sign: the key is not a private one"
    end
    local scheme, err = scheme_of(self, name, padding, opts)
    local made
    if scheme then
        made, err = pkey.sign(scheme, self.key.pkcs8, text)
    end
    if not made then
        return nil, "pkey:sign: " .. err
    end
    return made
end


--- Whether a signature is that of a text.
-- @treturn boolean|nil
-- @treturn nil|string error
function _M:verify(signature, value, md, padding, opts)
    if type(signature) ~= "string" then
        return nil, "pkey:verify: expect a string at #1"
    end
    local text, name = text_and_md(value, md)
    if not text then
        return nil, "pkey:verify: " .. name
    end
    local scheme, err = scheme_of(self, name, padding, opts)
    if not scheme then
        return nil, "pkey:verify: " .. err
    end
    local good
    good, err = pkey.verify(scheme, self.key.spki, text, signature)
    if good == nil then
        return nil, "pkey:verify: " .. err
    elseif not good then
        return false, "pkey:verify failed"
    end
    return true
end


local function padding_of(padding, opts)
    if padding == nil or padding == PADDINGS.RSA_PKCS1_PADDING then
        return "pkcs1"
    elseif padding == PADDINGS.RSA_PKCS1_OAEP_PADDING then
        return "oaep-" .. lower(opts and opts.oaep_md or "sha1")
    end
    return nil, "not supported: padding " .. tostring(padding)
end


local function crypt(self, name, func, der, text, padding, opts)
    local form, err = padding_of(padding, opts)
    if self.key.kind ~= "rsa" then
        form, err = nil, "not supported: encryption with this kind of key"
    elseif not der then
        form, err = nil, "the key is not a private one"
    end
    local made
    if form then
        made, err = func(form, der, text)
    end
    if not made then
        return nil, "pkey:" .. name .. ": " .. err
    end
    return made
end


function _M:encrypt(text, padding, opts)
    return crypt(self, "encrypt", pkey.encrypt, self.key.spki, text, padding, opts)
end


function _M:decrypt(text, padding, opts)
    return crypt(self, "decrypt", pkey.decrypt, self.key.pkcs8, text, padding, opts)
end


--- The key as text.
-- @tparam[opt="public"] string which "public" or "private", or their names in OpenSSL
-- @tparam[opt="PEM"] string format "PEM", "DER" or "JWK"
-- @tparam[opt] boolean pkcs1 RSA in its older form
function _M:tostring(which, format, pkcs1)
    local private = lower(which or "public"):find("pri") ~= nil
    if private and not self.key.pkcs8 then
        return nil, "pkey:tostring: the key is not a private one"
    end
    format = format or "PEM"
    if format == "JWK" then
        return cjson.encode(keys.to_jwk(self.key, private))
    end
    local der, label = self.key.spki, "PUBLIC KEY"
    if private then
        der, label = self.key.pkcs8, "PRIVATE KEY"
    end
    if pkcs1 and self.key.kind == "rsa" then
        der = private and self.key.pkcs1 or asn1.read(self.key.spki)[2].bytes:sub(2)
        label = private and "RSA PRIVATE KEY" or "RSA PUBLIC KEY"
    end
    if format == "DER" then
        -- As OpenSSL writes it: a private key in the form of its own kind.
        return private and (self.key.pkcs1 or self.key.sec1) or der
    end
    return asn1.to_pem(label, der)
end


function _M:to_PEM(which, pkcs1)
    return self:tostring(which, "PEM", pkcs1)
end


function _M:get_provider_name()
    return "default"
end


return require("moongate.unsupported").absent(_M, "resty.openssl.pkey.", {
    "sign_raw", "verify_raw", "verify_recover", "derive", "set_parameters", "paramgen",
},
    "its crypto library does not offer that")
