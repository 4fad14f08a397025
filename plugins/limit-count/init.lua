--- Counting requests: the part of limit-count that other plugins use too.
-- @module apisix.plugins.limit-count.init
local core = require("apisix.core")
local counters = require("apisix.plugins.limit-count.redis")
local dashed = require("moongate.api.names").dashed
local delayed = require("apisix.plugins.limit-count.delayed")
local host = require("moongate.host")
local keys = require("moongate.limit_key")
local plugin = require("apisix.plugin")
local schemas = require("apisix.plugins.limit-count.schema")
local windows = require("apisix.plugins.limit-count.window")

local conf_version = host.conf_version
local find = string.find
local floor = math.floor
local gsub = string.gsub
local ipairs = ipairs
local new_client = core.redis.new
local pairs = pairs
local plugin_metadata = plugin.plugin_metadata
local resolve_var = core.utils.resolve_var
local set_headers = host.resp_set_numbers
local phase = host.phase
local setmetatable = setmetatable
local timer_at = ngx.timer.at
local tonumber = tonumber
local tostring = tostring
local type = type

local DEFAULT_HEADERS = {
    limit_header = "X-RateLimit-Limit",
    remaining_header = "X-RateLimit-Remaining",
    reset_header = "X-RateLimit-Reset",
}

-- Redis is asked for every request.
local DIRECT_SYNC = -1

-- What a counter in Redis holds: the requests so far.
local FORMAT = "v1"

local INTEGER_MAX = 2 ^ 53 - 1

local _M = {
    check_schema = require("apisix.plugins.limit-count.check"),
    schema = schemas.schema,
    metadata_schema = schemas.metadata_schema,
    policy_to_additional_properties = schemas.policies,
}

-- ---------------------------------------------------------------------------
-- Answering

-- Conf -> rule index or 0 -> the version of the metadata the names were made from, and the
-- names.
local header_names = setmetatable({}, { __mode = "k" })


local function prefixed(name, prefix)
    if not prefix then
        return name
    end
    return (gsub(name, "RateLimit%-", function()
        return prefix .. "-RateLimit-"
    end, 1))
end


local function names_of(conf, rule, plugin_name)
    local version = conf_version("plugin_metadata")
    local by_rule = header_names[conf]
    if not by_rule then
        by_rule = {}
        header_names[conf] = by_rule
    end
    local names = by_rule[rule.index]
    if names and names.version == version then
        return names
    end

    local item = plugin_metadata(plugin_name)
    local metadata = item and item.value or DEFAULT_HEADERS
    local prefix = rule.header_prefix
    names = { version = version }
    for field, default in pairs(DEFAULT_HEADERS) do
        names[field] = dashed(prefixed(conf[field] or metadata[field] or default, prefix))
    end
    by_rule[rule.index] = names
    return names
end


-- Whether the access log wants $rate_limiting_info, by config.yaml's table.
local logs_info = setmetatable({}, { __mode = "k" })


local function is_logged()
    local conf = core.config.local_conf()
    local logged = logs_info[conf]
    if logged == nil then
        local format = core.table.try_read_attr(conf, "nginx_config", "http",
                                                "access_log_format")
        logged = type(format) == "string"
                 and find(format, "rate_limiting_info", 1, true) ~= nil
        logs_info[conf] = logged
    end
    return logged
end


-- Plugins that read the variable get it made up then; it costs too much for every request.
core.ctx.register_var("rate_limiting_info", function(ctx)
    local info = ctx.rate_limiting
    if not info then
        return nil
    end
    return ('{"rate_limiting_key":"%s","rate_limiting_limit":%d,'
            .. '"rate_limiting_remaining":%d,"rate_limiting_reset":%d}')
            :format(info.key, info.limit, info.remaining, info.reset)
end, { no_cacheable = true })


local function publish(ctx, key, limit, remaining, reset)
    remaining = tonumber(remaining) or 0
    ctx.rate_limiting = { key = key, limit = limit, remaining = remaining, reset = reset or 0 }
    if is_logged() then
        core.utils.set_var_rate_limiting_info(ctx, key, limit, remaining, reset)
    end
end


local function show(conf, rule, plugin_name, remaining, reset)
    if not conf.show_limit_quota_header then
        return
    end
    local names = names_of(conf, rule, plugin_name)
    -- Does nothing if the head of the response has left.
    set_headers(names.limit_header, rule.count, names.remaining_header, remaining,
                names.reset_header, reset)
end


local function failed(conf, code, body)
    if conf.allow_degradation then
        return
    end
    return code, body
end


-- Plugin -> the dictionary it counts in.
local dicts = {}


local function dict_of(plugin_name)
    local dict = dicts[plugin_name]
    if not dict then
        dict = ngx.shared["plugin-" .. plugin_name]
        dicts[plugin_name] = dict
    end
    return dict
end


-- Counts in Redis, or here until the next exchange with it if there is a `ctx`.
local function count_shared(conf, rule, plugin_name, key, cost, ctx)
    local client, err = new_client(conf)
    if not client then
        return nil, err
    end
    -- The format of the value is part of the key: see APISIX's upgrade notes of limit-count.
    key = "plugin-" .. plugin_name .. ":" .. FORMAT .. ":" .. key
    local interval = conf.sync_interval or DIRECT_SYNC
    -- A window that is shorter than the interval has nothing to delay.
    if ctx and interval ~= DIRECT_SYNC and interval < rule.time_window then
        local owner = "delayed#" .. (conf.group or keys.full(conf, ctx, ""))
        return delayed.count(conf, rule, dict_of(plugin_name), client, owner, key, cost)
    end
    local count = counters.windows[conf.window_type] or counters.windows.fixed
    return count(client, key, cost, rule.count, rule.time_window)
