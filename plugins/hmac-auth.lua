--- Authenticates a consumer by an HMAC over parts of the request.
--
-- Runs in `rewrite`. A request without a valid signature gets 401,
-- `WWW-Authenticate: hmac realm="..."` and `{"message":"..."}`, unless `anonymous_consumer`
-- stands in for it; with `validate_request_body` a body above `max_req_body_size` gets 413.
local auth = require("apisix.utils.auth")
local consumer_mod = require("apisix.consumer")
local core = require("apisix.core")
local keys = require("apisix.plugins.signed.keys")
local schema_def = require("apisix.schema_def")

local abs = math.abs
local encode_base64 = ngx.encode_base64
local find = string.find
local ipairs = ipairs
local lower = string.lower
local match = string.match
local ngx_time = ngx.time

local NAME = "hmac-auth"
local ALGORITHMS = { "hmac-sha1", "hmac-sha256", "hmac-sha512" }
local INVALID = "client request can't be validated"

local schema = {
    type = "object",
    title = "work with route or service object",
    properties = {
        allowed_algorithms = {
            type = "array",
            minItems = 1,
            items = { type = "string", enum = ALGORITHMS },
            default = ALGORITHMS,
        },
        clock_skew = { type = "integer", default = 300, minimum = 1 },
        signed_headers = {
            type = "array",
            default = { "date" },
            items = { type = "string", minLength = 1, maxLength = 50 },
        },
        validate_request_body = { type = "boolean", default = false },
        max_req_body_size = { type = "integer", minimum = 1, default = 67108864 },
        hide_credentials = { type = "boolean", default = false },
        realm = schema_def.get_realm_schema("hmac"),
        anonymous_consumer = schema_def.anonymous_consumer_schema,
    },
}

local consumer_schema = {
    type = "object",
    title = "work with consumer object",
    properties = {
        key_id = { type = "string", minLength = 1, maxLength = 256 },
        secret_key = { type = "string", minLength = 1, maxLength = 256 },
    },
    encrypt_fields = { "secret_key" },
    required = { "key_id", "secret_key" },
}

local _M = {
    version = 0.1,
    priority = 2530,
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


local function has(list, value)
    for _, item in ipairs(list) do
        if item == value then
            return true
        end
    end
    return false
end


-- What is wrong with the time of the request.
local function clock_error(conf, ctx)
    local date = core.request.header(ctx, "Date")
    if not date then
        return "Date header missing. failed to validate clock skew"
    end
    local time = ngx.parse_http_time(date)
    if not time then
        return "Invalid GMT format time"
    end
    if abs(ngx_time() - time) > conf.clock_skew then
        return "Clock skew exceeded"
    end
    return nil
end


-- What is wrong with the body; the second result is a status that says it best.
local function body_error(conf, ctx, claim)
    if not conf.validate_request_body then
        return nil
    end
    local digest = core.request.header(ctx, "Digest")
    if not digest then
        return "Invalid digest"
    end
    local sum, reason, why
    if claim.body == "digest" then
        sum, reason, why = core.signature.check_body(claim, { max_size = conf.max_req_body_size })
        if sum then
            return nil
        end
    else
        sum, reason, why = core.signature.body_sha256(claim, conf.max_req_body_size)
        if sum and digest == "SHA-256=" .. encode_base64(sum) then
            return nil
        end
    end
    if reason == "too_large" then
        core.log.error("failed to read request body: ", why)
        return why, 413
    end
    return "Invalid digest"
end


-- Whether the signature lists the field, be it there or not.
local function is_listed(ctx, claim, header)
    if claim.covered[lower(header)] then
        return true
    end
    local list = match(core.request.header(ctx, "Authorization") or "", 'headers="(.-)"')
    return list ~= nil and find(" " .. list .. " ", " " .. header .. " ", 1, true) ~= nil
end


-- The consumer and what `attach_consumer` wants; or nil, nil, what is wrong, and perhaps a
-- status for it.
local function validate(conf, ctx, claim)
    local consumer, consumer_conf, err = consumer_mod.find_consumer(NAME, "key_id", claim.key_id)
    if not consumer then
        core.signature.verify(claim, {})
        return nil, nil, err or "Invalid key_id"
    end
    if not has(conf.allowed_algorithms, claim.algorithm) then
        return nil, nil, "Invalid algorithm"
    end
    err = clock_error(conf, ctx)
    if err then
        return nil, nil, err
    end
    for _, header in ipairs(conf.signed_headers) do
        if not is_listed(ctx, claim, header) then
            return nil, nil, 'expected header "' .. header .. '" missing in signing'
        end
    end

    local active = keys.active(consumer.auth_conf, claim.algorithm, ngx_time())
    if not core.signature.verify(claim, active) then
        return nil, nil, "Invalid signature"
    end
    local status
    err, status = body_error(conf, ctx, claim)
    if err then
        return nil, nil, err, status
    end
    return consumer, consumer_conf
end


local function authenticate(conf, ctx)
    local claim, _, why = core.signature.claim(ctx, { scheme = NAME })
    local detailed = auth.is_running_under_multi_auth(ctx)
    local is_unread = not claim and (why == "missing Authorization header"
        or why == "Authorization header does not start with 'Signature'")
    if is_unread then
        local err = INVALID .. ": " .. why
        if not detailed then
            core.log.warn(err)
        end
        return nil, nil, err
    end

    local consumer, consumer_conf, err, status
    if claim then
        consumer, consumer_conf, err, status = validate(conf, ctx, claim)
    else
        err = why
    end
    if consumer then
        core.signature.accept(ctx, claim)
        return consumer, consumer_conf
    end
    if status then
        return nil, nil, err, status
    end
    err = INVALID .. ": " .. err
    if detailed then
        return nil, nil, err
    end
    core.log.warn(err)
    return nil, nil, INVALID
end


local function refuse(conf, message)
    core.response.set_header("WWW-Authenticate", 'hmac realm="' .. conf.realm .. '"')
    return 401, message
end


function _M.rewrite(conf, ctx)
    local consumer, consumer_conf, err, status = authenticate(conf, ctx)
    if not consumer then
        if status then
            return status, { message = err }
        end
        if not conf.anonymous_consumer then
            return refuse(conf, { message = err })
        end
        consumer, consumer_conf, err = consumer_mod.get_anonymous_consumer(conf.anonymous_consumer)
        if not consumer then
            if auth.is_running_under_multi_auth(ctx) then
                return refuse(conf, err)
            end
            core.log.error(err)
            return refuse(conf, { message = "Invalid user authorization" })
        end
    end

    if conf.hide_credentials then
        core.request.set_header(ctx, "Authorization", nil)
    end
    consumer_mod.attach_consumer(ctx, consumer, consumer_conf)
end


return _M
