--- Signed tokens of a provider, for `resty.openidc`: which key, and whether they are good.
-- @module resty.openidc.tokens
local cjson = require("cjson.safe")
local host = require("moongate.host")
local jwt = require("resty.jwt")
local keys = require("moongate.keys")
local asn1 = require("moongate.asn1")
local provider = require("resty.openidc.provider")

local ipairs = ipairs
local match = string.match
local time = ngx.time
local tostring = tostring
local type = type

local KNOWN = {}
for _, family in ipairs({ "HS", "RS", "PS", "ES" }) do
    for _, bits in ipairs({ "256", "384", "512" }) do
        KNOWN[family .. bits] = true
    end
end
KNOWN.EdDSA = true

local _M = {}


-- A key of the provider as PEM.
local function pem_of(jwk)
    if type(jwk.x5c) == "table" and type(jwk.x5c[1]) == "string" then
        local der = host.crypto.base64_decode(jwk.x5c[1])
        return der and asn1.to_pem("CERTIFICATE", der)
    end
    local key, err = keys.from_jwk(jwk)
    if not key then
        return nil, err
    end
    return asn1.to_pem("PUBLIC KEY", key.spki)
end


local function pick(list, kid, alg)
    local kind = match(alg or "", "^ES") and "EC" or alg == "EdDSA" and "OKP" or "RSA"
    if kid then
        for _, jwk in ipairs(list) do
            if type(jwk) == "table" and jwk.kid == kid then
                return pem_of(jwk)
            end
        end
        return nil, "key not found: " .. tostring(kid)
    end
    local found
    for _, jwk in ipairs(list) do
        if type(jwk) == "table" and jwk.kty == kind and jwk.use ~= "enc" then
            if found then
                return nil, "multiple keys in the jwks and no kid in the token"
            end
            found = jwk
        end
    end
    if not found then
        return nil, "no key of the right kind in the jwks"
    end
    return pem_of(found)
end


-- The key that a token must be signed with; `shared` is that of symmetric algorithms.
local function secret_for(opts, header, shared)
    local alg = header.alg
    if match(alg or "", "^HS") then
        return shared, not shared and "no shared secret for algorithm " .. alg or nil
    elseif opts.public_key or opts.secret then
        return opts.public_key or opts.secret
    end
    local discovery, err = provider.discover(opts)
    if not discovery or not discovery.jwks_uri then
        return nil, err or "no jwks_uri"
    end
    local list
    list, err = provider.keys(opts, discovery.jwks_uri)
    if not list then
        return nil, err
    end
    local pem
    pem, err = pick(list, header.kid, alg)
    if not pem and header.kid and provider.may_refresh(discovery.jwks_uri) then
        -- The provider may have changed its keys since.
        list = provider.keys(opts, discovery.jwks_uri, true)
        if list then
            pem, err = pick(list, header.kid, alg)
        end
    end
    return pem, err
end


local function allowed(opts, alg)
    local expected = opts.token_signing_alg_values_expected
    if expected == nil then
        return true
    end
    for _, name in ipairs(type(expected) == "table" and expected or { expected }) do
        if name == alg then
            return true
        end
    end
    return false
end


local function verify(opts, shared, text, ...)
    local token = jwt:load_jwt(text)
    if not token.valid then
        return nil, "invalid jwt: " .. tostring(token.reason)
    end
    local alg = token.header.alg
    if alg == "none" then
        if opts.accept_none_alg and token.signature == "" then
            return token
        end
        return nil, "token uses \"none\" alg, but accept_none_alg is not enabled"
    elseif type(alg) ~= "string" or not allowed(opts, alg) then
        return nil, "token is signed by unexpected algorithm \"" .. tostring(alg) .. "\""
    end
    local secret, err = secret_for(opts, token.header, shared)
    if not secret then
        return nil, err
    end
    token = jwt:verify_jwt_obj(secret, token, ...)
    if not token.verified then
        return nil, "jwt signature verification failed: " .. tostring(token.reason)
    end
    return token
end


--- Checks the signature of an access token, and by `resty.jwt` its claims. The client's secret
-- proves nothing here: whoever has it could make tokens for anybody.
-- @treturn table|nil the token that was read
-- @treturn nil|string error
function _M.verify(opts, text, ...)
    return verify(opts, opts.symmetric_key, text, ...)
end


local function audience_fits(claim, client_id)
    for _, name in ipairs(type(claim) == "table" and claim or { claim }) do
        if name == client_id then
            return true
        end
    end
    return false
end


-- Where the algorithm is one that nobody here knows, the conf may say that an identity token
-- counts without its signature: it came from the provider itself.
local function is_taken_unsigned(opts, text)
    local token = jwt:load_jwt(text)
    local alg = token.valid and token.header.alg
    if not opts.accept_unsupported_alg or type(alg) ~= "string" or alg == "none" or KNOWN[alg]
       or not allowed(opts, alg) then
        return nil
    end
    ngx.log(ngx.WARN, "signature of id_token is not checked: unsupported alg ", alg)
    return token
end


--- Checks an identity token, which the provider may sign with the client's secret.
-- @treturn table|nil its claims
-- @treturn nil|string error
function _M.identity(opts, discovery, text, nonce)
    local token, err = is_taken_unsigned(opts, text), nil
    if not token then
        token, err = verify(opts, opts.client_secret, text, {})
    end
    if not token then
        return nil, err
    end
    local claims, slack = token.payload, opts.iat_slack or 120
    if discovery.issuer and claims.iss ~= discovery.issuer then
        return nil, "issuer \"" .. tostring(claims.iss)
                    .. "\" in id_token is not equal to the issuer from the discovery document \""
                    .. discovery.issuer .. "\""
    elseif type(claims.sub) ~= "string" then
        return nil, "no \"sub\" claim found in id_token"
    elseif nonce and claims.nonce ~= nonce then
        return nil, "nonce \"" .. tostring(claims.nonce)
                    .. "\" in id_token is not equal to the nonce that was sent in the request"
    elseif type(claims.iat) ~= "number" or claims.iat > time() + slack then
        return nil, "id_token not yet valid: id_token.iat=" .. tostring(claims.iat)
    elseif type(claims.exp) ~= "number" or claims.exp + slack < time() then
        return nil, "token expired: id_token.exp=" .. tostring(claims.exp)
    elseif not audience_fits(claims.aud, opts.client_id) then
        return nil, "token audience \"" .. cjson.encode(claims.aud) .. "\" does not contain \""
                    .. tostring(opts.client_id) .. "\""
    end
    return claims
end


return _M
