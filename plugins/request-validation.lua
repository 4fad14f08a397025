--- request-validation: checks headers and body of a request against JSON schemas.
--
-- Runs in `rewrite`. A request that does not fit gets `rejected_code` (400) with
-- `rejected_msg`, or with what is wrong. The upstream gets the JSON that was checked, so
-- that two readings of one text cannot slip something past the check.
local core = require("apisix.core")
local secret = require("apisix.secret")

local find = string.find
local lower = string.lower
local type = type

local FORM = "application/x-www-form-urlencoded"

local schema = {
    type = "object",
    properties = {
        header_schema = { type = "object" },
        body_schema = { type = "object" },
        max_req_body_size = {
            type = "integer",
            minimum = 1,
            default = 64 * 1024 * 1024,
            description = "bytes of the longest body that is read; a longer one is rejected",
        },
        rejected_code = { type = "integer", minimum = 200, maximum = 599, default = 400 },
        rejected_msg = { type = "string", minLength = 1, maxLength = 256 },
    },
    anyOf = { { required = { "header_schema" } }, { required = { "body_schema" } } },
}

local _M = {
    version = 0.1,
    priority = 2800,
    type = "validation",
    name = "request-validation",
    schema = schema,
}


local function check_inner(inner)
    if not inner or secret.is_secret_ref(inner) then
        return true
    end
    return core.schema.valid(inner)
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if ok then
        ok, err = check_inner(conf.body_schema)
    end
    if ok then
        ok, err = check_inner(conf.header_schema)
    end
    if not ok then
        return false, err
    end
    return true
end


local function refuse(conf, err)
    return conf.rejected_code, conf.rejected_msg or err
end


-- The body as a table, and whether it was JSON.
local function decoded(body, content_type)
    if content_type and find(lower(content_type), FORM, 1, true) == 1 then
        local args, err = ngx.decode_args(body, 0)
        return args, err, false
    end
    local object, err = core.json.decode(body)
    return object, err, true
end


local function check_body(conf, ctx, content_type)
    local body, err = core.request.get_body(conf.max_req_body_size, ctx)
    if not body then
        if err then
            core.log.error("failed to get body: ", err)
        end
        return refuse(conf)
    end
    -- Gateway and upstream might each believe another one of them.
    if type(content_type) == "table" then
        core.log.error("duplicated Content-Type header")
        return refuse(conf)
    end

    local object, is_json
    object, err, is_json = decoded(body, content_type)
    if not object then
        core.log.error("failed to decode the req body: ", err)
        return refuse(conf, err)
    end
    local ok
    ok, err = core.schema.check(conf.body_schema, object)
    if not ok then
        core.log.error("req schema validation failed: ", err)
        return refuse(conf, err)
    end
    if is_json then
        ngx.req.set_body_data(core.json.encode(object))
    end
end


function _M.rewrite(conf, ctx)
    local headers = core.request.headers(ctx)
    if conf.header_schema then
        local ok, err = core.schema.check(conf.header_schema, headers)
        if not ok then
            core.log.error("req schema validation failed", err)
            return refuse(conf, err)
        end
    end
    if conf.body_schema then
        return check_body(conf, ctx, headers["content-type"])
    end
end


return _M
