--- `resty.roundrobin`: weighted round robin.
-- @module resty.roundrobin
local clone = require("table.clone")

local next = next
local pairs = pairs
local random = math.random
local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


local function gcd(a, b)
    while b ~= 0 do
        a, b = b, a % b
    end
    return a
end


local function derive(self)
    local divisor, heaviest = 0, 0
    for _, weight in pairs(self.nodes) do
        divisor = gcd(weight, divisor)
        if weight > heaviest then
            heaviest = weight
        end
    end
    self.gcd = divisor
    self.max_weight = heaviest
    self.cw = heaviest
    self.last_id = nil
end


local function copy_nodes(nodes)
    local copy = {}
    for id, weight in pairs(nodes) do
        if weight > 0 then
            copy[id] = weight
        end
    end
    return copy
end


--- A picker that starts anywhere, so that pickers on several workers do not agree.
-- @tparam table nodes id -> weight
function _M:new(nodes)
    local picker = setmetatable({ nodes = copy_nodes(nodes) }, mt)
    derive(picker)

    local count = 0
    for _ in pairs(picker.nodes) do
        count = count + 1
    end
    for _ = 1, count > 0 and random(0, count - 1) or 0 do
        picker:find()
    end
    return picker
end


--- The next node.
-- @return id, nil if there is none
function _M:find()
    local nodes = self.nodes
    if next(nodes) == nil then
        error("empty nodes", 2)
    end

    local id = self.last_id
    while true do
        local weight
        id, weight = next(nodes, id)
        if id == nil then
            self.cw = self.cw - self.gcd
            if self.cw <= 0 then
                self.cw = self.max_weight
            end
        elseif weight >= self.cw then
            self.last_id = id
            return id
        end
    end
end


_M.next = _M.find


function _M:reinit(nodes)
    self.nodes = copy_nodes(nodes)
    derive(self)
end


--- Sets the weight of a node; 0 removes it.
function _M:set(id, weight)
    local nodes = clone(self.nodes)
    nodes[id] = weight and weight > 0 and weight or nil
    self.nodes = nodes
    derive(self)
end


function _M:delete(id)
    self:set(id, 0)
end


function _M:incr(id, weight)
    self:set(id, (self.nodes[id] or 0) + (weight or 1))
end


function _M:decr(id, weight)
    self:incr(id, -(weight or 1))
end


return _M