end


local function count_later(_, conf, rule, plugin_name, key, cost)
    local allowed, err = count_shared(conf, rule, plugin_name, key, cost)
    if not allowed and err ~= "rejected" then
        core.log.error("failed to sync limit count in log phase: ", err)
    end
end


local function count_here(conf, rule, plugin_name, key, cost)
    local count = windows[conf.window_type] or windows.fixed
    return count(dict_of(plugin_name), key, cost, rule.count, rule.time_window)
end


local function run(conf, rule, ctx, plugin_name, cost, dry_run)
    if not dict_of(plugin_name) then
        core.log.error("failed to fetch limit.count object: shared dict not found")
        return failed(conf, 500)
    end

    local key = keys.value(rule.key, rule.key_type, ctx.var)
    key = conf.group and conf.group .. ":" .. key or keys.full(conf, ctx, key)
    local is_shared = conf.policy and conf.policy ~= "local"
    if is_shared and phase() == "log" then
        local ok, err = timer_at(0, count_later, conf, rule, plugin_name, key,
                                 dry_run and 0 or cost)
        if not ok then
            core.log.error("failed to schedule timer: ", err)
        end
        return
    end
    local count = is_shared and count_shared or count_here
    local allowed, remaining, reset = count(conf, rule, plugin_name, key, dry_run and 0 or cost,
                                            ctx)
    if dry_run and allowed and remaining < cost then
        allowed, remaining = nil, "rejected"
    end
    reset = reset and floor(reset * 100) / 100
    publish(ctx, key, rule.count, remaining, reset)

    if allowed then
        show(conf, rule, plugin_name, remaining, reset)
        return
    end
    if remaining ~= "rejected" then
        core.log.error("failed to limit count: ", remaining)
        return failed(conf, 500, { error_msg = "failed to limit count" })
    end

    show(conf, rule, plugin_name, 0, reset)
    if conf.rejected_msg then
        return conf.rejected_code, { error_msg = conf.rejected_msg }
    end
    return conf.rejected_code
end

-- ---------------------------------------------------------------------------
-- Rules

-- The number that a count or time_window is in this request.
local function number_of(value, vars)
    if type(value) ~= "string" then
        return value
    end
    local text, err = resolve_var(value, vars)
    if err then
        return nil, "could not resolve var for value: " .. value .. ", err: " .. err
    end
    local number = tonumber(text)
    if not number or number ~= number then
        return nil, "resolved value is not a number"
    end
    if number <= 0 or number == 1 / 0 then
        return nil, "resolved value must be a positive number, got: " .. text
    end
    if number ~= floor(number) then
        return nil, "resolved value must be an integer, got: " .. text
    end
    if number > INTEGER_MAX then
        return nil, "resolved value exceeds safe integer range (2^53-1), got: " .. text
    end
    return number
end


local function resolved(rule, key, key_type, vars, index)
    local count, err = number_of(rule.count, vars)
    if not count then
        return nil, err
    end
    local window
    window, err = number_of(rule.time_window, vars)
    if not window then
        return nil, err
    end
    return {
        count = count,
        time_window = window,
        key = key,
        key_type = key_type,
        index = index,
        header_prefix = rule.header_prefix or index > 0 and tostring(index) or nil,
    }
end


-- Conf -> its one rule, where nothing of it depends on the request.
local fixed_rules = setmetatable({}, { __mode = "k" })


local function single_rule(conf, ctx)
    local rule = fixed_rules[conf]
    if rule then
        return rule
    end
    local err
    rule, err = resolved(conf, conf.key, conf.key_type, ctx.var, 0)
    if rule and type(conf.count) == "number" and type(conf.time_window) == "number" then
        fixed_rules[conf] = rule
    end
    return rule, err
end


-- A rule whose key has no value in this request does not apply. One that applies and has
-- no valid numbers must refuse, or a client could switch it off.
local function run_rules(conf, ctx, plugin_name, cost, dry_run)
    local applied = false
    local err = "no rule applies"
    for index, rule in ipairs(conf.rules) do
        local key, _, values = resolve_var(rule.key, ctx.var)
        if values > 0 then
            local ready
            ready, err = resolved(rule, key, "constant", ctx.var, index)
            if not ready then
                applied = false
                break
            end
            applied = true
            local code, body = run(conf, ready, ctx, plugin_name, cost, dry_run)
            if code then
                return code, body
            end
        end
    end
    if applied then
        return
    end
    core.log.error("failed to get rate limit rules: ", err)
    return failed(conf, 500)
end


--- Counts the request and refuses it if it is one too many.
-- @tparam table conf checked by `check_schema`
-- @tparam table ctx
-- @tparam string plugin_name counts in the dictionary `plugin-<plugin_name>`
-- @tparam number cost how many requests it counts for
-- @tparam[opt] boolean dry_run only ask whether `cost` would still fit
-- @treturn nil|number status of the refusal
-- @treturn nil|table its body
function _M.rate_limit(conf, ctx, plugin_name, cost, dry_run)
    if conf.rules then
        return run_rules(conf, ctx, plugin_name, cost, dry_run)
    end
    local rule, err = single_rule(conf, ctx)
    if not rule then
        core.log.error("failed to get rate limit rules: ", err)
        return failed(conf, 500)
    end
    return run(conf, rule, ctx, plugin_name, cost, dry_run)
end


return _M
