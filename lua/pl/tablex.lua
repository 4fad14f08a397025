--- `pl.tablex`: Penlight's functions for tables.
--
-- Where a function is wanted, the text of an operator will do: "+", "-", "*", "/", "%", "^", "..",
-- "==", "~=", "<", "<=", ">", ">=", "#", "and", "or".
-- @module pl.tablex
local callable = require("moongate.pl_operator").callable

local abs = math.abs
local error = error
local getmetatable = getmetatable
local ipairs = ipairs
local min = math.min
local pairs = pairs
local rawequal = rawequal
local setmetatable = setmetatable
local type = type
local unpack = unpack

local _M = {}
for name, func in pairs(require("moongate.pl_sets")) do
    _M[name] = func
end

local function needs_table(value, place)
    if type(value) ~= "table" then
        error("argument " .. place .. " expected a 'table' got a '" .. type(value) .. "'", 3)
    end
end


--- All keys, in no order.
function _M.keys(t)
    needs_table(t, 1)
    local list = {}
    for key in pairs(t) do
        list[#list + 1] = key
    end
    return list
end


--- All values, in no order.
function _M.values(t)
    needs_table(t, 1)
    local list = {}
    for _, value in pairs(t) do
        list[#list + 1] = value
    end
    return list
end


--- How many keys there are.
function _M.size(t)
    needs_table(t, 1)
    local count = 0
    for _ in pairs(t) do
        count = count + 1
    end
    return count
end


--- Copies all of one table into another one.
function _M.update(target, source)
    needs_table(target, 1)
    needs_table(source, 2)
    for key, value in pairs(source) do
        target[key] = value
    end
    return target
end


--- A table with the same keys and values.
function _M.copy(t)
    needs_table(t, 1)
    return _M.update({}, t)
end


local function deep_copy(value, known)
    if type(value) ~= "table" then
        return value
    elseif known[value] then
        return known[value]
    end
    local copy = {}
    known[value] = copy
    for key, inner in pairs(value) do
        copy[deep_copy(key, known)] = deep_copy(inner, known)
    end
    return setmetatable(copy, getmetatable(value))
end


--- A copy of a table with all tables in it; metatables are shared.
function _M.deepcopy(t)
    return deep_copy(t, {})
end


local function deep_equal(a, b, ignore, eps, seen)
    if type(a) ~= type(b) then
        return false
    elseif type(a) ~= "table" then
        return a == b or type(a) == "number" and eps ~= nil and abs(a - b) < eps
    end
    local meta = getmetatable(a)
    if not ignore and type(meta) == "table" and meta.__eq then
        return a == b
    elseif rawequal(a, b) or seen[a] ~= nil and rawequal(seen[a], b) then
        return true
    end
    seen[a] = b
    for key in pairs(b) do
        if a[key] == nil then
            return false
        end
    end
    for key, value in pairs(a) do
        if not deep_equal(value, b[key], ignore, eps, seen) then
            return false
        end
    end
    return true
end


--- Whether two values are equal, tables by what is in them.
-- @tparam[opt] boolean ignore_mt do not ask `__eq`
-- @tparam[opt] number eps by which numbers may differ
function _M.deepcompare(a, b, ignore_mt, eps)
    return deep_equal(a, b, ignore_mt, eps, {})
end


--- Whether two lists are as long and a function is true for each pair.
function _M.compare(a, b, func)
    func = callable(func, 3)
    if #a ~= #b then
        return false
    end
    for i = 1, #a do
        if not func(a[i], b[i]) then
            return false
        end
    end
    return true
end


--- Whether two lists have the same items, in any order.
function _M.compare_no_order(a, b, func)
    if #a ~= #b then
        return false
    end
    local used = {}
    for _, value in ipairs(a) do
        local found
        for j, other in ipairs(b) do
            if not used[j] and (func and func(value, other) or not func and value == other) then
                found = j
                break
            end
        end
        if not found then
            return false
        end
        used[found] = true
    end
    return true
end


--- What a function makes of each value, under the same keys.
function _M.map(func, t, ...)
    func = callable(func, 1)
    needs_table(t, 2)
    local out = {}
    for key, value in pairs(t) do
        out[key] = func(value, ...)
    end
    return out
end


--- As `map` for a list.
function _M.imap(func, t, ...)
    func = callable(func, 1)
    local out = {}
    for i = 1, #t do
        out[i] = func(t[i], ...) or false
    end
    return out
end


--- As `map`, in the same table.
function _M.transform(func, t, ...)
    func = callable(func, 1)
    for key, value in pairs(t) do
        t[key] = func(value, ...)
    end
end


--- What a function makes of the values of two tables with the same key.
function _M.map2(func, a, b, ...)
    func = callable(func, 1)
    local out = {}
    for key, value in pairs(a) do
        out[key] = func(value, b[key], ...)
    end
    return out
end


--- As `map2` for lists, up to the end of the shorter one.
function _M.imap2(func, a, b, ...)
    func = callable(func, 1)
    local out = {}
    for i = 1, min(#a, #b) do
        out[i] = func(a[i], b[i], ...)
    end
    return out
end


--- What a function makes of the items of several lists with the same place.
function _M.mapn(func, ...)
    func = callable(func, 1)
    local lists, size, out = { ... }, 1e40, {}
    for _, list in ipairs(lists) do
        size = min(size, #list)
    end
    for i = 1, size do
        local args = {}
        for j, list in ipairs(lists) do
            args[j] = list[i]
        end
        out[i] = func(unpack(args, 1, #lists))
    end
    return out
end


--- What a method makes of each item.
function _M.map_named_method(name, list, ...)
    local out = {}
    for i, value in ipairs(list) do
        out[i] = value[name](value, ...)
    end
    return out
end


--- What a function makes of each key and value; its second result is the key for the first one.
function _M.pairmap(func, t, ...)
    func = callable(func, 1)
    local out = {}
    for key, value in pairs(t) do
        local made, name = func(key, value, ...)
        out[name == nil and #out + 1 or name] = made
    end
    return out
end


--- The items of a list for which a function is true.
function _M.filter(list, accept, argument)
    accept = callable(accept, 2)
    local out = {}
    for _, item in ipairs(list) do
        if accept(item, argument) then
            out[#out + 1] = item
        end
    end
    return out
end


--- One value out of all items of a list.
function _M.reduce(func, list, start)
    func = callable(func, 1)
    local result, first = start, 1
    if result == nil then
        result, first = list[1], 2
    end
    for i = first, #list do
        result = func(result, list[i])
    end
    return result
end


--- Calls a function with each value and key.
function _M.foreach(t, func, ...)
    func = callable(func, 2)
    for key, value in pairs(t) do
        func(value, key, ...)
    end
end


--- As `foreach` for a list.
function _M.foreachi(t, func, ...)
    func = callable(func, 2)
    for i = 1, #t do
        func(t[i], i, ...)
    end
end


return require("moongate.unsupported").absent(_M, "pl.tablex.", {
    "clear", "icopy", "index_by", "index_map", "insertvalues", "move", "new", "range", "readonly",
    "search", "set", "sub", "zip",
})
