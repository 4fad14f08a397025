--- Replaces the body of the response, or puts text before and after it.
--
-- `header_filter` sets headers and drops those that described the old body; `body_filter`
-- changes the body. It refuses nothing.
local core = require("apisix.core")

local ngx = ngx
local pairs = pairs
local type = type

local schema = {
    type = "object",
    properties = {
        before_body = { type = "string", description = "Text before the body." },
        body = { type = "string", description = "Text in place of the body." },
        after_body = { type = "string", description = "Text after the body." },
        headers = { type = "object", minProperties = 1 },
    },
    anyOf = {
        { required = { "before_body" } },
        { required = { "body" } },
        { required = { "after_body" } },
    },
    minProperties = 1,
}

local _M = {
    version = 0.1,
    priority = 412,
    name = "echo",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


function _M.header_filter(conf, ctx)
    core.response.clear_header_as_body_modified()
    for name, value in pairs(conf.headers or {}) do
        local kind = type(value)
        if kind == "string" or kind == "number" then
            ngx.header[name] = value
        else
            core.log.warn("invalid type as header value: ", name)
        end
    end
end


function _M.body_filter(conf, ctx)
    local chunk, is_last = ngx.arg[1], ngx.arg[2]
    if conf.body then
        chunk, is_last = conf.body, true
    end
    if conf.before_body and not ctx[conf] then
        -- Under the conf, because a global rule and the route may both have this plugin.
        ctx[conf] = true
        chunk = conf.before_body .. (chunk or "")
    end
    if is_last and conf.after_body then
        chunk = (chunk or "") .. conf.after_body
    end

    ngx.arg[1] = chunk
    if conf.body then
        ngx.arg[2] = true
    end
end


return _M
