--- Proofs that a token belongs to who holds a key (RFC 9449), for `resty.openidc`.
-- @module resty.openidc.dpop
local cjson = require("cjson.safe")
local host = require("moongate.host")
local pkey = require("resty.openssl.pkey")

local b64url = host.crypto.base64url_encode
local digest = host.crypto.digest
local find = string.find
local format = string.format
local ipairs = ipairs
local match = string.match
local random_bytes = host.crypto.random_bytes
local time = ngx.time
local tostring = tostring
local type = type

local ALGORITHMS = {
    ES256 = { md = "sha256", raw = true },
    RS256 = { md = "sha256" },
    PS256 = { md = "sha256", padding = 6 },
}

local _M = {}


-- The members that make up a public key, in the order of its thumbprint.
local function public_members(jwk)
    if type(jwk) ~= "table" then
        return nil
    elseif jwk.kty == "EC" then
        return { crv = jwk.crv, kty = "EC", x = jwk.x, y = jwk.y }, { "crv", "kty", "x", "y" }
    elseif jwk.kty == "RSA" then
        return { e = jwk.e, kty = "RSA", n = jwk.n }, { "e", "kty", "n" }
    end
end


--- The thumbprint of the conf's key (RFC 7638).
-- @treturn string|nil
-- @treturn nil|string error
function _M.thumbprint(opts)
    local members, order = public_members(opts.dpop_public_jwk)
    if not members then
        return nil, "dpop_public_jwk is no EC or RSA key"
    end
    local text = ""
    for i, name in ipairs(order) do
        if type(members[name]) ~= "string" then
            return nil, "dpop_public_jwk has no \"" .. name .. "\""
        end
        text = text .. (i > 1 and "," or "") .. format('"%s":%s', name,
                                                       cjson.encode(members[name]))
    end
    return b64url(digest("sha256", "{" .. text .. "}"))
end


--- A proof for one request.
-- @tparam table opts
-- @tparam string method
-- @tparam string uri
-- @tparam[opt] string access_token that goes with the request
-- @tparam[opt] string nonce that the provider has asked for
-- @treturn string|nil
-- @treturn nil|string error
function _M.proof(opts, method, uri, access_token, nonce)
    local alg = opts.dpop_signing_alg or "ES256"
    local how, jwk = ALGORITHMS[alg], public_members(opts.dpop_public_jwk)
    if not how or not jwk then
        return nil, "DPoP needs dpop_public_jwk, and one of ES256, RS256, PS256"
    end
    local key, err = pkey.new(opts.dpop_private_key)
    if not key then
        return nil, "dpop_private_key cannot be read: " .. tostring(err)
    end
    local text = b64url(cjson.encode({ typ = "dpop+jwt", alg = alg, jwk = jwk })) .. "."
                 .. b64url(cjson.encode({
                     jti = b64url(random_bytes(16)), htm = method, htu = match(uri, "^[^?#]*"),
                     iat = time(), nonce = nonce,
                     ath = access_token and b64url(digest("sha256", access_token)),
                 }))
    local signature
    signature, err = key:sign(text, how.md, how.padding, { ecdsa_use_raw = how.raw })
    if not signature then
        return nil, "signing the DPoP proof failed: " .. tostring(err)
    end
    return text .. "." .. b64url(signature)
end


--- Notes the number that a provider wants in proofs.
-- @treturn boolean whether it did not take the proof for want of it
function _M.wants_nonce(opts, response)
    local nonce = opts.use_dpop and response.headers["DPoP-Nonce"]
    if type(nonce) ~= "string" or (response.status ~= 400 and response.status ~= 401) then
        return false
    end
    opts.dpop_nonce = nonce
    local told = tostring(response.headers["WWW-Authenticate"]) .. tostring(response.body)
    return find(told, "use_dpop_nonce", 1, true) ~= nil
end


return _M
