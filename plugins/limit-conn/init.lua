--- How limit-conn counts requests that run; plugins with a schema of their own use it too.
-- @module apisix.plugins.limit-conn.init
local core = require("apisix.core")
local keys = require("moongate.limit_key")
local limit_conn = require("resty.limit.conn")
local redis_limiter = require("apisix.plugins.limit-conn.redis")

local floor = math.floor
local ipairs = ipairs
local resolve_var = core.utils.resolve_var
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type

local DICT = "plugin-limit-conn"

-- For a conf that was not filled by limit-conn's schema.
local REJECTED = 503

-- A shorter wait is not worth a timer.
local DELAY_MIN = 0.001

-- Beyond this a number of Lua has no exact integers.
local INTEGER_MAX = 2 ^ 53 - 1

local _M = {}


-- The whole number that `conn` or `burst` is in this request.
local function number_of(value, least, vars)
    if type(value) ~= "string" then
        return value
    end
    local text, err = resolve_var(value, vars)
    if err then
        return nil, "could not resolve var for value: " .. value .. ", err: " .. err
    end
    local number = tonumber(text)
    if not number or number ~= number then
        return nil, "resolved value is not a number: " .. tostring(text)
    end
    if number < least then
        local kind = least > 0 and "positive" or "non-negative"
        return nil, "resolved value must be a " .. kind .. " number, got: " .. text
    end
    if number > INTEGER_MAX then
        return nil, "resolved value exceeds safe integer range (2^53-1), got: " .. text
    end
    if number ~= floor(number) then
        return nil, "resolved value must be an integer, got: " .. text
    end
    return number
end


local function numbers_of(rule, vars)
    local conn, err = number_of(rule.conn, 1, vars)
    if not conn then
        return nil, nil, err
    end
    local burst
    burst, err = number_of(rule.burst, 0, vars)
    return conn, burst, err
end


local limiters = setmetatable({}, { __mode = "k" })


-- One limiter per conf or rule learns how long its requests take.
local function limiter_of(rule, conn, burst, conf)
    local limiter = limiters[rule]
    if not limiter then
        local err
        if conf.policy and conf.policy ~= "local" then
            limiter, err = redis_limiter.new(conf, conn, burst)
        else
            limiter, err = limit_conn.new(DICT, conn, burst, conf.default_conn_delay)
        end
        if not limiter then
            return nil, err
        end
        limiters[rule] = limiter
    end
    limiter:set_conn(conn)
    limiter:set_burst(burst)
    return limiter
end


local function failed(conf, ...)
    core.log.error(...)
    if not conf.allow_degradation then
        return 500
    end
end


local function refuse(conf)
    if conf.rejected_msg then
        return conf.rejected_code, { error_msg = conf.rejected_msg }
    end
    return conf.rejected_code or REJECTED
end


-- Counts the request in.
local function enter(conf, ctx, rule, value, conn, burst)
    local limiter, err = limiter_of(rule, conn, burst, conf)
    if not limiter then
        return failed(conf, "failed to instantiate a resty.limit.conn object: ", err)
    end

    local key = keys.full(conf, ctx, value)
    local delay, reason, ticket = limiter:incoming(key, true)
    if not delay then
        if reason == "rejected" then
            return refuse(conf)
        end
        return failed(conf, "failed to limit conn: ", reason)
    end

    local entered = ctx.limit_conn
    if not entered then
        entered = {}
        ctx.limit_conn = entered
    end
    entered[#entered + 1] = {
        limiter = limiter,
        key = key,
        ticket = ticket,
        delay = delay,
        conf = conf,
    }
    if delay >= DELAY_MIN then
        core.sleep(delay)
    end
end


-- A rule without a value for its key, or without valid numbers, does not apply.
local function enter_by_rules(conf, ctx)
    local applied = false
    for _, rule in ipairs(conf.rules) do
        local value, _, values = resolve_var(rule.key, ctx.var)
        local conn, burst = numbers_of(rule, ctx.var)
        if values > 0 and conn and burst then
            applied = true
            value = keys.value(value, "constant", ctx.var)
            local code, body = enter(conf, ctx, rule, value, conn, burst)
            if code then
                return code, body
            end
        end
    end
    if not applied then
        return failed(conf, "failed to get limit conn rules: ", "no rule applies")
    end
end


--- Counts a request in, waits if it has to, and answers it if there are too many.
-- @tparam table conf as the plugin limit-conn takes it
-- @tparam table ctx
-- @treturn number|nil status
-- @treturn table|nil body
function _M.increase(conf, ctx)
    if conf.rules then
        return enter_by_rules(conf, ctx)
    end
    local conn, burst, err = numbers_of(conf, ctx.var)
    if not conn or not burst then
        return failed(conf, "failed to get limit conn rules: ", err)
    end
    local value = keys.value(conf.key, conf.key_type, ctx.var)
    return enter(conf, ctx, conf, value, conn, burst)
end


-- How long the request took by itself, without the wait that was put on it.
local function latency_of(entry, ctx)
    if entry.conf.only_use_default_delay then
        return nil
    end
    local upstream_seconds = tonumber(ctx.var.upstream_response_time)
    if upstream_seconds then
        return upstream_seconds
    end
    local seconds = tonumber(ctx.var.request_time)
    return seconds and seconds > entry.delay and seconds - entry.delay or nil
end


--- Takes back what `increase` counted for this request.
function _M.decrease(conf, ctx)
    local entered = ctx.limit_conn
    if not entered then
        return
    end
    ctx.limit_conn = nil
    for _, entry in ipairs(entered) do
        local latency = latency_of(entry, ctx)
        core.log.debug("request latency is ", latency)
        local count, err = entry.limiter:leaving(entry.key, latency, entry.ticket)
        if not count then
            core.log.error("failed to record the connection leaving request: ", err)
        end
    end
end


return _M
