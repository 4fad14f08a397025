--- `resty.jwt`: JSON Web Tokens, signed (JWS) and encrypted (JWE).
--
-- A token is read into a table with `header`, `payload`, `signature`, `raw_header`,
-- `raw_payload`, `valid`, `verified` and, if something is wrong, `reason`.
-- @module resty.jwt
local cjson = require("cjson.safe")
local host = require("moongate.host")
local jwe = require("moongate.jwe")
local pkey = require("resty.openssl.pkey")
local validators = require("resty.jwt-validators")

local b64_decode = host.crypto.base64url_decode
local b64_encode = host.crypto.base64url_encode
local error = error
local find = string.find
local format = string.format
local gmatch = string.gmatch
local gsub = string.gsub
local hmac = host.crypto.hmac
local ipairs = ipairs
local pairs = pairs
local next = next
local pcall = pcall
local setmetatable = setmetatable
local tostring = tostring
local type = type

local AWESOME = "everything is awesome~ :p"
local INVALID = "invalid jwt string"

local HMACS = { HS256 = "sha256", HS384 = "sha384", HS512 = "sha512" }
local PUBLIC = {
    RS256 = { md = "sha256" }, RS384 = { md = "sha384" }, RS512 = { md = "sha512" },
    PS256 = { md = "sha256", padding = 6 }, PS384 = { md = "sha384", padding = 6 },
    PS512 = { md = "sha512", padding = 6 },
    ES256 = { md = "sha256", raw = true }, ES384 = { md = "sha384", raw = true },
    ES512 = { md = "sha512", raw = true }, EdDSA = {},
}
-- How an algorithm begins, by the kind of its keys; those that are not here are curves.
local BEGINS = { rsa = "^[RP]S", ed25519 = "^EdDSA" }

local LEGACY = { lifetime_grace_period = true, require_nbf_claim = true, require_exp_claim = true,
                 valid_issuers = true }

local _M = { _VERSION = "0.2.6" }
local mt = { __index = _M }


--- An instance with settings of its own.
function _M.new()
    return setmetatable({}, mt)
end


-- Reasons travel as tables, so that what Lua itself raises can be told from them.
local function refuse(text, ...)
    error({ reason = format(text, ...) }, 0)
end


--- A table as JSON in base64url; a text is taken as it is.
function _M:jwt_encode(value, is_payload)
    if type(value) == "table" then
        if is_payload and self.payload_encoder then
            value = self.payload_encoder(value)
        else
            value = cjson.encode(value)
        end
    end
    return b64_encode(value)
end


--- The other way around.
function _M:jwt_decode(text, as_json, is_payload)
    local plain = b64_decode((gsub(gsub(text, "%+", "-"), "/", "_")))
    if not plain then
        return nil
    end
    if as_json then
        if is_payload and self.payload_decoder then
            return self.payload_decoder(plain)
        end
        return cjson.decode(plain)
    end
    return plain
end


--- Certificates that may stand in a token.
function _M:set_trusted_certs_file(name)
    self.trusted_certs_file = name
end


--- Only these algorithms are taken: `{ RS256 = 1 }`.
function _M:set_alg_whitelist(algorithms)
    self.alg_whitelist = algorithms
end


function _M:set_x5u_content_retriever(func)
    if type(func) ~= "function" then
        error("'retriever_function' is expected to be a function", 0)
    end
    self.x5u_content_retriever = func
end


function _M:set_payload_encoder(func)
    if type(func) ~= "function" then
        error({ reason = "payload encoder must be function" })
    end
    self.payload_encoder = func
end


function _M:set_payload_decoder(func)
    if type(func) ~= "function" then
        error({ reason = "payload decoder must be function" })
    end
    self.payload_decoder = func
end


--- What is checked if a caller names nothing: the times that the token has.
function _M:get_default_validation_options(token)
    return {
        require_exp_claim = token.payload.exp ~= nil,
        require_nbf_claim = token.payload.nbf ~= nil,
    }
end


