--- Answers with sample data instead of asking an upstream.
--
-- Runs in `access` and ends every request: after `delay` seconds, with `response_status`
-- and either `response_example` or random data that fits `response_schema`.
local core = require("apisix.core")
local sample = require("apisix.plugins.mocking.sample")

local match = string.match
local ngx = ngx
local pairs = pairs

local CONTENT_TYPES = {
    ["application/json"] = true,
    ["application/xml"] = true,
    ["text/html"] = true,
    ["text/plain"] = true,
    ["text/xml"] = true,
}

local schema = {
    type = "object",
    properties = {
        delay = { type = "integer", default = 0, description = "Seconds to wait." },
        response_status = { type = "integer", default = 200, minimum = 100 },
        content_type = { type = "string", default = "application/json;charset=utf8" },
        response_example = {
            type = "string",
            description = "The body; may contain variables.",
        },
        response_schema = {
            type = "object",
            description = "Schema of a random body, if there is no response_example.",
        },
        with_mock_header = {
            type = "boolean",
            default = true,
            description = "Whether x-mock-by tells that the answer is not real.",
        },
        response_headers = {
            type = "object",
            minProperties = 1,
            patternProperties = {
                ["^[^:]+$"] = { oneOf = { { type = "string" }, { type = "number" } } },
            },
        },
    },
    anyOf = {
        { required = { "response_example" } },
        { required = { "response_schema" } },
    },
}

local _M = {
    version = 0.1,
    priority = 10900,
    name = "mocking",
    schema = schema,
}


-- The content type without its parameters.
local function media_type(content_type)
    return match(content_type, "^[^;]*")
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    if not CONTENT_TYPES[media_type(conf.content_type)] then
        return false, "unsupported content type!"
    end
    return true
end


local function body_of(conf)
    if conf.response_example then
        return conf.response_example
    end

    local object = sample.object(conf.response_schema)
    local kind = media_type(conf.content_type)
    if kind == "application/json" or kind == "text/plain" then
        return core.json.encode(object)
    end
    if kind == "application/xml" or kind == "text/xml" then
        return sample.xml(object, "data")
    end
    core.log.error("json schema body only support xml and json content type")
    return ""
end


function _M.access(conf, ctx)
    local resolve, var = core.utils.resolve_var, ctx.var
    ngx.header["Content-Type"] = conf.content_type
    if conf.with_mock_header then
        ngx.header["x-mock-by"] = "APISIX/" .. core.version.VERSION
    end
    for name, value in pairs(conf.response_headers or {}) do
        core.response.add_header(name, (resolve(value, var)))
    end

    if conf.delay > 0 then
        ngx.sleep(conf.delay)
    end
    return conf.response_status, (resolve(body_of(conf), var))
end


return _M
