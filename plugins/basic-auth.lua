--- Authenticates a consumer by user name and password (RFC 7617).
--
-- Runs in `rewrite`. A request without valid credentials gets 401,
-- `WWW-Authenticate: Basic realm="..."` and `{"message":"..."}`, unless
-- `anonymous_consumer` stands in for it.
local auth = require("apisix.utils.auth")
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local schema_def = require("apisix.schema_def")

local decode_base64 = ngx.decode_base64
local find = string.find
local gsub = string.gsub
local is_equal = auth.is_equal
local lower = string.lower
local match = string.match
local sub = string.sub

local NAME = "basic-auth"

local schema = {
    type = "object",
    title = "work with route or service object",
    properties = {
        hide_credentials = { type = "boolean", default = false },
        realm = schema_def.get_realm_schema("basic"),
        anonymous_consumer = schema_def.anonymous_consumer_schema,
    },
}

local consumer_schema = {
    type = "object",
    title = "work with consumer object",
    properties = {
        username = { type = "string" },
        password = { type = "string" },
    },
    encrypt_fields = { "password" },
    required = { "username", "password" },
}

local _M = {
    version = 0.1,
    priority = 2520,
    type = "auth",
    name = NAME,
    schema = schema,
    consumer_schema = consumer_schema,
}


function _M.check_schema(conf, schema_type)
    if schema_type == core.schema.TYPE_CONSUMER then
        return core.schema.check(consumer_schema, conf)
    end
    return core.schema.check(schema, conf)
end


local function without_space(text)
    return (gsub(text, "%s+", ""))
end


-- User name and password in the header, or nil, nil and what is wrong with it. All after
-- the first colon is the password, colons too. An error goes to the log, and what is in a broken
-- header may be a password all the same.
local function credentials_of(header)
    local at = find(lower(header), "basic%s.")
    local encoded = at and match(header, "^%a+%s(.+)$", at)
    if not encoded then
        return nil, nil, "Invalid authorization header format"
    end
    local decoded = decode_base64(encoded)
    if not decoded then
        return nil, nil, "Failed to decode authentication header"
    end
    local colon = find(decoded, ":", 1, true)
    if not colon then
        return nil, nil, "Split authorization err: invalid decoded data"
    end
    return without_space(sub(decoded, 1, colon - 1)), sub(decoded, colon + 1)
end


-- White space in the password is ignored, unless the consumer's password has some.
local function is_password(given, expected)
    return is_equal(given, expected) or is_equal(without_space(given), expected)
end


-- Second result as `attach_consumer` wants it; third, why there is no consumer.
local function authenticate(ctx)
    local header = core.request.header(ctx, "Authorization")
    if not header then
        return nil, nil, "Missing authorization in request"
    end

    local detailed = auth.is_running_under_multi_auth(ctx)
    local username, password, err = credentials_of(header)
    if err then
        if detailed then
            return nil, nil, err
        end
        core.log.warn(err)
        return nil, nil, "Invalid authorization in request"
    end

    local consumer, consumer_conf
    consumer, consumer_conf, err = consumer_mod.find_consumer(NAME, "username", username)
    if not consumer then
        err = "failed to find user: " .. (err or "invalid user")
        if detailed then
            return nil, nil, err
        end
        core.log.warn(err)
        return nil, nil, "Invalid user authorization"
    end
    if not is_password(password, consumer.auth_conf.password) then
        return nil, nil, "Invalid user authorization"
    end
    return consumer, consumer_conf
end


local function refuse(conf, reason)
    core.response.set_header("WWW-Authenticate", 'Basic realm="' .. conf.realm .. '"')
    return 401, { message = reason }
end


function _M.rewrite(conf, ctx)
    local consumer, consumer_conf, reason = authenticate(ctx)
    if not consumer then
        if not conf.anonymous_consumer then
            return refuse(conf, reason)
        end

        local err
        consumer, consumer_conf, err = consumer_mod.get_anonymous_consumer(conf.anonymous_consumer)
        if not consumer then
            core.log.error("basic-auth failed to authenticate the request, code: 401. error: ",
                           err)
            return refuse(conf, "Invalid user authorization")
        end
    end

    if conf.hide_credentials then
        core.request.set_header(ctx, "Authorization", nil)
    end
    consumer_mod.attach_consumer(ctx, consumer, consumer_conf)
    core.log.info("hit basic-auth access")
end


return _M
