--- Requests to openid-connect that bring an access token along.
-- @module apisix.plugins.openid-connect.bearer
local core = require("apisix.core")
local headers = require("apisix.plugins.openid-connect.headers")
local openidc = require("resty.openidc")

local concat = table.concat
local ipairs = ipairs
local lower = string.lower
local match = string.match
local type = type

local BAD_REQUEST = 400
local FORBIDDEN = 403
local NO_TOKEN = "No bearer token found in request."
local NO_ISSUER = "issuer validation unavailable"

local _M = {}


-- The token, or nothing, or nil and what is wrong with the header.
local function token_of(ctx, own)
    local header = core.request.header(ctx, "Authorization")
    if not header then
        return own
    end
    local scheme, token = match(header, "^([^ ]*) (.*)$")
    if not scheme then
        return nil, "Invalid Authorization header format."
    elseif lower(scheme) ~= "bearer" then
        return nil
    end
    -- Of several headers the upstream gets the one that was checked.
    if type(core.request.headers(ctx)["authorization"]) == "table" then
        core.request.set_header(ctx, "Authorization", header)
    end
    return token
end


-- The issuers that a token may come from. Without knowing them nothing is verified: whoever has
-- the same key could have made the token.
local function valid_issuers(opts)
    local issuer = opts.claim_validator and opts.claim_validator.issuer
    if issuer and issuer.valid_issuers then
        return issuer.valid_issuers
    end
    local discovery, err = openidc.get_discovery_doc(opts)
    if not discovery then
        core.log.error("OIDC access discovery url failed : ", err)
        return nil
    elseif not discovery.issuer then
        core.log.error("OIDC access discovery url failed : no issuer in it")
        return nil
    end
    core.log.info("valid_issuers not provided explicitly, using issuer from discovery doc: ",
                  discovery.issuer)
    return { discovery.issuer }
end


local function verify(opts, token)
    local issuers = valid_issuers(opts)
    if not issuers then
        return nil, NO_ISSUER
    end
    local claims, err = openidc.jwt_verify(token, opts, { valid_issuers = issuers })
    if claims and not err then
        core.log.debug("token validate successfully by ",
                       opts.public_key and "public_key" or "jwks")
    end
    return claims, err
end


-- The question carries what the client sent in these headers, too.
local function decorator(opts, ctx)
    local names = opts.introspection_addon_headers
    return names and function(request)
        request.headers = request.headers or {}
        for _, name in ipairs(names) do
            local value = core.request.header(ctx, name)
            if value then
                request.headers[name] = value
            end
        end
        return request
    end
end


local function introspect(opts, ctx, token)
    opts.bearer_token = token
    opts.http_request_decorator = decorator(opts, ctx)
    local claims, err = openidc.introspect(opts)
    opts.http_request_decorator = nil
    if claims and not err then
        core.log.debug("token validate successfully by introspection")
    end
    return claims, err
end


local function refuse(reason, told)
    core.log.error("OIDC introspection failed: ", reason)
    return FORBIDDEN, core.json.encode({ error = told })
end


-- The status and body of a refusal, or nothing.
local function check_audience(opts, claims)
    local wanted = opts.claim_validator and opts.claim_validator.audience
    if not wanted then
        return
    end
    local name = wanted.claim or "aud"
    local audience, client_id = claims[name], opts.client_id
    if not audience and (wanted.required or wanted.match_with_client_id) then
        return refuse("required audience (" .. name .. ") not present",
                      "required audience claim not present")
    elseif not wanted.match_with_client_id or audience == client_id then
        return
    elseif type(audience) ~= "table" then
        return refuse("audience does not match the client id", "mismatched audience")
    end
    for _, one in ipairs(audience) do
        if one == client_id then
            return
        end
    end
    return refuse("audience list does not contain the client id", "mismatched audience")
end


local function check_claims(opts, claims)
    local required = opts.required_scopes
    if required and not headers.has_scopes(required, headers.scopes_of(claims.scope)) then
        return refuse("required scopes not present",
                      "required scopes " .. concat(required, ", ") .. " not present")
    end
    local code, body = check_audience(opts, claims)
    if code or not opts.claim_schema then
        return code, body
    end
    local ok, err = core.schema.check(opts.claim_schema, claims)
    if not ok then
        core.log.error("OIDC claim validation failed: ", err)
        return headers.challenge(opts, err)
    end
end


--- Whether tokens of requests count.
function _M.is_wanted(opts)
    return opts.bearer_only or opts.introspection_endpoint or opts.public_key or opts.use_jwks
end


--- Checks the token of a request.
-- @tparam table opts
-- @tparam table ctx
-- @tparam[opt] string own what the client sent as `X-Access-Token`
-- @treturn boolean whether the request is decided: there was a token, or one was needed
-- @treturn number|nil status of a refusal
-- @treturn string|nil its body
function _M.check(opts, ctx, own)
    local token, err = token_of(ctx, own)
    if err then
        core.log.error("OIDC introspection failed: ", err)
        return true, BAD_REQUEST
    elseif not token and opts.bearer_only then
        core.log.error("OIDC introspection failed: ", NO_TOKEN)
        return true, headers.challenge(opts)
    elseif not token then
        return false
    end

    local claims
    if opts.public_key or opts.use_jwks then
        claims, err = verify(opts, token)
    else
        claims, err = introspect(opts, ctx, token)
    end
    if err or not claims then
        core.log.error("OIDC introspection failed: ", err)
        return true, headers.challenge(opts, err or "invalid token")
    end
    local code, body = check_claims(opts, claims)
    if code then
        return true, code, body
    end
    headers.set_access_token(ctx, opts, token)
    if opts.set_userinfo_header then
        headers.set_table(ctx, "X-Userinfo", claims)
    end
    return true
end


return _M
