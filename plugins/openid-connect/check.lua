--- What a schema cannot say of a conf of openid-connect: which parts of it fit together.
--
-- Each check answers true, or false and why. What is wrong here would otherwise be found by the
-- first client.
-- @module apisix.plugins.openid-connect.check
local core = require("apisix.core")
local dump_jwk = require("resty.openssl.auxiliary.jwk").dump_jwk
local jsonschema = require("jsonschema")
local pkey = require("resty.openssl.pkey")
local schema = require("apisix.plugins.openid-connect.schema")
local is_secret_ref = require("apisix.secret").is_secret_ref

local concat = table.concat
local format = string.format
local ipairs = ipairs
local pcall = pcall
local sub = string.sub
local tostring = tostring
local type = type

local _M = {}

-- Names of resty.openidc that a conf must write below `par` and `dpop`: only there they are
-- checked, and stored encrypted.
local FLAT = {
    { "use_par", "par.enabled" },
    { "pushed_authorization_request_endpoint", "par.endpoint" },
    { "pushed_authorization_request_endpoint_auth_method", "par.endpoint_auth_method" },
    { "use_dpop", "dpop.enabled" },
    { "dpop_signing_alg", "dpop.signing_alg" },
    { "dpop_private_key", "dpop.private_key" },
    { "dpop_public_jwk", "dpop.public_jwk" },
}

local MEMBERS = { EC = { "crv", "x", "y" }, RSA = { "e", "n" } }

local PROOF_KEYS = {
    ES256 = { kty = "EC", crv = "P-256" },
    PS256 = { kty = "RSA" },
    RS256 = { kty = "RSA" },
}

local ASSERTION_KEYS = {
    ES256 = { kty = "EC", crv = "P-256" },
    ES512 = { kty = "EC", crv = "P-521" },
    RS256 = { kty = "RSA" },
    RS512 = { kty = "RSA" },
}

local CREDENTIALS = {
    private_key_jwt = "client_rsa_private_key",
    client_secret_jwt = "client_secret",
}


local function wrong(...)
    return false, format(...)
end


-- The public half of a private key in PEM.
local function public_jwk_of(pem, field)
    local key, err = pkey.new(pem)
    if not key then
        return wrong('property "%s" is not a valid key: %s', field, tostring(err))
    elseif not key:is_private() then
        return wrong('property "%s" has no private key in it', field)
    end
    local ok, text = pcall(dump_jwk, key, false)
    local jwk = ok and text and core.json.decode(text)
    if not jwk then
        return wrong('property "%s" could not be read as a JWK', field)
    end
    return jwk
end


local function check_members(jwk)
    local members = MEMBERS[jwk.kty]
    local where = 'property "dpop.public_jwk" validation failed: '
    if not members then
        return wrong('%skty "%s" is not supported', where, tostring(jwk.kty))
    end
    for _, name in ipairs(members) do
        if jwk[name] == nil then
            return wrong('%skty "%s" requires %s', where, jwk.kty, concat(members, ", "))
        end
        if type(jwk[name]) ~= "string" or jwk[name] == "" then
            return wrong('%s"%s" must be a non-empty string', where, name)
        end
    end
    return true
end


-- The key that is shown must be the one that signs: nobody could check a proof otherwise.
local function check_pair(dpop)
    local jwk = dpop.public_jwk
    if not dpop.private_key or is_secret_ref(dpop.private_key) then
        return true
    end
    local own, err = public_jwk_of(dpop.private_key, "dpop.private_key")
    if not own then
        return false, err
    end
    for _, name in ipairs({ "kty", MEMBERS[jwk.kty][1], MEMBERS[jwk.kty][2],
                            MEMBERS[jwk.kty][3] }) do
        if own[name] ~= jwk[name] then
            return wrong('property "dpop.public_jwk" is not the public key of "dpop.private_key": '
                         .. '%s is "%s"', name, tostring(own[name]))
        end
    end
    return true
end


local function check_dpop(conf)
    local dpop = conf.dpop
    if not dpop or not dpop.enabled or not dpop.public_jwk then
        return true
    end
    local jwk = dpop.public_jwk
    local ok, err = check_members(jwk)
    if not ok then
        return false, err
    end
    local wanted = PROOF_KEYS[dpop.signing_alg]
    if wanted and wanted.kty ~= jwk.kty then
        return wrong('property "dpop.signing_alg" "%s" requires an %s "dpop.public_jwk"',
                     dpop.signing_alg, wanted.kty)
    elseif wanted and wanted.crv and wanted.crv ~= jwk.crv then
        return wrong('property "dpop.signing_alg" "%s" requires "dpop.public_jwk" crv "%s", '
                     .. 'got "%s"', dpop.signing_alg, wanted.crv, tostring(jwk.crv))
    end
    return check_pair(dpop)
end


