--- Texts with variables in them: `$uri`, `${http_x ?? default}`, `$1`.
--
-- A text is taken apart once and remembered, because it comes from configuration and is
-- filled in for every request.
-- @module apisix.core.template
local names = require("moongate.api.names")

local byte = string.byte
local concat = table.concat
local find = string.find
local match = string.match
local sub = string.sub
local tonumber = tonumber
local tostring = tostring

local BACKSLASH = byte("\\")

local _M = {}


local function trim(text)
    return match(text, "^%s*(.-)%s*$")
end


-- "name ?? default" -> { name, default }
local function reference(text)
    local from, to = find(text, "%s*%?%?%s*")
    if not from then
        return { name = text }
    end
    local default = sub(text, to + 1)
    local next_from = find(default, "%s*%?%?%s*")
    if next_from then
        default = sub(default, 1, next_from - 1)
    end
    return { name = sub(text, 1, from - 1), default = default }
end


-- The reference at `at` (the position of "$"), and the position after it.
local function read_variable(tpl, at)
    if sub(tpl, at + 1, at + 1) == "{" then
        local inner, after = match(tpl, "^{([^}]+)}()", at + 1)
        if inner and trim(inner) ~= "" then
            return reference(trim(inner)), after
        end
        return nil
    end
    local name, after = match(tpl, "^([%w_.]+)()", at + 1)
    if name then
        return { name = name }, after
    end
end


local function read_capture(tpl, at)
    local digits, after = match(tpl, "^{?(%d+)}?()", at + 1)
    if digits then
        return { name = tonumber(digits) }, after
    end
end


-- Takes a text apart into strings and references. "$" after a backslash is text.
local function parse(tpl, read)
    local parts, start, position = {}, 1, 1
    while true do
        local at = find(tpl, "$", position, true)
        if not at then
            parts[#parts + 1] = sub(tpl, start)
            return parts
        end

        local ref, after
        if at == 1 or byte(tpl, at - 1) ~= BACKSLASH then
            ref, after = read(tpl, at)
        end
        if ref then
            parts[#parts + 1] = sub(tpl, start, at - 1)
            parts[#parts + 1] = ref
            start = after
            position = after
        else
            position = at + 1
        end
    end
end


local variables_of = names.memoise(function(tpl)
    return parse(tpl, read_variable)
end)

local captures_of = names.memoise(function(tpl)
    return parse(tpl, read_capture)
end)


--- Fills in variables.
-- @tparam string tpl
-- @tparam table vars indexed by name, usually `ctx.var`
-- @tparam[opt] function escaper applied to every value
-- @treturn string
-- @treturn nil
-- @treturn number how many variables had a value
function _M.resolve_var(tpl, vars, escaper)
    if not tpl or not find(tpl, "$", 1, true) then
        return tpl, nil, 0
    end

    local parts, out, resolved = variables_of(tpl), {}, 0
    for i = 1, #parts do
        local part = parts[i]
        if part.name then
            local value = vars[part.name]
            if value == nil then
                value = part.default
            end
            if value == nil then
                part = ""
            else
                resolved = resolved + 1
                part = tostring(value)
                if escaper then
                    part = escaper(part)
                end
            end
        end
        out[i] = part
    end
    return concat(out), nil, resolved
end


--- Fills in `$1`, `${2}` from the captures of a regular expression.
-- @tparam string tpl
-- @tparam[opt] table captures
-- @treturn string
function _M.resolve_var_with_captures(tpl, captures)
    if not tpl or not find(tpl, "$", 1, true) then
        return tpl
    end

    local parts, out = captures_of(tpl), {}
    for i = 1, #parts do
        local part = parts[i]
        if part.name then
            part = captures and captures[part.name] or ""
        end
        out[i] = part
    end
    return concat(out)
end


return _M
