--- `pl.tablex`: the functions of Penlight's tablex that plugins use.
-- @module pl.tablex
local core_table = require("apisix.core.table")

local ipairs = ipairs
local pairs = pairs

local _M = {
    copy = core_table.clone,
    deepcopy = core_table.deepcopy,
    deepcompare = core_table.deep_eq,
    size = core_table.nkeys,
}


function _M.keys(t)
    local list = {}
    for key in pairs(t) do
        list[#list + 1] = key
    end
    return list
end


function _M.values(t)
    local list = {}
    for _, value in pairs(t) do
        list[#list + 1] = value
    end
    return list
end


--- Copies the fields of `source` into `target`.
function _M.update(target, source)
    for key, value in pairs(source) do
        target[key] = value
    end
    return target
end


--- Applies a function to each value.
function _M.map(func, t, ...)
    local out = {}
    for key, value in pairs(t) do
        out[key] = func(value, ...)
    end
    return out
end


--- The items of a list that a function accepts.
function _M.filter(list, accept, ...)
    local out = {}
    for _, item in ipairs(list) do
        if accept(item, ...) then
            out[#out + 1] = item
        end
    end
    return out
end


--- Index of a value in a list, or nil.
function _M.find(list, value, from)
    for i = from or 1, #list do
        if list[i] == value then
            return i
        end
    end
end


--- Fields of both tables if `union`, else those whose key is in both; `b` wins.
function _M.merge(a, b, union)
    local out = {}
    for key, value in pairs(a) do
        if union or b[key] ~= nil then
            out[key] = value
        end
    end
    for key, value in pairs(b) do
        if union or a[key] ~= nil then
            out[key] = value
        end
    end
    return out
end


--- A set (value -> true) of a list.
function _M.makeset(list)
    local set = {}
    for _, value in ipairs(list) do
        set[value] = true
    end
    return set
end


return _M
