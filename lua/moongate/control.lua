--- What the Control API asks of a worker's VM: plugins' own endpoints, and what a plan holds.
--
-- Called by Rust only.
local core = require("apisix.core")

local ipairs = ipairs

local PHASES = {
    "rewrite", "access", "before_proxy", "balancer",
    "header_filter", "body_filter", "delayed_body_filter", "log",
}

local match

local _M = {}


local function serve(_, ctx)
    -- It wants `apisix.plugin`, which nobody needs before plugins are there.
    match = match or require("moongate.endpoints").matcher("control_api")
    if not match(ctx) then
        core.response.exit(404)
    end
end


--- The plan of a request to the Control API that no endpoint of the gateway takes.
function _M.endpoint()
    local run = { fns = { serve }, confs = { {} }, names = { "control_api" }, n = 1 }
    return { info = {}, flat = {}, by_name = {}, content = run }
end


local function listed(plan)
    local phases = {}
    for _, phase in ipairs(PHASES) do
        for _, name in ipairs(plan[phase] and plan[phase].names or {}) do
            local list = phases[name] or {}
            phases[name] = list
            list[#list + 1] = phase
        end
    end
    local list = {}
    for at = 1, #plan.flat, 2 do
        local plugin, conf = plan.flat[at], plan.flat[at + 1]
        list[#list + 1] = {
            name = plugin.name,
            priority = conf._meta and conf._meta.priority or plugin.priority,
            phases = phases[plugin.name],
            run_policy = plugin.run_policy,
        }
    end
    return core.json.encode(list)
end


--- The plugins of plans, in the order in which they run.
-- @tparam table plan of a route
-- @tparam[opt] table globals plan of the global rules
-- @treturn string a list, as JSON
-- @treturn string|nil the same of the global rules
function _M.listed(plan, globals)
    return listed(plan), globals and listed(globals)
end


return _M
