--- `pl.List`: Penlight's lists.
--
--     local list = require("pl.List")({ 3, 1, 2 })
--     list:sort():append(4)
-- @module pl.List
local concat = table.concat
local error = error
local getmetatable = getmetatable
local insert = table.insert
local ipairs = ipairs
local remove = table.remove
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring
local type = type
local unpack = unpack

local List = { _name = "List" }
List.__index = List


-- The place a number means; from the end if it is negative.
local function place(list, index)
    return index < 0 and #list + 1 + index or index
end


--- A list from a table, which it copies, or of what an iterator gives.
function List.new(values)
    local list = setmetatable({}, List)
    if type(values) == "function" then
        for value in values do
            list[#list + 1] = value
        end
    elseif type(values) == "table" then
        for i, value in ipairs(values) do
            list[i] = value
        end
    elseif values ~= nil then
        error("cannot make a list of a " .. type(values), 2)
    end
    return list
end


function List:clone()
    return List.new(self)
end


function List:append(value)
    self[#self + 1] = value
    return self
end


List.push = List.append


function List:extend(values)
    for _, value in ipairs(values) do
        self[#self + 1] = value
    end
    return self
end


function List:insert(index, value)
    insert(self, place(self, index), value)
    return self
end


function List:put(value)
    insert(self, 1, value)
    return self
end


function List:remove(index)
    remove(self, place(self, index))
    return self
end


function List:pop(index)
    return remove(self, index and place(self, index) or nil)
end


List.get = List.pop


--- Removes the first item that equals a value.
function List:remove_value(value)
    local index = self:index(value)
    if index then
        remove(self, index)
    end
    return self
end


--- The place of a value.
-- @treturn number|nil
function List:index(value, from)
    for i = place(self, from or 1), #self do
        if self[i] == value then
            return i
        end
    end
end


function List:contains(value)
    return self:index(value) ~= nil
end


function List:count(value)
    local count = 0
    for _, item in ipairs(self) do
        count = item == value and count + 1 or count
    end
    return count
end


function List:len()
    return #self
end


--- The items from a place to another one, both with.
function List:slice(first, last)
    local list = List.new()
    for i = place(self, first or 1), place(self, last or -1) do
        list[#list + 1] = self[i]
    end
    return list
end


function List:clear()
    for i = #self, 1, -1 do
        self[i] = nil
    end
    return self
end


function List:sort(less)
    sort(self, type(less) == "function" and less or nil)
    return self
end


function List:sorted(less)
    return self:clone():sort(less)
end


function List:reverse()
    local count = #self
    for i = 1, count / 2 do
        self[i], self[count + 1 - i] = self[count + 1 - i], self[i]
    end
    return self
end


--- A list of what a function makes of each item.
function List:map(func, ...)
    local list = List.new()
    for i, value in ipairs(self) do
        list[i] = func(value, ...)
    end
    return list
end


--- The items for which a function is true.
function List:filter(func, ...)
    local list = List.new()
    for _, value in ipairs(self) do
        if func(value, ...) then
            list[#list + 1] = value
        end
    end
    return list
end


function List:reduce(func, start)
    local result, first = start, 1
    if result == nil then
        result, first = self[1], 2
    end
    for i = first, #self do
        result = func(result, self[i])
    end
    return result
end


function List:foreach(func, ...)
    for _, value in ipairs(self) do
        func(value, ...)
    end
end


function List:iter()
    local at = 0
    return function()
        at = at + 1
        return self[at]
    end
end


function List:join(separator)
    return self:map(tostring):concat(separator)
end


function List:concat(separator)
    return concat(self, separator)
end


function List:unpack()
    return unpack(self)
end


--- The numbers from one to another, in steps.
function List.range(first, last, step)
    if not last then
        first, last = 1, first
    end
    local list = List.new()
    for number = first, last, step or 1 do
        list[#list + 1] = number
    end
    return list
end


function List.__concat(a, b)
    return List.new(a):extend(b)
end


function List.__eq(a, b)
    if #a ~= #b then
        return false
    end
    for i = 1, #a do
        if a[i] ~= b[i] then
            return false
        end
    end
    return true
end


function List.__tostring(self)
    return "{" .. self:join(",") .. "}"
end


--- Whether something is a list of this kind.
function List.class_of(value)
    return getmetatable(value) == List
end


return setmetatable(List, {
    __call = function(_, values)
        return List.new(values)
    end,
})
