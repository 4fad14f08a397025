--- traffic-split: sends shares of a route's traffic to different upstreams.
--
-- Runs in `access`. The first rule that matches picks one of its upstreams by weight; an
-- entry without `upstream` and `upstream_id` stands for the route's own. An upstream_id that
-- does not exist gives 500 with a text that names it.
local core = require("apisix.core")
local expr = require("resty.expr.v1")
local roundrobin = require("resty.roundrobin")
local schema_def = require("apisix.schema_def")
local upstream = require("apisix.upstream")

local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable

local schema = {
    type = "object",
    properties = {
        rules = {
            type = "array",
            items = {
                type = "object",
                properties = {
                    match = {
                        type = "array",
                        items = { type = "object", properties = { vars = { type = "array" } } },
                    },
                    weighted_upstreams = {
                        type = "array",
                        items = {
                            type = "object",
                            properties = {
                                upstream_id = schema_def.id_schema,
                                upstream = schema_def.upstream,
                                weight = {
                                    description = "share of the traffic",
                                    type = "integer",
                                    default = 1,
                                    minimum = 0,
                                },
                            },
                        },
                        default = { { weight = 1 } },
                        minItems = 1,
                        maxItems = 20,
                    },
                },
            },
        },
    },
}

local _M = {
    version = 0.1,
    priority = 966,
    name = "traffic-split",
    schema = schema,
}


local function check_rule(rule)
    for _, match in ipairs(rule.match or {}) do
        local ok, err = expr.new(match.vars)
        if not ok then
            return false, "failed to validate the 'vars' expression: " .. err
        end
    end
    return true
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end
    for _, rule in ipairs(conf.rules or {}) do
        ok, err = check_rule(rule)
        if not ok then
            return false, err
        end
    end
    return true
end

-- ---------------------------------------------------------------------------
-- What a conf means, worked out once

-- The nodes as a list; the conf may also have them as a map.
local function node_list(nodes)
    if core.table.isarray(nodes) then
        return core.table.deepcopy(nodes)
    end
    local list = {}
    for address, weight in pairs(nodes) do
        local host, port = core.utils.parse_addr(address)
        list[#list + 1] = { host = host, port = port, weight = weight }
    end
    return list
end


local function own_upstream(conf, place)
    local up = core.table.deepcopy(conf)
    if up.nodes then
        up.nodes = node_list(up.nodes)
    end
    local ok, err = upstream.check_schema(up)
    if not ok then
        return { err = err }
    end
    return { conf = up, place = place }
end


-- One weighted entry: an upstream, the id of one, or neither.
local function target_of(entry, place)
    if entry.upstream_id then
        return { id = entry.upstream_id }
    end
    if entry.upstream then
        return own_upstream(entry.upstream, place)
    end
    return {}
end


local function expressions(rule)
    local list = {}
    for i, match in ipairs(rule.match or {}) do
        list[i] = expr.new(match.vars)
    end
    return list
end


local function compile(conf)
    local rules = {}
    for i, rule in ipairs(conf.rules) do
        local weights, targets = {}, {}
        for j, entry in ipairs(rule.weighted_upstreams or {}) do
            weights[j] = entry.weight
            targets[j] = target_of(entry, i .. "_" .. j)
        end
        rules[i] = {
            matches = expressions(rule),
            targets = targets,
            picker = roundrobin:new(weights),
        }
    end
    return rules
end


local compiled = setmetatable({}, { __mode = "k" })

-- ---------------------------------------------------------------------------
-- A request

local function matches(rule, ctx)
    if #rule.matches == 0 then
        return true
    end
    for _, match in ipairs(rule.matches) do
        local ok, err = match:eval(ctx.var)
        if err then
            core.log.error("failed to run the 'vars' expression: ", err)
        elseif ok then
            return true
        end
    end
    return false
end


local function missing_id(rule)
    for _, target in ipairs(rule.targets) do
        if target.id and not upstream.get_by_id(target.id) then
            return target.id
        end
    end
end


local function send_to(target, ctx)
    if target.err then
        core.log.error("failed to validate generated upstream: ", target.err)
        return 500, target.err
    end
    local up = target.conf
    if not up then
        ctx.upstream_id = target.id
        return
    end

    ctx.upstream_id = nil
    local key = up.type .. "#route_" .. (ctx.route_id or "") .. "_" .. target.place
    upstream.set(ctx, key, ctx.conf_version, up)
    if up.scheme == "https" then
        upstream.set_scheme(ctx, up)
    end
end


function _M.access(conf, ctx)
    if not conf.rules then
        return
    end
    local rules = compiled[conf]
    if not rules then
        rules = compile(conf)
        compiled[conf] = rules
    end

    for _, rule in ipairs(rules) do
        local id = missing_id(rule)
        if id then
            return 500, "failed to fetch upstream info by upstream id: " .. id
        end
        if matches(rule, ctx) then
            local picked = rule.picker:find()
            return send_to(picked and rule.targets[picked] or {}, ctx)
        end
    end
end


return _M