-- Field -> method of the endpoints that this conf has asked. Introspection is for tokens that
-- no key checks; a client that logs in needs the two others.
local function methods_in_use(conf)
    local found = {}
    local function add(field, method)
        found[#found + 1] = { field = field, method = method }
    end
    local by_key = conf.public_key or conf.use_jwks
    if not by_key and (conf.bearer_only or conf.introspection_endpoint) then
        add("introspection_endpoint_auth_method", conf.introspection_endpoint_auth_method)
    end
    if conf.bearer_only then
        return found
    end
    -- resty.openidc leaves a method whose credential is missing.
    local method = conf.token_endpoint_auth_method
    if not CREDENTIALS[method] or conf[CREDENTIALS[method]] then
        add("token_endpoint_auth_method", method)
    end
    if conf.par and conf.par.enabled and conf.par.endpoint_auth_method then
        add("par.endpoint_auth_method", conf.par.endpoint_auth_method)
    end
    return found
end


local function check_signing_key(conf, alg)
    local wanted, pem = ASSERTION_KEYS[alg], conf.client_rsa_private_key
    if not wanted or not pem or is_secret_ref(pem) then
        return true
    end
    local jwk, err = public_jwk_of(pem, "client_rsa_private_key")
    if not jwk then
        return false, err
    elseif jwk.kty ~= wanted.kty then
        return wrong('property "client_jwt_assertion_alg" "%s" requires an %s '
                     .. '"client_rsa_private_key"', alg, wanted.kty)
    elseif wanted.crv and jwk.crv ~= wanted.crv then
        return wrong('property "client_jwt_assertion_alg" "%s" requires a '
                     .. '"client_rsa_private_key" on curve "%s", got "%s"', alg, wanted.crv,
                     tostring(jwk.crv))
    end
    return true
end


-- One algorithm signs for all endpoints: it has to fit each of their methods.
local function check_assertion_alg(conf)
    local alg = conf.client_jwt_assertion_alg
    if not alg then
        return true
    end
    local by = {}
    for _, use in ipairs(methods_in_use(conf)) do
        by[use.method] = by[use.method] or use.field
    end
    local private, shared = by.private_key_jwt, by.client_secret_jwt
    local is_shared = sub(alg, 1, 2) == "HS"
    if private and shared then
        return wrong('property "client_jwt_assertion_alg" is a single algorithm, but "%s" selects '
                     .. 'private_key_jwt and "%s" selects client_secret_jwt', private, shared)
    elseif private and is_shared then
        return wrong('property "client_jwt_assertion_alg" "%s" is symmetric and cannot be used '
                     .. 'with the private_key_jwt selected by "%s"', alg, private)
    elseif shared and not is_shared then
        return wrong('property "client_jwt_assertion_alg" "%s" is asymmetric and cannot be used '
                     .. 'with the client_secret_jwt selected by "%s"', alg, shared)
    end
    if not private then
        return true
    end
    return check_signing_key(conf, alg)
end


local function check_par(conf)
    local par = conf.par
    local needs = par and par.enabled and CREDENTIALS[par.endpoint_auth_method]
    if needs and not conf.bearer_only and not conf[needs] then
        return wrong('property "par.endpoint_auth_method" "%s" requires "%s" when "par.enabled" '
                     .. 'is true', par.endpoint_auth_method, needs)
    end
    return true
end


local function check_flat(conf)
    for _, pair in ipairs(FLAT) do
        if conf[pair[1]] ~= nil then
            return wrong('property "%s" is not allowed, use "%s" instead', pair[1], pair[2])
        end
    end
    return true
end


local function check_claim_schema(conf)
    if not conf.claim_schema or is_secret_ref(conf.claim_schema) then
        return true
    end
    local ok, err = pcall(jsonschema.generate_validator, conf.claim_schema)
    if not ok then
        return false, "check claim_schema failed: " .. tostring(err)
    end
    return true
end


-- Who checks tokens by a key, or proves with one who it is, needs no shared secret.
local function needs_secret(conf)
    if conf.bearer_only then
        return not (conf.public_key or conf.use_jwks
                    or conf.introspection_endpoint_auth_method == "private_key_jwt")
    end
    return not (conf.use_pkce or conf.token_endpoint_auth_method == "private_key_jwt")
end


local function warn(conf, name)
    core.utils.check_https({ "discovery", "introspection_endpoint", "redirect_uri",
                             "post_logout_redirect_uri", "par.endpoint", "proxy_opts.http_proxy",
                             "proxy_opts.https_proxy" }, conf, name)
    core.utils.check_tls_bool({ "ssl_verify" }, conf, name)
end


--- Checks a conf, and fills in what is not there.
-- @treturn boolean
-- @treturn nil|string what is wrong
function _M.check(conf, name)
    if conf.ssl_verify == "no" then
        conf.ssl_verify = false
    end
    if not conf.bearer_only and not conf.session then
        return false, 'property "session.secret" is required when "bearer_only" is false'
    elseif needs_secret(conf) and not conf.client_secret then
        return false, 'property "client_secret" is required'
    end
    warn(conf, name)

    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    for _, check in ipairs({ check_claim_schema, check_flat, check_dpop, check_assertion_alg,
                             check_par }) do
        ok, err = check(conf)
        if not ok then
            return false, err
        end
    end
    return true
end


return _M
