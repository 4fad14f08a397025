--- Lets requests pass or refuses them by their consumer, consumer group, service or route.
--
-- Runs in `access`, when authentication is over. Refusal: 403 (`rejected_code`) and
-- `{"message":"..."}`; 401 if the request has no such name, for instance because no
-- consumer was found.
local core = require("apisix.core")

local ipairs = ipairs
local ngx = ngx
local setmetatable = setmetatable

local names = {
    type = "array",
    minItems = 1,
    items = { type = "string" },
}

local schema = {
    type = "object",
    properties = {
        type = {
            type = "string",
            enum = { "consumer_name", "service_id", "route_id", "consumer_group_id" },
            default = "consumer_name",
            description = "The field of ctx that the lists name.",
        },
        blacklist = names,
        whitelist = names,
        allowed_by_methods = {
            type = "array",
            items = {
                type = "object",
                properties = {
                    user = { type = "string" },
                    methods = {
                        type = "array",
                        minItems = 1,
                        items = core.schema.method_schema,
                    },
                },
            },
        },
        rejected_code = { type = "integer", minimum = 200, default = 403 },
        rejected_msg = { type = "string" },
    },
    anyOf = {
        { required = { "blacklist" } },
        { required = { "whitelist" } },
        { required = { "allowed_by_methods" } },
    },
}

local _M = {
    version = 0.1,
    priority = 2400,
    name = "consumer-restriction",
    schema = schema,
}


function _M.check_schema(conf)
    return core.schema.check(schema, conf)
end


local function set_of(list)
    if not list or #list == 0 then
        return nil
    end
    local set = {}
    for _, name in ipairs(list) do
        set[name] = true
    end
    return set
end


-- user -> set of methods; the first entry of a user counts.
local function methods_of(list)
    local users = {}
    for _, entry in ipairs(list or {}) do
        if entry.user and not users[entry.user] then
            users[entry.user] = set_of(entry.methods) or {}
        end
    end
    return users
end


local prepared = setmetatable({}, { __mode = "k" })


local function prepare(conf)
    local rules = {
        denied = set_of(conf.blacklist) or {},
        allowed = set_of(conf.whitelist),
        methods = methods_of(conf.allowed_by_methods),
    }
    prepared[conf] = rules
    return rules
end


-- A name on the white list may use all methods; without a white list, a name that has no
-- entry in `allowed_by_methods` may too.
local function may_pass(rules, name)
    if rules.denied[name] then
        return false
    end
    if rules.allowed then
        return rules.allowed[name] == true
    end
    local methods = rules.methods[name]
    return not methods or methods[ngx.req.get_method()] == true
end


function _M.access(conf, ctx)
    local name = ctx[conf.type]
    if not name then
        return 401, {
            message = "The request is rejected, please check the " .. conf.type
                      .. " for this request",
        }
    end
    if not may_pass(prepared[conf] or prepare(conf), name) then
        return conf.rejected_code, {
            message = conf.rejected_msg or "The " .. conf.type .. " is forbidden.",
        }
    end
end


return _M