local function secret_of(secret, alg, header)
    if type(secret) == "function" then
        if not HMACS[alg] then
            refuse("secret function can only be used with hmac alg: %s", alg)
        elseif not header.kid then
            refuse("secret function specified without kid in header")
        end
        return secret(header.kid) or refuse("function returned nil for kid: %s", header.kid)
    elseif type(secret) ~= "string" then
        refuse("invalid secret type (must be string or function)")
    end
    return secret
end


local function signature_of(alg, secret, header, text)
    if HMACS[alg] then
        return hmac(HMACS[alg], secret_of(secret, alg, header), text)
    end
    local how = PUBLIC[alg]
    if not how then
        refuse("unsupported alg: %s", tostring(alg))
    end
    local key, err = pkey.new(secret_of(secret, alg, header))
    if not key then
        refuse("signer error: %s", err)
    end
    local made
    made, err = key:sign(text, how.md, how.padding, { ecdsa_use_raw = how.raw })
    if not made then
        refuse("signature error: %s", err)
    end
    return made
end


--- Makes a token.
-- @tparam string|function secret a shared secret, or a private key in PEM
-- @tparam table token `header` and `payload`
-- @treturn string
-- @raise a table with `reason`
function _M:sign(secret, token)
    local header = token.header
    local kind = header.typ
    if kind and kind ~= "JWT" and kind ~= "JWE" then
        refuse("invalid typ: %s", tostring(kind))
    end
    if kind == "JWE" or header.enc then
        return jwe.seal(self, secret, token)
    end
    local text = self:jwt_encode(header) .. "." .. self:jwt_encode(token.payload, true)
    return text .. "." .. b64_encode(signature_of(header.alg, secret, header, text))
end


