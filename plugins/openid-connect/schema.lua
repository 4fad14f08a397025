--- What may stand in a conf of openid-connect.
-- @module apisix.plugins.openid-connect.schema
local ipairs = ipairs

local METHODS = { "client_secret_basic", "client_secret_post", "private_key_jwt",
                  "client_secret_jwt" }


local function text(default)
    return { type = "string", default = default }
end


local function flag(default)
    return { type = "boolean", default = default }
end


local function number(default, minimum)
    return { type = "integer", default = default, minimum = minimum }
end


local function one_of(values, default)
    return { type = "string", enum = values, default = default }
end


local function long_text(bytes_min, default)
    return { type = "string", minLength = bytes_min, default = default }
end


local function object(properties, more)
    local schema = more or {}
    schema.type = "object"
    schema.properties = properties
    return schema
end


-- Milliseconds, as the Redis client wants them.
local redis = object({
    host = long_text(2, "127.0.0.1"),
    port = number(6379, 1),
    username = long_text(1),
    password = long_text(0),
    database = number(0, 0),
    prefix = text("sessions"),
    ssl = flag(false),
    ssl_verify = flag(true),
    server_name = text(),
    connect_timeout = number(1000, 1),
    send_timeout = number(1000, 1),
    read_timeout = number(1000, 1),
    keepalive_timeout = number(10000, 1000),
})

-- Seconds. `cookie.lifetime` is the older name of `absolute_timeout`.
local session = object({
    secret = long_text(16),
    cookie_name = text(),
    cookie_path = text(),
    cookie_domain = text(),
    cookie_secure = flag(),
    cookie_http_only = flag(),
    cookie_same_site = one_of({ "Strict", "Lax", "None", "Default" }),
    idling_timeout = number(),
    rolling_timeout = number(),
    absolute_timeout = number(),
    cookie = object({ lifetime = number() }),
    storage = one_of({ "cookie", "redis" }, "cookie"),
    redis = redis,
}, {
    required = { "secret" },
    ["if"] = { properties = { storage = { enum = { "redis" } } } },
    ["then"] = { required = { "redis" } },
    additionalProperties = false,
})

local claim_validator = object({
    issuer = object({
        valid_issuers = { type = "array", items = text() },
    }),
    audience = object({
        claim = text("aud"),
        required = flag(false),
        match_with_client_id = flag(false),
    }),
})

local par = object({
    enabled = flag(false),
    endpoint = text(),
    endpoint_auth_method = one_of(METHODS),
}, { additionalProperties = false })


-- The public half of a key: none of these may be in it.
local function no_private_members()
    local found = {}
    for i, name in ipairs({ "d", "p", "q", "dp", "dq", "qi", "oth", "k" }) do
        found[i] = { required = { name } }
    end
    return { anyOf = found }
end


local dpop = object({
    enabled = flag(false),
    signing_alg = one_of({ "ES256", "RS256", "PS256" }, "ES256"),
    private_key = text(),
    public_jwk = { type = "object", ["not"] = no_private_members() },
}, {
    ["if"] = { properties = { enabled = { const = true } } },
    ["then"] = { required = { "private_key", "public_jwk" } },
    additionalProperties = false,
})

local proxy_opts = object({
    http_proxy = text(),
    https_proxy = text(),
    http_proxy_authorization = text(),
    https_proxy_authorization = text(),
    no_proxy = text(),
})

return object({
    -- The provider, and who the gateway is there. `timeout` is in seconds.
    client_id = text(),
    client_secret = text(),
    discovery = text(),
    scope = text("openid"),
    ssl_verify = flag(true),
    timeout = number(3, 1),
    proxy_opts = proxy_opts,
    token_endpoint_auth_method = text("client_secret_basic"),
    introspection_endpoint = text(),
    introspection_endpoint_auth_method = text("client_secret_basic"),
    client_rsa_private_key = text(),
    client_rsa_private_key_id = text(),
    client_jwt_assertion_expires_in = number(60),
    client_jwt_assertion_alg = one_of({ "HS256", "HS512", "RS256", "RS512", "ES256", "ES512" }),
    client_jwt_assertion_audience = text(),

    -- Tokens that clients bring along.
    bearer_only = flag(false),
    realm = text("apisix"),
    public_key = text(),
    use_jwks = flag(false),
    token_signing_alg_values_expected = text(),
    claim_validator = claim_validator,
    claim_schema = { type = "object" },
    required_scopes = { type = "array", items = text() },
    introspection_interval = number(0),
    introspection_expiry_claim = text(),
    introspection_addon_headers = {
        type = "array",
        minItems = 1,
        items = { type = "string", pattern = "^[^:]+$" },
    },
    jwk_expires_in = number(86400),
    jwt_verification_cache_ignore = flag(false),
    cache_segment = text(),

    -- Clients that are sent to log in.
    session = session,
    unauth_action = one_of({ "auth", "deny", "pass" }, "auth"),
    redirect_uri = text(),
    logout_path = text("/logout"),
    post_logout_redirect_uri = text(),
    revoke_tokens_on_logout = flag(false),
    authorization_params = { type = "object" },
    use_pkce = flag(false),
    use_nonce = flag(false),
    par = par,
    dpop = dpop,
    renew_access_token_on_expiry = flag(true),
    access_token_expires_in = number(),
    access_token_expires_leeway = number(0),
    refresh_session_interval = number(),
    force_reauthorize = flag(false),
    iat_slack = number(120),
    accept_none_alg = flag(false),
    accept_unsupported_alg = flag(true),

    -- What the upstream is told.
    set_access_token_header = flag(true),
    access_token_in_authorization_header = flag(false),
    set_id_token_header = flag(true),
    set_raw_id_token_header = flag(false),
    set_userinfo_header = flag(true),
    set_refresh_token_header = flag(false),
}, {
    encrypt_fields = { "client_secret", "client_rsa_private_key", "dpop.private_key",
                       "session.secret", "session.redis.password" },
    required = { "client_id", "discovery" },
})
