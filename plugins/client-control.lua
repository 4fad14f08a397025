--- Limits the size of request bodies, per route.
--
-- Runs in `rewrite`, before a body is read. Refusal: 413, at once if `Content-Length`
-- already says too much, otherwise when the body has grown too large.
local core = require("apisix.core")
local has_client, client = pcall(require, "resty.apisix.client")

local tonumber = tonumber

local schema = {
    type = "object",
    properties = {
        max_body_size = {
            type = "integer",
            minimum = 0,
            description = "Bytes of body; 0 allows any number.",
        },
    },
}

local _M = {
    version = 0.1,
    priority = 22000,
    name = "client-control",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


function _M.rewrite(conf, ctx)
    if not has_client then
        core.log.error("need to build APISIX-Runtime to support client control")
        return 501
    end

    local bytes_max = conf.max_body_size
    if not bytes_max then
        return
    end
    local length = tonumber(core.request.header(ctx, "Content-Length"))
    if length and bytes_max > 0 and length > bytes_max then
        return 413
    end

    local ok, err = client.set_client_max_body_size(bytes_max)
    if not ok then
        core.log.error("failed to set client max body size: ", err)
        return 503
    end
end


return _M
