--- A value as it may be logged: what its names say is secret gives way to a mask.
--
-- Plugins log their configuration, whole or in parts. Texts are masked below names that speak of
-- secrets, and, below the name of a plugin, in the fields that its schemas list as
-- `encrypt_fields`. A reference to a secret stays: it says only where to look.
-- @module moongate.masked
local find = string.find
local getmetatable = getmetatable
local ipairs = ipairs
local lower = string.lower
local match = string.match
local next = next
local setmetatable = setmetatable
local type = type

local MASK = "***"

local NAMES = {
    "password", "passwd", "passphrase", "secret", "token", "private", "credential", "client_key",
    "api_key", "apikey", "access_key", "auth_header", "authorization",
}

-- Plugin -> its fields that are encrypted, by the last part of their paths.
local fields_of = {}
-- Name -> whether it speaks of secrets. Names come from configurations and their number is small.
local known, count = {}, 0
local KNOWN_MAX = 10000

local _M = {}


local function speaks(name)
    if type(name) ~= "string" then
        return false
    end
    local answer = known[name]
    if answer == nil then
        answer = false
        local plain = lower(name):gsub("-", "_")
        for _, part in ipairs(NAMES) do
            answer = answer or find(plain, part, 1, true) ~= nil
        end
        if count >= KNOWN_MAX then
            known, count = {}, 0
        end
        known[name], count = answer, count + 1
    end
    return answer
end


local function is_hidden(name, item, fields)
    return type(item) == "string" and (speaks(name) or fields and fields[name])
           and not find(item, "^%$secret://") and not find(lower(item), "^%$env://")
end


-- The fields that are secrets below a name, and whether all texts at once below it are.
local function below(name, fields)
    return fields_of[name] or fields, speaks(name) or fields and fields[name] or false
end


-- Whether anything is to be hidden in a table, so that others need not be copied. `seen` has what
-- was looked at, with the fields that were secrets then.
local function has_secret(value, fields, seen)
    seen[value] = fields or true
    for name, item in next, value do
        if is_hidden(name, item, fields) then
            return true
        elseif type(item) == "table" then
            local inner, hides = below(name, fields)
            if hides and next(item) ~= nil
               or seen[item] ~= (inner or true) and has_secret(item, inner, seen) then
                return true
            end
        end
    end
    return false
end


-- `hides`: the texts of this table stand below a name that speaks of secrets. A table that comes
-- back, as it does in a ring, is copied once for each meaning of its fields.
local function copy_of(value, fields, hides, copies)
    local copy = {}
    copies[value] = { copy = copy, fields = fields, hides = hides }
    for name, item in next, value do
        if hides and type(item) == "string" or is_hidden(name, item, fields) then
            copy[name] = MASK
        elseif type(item) == "table" then
            local inner, all = below(name, fields)
            local made = copies[item]
            copy[name] = made and made.fields == inner and made.hides == all and made.copy
                         or copy_of(item, inner, all, copies)
        else
            copy[name] = item
        end
    end
    return setmetatable(copy, getmetatable(value))
end


--- Takes note of which fields of a plugin are secrets.
-- @tparam table plugin
function _M.learn(plugin)
    local fields
    for _, kind in ipairs({ "schema", "consumer_schema", "metadata_schema" }) do
        local schema = plugin[kind]
        local paths = type(schema) == "table" and schema.encrypt_fields
        for _, path in ipairs(type(paths) == "table" and paths or {}) do
            fields = fields or {}
            fields[match(path, "[^.]+$") or path] = true
        end
    end
    fields_of[plugin.name] = fields
end


--- What of a value may be logged.
-- @return the value itself where it holds nothing to hide, otherwise a copy
function _M.view(value)
    if type(value) ~= "table" or not has_secret(value, nil, {}) then
        return value
    end
    return copy_of(value, nil, false, {})
end


return _M
