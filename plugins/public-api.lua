--- public-api: makes the endpoints that plugins offer (`api()`) reachable on a route.
--
-- Runs in `access`. `uri` names the endpoint if it is another path than the request's. No
-- endpoint with that path and method: 404.
local core = require("apisix.core")
local match = require("apisix.api_router").match

local schema = {
    type = "object",
    properties = { uri = { type = "string" } },
}

local _M = {
    version = 0.1,
    priority = 501,
    name = "public-api",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


function _M.access(conf, ctx)
    if conf.uri then
        ctx.var.uri = conf.uri
    end
    if not match(ctx) then
        return 404
    end
end


return _M
