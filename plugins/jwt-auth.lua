--- Authenticates a consumer by a signed JSON Web Token in a header, an argument or a cookie.
--
-- Runs in `rewrite`. A request without a valid token gets 401,
-- `WWW-Authenticate: Bearer realm="..."` and `{"message":"..."}`, unless `anonymous_consumer`
-- stands in for it. A token says which key it belongs to (`key_claim_name`); only the
-- consumer's configuration says which algorithm and which secret or public key it is checked
-- with. With `store_in_ctx` its claims are in `ctx.jwt_auth_payload`.
local auth = require("apisix.utils.auth")
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local parser = require("apisix.plugins.jwt-auth.parser")
local schema_def = require("apisix.schema_def")
local secret = require("apisix.secret")

local concat = table.concat
local decode_base64 = ngx.decode_base64
local find = string.find
local gmatch = string.gmatch
local match = string.match
local setmetatable = setmetatable
local sub = string.sub
local unpack = unpack

local NAME = "jwt-auth"
local SHARED = { "HS256", "HS384", "HS512" }
local PUBLIC = { "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512",
                 "EdDSA" }
local ALL = { "HS256", "HS384", "HS512", unpack(PUBLIC) }

local schema = {
    type = "object",
    properties = {
        header = { type = "string", default = "authorization" },
        query = { type = "string", default = "jwt" },
        cookie = { type = "string", default = "jwt" },
        hide_credentials = { type = "boolean", default = false },
        key_claim_name = { type = "string", default = "key", minLength = 1 },
        store_in_ctx = { type = "boolean", default = false },
        realm = schema_def.get_realm_schema("jwt"),
        anonymous_consumer = schema_def.anonymous_consumer_schema,
        claims_to_verify = {
            type = "array",
            items = { type = "string", enum = { "exp", "nbf" } },
            uniqueItems = true,
        },
    },
}

local consumer_schema = {
    type = "object",
    properties = {
        key = { type = "string", minLength = 1 },
        secret = { type = "string", minLength = 1 },
        algorithm = { type = "string", enum = ALL, default = "HS256" },
        exp = { type = "integer", minimum = 1, default = 86400 },
        base64_secret = { type = "boolean", default = false },
        lifetime_grace_period = { type = "integer", minimum = 0, default = 0 },
    },
    dependencies = {
        algorithm = {
            oneOf = {
                { properties = { algorithm = { enum = SHARED, default = "HS256" } } },
                {
                    properties = {
                        public_key = { type = "string", minLength = 1 },
                        algorithm = { enum = PUBLIC },
                    },
                    required = { "public_key" },
                },
            },
        },
    },
    encrypt_fields = { "secret" },
    required = { "key" },
}

-- Conf of a consumer -> its key, read; `false` if it cannot be.
local ready_keys = setmetatable({}, { __mode = "k" })

local _M = {
    version = 0.1,
    priority = 2510,
    type = "auth",
    name = NAME,
    schema = schema,
    consumer_schema = consumer_schema,
}


local function is_shared(algorithm)
    return sub(algorithm, 1, 2) == "HS"
end


function _M.check_schema(conf, schema_type)
    if schema_type ~= core.schema.TYPE_CONSUMER then
        return core.schema.check(schema, conf)
    end
    local ok, err = core.schema.check(consumer_schema, conf)
    if not ok then
        return false, err
    end

    if is_shared(conf.algorithm) then
        if not conf.secret then
            return false, 'property "secret" is required when using HS based algorithms'
        end
    elseif not conf.public_key then
        return false, "missing valid public key"
    end
    if conf.base64_secret and conf.secret and not secret.is_secret_ref(conf.secret)
            and not decode_base64(conf.secret) then
        return false, "base64_secret required but the secret is not in base64 format"
    end
    return true
end


-- The token, and where it stands. An argument that is repeated or has no value is no text.
local function find_token(conf, ctx)
    local token = core.request.header(ctx, conf.header)
    if token then
        if find(token, "^[Bb]earer ") then
            token = sub(token, 8)
        end
        return token, "header"
    end
    token = core.request.get_uri_args(ctx)[conf.query]
    if token then
        return token, "query"
    end
    return ctx.var["cookie_" .. conf.cookie], "cookie"
end


