--- `resty.jwt-validators`: checks of single claims, for `resty.jwt`.
--
-- A validator is `function(value, claim, jwt_json)` that returns whether the claim is good, or
-- raises why not. Each kind comes twice: `opt_x` lets a missing claim pass, `x` does not.
-- @module resty.jwt-validators
local error = error
local format = string.format
local http_time = ngx.http_time
local ipairs = ipairs
local match = string.match
local pcall = pcall
local tostring = tostring
local type = type

local _M = { _VERSION = "0.2.3" }

local leeway = 0
local clock = ngx.now


local function need(condition, text, ...)
    if not condition then
        error(format(text, ...), 0)
    end
end


local function need_type(value, kind, name)
    need(type(value) == kind, "Cannot create validator for non-%s %s.", kind, name)
end


local function need_list(list, name, kind)
    need(list ~= nil, "Cannot create validator for nil %s.", name)
    need_type(list, "table", name)
    need(next(list) ~= nil, "Cannot create validator for empty table %s.", name)
    for _, item in ipairs(list) do
        need(type(item) == kind, "Cannot create validator for non-%s table %s.", kind, name)
    end
end


--- All of these, one after another.
function _M.chain(...)
    local checks = { ... }
    for _, check in ipairs(checks) do
        need_type(check, "function", "chain_function")
    end
    return function(value, claim, json)
        for _, check in ipairs(checks) do
            if check(value, claim, json) == false then
                return false
            end
        end
        return true
    end
end


--- The claim must be there, and pass `check` if there is one.
function _M.required(check)
    if check ~= nil then
        return _M.chain(_M.required(), check)
    end
    return function(value, claim)
        need(value ~= nil, "'%s' claim is required.", claim)
        return true
    end
end


--- One of these claims must be there; for `__jwt`, the whole object.
function _M.require_one_of(names)
    need_list(names, "claim_keys", "string")
    return function(value, claim)
        local text = "'%s' is malformed.  Expected to be a %s."
        need(type(value) == "table", text, claim, "table")
        need(type(value.payload) == "table", text, claim .. ".payload", "table")
        for _, name in ipairs(names) do
            if value.payload[name] ~= nil then
                return true
            end
        end
        error(format("Missing one of claims - [ %s ].", table.concat(names, ", ")), 0)
    end
end


local function define(name, make)
    _M["opt_" .. name] = make
    _M[name] = function(...)
        return _M.chain(_M.required(), make(...))
    end
end


define("check", function(expected, compare, name, kind)
    name = name or "check_val"
    need(expected ~= nil, "Cannot create validator for nil %s.", name)
    need(compare ~= nil, "Cannot create validator for nil %s.", "check_function")
    need_type(compare, "function", "check_function")
    kind = kind or type(expected)
    return function(value, claim)
        if value == nil then
            return true
        end
        need(type(value) == kind, "'%s' is malformed.  Expected to be a %s.", claim, kind)
        return compare(value, expected)
    end
end)


define("any_of", function(list, compare, name, kind, item_kind)
    name = name or "check_values"
    need(list ~= nil, "Cannot create validator for nil %s.", name)
    need_type(list, "table", name)
    need(next(list) ~= nil, "Cannot create validator for empty table %s.", name)
    item_kind = item_kind or type(list[1])
    need_list(list, name, item_kind)
    need(compare ~= nil, "Cannot create validator for nil %s.", "check_function")
    need_type(compare, "function", "check_function")
    return _M.opt_check(list, function(value)
        for _, item in ipairs(list) do
            if compare(value, item) then
                return true
            end
        end
        return false
    end, name, kind or item_kind)
end)


local function equal(value, expected)
    return value == expected
end


local function fits(value, pattern)
    return match(value, pattern) ~= nil
end


define("equals", function(expected)
    return _M.opt_check(expected, equal, "check_val")
end)


define("matches", function(pattern)
    need_type(pattern, "string", "pattern")
    return _M.opt_check(pattern, fits, "pattern", "string")
end)


define("equals_any_of", function(list)
    return _M.opt_any_of(list, equal, "check_values")
end)


define("matches_any_of", function(patterns)
    return _M.opt_any_of(patterns, fits, "patterns", "string", "string")
end)


define("contains_any_of", function(list, name)
    return _M.opt_any_of(list, function(values, wanted)
        for _, value in ipairs(values) do
            if value == wanted then
                return true
            end
        end
        return false
    end, name, "table", "string")
end)


for name, compare in pairs({
    greater_than = function(value, bound) return value > bound end,
    greater_than_or_equal = function(value, bound) return value >= bound end,
    less_than = function(value, bound) return value < bound end,
    less_than_or_equal = function(value, bound) return value <= bound end,
}) do
    define(name, function(bound)
        need_type(bound, "number", "check_val")
        return _M.opt_check(bound, compare, "check_val", "number")
    end)
end


--- Seconds that clocks may differ by.
function _M.set_system_leeway(seconds)
    need(type(seconds) == "number", "leeway must be a non-negative number")
    need(seconds >= 0, "leeway must be a non-negative number")
    leeway = seconds
end


--- What says the time.
function _M.set_system_clock(func)
    need(type(func) == "function", "clock must be a function")
    local ok, seconds = pcall(func)
    need(ok and type(seconds) == "number" and seconds >= 0,
         "clock function must return a non-negative number")
    clock = func
end


local function date(good, text)
    return function(value, claim)
        if value == nil then
            return true
        end
        need(type(value) == "number" and value >= 0,
             "'%s' is malformed.  Expected to be a %s.", claim, "positive numeric value")
        need(good(value), "'%s' claim %s %s", claim, text, tostring(http_time(value)))
        return true
    end
end


define("is_not_before", function()
    return date(function(value) return value <= clock() + leeway end, "not valid until")
end)


define("is_not_expired", function()
    return date(function(value) return value > clock() - leeway end, "expired at")
end)


define("is_at", function()
    return date(function(value)
        local now = clock()
        return value >= now - leeway and value <= now + leeway
    end, "is only valid at")
end)


return _M
