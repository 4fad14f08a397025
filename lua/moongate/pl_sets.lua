--- The half of `pl.tablex` that looks for values, joins tables and orders them.
-- @module moongate.pl_sets
local callable = require("moongate.pl_operator").callable

local error = error
local ipairs = ipairs
local pairs = pairs
local remove = table.remove
local sort = table.sort
local type = type

local _M = {}


--- The first place of a value in a list.
-- @treturn number|nil
function _M.find(list, value, from)
    from = from or 1
    for i = from < 0 and #list + from + 1 or from, #list do
        if list[i] == value then
            return i
        end
    end
end


--- The last place of a value in a list.
-- @treturn number|nil
function _M.rfind(list, value, from)
    from = from or #list
    for i = from < 0 and #list + from + 1 or from, 1, -1 do
        if list[i] == value then
            return i
        end
    end
end


--- The key of the first value for which a function is true, and what it says.
function _M.find_if(t, func, argument)
    func = callable(func, 2)
    for key, value in pairs(t) do
        local found = func(value, argument)
        if found then
            return key, found
        end
    end
end


--- A table with what is in two: under keys that both have, or under all.
-- @tparam table a
-- @tparam table b its values count if `union`
-- @tparam[opt] boolean union
function _M.merge(a, b, union)
    if type(a) ~= "table" or type(b) ~= "table" then
        error("both arguments must be tables", 2)
    end
    local out = {}
    for key, value in pairs(a) do
        if union or b[key] ~= nil then
            out[key] = value
        end
    end
    if union then
        for key, value in pairs(b) do
            out[key] = value
        end
    end
    return out
end


function _M.union(a, b)
    return _M.merge(a, b, true)
end


function _M.intersection(a, b)
    return _M.merge(a, b, false)
end


--- A table with the keys that only the first one has, or only one of them.
function _M.difference(a, b, symmetric)
    local out = {}
    for key, value in pairs(a) do
        if b[key] == nil then
            out[key] = value
        end
    end
    if symmetric then
        for key, value in pairs(b) do
            if a[key] == nil then
                out[key] = value
            end
        end
    end
    return out
end


--- value -> true for the values of a table.
function _M.makeset(t)
    local set = {}
    for _, value in pairs(t) do
        set[value] = true
    end
    return set
end


--- value -> how often a list has it.
function _M.count_map(list, func)
    if func == nil then
        local counts = {}
        for _, value in ipairs(list) do
            counts[value] = (counts[value] or 0) + 1
        end
        return counts
    end
    local counts, same = {}, callable(func, 2)
    for _, value in ipairs(list) do
        local key = value
        for known in pairs(counts) do
            if same(known, value) then
                key = known
                break
            end
        end
        counts[key] = (counts[key] or 0) + 1
    end
    return counts
end


--- Removes the items from a place to another one, both with.
function _M.removevalues(list, first, last)
    for _ = first or 1, last or #list do
        remove(list, first or 1)
    end
    return list
end


local function keys_of(t)
    local keys = {}
    for key in pairs(t) do
        keys[#keys + 1] = key
    end
    return keys
end


--- Walks over keys and values in the order of the keys.
function _M.sort(t, less)
    local keys, at = keys_of(t), 0
    sort(keys, less)
    return function()
        at = at + 1
        return keys[at], t[keys[at]]
    end
end


--- Walks over keys and values in the order of the values.
function _M.sortv(t, less)
    less = callable(less or "<", 2)
    local keys, at = keys_of(t), 0
    sort(keys, function(a, b)
        return less(t[a], t[b])
    end)
    return function()
        at = at + 1
        return keys[at], t[keys[at]]
    end
end


return _M
