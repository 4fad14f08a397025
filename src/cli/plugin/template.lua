--- NAME: adds a field to every response and, if told to, refuses some requests.
--
-- A template: change what you like and save, the gateway takes it at once. A mistake keeps
-- the old code and is told in logs/error.log with file and line.
local core = require("apisix.core")

-- What a route may set. `default`s are filled in before a function below sees the conf.
local schema = {
    type = "object",
    properties = {
        greeting = { type = "string", minLength = 1, default = "hello from NAME" },
        deny_agents = { type = "array", items = { type = "string", minLength = 1 } },
    },
}

local _M = {
    version = 0.1,
    priority = 11500,   -- the higher, the earlier; authentication is at 2500
    name = "NAME",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


-- Before the request goes to the upstream. To return a status ends it here.
function _M.access(conf, ctx)
    local agent = core.request.header(ctx, "User-Agent") or ""
    for _, word in ipairs(conf.deny_agents or {}) do
        if agent:find(word, 1, true) then
            return 403, { error_msg = "not for " .. word }
        end
    end
end


-- After the upstream's (or another plugin's) head, before the client's.
function _M.header_filter(conf, ctx)
    core.response.set_header("X-Greeting", conf.greeting)
end


return _M
