--- Signed JSON Web Tokens (RFC 7515, 7519): reading, checking, and making them.
local base64 = require("ngx.base64")
local auth = require("apisix.utils.auth")
local core = require("apisix.core")
local openssl_mac = require("resty.openssl.mac")
local openssl_pkey = require("resty.openssl.pkey")

local decode_base64 = base64.decode_base64url
local encode_base64 = base64.encode_base64url
local error = error
local gsub = string.gsub
local http_time = ngx.http_time
local ipairs = ipairs
local match = string.match
local ngx_time = ngx.time
local setmetatable = setmetatable
local sub = string.sub
local tostring = tostring
local type = type

-- What stands in a line of the log of a part that could not be read.
local SHOWN_MAX = 256

-- Times beyond the year 9999 have no date.
local DATE_MAX = 253402300799

local PSS = openssl_pkey.PADDINGS.RSA_PKCS1_PSS_PADDING
local RAW = { ecdsa_use_raw = true }

-- `sn` is that of the kind of key, `curve` the number of the only curve, and `bytes` what a
-- signature has.
local ALGORITHMS = {
    HS256 = { hmac = "sha256" },
    HS384 = { hmac = "sha384" },
    HS512 = { hmac = "sha512" },
    RS256 = { sn = "rsaEncryption", digest = "sha256" },
    RS384 = { sn = "rsaEncryption", digest = "sha384" },
    RS512 = { sn = "rsaEncryption", digest = "sha512" },
    PS256 = { sn = "rsaEncryption", digest = "sha256", padding = PSS },
    PS384 = { sn = "rsaEncryption", digest = "sha384", padding = PSS },
    PS512 = { sn = "rsaEncryption", digest = "sha512", padding = PSS },
    ES256 = { sn = "id-ecPublicKey", digest = "sha256", options = RAW, curve = 415, bytes = 64 },
    ES384 = { sn = "id-ecPublicKey", digest = "sha384", options = RAW, curve = 715, bytes = 96 },
    ES512 = { sn = "id-ecPublicKey", digest = "sha512", options = RAW, curve = 716, bytes = 132 },
    EdDSA = { sn = "ED25519", bytes = 64 },
}

local DEFAULT_CLAIMS = { "nbf", "exp" }

-- Some write tokens with the other alphabet.
local URL_LETTERS = { ["+"] = "-", ["/"] = "_" }

local _M = {}
local mt = { __index = _M }


--- What a client sent, for a line of the log.
function _M.shown(part)
    return sub((gsub(part, "[^%w+/=_-]", "?")), 1, SHOWN_MAX)
end


local function read_json(part)
    local text = decode_base64((gsub(part, "[+/]", URL_LETTERS)))
    local value = text and core.json.decode(text)
    return type(value) == "table" and value or nil
end


--- Reads a token without believing it.
-- @param token
-- @treturn table|nil with `header`, `payload` (tables) and `signature` (base64url)
-- @treturn nil|string what is wrong
function _M.new(token)
    local head, body, signature
    if type(token) == "string" then
        head, body, signature = match(token, "^([^.]*)%.([^.]*)%.([^.]*)$")
    end
    if not head then
        return nil, "invalid jwt string"
    end
    local header = read_json(head)
    if not header then
        return nil, "invalid header: " .. _M.shown(head)
    end
    local payload = read_json(body)
    if not payload then
        return nil, "invalid payload: " .. _M.shown(body)
    end
    return setmetatable({
        header = header, payload = payload, signature = signature,
        raw_header = head, raw_payload = body,
    }, mt)
end


--- Makes a key ready for `verify_signature`.
-- @tparam string alg one of those of the plugin's schema
-- @tparam string text a shared secret, or a public key in PEM
-- @treturn table|nil
-- @treturn nil|string error
function _M.key(alg, text)
    local how = ALGORITHMS[alg]
    if not how then
        return nil, "unsupported algorithm: " .. tostring(alg)
    elseif how.hmac then
        local mac, err = openssl_mac.new(text, "HMAC", nil, how.hmac)
        return mac and { alg = alg, how = how, mac = mac }, err
    end

    local pkey, err = openssl_pkey.new(text)
    if not pkey then
        return nil, err
    elseif pkey:get_key_type().sn ~= how.sn
            or (how.curve and pkey:get_parameters().group ~= how.curve) then
        return nil, "the key is of another kind than those of " .. alg
    end
    return { alg = alg, how = how, pkey = pkey }
