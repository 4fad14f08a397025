--- Makes plans: what runs for a route, or for the global rules, phase by phase.
--
-- A plan is made once per route version and VM, so that a phase of a request is one loop
-- over two arrays. The runner only executes what stands here.
local core = require("apisix.core")
local expr = require("resty.expr.v1")
local registry = require("moongate.registry")
local secret = require("apisix.secret")

local type = type

local PHASES = {
    "rewrite", "access", "before_proxy", "balancer",
    "header_filter", "body_filter", "delayed_body_filter", "log",
}

-- Of these, the phases in which a secret manager may be waited for. A plan of a consumer's
-- plugins begins with the second.
local WAITING = { rewrite = true, access = true }


local _M = {}

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
    return function(conf, ctx, ...)
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
        return func(conf, ctx, ...)
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


--- What a conf with references stands for in this request. It stays the same from phase to
-- phase: a value that changes meanwhile is for the next request.
local function resolved(conf, ctx)
    local held = ctx._secret_confs
    if not held then
        held = {}
        ctx._secret_confs = held
    end
    local known = held[conf]
    if not known then
        known = secret.resolve_conf(conf)
        held[conf] = known
    end
    return known
end


local function with_secrets(func, conf)
    if not secret.has_secret_ref(conf) then
        return func
    end
    return function(original, ctx, ...)
        return func(resolved(original, ctx), ctx, ...)
    end
end


--- The first of a phase that may wait: resolves the confs of a plan, because a manager cannot
-- be asked in the phases behind it.
local function resolver(items)
    local confs = {}
    for _, item in ipairs(items) do
        if secret.has_secret_ref(item.conf) then
            confs[#confs + 1] = item.conf
        end
    end
    return confs[1] and function(_, ctx)
        for _, conf in ipairs(confs) do
            resolved(conf, ctx)
        end
    end
end


--- A plugin's function as it is to be called for `conf`: with secrets, filter and
-- pre_function.
function _M.prepared(func, conf)
    local meta = conf._meta
    func = with_secrets(func, conf)
    return type(meta) == "table" and guarded(func, meta, conf) or func
end


local function add_phase(plan, phase, items, first)
    local fns, confs, names = { first }, { first and {} }, { first and "secrets" }
    for _, item in ipairs(items) do
        local func = item.plugin[phase]
        if type(func) == "function" then
            local n = #fns + 1
            fns[n] = _M.prepared(func, item.conf)
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
function _M.make(info, names, confs)
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
    local resolve = resolver(items)
    for _, phase in ipairs(PHASES) do
        local first = WAITING[phase] and resolve or nil
        mask = mask + bit * add_phase(plan, phase, items, first)
        bit = bit * 2
    end
    return plan, mask
end


return _M