local function split(text)
    local parts = {}
    for part in gmatch(text .. ".", "([^.]*)%.") do
        parts[#parts + 1] = part
    end
    return parts
end


local function parse(self, text, secret)
    if type(text) ~= "string" then
        error({ reason = INVALID }, 0)
    end
    local parts = split(text)
    if #parts == 4 or #parts == 5 then
        return jwe.open(self, parts, secret)
    elseif #parts ~= 3 then
        error({ reason = INVALID }, 0)
    end
    local header = self:jwt_decode(parts[1], true)
    if type(header) ~= "table" then
        refuse("invalid header: %s", parts[1])
    end
    local payload = self:jwt_decode(parts[2], true, true)
    if type(payload) ~= "table" then
        refuse("invalid payload: %s", parts[2])
    end
    return { raw_header = parts[1], raw_payload = parts[2], header = header, payload = payload,
             signature = parts[3], typ = "JWT", verified = false, valid = true }
end


--- Reads a token without believing it.
-- @tparam string text
-- @tparam[opt] string secret opens an encrypted token
-- @treturn table `valid` says whether it could be read, `reason` why not
function _M:load_jwt(text, secret)
    local ok, token = pcall(parse, self, text, secret)
    if not ok then
        local reason = type(token) == "table" and token.reason or INVALID
        return { valid = false, verified = false, reason = reason }
    end
    return token
end


local function from_legacy(options)
    local spec = {}
    if options.valid_issuers ~= nil then
        spec.iss = validators.equals_any_of(options.valid_issuers)
    end
    if options.lifetime_grace_period ~= nil then
        validators.set_system_leeway(options.lifetime_grace_period or 0)
        if options.require_nbf_claim == nil and options.require_exp_claim == nil then
            spec.__jwt = validators.require_one_of({ "nbf", "exp" })
        end
    end
    for _, name in ipairs({ "nbf", "exp" }) do
        local option = "require_" .. name .. "_claim"
        if options[option] ~= nil and type(options[option]) ~= "boolean" then
            error(format("'%s' validation option is expected to be a boolean.", option), 0)
        end
        local check = name == "nbf" and "is_not_before" or "is_not_expired"
        local wanted = options.lifetime_grace_period ~= nil or options.require_nbf_claim ~= nil
                       or options.require_exp_claim ~= nil
        if options[option] == true then
            spec[name] = validators[check]()
        elseif wanted then
            spec[name] = validators["opt_" .. check]()
        end
    end
    return spec
end


local function is_legacy(options)
    if type(options) ~= "table" or next(options) == nil then
        return false
    end
    for name in pairs(options) do
        if not LEGACY[name] then
            return false
        end
    end
    return true
end


local function check_claims(self, token, ...)
    local specs = { ... }
    if #specs == 0 then
        specs[1] = self:get_default_validation_options(token)
    end
    if token.reason then
        return
    end
    local json = cjson.encode(token)
    for _, spec in ipairs(specs) do
        if is_legacy(spec) then
            spec = from_legacy(spec)
        end
        for claim, check in pairs(spec) do
            if type(check) ~= "function" then
                error("Claim spec value must be a function - see jwt-validators.lua for helper "
                      .. "functions", 0)
            end
            local value = token.payload[claim]
            if claim == "__jwt" then
                value = cjson.decode(json)
            end
            local ok, good = pcall(check, value, claim, json)
            if not ok then
                token.reason = type(good) == "table" and good.reason
                               or gsub(tostring(good), "^.-:%d-: ", "")
                return
            elseif good == false then
                token.reason = format("Claim '%s' ('%s') returned failure", claim, tostring(value))
                return
            end
        end
    end
end


local function check_public(self, token, secret, how)
    local header, text = token.header, token.raw_header .. "." .. token.raw_payload
    local pem = secret
    if self.trusted_certs_file then
        token.reason = "not supported: certificates in tokens (set_trusted_certs_file)"
        return
    elseif secret == nil then
        token.reason = "No trusted certs loaded"
        return
    end
    local key = type(pem) == "string" and pkey.new(pem)
    if not key then
        token.reason = "Decode secret is not a valid cert/public key"
        return
    end
    if not find(header.alg, BEGINS[key.key.kind] or "^ES") then
        token.reason = "Verification failed for alg " .. tostring(header.alg)
        return
    end
    local signature = b64_decode(token.signature)
    if not signature then
        token.reason = "Wrongly encoded signature"
        return
    end
    local good, err = key:verify(signature, text, how.md, how.padding, { ecdsa_use_raw = how.raw })
    if not good then
        token.reason = err or ("Verification failed for alg " .. tostring(header.alg))
    end
end


--- Checks a token that was read: its signature and its claims.
-- @tparam string|function secret
-- @tparam table token of `load_jwt`
-- @param ... what to check of the claims: tables of validators, or of the older options
-- @treturn table the token, with `verified` and `reason`
function _M:verify_jwt_obj(secret, token, ...)
    if not token.valid then
        return token
    end
    local alg = token.header.alg
    if not alg then
        token.reason = "No algorithm supplied"
        return token
    end
    if self.alg_whitelist and not self.alg_whitelist[alg] then
        return { verified = false, reason = "whitelist unsupported alg: " .. alg }
    end
    if token.internal and token.internal.sealed then
        check_claims(self, token, ...)
    elseif HMACS[alg] then
        local text = token.raw_header .. "." .. token.raw_payload
        local ok, made = pcall(signature_of, alg, secret, token.header, text)
        if not ok then
            token.reason = type(made) == "table" and made.reason or "internal error"
        elseif b64_encode(made) ~= token.signature then
            token.reason = "signature mismatch: " .. tostring(token.signature)
        end
        check_claims(self, token, ...)
    elseif PUBLIC[alg] then
        check_public(self, token, secret, PUBLIC[alg])
        check_claims(self, token, ...)
    else
        token.reason = "Unsupported algorithm " .. alg
    end
    if not token.reason then
        token.verified = true
        token.reason = AWESOME
    end
    return token
end


--- Reads and checks a token.
function _M:verify(secret, text, ...)
    local token = self:load_jwt(text, secret)
    if not token.valid then
        return { verified = false, reason = token.reason }
    end
    return self:verify_jwt_obj(secret, token, ...)
end


return _M