end


--- Whether the token was signed with the key. The token's own `alg` must be that of the key.
-- @tparam table|string key from `key`, or its text
-- @treturn boolean
-- @treturn nil|string what is wrong
function _M:verify_signature(key)
    local err
    if type(key) ~= "table" then
        key, err = _M.key(self.header.alg, key)
        if not key then
            return false, err
        end
    end
    if self.header.alg ~= key.alg then
        return false, "algorithm mismatch"
    end
    local signature = decode_base64(self.signature)
    local how = key.how
    if not signature then
        return false, "failed to decode signature"
    elseif how.bytes and #signature ~= how.bytes then
        return false, "a signature must have " .. how.bytes .. " bytes"
    end

    local text = self.raw_header .. "." .. self.raw_payload
    if how.hmac then
        key.mac:reset()
        return auth.is_equal(signature, key.mac:final(text))
    end
    local good
    good, err = key.pkey:verify(signature, text, how.digest, how.padding, how.options)
    return good == true, err
end


local function date(time)
    return time >= 0 and time <= DATE_MAX and http_time(time) or tostring(time)
end


local CHECKS = {
    nbf = function(time, leeway)
        if time < ngx_time() + leeway then
            return nil
        end
        return "'nbf' claim not valid until " .. date(time)
    end,
    exp = function(time, leeway)
        if time > ngx_time() - leeway then
            return nil
        end
        return "'exp' claim expired at " .. date(time)
    end,
}


--- Whether the time of the token has come and is not over.
-- @tparam[opt] table claims names of those that must be there; with none named, `nbf` and `exp`
--   are checked if the token has them
-- @tparam[opt] table conf `lifetime_grace_period` in seconds
-- @treturn boolean
-- @treturn nil|string what is wrong
function _M:verify_claims(claims, conf)
    local leeway = conf and conf.lifetime_grace_period or 0
    local are_required = claims ~= nil and #claims > 0
    for _, name in ipairs(are_required and claims or DEFAULT_CLAIMS) do
        local value = self.payload[name]
        if value == nil then
            if are_required then
                return false, "claim " .. name .. " is missing"
            end
        elseif type(value) ~= "number" then
            return false, "claim " .. name .. " is not a number"
        else
            local err = CHECKS[name](value, leeway)
            if err then
                return false, err
            end
        end
    end
    return true
end


local function sign(how, key, text)
    if how.hmac then
        local mac, err = openssl_mac.new(key, "HMAC", nil, how.hmac)
        return mac and mac:final(text), err
    end
    local pkey, err = openssl_pkey.new(key)
    if not pkey then
        return nil, err
    end
    return pkey:sign(text, how.digest, how.padding, how.options)
end


--- Makes a token.
-- @tparam[opt="HS256"] string alg
-- @tparam string key a shared secret, or a private key in PEM
-- @tparam[opt] table header
-- @tparam table data the claims
-- @treturn string|nil
-- @treturn nil|string error
function _M.encode(alg, key, header, data)
    alg = alg or "HS256"
    local how = ALGORITHMS[alg]
    if not how then
        return nil, "algorithm not supported"
    elseif type(key) ~= "string" then
        error("Argument #2 must be string", 2)
    elseif header and type(header) ~= "table" then
        return nil, "header must be a table"
    elseif type(data) ~= "table" then
        return nil, "data must be a table"
    end

    header = header or { typ = "JWT", alg = alg }
    local text = encode_base64(core.json.encode(header)) .. "."
                 .. encode_base64(core.json.encode(data))
    local signature, err = sign(how, key, text)
    if not signature then
        return nil, err
    end
    return text .. "." .. encode_base64(signature)
end


return _M
