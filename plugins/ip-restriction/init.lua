--- What ip-restriction does; plugins that refuse with an answer of their own use it too.
-- @module apisix.plugins.ip-restriction.init
local core = require("apisix.core")

local ipairs = ipairs
local setmetatable = setmetatable

local addresses = {
    type = "array",
    items = { anyOf = core.schema.ip_def },
    minItems = 1,
}

local schema = {
    type = "object",
    properties = {
        message = {
            type = "string",
            minLength = 1,
            maxLength = 1024,
            default = "Your IP address is not allowed",
        },
        response_code = { type = "integer", minimum = 403, maximum = 404, default = 403 },
        whitelist = addresses,
        blacklist = addresses,
    },
    oneOf = {
        { required = { "whitelist" } },
        { required = { "blacklist" } },
    },
}

local _M = {
    version = 0.1,
    priority = 3000,
    name = "ip-restriction",
    schema = schema,
}


-- The schema's patterns let some texts pass that are no address.
local function check_addresses(list)
    for _, text in ipairs(list or {}) do
        if not core.ip.validate_cidr_or_ip(text) then
            return false, "invalid ip address: " .. text
        end
    end
    return true
end


--- Fills defaults and checks.
-- @tparam table conf
-- @treturn boolean
-- @treturn string|nil what is wrong
function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    ok, err = check_addresses(conf.whitelist)
    if not ok then
        return false, err
    end
    return check_addresses(conf.blacklist)
end


-- conf -> { matcher, is_whitelist }; matcher is false if the list is no good.
local rules = setmetatable({}, { __mode = "k" })


local function rule_of(conf)
    local list = conf.whitelist or conf.blacklist
    local rule = {
        matcher = core.ip.create_ip_matcher(list) or false,
        is_whitelist = conf.whitelist ~= nil,
    }
    rules[conf] = rule
    return rule
end


--- Refuses a request whose address is not listed, or is.
-- @tparam table conf
-- @tparam table ctx
-- @treturn number|nil status
-- @treturn table|nil body
function _M.restrict(conf, ctx)
    local rule = rules[conf] or rule_of(conf)
    local matcher = rule.matcher
    local listed = matcher and matcher:match(ctx.var.remote_addr) or false
    if listed ~= rule.is_whitelist then
        return conf.response_code, { message = conf.message }
    end
end


return _M
