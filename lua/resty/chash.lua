--- `resty.chash`: consistent hashing.
-- @module resty.chash
local host = require("moongate.host")

local byte = string.byte
local crc32 = host.crypto.crc32
local floor = math.floor
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local tostring = tostring

local POINTS_PER_WEIGHT = 160

local _M = {}
local mt = { __index = _M }


local function by_hash(a, b)
    if a.hash ~= b.hash then
        return a.hash < b.hash
    end
    return a.id < b.id
end


-- Four bytes of a number in the order in which memory has them.
local function bytes_of(number)
    local bytes = {}
    for i = 1, 4 do
        bytes[i] = string.char(number % 256)
        number = floor(number / 256)
    end
    return table.concat(bytes)
end


local function build(self)
    local points = {}
    for id, weight in pairs(self.nodes) do
        local base, previous = tostring(id), 0
        for _ = 1, weight * POINTS_PER_WEIGHT do
            previous = crc32(base .. bytes_of(previous))
            points[#points + 1] = { hash = previous, id = id }
        end
    end
    sort(points, by_hash)
    self.points = points
end


--- A ring.
-- @tparam table nodes id -> weight
function _M:new(nodes)
    local ring = setmetatable({ nodes = {} }, mt)
    ring:reinit(nodes)
    return ring
end


function _M:reinit(nodes)
    self.nodes = {}
    for id, weight in pairs(nodes) do
        if weight > 0 then
            self.nodes[id] = weight
        end
    end
    build(self)
end


local function first_at(points, hash)
    local low, high = 1, #points + 1
    while low < high do
        local middle = floor((low + high) / 2)
        if points[middle].hash < hash then
            low = middle + 1
        else
            high = middle
        end
    end
    return low > #points and 1 or low
end


--- The node of a key, and its place on the ring, the first of which is 0.
function _M:find(key)
    if #self.points == 0 then
        return nil
    end
    local text = tostring(key)
    local place = first_at(self.points, byte(text, 1) and crc32(text) or 0)
    return self.points[place].id, place - 1
end


--- The node after a place of the ring.
function _M:next(place)
    if #self.points == 0 then
        return nil
    end
    place = (place + 1) % #self.points
    return self.points[place + 1].id, place
end


--- Sets the weight of a node; 0 removes it.
function _M:set(id, weight)
    self.nodes[id] = weight and weight > 0 and weight or nil
    build(self)
end


--- Adds to the weight of a node.
function _M:incr(id, weight)
    self:set(id, (self.nodes[id] or 0) + (weight or 1))
end


--- Takes from the weight of a node.
function _M:decr(id, weight)
    self:set(id, (self.nodes[id] or 0) - (weight or 1))
end


function _M:delete(id)
    self:set(id, 0)
end


return _M
