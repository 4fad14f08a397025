--- Tokens that a request brings along, for `resty.openidc`.
-- @module resty.openidc.bearer
local cjson = require("cjson.safe")
local host = require("moongate.host")
local provider = require("resty.openidc.provider")
local tokens = require("resty.openidc.tokens")

local digest = host.crypto.digest
local match = string.match
local min = math.min
local pairs = pairs
local time = ngx.time
local to_hex = require("resty.string").to_hex
local tonumber = tonumber
local tostring = tostring
local type = type

local _M = {}


-- Who has read the token already says which it is: `opts.bearer_token`, moongate's own.
local function bearer(opts)
    if opts.bearer_token then
        return opts.bearer_token
    end
    local name = opts.auth_accept_token_as_header_name or "Authorization"
    local as = opts.auth_accept_token_as
    if as and as:find("^cookie") then
        local cookie = as:match("^cookie:(.+)$") or "PA.global"
        local token = ngx.var["cookie_" .. cookie]
        return token, not token and "no Cookie present" or nil
    end
    local value = ngx.req.get_headers()[name]
    if type(value) == "table" then
        value = value[1]
    end
    if not value then
        return nil, "no " .. name .. " header found"
    end
    local kind, token = match(value, "^(%S+)%s+(.*)$")
    if not kind or kind:lower() ~= "bearer" then
        return nil, "no Bearer authorization header value found"
    end
    return token
end


local function cache_key(opts, one, two, token)
    return (opts.cache_segment or "") .. "|" .. to_hex(digest("sha256", (one or "") .. "|"
           .. (two or "") .. "|" .. token))
end


--- Asks the provider whether the request's token is good.
-- @treturn table|nil what it says
-- @treturn nil|string error
function _M.introspect(opts)
    local token, err = bearer(opts)
    if not token then
        return nil, err
    end
    local endpoint = opts.introspection_endpoint
    if not endpoint then
        local discovery
        discovery, err = provider.discover(opts)
        endpoint = discovery and discovery.introspection_endpoint
        if not endpoint then
            return nil, err or "no introspection endpoint supplied"
        end
    end
    -- What one provider says of a token is nothing to who asks another.
    local key = cache_key(opts, endpoint, opts.client_id, token)
    local text = not opts.introspection_cache_ignore and provider.cache_get("introspection", key)
    if text then
        return cjson.decode(text)
    end
    local fields = { [opts.introspection_token_param_name or "token"] = token }
    for name, value in pairs(opts.introspection_params or {}) do
        fields[name] = value
    end
    local answer
    answer, err = provider.ask(opts, endpoint, fields, opts.introspection_endpoint_auth_method,
                               "introspection")
    if not answer then
        return nil, err
    elseif not answer.active then
        return answer, "invalid token"
    end
    local seconds = opts.introspection_interval or 0
    local over = tonumber(answer[opts.introspection_expiry_claim or "exp"])
    if over then
        local left = (opts.introspection_expiry_claim or "exp") == "expires_in" and over
                     or over - time()
        seconds = seconds > 0 and min(seconds, left) or left
    end
    provider.cache_set("introspection", key, cjson.encode(answer), seconds)
    return answer
end


-- By what a token is checked: a good one of another provider, or for other issuers, is not good.
local function verification_key(opts, access_token, spec)
    local known, by = opts.discovery, opts.public_key
    if not by and type(known) == "table" then
        by = tostring(known.issuer) .. "|" .. tostring(known.jwks_uri)
    end
    local issuers = type(spec) == "table" and cjson.encode(spec.valid_issuers) or nil
    return cache_key(opts, by or known, issuers, access_token)
end


--- Checks a signed access token.
-- @tparam string access_token
-- @tparam table opts
-- @param ... what `resty.jwt` is to check of the claims
-- @treturn table|nil its claims
-- @treturn nil|string error
function _M.jwt_verify(access_token, opts, ...)
    local key = ngx.shared.jwt_verification and not opts.jwt_verification_cache_ignore
                and verification_key(opts, access_token, (...))
    local text = key and provider.cache_get("jwt_verification", key)
    local claims = text and cjson.decode(text)
    if not claims then
        local token, err = tokens.verify(opts, access_token, ...)
        if not token then
            return nil, err
        end
        claims = token.payload
        if key then
            local seconds = type(claims.exp) == "number" and claims.exp - time() or 120
            provider.cache_set("jwt_verification", key, cjson.encode(claims), seconds)
        end
    end
    local slack = opts.iat_slack or 120
    if type(claims.exp) == "number" and claims.exp + slack < time() then
        return nil, "token expired"
    elseif type(claims.nbf) == "number" and claims.nbf - slack > time() then
        return nil, "token not yet valid"
    end
    return claims
end


--- Checks the signed token of the request.
-- @treturn table|nil its claims
-- @treturn nil|string error
-- @treturn nil|string the token
function _M.bearer_jwt_verify(opts, ...)
    local token, err = bearer(opts)
    if not token then
        return nil, err
    end
    local claims
    claims, err = _M.jwt_verify(token, opts, ...)
    return claims, err, token
end


return _M
