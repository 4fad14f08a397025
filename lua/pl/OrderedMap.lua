--- `pl.OrderedMap`: a map that keeps the order in which its keys came.
-- @module pl.OrderedMap
local List = require("pl.List")

local ipairs = ipairs
local pairs = pairs
local rawget = rawget
local rawset = rawset
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type

local Map = {}
local orders = setmetatable({}, { __mode = "k" })

local mt = {
    __index = Map,
    __newindex = function(map, key, value)
        Map.set(map, key, value)
    end,
    __tostring = function(map)
        local parts = List()
        for key, value in Map.iter(map) do
            value = type(value) == "string" and '"' .. value .. '"' or tostring(value)
            parts:append(tostring(key) .. "=" .. value)
        end
        return "{" .. parts:join(",") .. "}"
    end,
    __len = function(map)
        return #orders[map]
    end,
}


--- Sets a value; nil removes the key.
function Map:set(key, value)
    local order = orders[self]
    if value == nil then
        order:remove_value(key)
    elseif rawget(self, key) == nil then
        order:append(key)
    end
    rawset(self, key, value)
    return self
end


--- Puts a value at a place in the order.
function Map:insert(place, key, value)
    local order = orders[self]
    local known = order:index(key)
    if known then
        order:remove(known)
    end
    if value ~= nil then
        order:insert(place, key)
    end
    rawset(self, key, value)
    return self
end


--- Takes in a map, or a list of pairs.
function Map:update(values)
    if orders[values] then
        for key, value in values:iter() do
            self:set(key, value)
        end
    elseif values[1] ~= nil then
        for _, pair in ipairs(values) do
            local key, value = next(pair)
            self:set(key, value)
        end
    else
        for key, value in pairs(values) do
            self:set(key, value)
        end
    end
    return self
end


function Map:keys()
    return orders[self]:clone()
end


function Map:values()
    return orders[self]:map(function(key)
        return rawget(self, key)
    end)
end


--- Sorts the keys.
function Map:sort(less)
    sort(orders[self], less)
    return self
end


--- Walks over keys and values in their order.
function Map:iter()
    local at, order = 0, orders[self]
    return function()
        at = at + 1
        local key = order[at]
        if key ~= nil then
            return key, rawget(self, key)
        end
    end
end


mt.__pairs = Map.iter


--- A map from another one, or from a list of pairs.
return function(values)
    local map = setmetatable({}, mt)
    orders[map] = List()
    return values and map:update(values) or map
end
