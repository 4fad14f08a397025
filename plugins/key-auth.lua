--- Authenticates a consumer by an API key in a header or a query argument.
--
-- Runs in `rewrite`, so that what belongs to the consumer can join the later phases. A
-- request without a valid key gets 401, `WWW-Authenticate: apikey realm="..."` and
-- `{"message":"..."}`, unless `anonymous_consumer` stands in for it.
local auth = require("apisix.utils.auth")
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local schema_def = require("apisix.schema_def")

local NAME = "key-auth"

local schema = {
    type = "object",
    properties = {
        header = { type = "string", default = "apikey" },
        query = { type = "string", default = "apikey" },
        realm = schema_def.get_realm_schema("key"),
        hide_credentials = { type = "boolean", default = false },
        anonymous_consumer = schema_def.anonymous_consumer_schema,
    },
}

local consumer_schema = {
    type = "object",
    properties = {
        key = { type = "string" },
    },
    encrypt_fields = { "key" },
    required = { "key" },
}

local _M = {
    version = 0.1,
    priority = 2500,
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


local function hide_argument(ctx, name)
    local args = core.request.get_uri_args(ctx)
    if args[name] ~= nil then
        args[name] = nil
        core.request.set_uri_args(ctx, args)
    end
end


-- The key, and whether it came in the header.
local function presented_key(conf, ctx)
    local key = core.request.header(ctx, conf.header)
    if key then
        return key, true
    end
    return core.request.get_uri_args(ctx)[conf.query], false
end


-- Second result as `attach_consumer` wants it; third, why there is no consumer.
local function authenticate(conf, ctx)
    local key, in_header = presented_key(conf, ctx)
    if not key then
        return nil, nil, "Missing API key in request"
    end

    local consumer, consumer_conf, err = consumer_mod.find_consumer(NAME, "key", key)
    if not consumer then
        local reason = "failed to find consumer: " .. (err or "invalid api key")
        if auth.is_running_under_multi_auth(ctx) then
            return nil, nil, reason
        end
        core.log.warn(reason)
        return nil, nil, "Invalid API key in request"
    end

    if conf.hide_credentials then
        if in_header then
            core.request.set_header(ctx, conf.header, nil)
        else
            hide_argument(ctx, conf.query)
        end
    end
    return consumer, consumer_conf
end


local function refuse(conf, message)
    core.response.set_header("WWW-Authenticate", 'apikey realm="' .. conf.realm .. '"')
    return 401, message
end


-- The request goes on as the anonymous consumer. A wrong key must not reach the upstream
-- either if keys are to be hidden, wherever it stood.
local function as_anonymous(conf, ctx)
    if conf.hide_credentials then
        core.request.set_header(ctx, conf.header, nil)
        hide_argument(ctx, conf.query)
    end

    local consumer, consumer_conf, err = consumer_mod.get_anonymous_consumer(
        conf.anonymous_consumer)
    if consumer then
        consumer_mod.attach_consumer(ctx, consumer, consumer_conf)
        return
    end
    if auth.is_running_under_multi_auth(ctx) then
        return refuse(conf, err)
    end
    core.log.error("key-auth failed to authenticate the request, code: 401. error: ", err)
    return refuse(conf, { message = "Invalid user authorization" })
end


function _M.rewrite(conf, ctx)
    local consumer, consumer_conf, reason = authenticate(conf, ctx)
    if consumer then
        consumer_mod.attach_consumer(ctx, consumer, consumer_conf)
        core.log.info("hit key-auth rewrite")
        return
    end
    if conf.anonymous_consumer then
        return as_anonymous(conf, ctx)
    end
    return refuse(conf, { message = reason })
end


return _M