local function hide_cookie(conf, ctx)
    local kept = {}
    for cookie in gmatch(ctx.var.http_cookie or "", "[^;]+") do
        cookie = match(cookie, "^%s*(.-)%s*$")
        if cookie ~= "" and match(cookie, "^[^=]*") ~= conf.cookie then
            kept[#kept + 1] = cookie
        end
    end
    core.request.set_header(ctx, "Cookie", kept[1] and concat(kept, "; ") or nil)
end


local function hide_token(conf, ctx, place)
    if place == "header" then
        core.request.set_header(ctx, conf.header, nil)
    elseif place == "query" then
        local args = core.request.get_uri_args(ctx)
        args[conf.query] = nil
        core.request.set_uri_args(ctx, args)
    else
        hide_cookie(conf, ctx)
    end
end


local function read_key(auth_conf)
    local text = auth_conf.public_key
    if is_shared(auth_conf.algorithm) then
        text = auth_conf.secret
        if text and auth_conf.base64_secret then
            text = decode_base64(text)
        end
    end
    if not text then
        return nil, "it is not there, or not in base64 format"
    end
    return parser.key(auth_conf.algorithm, text)
end


-- The key of a consumer, read once.
local function key_of(consumer)
    local auth_conf = consumer.auth_conf
    local key = ready_keys[auth_conf]
    if key == nil then
        local err
        key, err = read_key(auth_conf)
        ready_keys[auth_conf] = key or false
        if not key then
            core.log.error("cannot use the key of the consumer ", consumer.consumer_name, ": ",
                           err)
        end
    end
    return key
end


-- What is wrong with a token of this consumer, and whether that is worth an error line.
local function token_error(conf, consumer, token)
    local key = key_of(consumer)
    if not key then
        return "failed to retrieve secrets, err: unusable key"
    elseif token.header.alg ~= key.alg then
        return "failed to verify jwt: algorithm mismatch, expected " .. key.alg
    elseif not token:verify_signature(key) then
        return "failed to verify jwt: signature mismatch: " .. parser.shown(token.signature)
    end
    local ok, err = token:verify_claims(conf.claims_to_verify, consumer.auth_conf)
    if not ok then
        return "failed to verify jwt: " .. err, true
    end
    return nil
end


-- Second result as `attach_consumer` wants it; third, why there is no consumer. The reason in
-- full is for the log alone, which `multi-auth` writes itself.
local function authenticate(conf, ctx, text)
    if not text then
        core.log.info("failed to fetch JWT token: JWT not found in cookie")
        return nil, nil, "Missing JWT token in request"
    end
    local detailed = auth.is_running_under_multi_auth(ctx)
    local token, err = parser.new(text)
    if not token then
        err = "JWT token invalid: " .. err
        if detailed then
            return nil, nil, err
        end
        core.log.warn(err)
        return nil, nil, "JWT token invalid"
    end
    core.log.debug("parsed jwt alg: ", token.header.alg, ", key claim name: ",
                   conf.key_claim_name)

    local name = token.payload[conf.key_claim_name]
    if not name then
        return nil, nil, "missing user key in JWT token"
    end
    local consumer, consumer_conf
    consumer, consumer_conf, err = consumer_mod.find_consumer(NAME, "key", name)
    if not consumer then
        core.log.warn("failed to find consumer: ", err or "invalid user key")
        return nil, nil, "Invalid user key in JWT token"
    end

    local is_grave
    err, is_grave = token_error(conf, consumer, token)
    if err then
        if detailed then
            return nil, nil, err
        end
        core.log[is_grave and "error" or "warn"](err)
        return nil, nil, "failed to verify jwt"
    end
    if conf.store_in_ctx then
        ctx.jwt_auth_payload = token.payload
    end
    return consumer, consumer_conf
end


local function refuse(conf, reason)
    core.response.set_header("WWW-Authenticate", 'Bearer realm="' .. conf.realm .. '"')
    return 401, { message = reason }
end


function _M.rewrite(conf, ctx)
    local text, place = find_token(conf, ctx)
    local consumer, consumer_conf, err = authenticate(conf, ctx, text)
    if not consumer then
        if not conf.anonymous_consumer then
            return refuse(conf, err)
        end
        consumer, consumer_conf, err = consumer_mod.get_anonymous_consumer(conf.anonymous_consumer)
        if not consumer then
            core.log.error("jwt-auth failed to authenticate the request, code: 401. error: ", err)
            return refuse(conf, "Invalid user authorization")
        end
    end

    -- A token that was refused is none of the upstream's business either.
    if conf.hide_credentials and text then
        hide_token(conf, ctx, place)
    end
    consumer_mod.attach_consumer(ctx, consumer, consumer_conf)
    core.log.info("hit jwt-auth rewrite")
end


return _M
