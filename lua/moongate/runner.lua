--- Runs the phases of one request.
--
-- Rust calls one function of this module per phase, on a coroutine that may wait. What can
-- be decided before a request comes is decided in `plan`, once per route version and VM:
-- afterwards a phase is one loop over two arrays.
local core = require("apisix.core")
local host = require("moongate.host")

local getmetatable = getmetatable
local host_set_ctx = host.set_ctx
local next = next
local rawget = rawget
local rawset = rawset
local renew = core.ctx.renew
local set_vars_meta = core.ctx.set_vars_meta
local setmetatable = setmetatable

local _M = {
    plan = require("moongate.plan").make,
}

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

local function made(ctx, key)
    local make = lazy[key]
    local value = make and make(ctx)
    if value ~= nil then
        rawset(ctx, key, value)
    end
    return value
end


--- The metatable of every ctx of a plan: what the plan says of the request (conf_type,
-- route_id and so on) is not copied into each of them.
local function meta_of(plan)
    local known = plan.info
    known.plugins = plan.flat
    plan.ctx_meta = {
        __index = function(ctx, key)
            local value = known[key]
            if value ~= nil then
                return value
            end
            return made(ctx, key)
        end,
        -- Who looks at all of a ctx, to write it to a log, sees these as well.
        __pairs = function(ctx)
            for key, value in next, known do
                if rawget(ctx, key) == nil then
                    rawset(ctx, key, value)
                end
            end
            for key in next, lazy do
                if rawget(ctx, key) == nil then
                    made(ctx, key)
                end
            end
            return next, ctx, nil
        end,
    }
    return plan.ctx_meta
end


--- The ctx of a new request. A used one, which Rust already holds for this request, is
-- emptied: a table with a few dozen fields is dear to make and to collect.
local function new_ctx(plan, used)
    local meta = plan.ctx_meta or meta_of(plan)
    if used then
        renew(used)
        if getmetatable(used) ~= meta then
            setmetatable(used, meta)
        end
        return used
    end
    local ctx = setmetatable({}, meta)
    set_vars_meta(ctx)
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


--- Which plugins the consumer brought to the plan, by name; nil if all were there. Worked out
-- once: a plan is always merged from the same one.
local function new_in(merged, plan)
    if merged.base == plan then
        return merged.fresh
    end
    local fresh
    for at = 1, #merged.flat, 2 do
        local plugin = merged.flat[at]
        if plugin.type ~= "auth" and plan.by_name[plugin.name] == nil then
            fresh = fresh or {}
            fresh[plugin.name] = true
        end
    end
    merged.base, merged.fresh = plan, fresh
    return fresh
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
    local fresh = merged.rewrite and new_in(merged, plan)
    if fresh then
        ctx._phase = "rewrite"
        run(merged.rewrite, ctx, fresh)
        ctx._phase = nil
    end
    return merged
end


--- rewrite and access, with the consumer merge between them. `_phase` tells Rust, for the
-- report of an error, which of two phases in one call it is.
function _M.access(plan, gplan, used)
    local ctx = new_ctx(plan, used)
    if gplan then
        mark_prefer_route(gplan)
        ctx.global_plan = gplan
        if gplan.rewrite then
            ctx._phase = "rewrite"
            run_global(gplan.rewrite, ctx, gplan, plan)
            ctx._phase = nil
        end
    end
    if plan.rewrite then
        ctx._phase = "rewrite"
        run(plan.rewrite, ctx)
        ctx._phase = nil
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
-- error happened, so that it can go on behind it. A filter may run in the middle of access, for
-- an answer that leaves in parts: then access goes on with its own notes.
local function run_ignoring(list, ctx, from, base)
    local fns, confs, names = list.fns, list.confs, list.names
    local outer = ctx._plugin_name
    for at = from, list.n do
        ctx._at = base + at
        ctx._plugin_name = names[at]
        local skip = ctx._skip_plugins
        if not (skip and skip[names[at]]) then
            fns[at](confs[at], ctx)
        end
    end
    ctx._plugin_name = outer
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
    if plan.delayed_body_filter or gplan and gplan.delayed_body_filter then
        local outer = ctx._phase
        ctx._phase = "delayed_body_filter"
        _M.filter_phase("delayed_body_filter", plan, gplan, ctx, 0)
        ctx._phase = outer
    end
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
function _M.late_ctx(plan)
    return new_ctx(plan)
end


--- Leaves plugins out of what is still to run for a request.
-- @tparam string ... names of plugins that are suspended
function _M.skip(ctx, ...)
    for at = 1, select("#", ...) do
        skip_plugin(ctx, (select(at, ...)))
    end
end


--- Which plugin runs, at which place of which phase (nil: the one that was called): for the
-- report of an error.
-- @tparam boolean skip whether the plugin that runs is to be left out from now on
function _M.place(ctx, skip)
    local name = ctx._plugin_name
    if skip and name then
        skip_plugin(ctx, name)
    end
    local phase = ctx._phase
    ctx._phase = nil
    return name, ctx._at or 0, phase
end


return _M
