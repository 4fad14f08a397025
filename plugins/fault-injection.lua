--- Makes requests fail or wait on purpose, to test how clients cope.
--
-- Runs in `rewrite`: first the delay, then the abort, each for the given percentage of the
-- requests that its `vars` select. An abort answers `http_status` with `body`.
local core = require("apisix.core")
local expr = require("resty.expr.v1")

local ipairs = ipairs
local ngx = ngx
local pairs = pairs
local random = math.random
local setmetatable = setmetatable
local type = type

local VARS_MAX = 20

local percentage = { type = "integer", minimum = 0, maximum = 100 }
local vars = {
    type = "array",
    maxItems = VARS_MAX,
    items = { type = "array" },
    description = "Expressions, of which one has to be true.",
}

local schema = {
    type = "object",
    properties = {
        abort = {
            type = "object",
            properties = {
                http_status = { type = "integer", minimum = 200 },
                body = { type = "string", minLength = 0 },
                headers = {
                    type = "object",
                    minProperties = 1,
                    patternProperties = {
                        ["^[^:]+$"] = { oneOf = { { type = "string" }, { type = "number" } } },
                    },
                },
                percentage = percentage,
                vars = vars,
            },
            required = { "http_status" },
        },
        delay = {
            type = "object",
            properties = {
                duration = { type = "number", minimum = 0 },
                percentage = percentage,
                vars = vars,
            },
            required = { "duration" },
        },
    },
    minProperties = 1,
}

local _M = {
    version = 0.1,
    priority = 11000,
    name = "fault-injection",
    schema = schema,
}


-- The compiled expressions, or nil and what is wrong with one.
local function compile(rules)
    local compiled = {}
    for i, rule in ipairs(rules) do
        local one, err = expr.new(rule)
        if not one then
            return nil, err
        end
        compiled[i] = one
    end
    return compiled
end


function _M.check_schema(conf)
    local ok, err = core.schema.check(schema, conf)
    if not ok then
        return false, err
    end

    for _, part in ipairs({ "abort", "delay" }) do
        local rules = conf[part] and conf[part].vars
        if rules then
            ok, err = compile(rules)
            if not ok then
                core.log.error("failed to create vars expression: ", err)
                return false, err
            end
        end
    end
    return true
end


-- vars -> compiled expressions
local compiled_vars = setmetatable({}, { __mode = "k" })


local function is_selected(rules, ctx)
    if not rules then
        return true
    end

    local list = compiled_vars[rules]
    if not list then
        list = compile(rules) or {}
        compiled_vars[rules] = list
    end
    for i = 1, #list do
        if list[i]:eval(ctx.var) then
            return true
        end
    end
    return false
end


local function is_hit(part, ctx)
    return is_selected(part.vars, ctx)
           and (not part.percentage or random(100) <= part.percentage)
end


local function fill_in(value, ctx)
    if type(value) ~= "string" then
        return value
    end
    return (core.utils.resolve_var(value, ctx.var))
end


function _M.rewrite(conf, ctx)
    local delay, abort = conf.delay, conf.abort
    -- Both are decided on the request as it arrived, not as it is after the delay.
    local is_aborted = abort and is_hit(abort, ctx)
    if delay and is_hit(delay, ctx) then
        core.sleep(delay.duration)
    end
    if not is_aborted then
        return
    end

    for name, value in pairs(abort.headers or {}) do
        ngx.header[name] = fill_in(value, ctx)
    end
    return abort.http_status, fill_in(abort.body, ctx)
end


return _M
