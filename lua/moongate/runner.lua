--- Runs the phases of one request.
--
-- Rust calls one function of this module per phase, on a coroutine that may wait. What can
-- be decided before a request comes is decided in `plan`, once per route version and VM:
-- afterwards a phase is one loop over two arrays.
local core = require("apisix.core")
local expr = require("resty.expr.v1")
local host = require("moongate.host")
local registry = require("moongate.registry")
local secret = require("apisix.secret")

local clear = require("table.clear")
local release_vars = core.ctx.release_vars
local set_vars_meta = core.ctx.set_vars_meta
local host_set_ctx = host.set_ctx
local type = type
local rawset = rawset
local setmetatable = setmetatable

local PHASES = {
    "rewrite", "access", "before_proxy", "balancer",
    "header_filter", "body_filter", "delayed_body_filter", "log",
}

local _M = {}

-- ---------------------------------------------------------------------------
-- Plans

--- `_meta.filter`: whether the plugin runs for this request. Decided once per request and
-- conf, by the first phase that asks.
local function passes(filter, ctx, key)
    local cache = ctx._meta_filter
    if not cache then
        cache = {}
        ctx._meta_filter = cache
    end
    local known = cache[key]
    if known == nil then
        local result, err = filter:eval(ctx.var)
        if err then
            core.log.warn("failed to run the 'vars' expression: ", err)
            return true
        end
        known = result and true or false
        cache[key] = known
    end
    return known
end


local pre_functions = {}

--- The function that `_meta.pre_function` evaluates to, compiled once per text.
local function pre_function_of(text)
    local known = pre_functions[text]
    if known == nil then
        local chunk, err = load(text, "=pre_function")
        local ok, func = pcall(chunk or error, err)
        known = ok and type(func) == "function" and func or false
        if not known then
            core.log.error("failed to load _meta.pre_function: ", err or func)
        end
        pre_functions[text] = known
    end
    return known
end


--- An error with its place; where it was raised without one, that of `func`.
local function located(err, func)
    if type(err) == "string" and err:find("^[^\n]-:%d+: ") then
        return err
    end
    local info = debug.getinfo(func, "S")
    return info.short_src .. ":" .. info.linedefined .. ": " .. tostring(err)
end


--- Wraps phase function `func` so that filter and pre_function of `meta` come first.
local function guarded(func, meta, key)
    local filter
    if meta.filter then
        local err
        filter, err = expr.new(meta.filter)
        if not filter then
            core.log.warn("failed to compile the 'vars' expression: ", err)
        end
    end
    local before = meta.pre_function and pre_function_of(meta.pre_function)
    if not filter and not before then
        return func
    end
    return function(conf, ctx)
        if filter and not passes(filter, ctx, key) then
            return
        end
        if before then
            local ok, err = pcall(before, conf, ctx)
            if not ok then
                core.log.error("pre_function execution for plugin ", ctx._plugin_name,
                               " failed: ", located(err, before), ", route: ", ctx.route_id)
            end
        end
        return func(conf, ctx)
    end
end


--- Order of one plan: by `_meta.priority` if any conf has one, else by the plugins' own.
local function sort_items(items)
    local rank = registry.rank
    local custom = false
    for _, item in ipairs(items) do
        local meta = item.conf._meta
        custom = custom or (meta and meta.priority ~= nil)
    end
    if custom then
        for _, item in ipairs(items) do
            local meta = item.conf._meta
            if not meta then
                meta = {}
                item.conf._meta = meta
            end
            meta.priority = meta.priority or item.plugin.priority
        end
    end
    table.sort(items, function(a, b)
        if custom and a.conf._meta.priority ~= b.conf._meta.priority then
            return a.conf._meta.priority > b.conf._meta.priority
        end
        return rank[a.name] < rank[b.name]
    end)
end


--- Confs with references to secrets are resolved at every call; the resolved copy stays
-- the same while the values do.
local function with_secrets(func, conf)
    if secret.resolve_conf(conf) == conf then
        return func
    end
    return function(original, ctx)
        return func(secret.resolve_conf(original), ctx)
    end
end


local function add_phase(plan, phase, items)
    local fns, confs, names = {}, {}, {}
    for _, item in ipairs(items) do
        local func = item.plugin[phase]
        if type(func) == "function" then
            local n = #fns + 1
            local meta = item.conf._meta
            func = with_secrets(func, item.conf)
            fns[n] = type(meta) == "table" and guarded(func, meta, item.conf) or func
            confs[n] = item.conf
            names[n] = item.name
        end
    end
    if #fns == 0 then
        return 0
    end
    plan[phase] = { fns = fns, confs = confs, names = names, n = #fns }
    return 1
end


--- Makes the plan of a route, or of the global rules.
-- @tparam table info conf_type, conf_id, conf_version, route_id and so on
-- @tparam table names plugin names
-- @tparam table confs their conf tables, in the same order
-- @treturn table the plan
-- @treturn number a bit for each phase that has something to run
function _M.plan(info, names, confs)
    local items = {}
    for at, name in ipairs(names) do
        local plugin = registry.loaded[name]
        local conf = confs[at]
        local meta = conf._meta
        if plugin and not (type(meta) == "table" and meta.disable) then
            items[#items + 1] = { name = name, plugin = plugin, conf = conf }
        end
    end
    sort_items(items)
    local plan = { info = info, flat = {}, by_name = {} }
    for _, item in ipairs(items) do
        local n = #plan.flat
        plan.flat[n + 1] = item.plugin
        plan.flat[n + 2] = item.conf
        plan.by_name[item.name] = item.conf
    end
    local mask, bit = 0, 1
    for _, phase in ipairs(PHASES) do
        mask = mask + bit * add_phase(plan, phase, items)
        bit = bit * 2
    end
    return plan, mask
end


-- ---------------------------------------------------------------------------
-- ctx

-- Fields of ctx that are made when somebody looks.
local lazy = {
    matched_route = function(ctx)
        local id = ctx.route_id
        return id and host.matched_route()
    end,
    curr_req_matched = function()
        return host.req_params()
    end,
    ngx_ctx = function()
        return host.ngx_ctx()
    end,
}

local ctx_meta = {
    __index = function(ctx, key)
        local make = lazy[key]
        if make then
            local value = make(ctx)
            if value ~= nil then
                rawset(ctx, key, value)
            end
            return value
        end
    end,
}


local function fill_ctx(ctx, plan)
    local info = plan.info
    ctx.conf_type = info.conf_type
    ctx.conf_id = info.conf_id
    ctx.conf_version = info.conf_version
    ctx.route_id = info.route_id
    ctx.route_name = info.route_name
    ctx.service_id = info.service_id
    ctx.service_name = info.service_name
    ctx.plugins = plan.flat
    ctx._at = 0
    set_vars_meta(ctx)
    return ctx
end


--- The ctx of a new request. A used one, which Rust already holds for this request, is
-- emptied and filled again: a table with a few dozen fields is dear to make and to collect.
local function new_ctx(plan, used)
    if used then
        release_vars(used)
        clear(used)
        return fill_ctx(used, plan)
    end
    local ctx = setmetatable(fill_ctx({}, plan), ctx_meta)
    host_set_ctx(ctx)
    return ctx
end


-- ---------------------------------------------------------------------------
-- Phases

--- Ends the request with what a plugin returned. Does not return.
local function answer(code, body, conf, ctx, name)
    if code and code >= 400 then
        core.log.warn(name, " exits with http status code ", code)
        local meta = conf._meta
        if meta and meta.error_response then
            body = meta.error_response
        end
    end
    core.response.exit(code, body)
end


--- Runs one phase whose functions may end the request.
local function run(list, ctx, only)
    local fns, confs, names = list.fns, list.confs, list.names
    for at = 1, list.n do
        local name = names[at]
        local skip = ctx._skip_plugins
        if not (skip and skip[name]) and not (only and not only[name]) then
            ctx._plugin_name = name
            local code, body = fns[at](confs[at], ctx)
            if code or body then
                answer(code, body, confs[at], ctx, name)
            end
        end
    end
    ctx._plugin_name = nil
end


--- Runs a phase of the global rules: they see their own conf_type, and a rule steps back
-- where the route has the same plugin and the plugin says so.
local function run_global(list, ctx, gplan, plan)
    local conf_type, conf_id, conf_version = ctx.conf_type, ctx.conf_id, ctx.conf_version
    local info = gplan.info
    ctx.conf_type, ctx.conf_id, ctx.conf_version = info.conf_type, info.conf_id, info.conf_version
    local only
    if gplan.prefer_route then
        only = setmetatable({}, { __index = function(_, name)
            return not (gplan.prefer_route[name] and plan.by_name[name])
        end })
    end
    run(list, ctx, only)
    ctx.conf_type, ctx.conf_id, ctx.conf_version = conf_type, conf_id, conf_version
end


local function mark_prefer_route(gplan)
    if gplan.prefer_route ~= nil then
        return
    end
    gplan.prefer_route = false
    for at = 1, #gplan.flat, 2 do
        local plugin = gplan.flat[at]
        if plugin.run_policy == "prefer_route" then
            gplan.prefer_route = gplan.prefer_route or {}
            gplan.prefer_route[plugin.name] = true
        end
    end
end


--- A plugin set ctx.consumer: its plugins join the plan, those new to the route run their
-- `rewrite` now.
local function merge_consumer(plan, ctx)
    local merged = host.merge_consumer(ctx.consumer.consumer_name or ctx.consumer.username
                                       or ctx.consumer_name, ctx.consumer_group_id)
    if not merged then
        return plan
    end
    local info = merged.info
    ctx.conf_type, ctx.conf_id, ctx.conf_version = info.conf_type, info.conf_id, info.conf_version
    ctx.plugins = merged.flat
    ctx.matched_route = nil
    if merged.rewrite then
        local fresh = {}
        for at = 1, #merged.flat, 2 do
            local plugin = merged.flat[at]
            fresh[plugin.name] = plugin.type ~= "auth" and plan.by_name[plugin.name] == nil
        end
        run(merged.rewrite, ctx, fresh)
    end
    return merged
end


--- rewrite and access, with the consumer merge between them.
function _M.access(plan, gplan, used)
    local ctx = new_ctx(plan, used)
    if gplan then
        mark_prefer_route(gplan)
        ctx.global_plan = gplan
        if gplan.rewrite then
            run_global(gplan.rewrite, ctx, gplan, plan)
        end
    end
    if plan.rewrite then
        run(plan.rewrite, ctx)
    end
    if ctx.consumer then
        plan = merge_consumer(plan, ctx)
    end
    if gplan and gplan.access then
        run_global(gplan.access, ctx, gplan, plan)
    end
    if plan.access then
        run(plan.access, ctx)
    end
    return ctx.upstream_id, ctx.bypass_nginx_upstream
end


--- A phase between access and the upstream: before_proxy, balancer.
function _M.proxy_phase(phase, plan, gplan, ctx)
    if gplan and gplan[phase] then
        run_global(gplan[phase], ctx, gplan, plan)
    end
    if plan[phase] then
        run(plan[phase], ctx)
    end
    return ctx.upstream_id
end


--- Runs a phase whose results are ignored, from place `from` on. `_at` tells Rust where an
-- error happened, so that it can go on behind it.
local function run_ignoring(list, ctx, from, base)
    local fns, confs, names = list.fns, list.confs, list.names
    for at = from, list.n do
        ctx._at = base + at
        ctx._plugin_name = names[at]
        local skip = ctx._skip_plugins
        if not (skip and skip[names[at]]) then
            fns[at](confs[at], ctx)
        end
    end
    ctx._plugin_name = nil
end


--- header_filter, body_filter or log: the global rules' functions, then the route's.
-- @tparam number from how many functions of this phase are to be left out
function _M.filter_phase(phase, plan, gplan, ctx, from)
    local globals = gplan and gplan[phase]
    local base = globals and globals.n or 0
    if globals and from < base then
        local conf_type, conf_id, version = ctx.conf_type, ctx.conf_id, ctx.conf_version
        local info = gplan.info
        ctx.conf_type, ctx.conf_id, ctx.conf_version = info.conf_type, info.conf_id,
                                                       info.conf_version
        run_ignoring(globals, ctx, from + 1, 0)
        ctx.conf_type, ctx.conf_id, ctx.conf_version = conf_type, conf_id, version
    end
    local list = plan[phase]
    if list then
        run_ignoring(list, ctx, (from > base and from - base or 0) + 1, base)
    end
end


--- body_filter, then delayed_body_filter.
function _M.body_phase(plan, gplan, ctx)
    _M.filter_phase("body_filter", plan, gplan, ctx, 0)
    _M.filter_phase("delayed_body_filter", plan, gplan, ctx, 0)
end


local function skip_plugin(ctx, name)
    local skip = ctx._skip_plugins
    if not skip then
        skip = {}
        ctx._skip_plugins = skip
    end
    skip[name] = true
end


--- Makes a ctx for a request that never reached the access phase, so that log can run.
-- @tparam string ... names of plugins that are suspended
function _M.late_ctx(plan, ...)
    local ctx = new_ctx(plan)
    for at = 1, select("#", ...) do
        skip_plugin(ctx, (select(at, ...)))
    end
    return ctx
end


--- Where the phase stands: for the report of an error.
-- @tparam boolean skip whether the plugin that runs is to be left out from now on
function _M.place(ctx, skip)
    local name = ctx._plugin_name
    if skip and name then
        skip_plugin(ctx, name)
    end
    return name, ctx._at
end


return _M
