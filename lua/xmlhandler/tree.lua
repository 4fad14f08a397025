--- `xmlhandler.tree`: makes a table of a document, for `xml2lua`.
--
-- An element is a key of its parent's table; one that comes several times is an array. An
-- element that has only text is that text; attributes are in `_attr`.
-- @module xmlhandler.tree
local error = error
local pairs = pairs
local setmetatable = setmetatable
local type = type

local _M = {}
_M.__index = _M


local function start(self)
    self.root = {}
    self.options = { noreduce = {} }
    self._stack = { self.root }
    return self
end


--- A handler for one document; the table is its field `root`.
function _M:new()
    return start(setmetatable({}, _M))
end


-- An array of one becomes that one, unless it has attributes or is to stay.
function _M:reduce(node, key, parent)
    for name, child in pairs(node) do
        if type(child) == "table" then
            self:reduce(child, name, node)
        end
    end
    if #node == 1 and not self.options.noreduce[key] and node._attr == nil then
        parent[key] = node[1]
    end
end


function _M:starttag(tag)
    local node = {}
    if self.parseAttributes == true then
        node._attr = tag.attrs
    end
    local stack = self._stack
    local above = stack[#stack]
    local known = above[tag.name]
    if not known then
        above[tag.name] = { node }
    elseif type(known) == "table" and #known > 0 then
        known[#known + 1] = node
    else
        above[tag.name] = { known, node }
    end
    stack[#stack + 1] = node
end


function _M:endtag(tag)
    local stack = self._stack
    local above = stack[#stack - 1]
    if not above or not above[tag.name] then
        error("XML Error - Unmatched Tag [" .. tag.name .. "]\n")
    end
    if above == self.root then
        self:reduce(above)
    end
    stack[#stack] = nil
end


function _M:text(text)
    local node = self._stack[#self._stack]
    node[#node + 1] = text
end


_M.cdata = _M.text


return start(_M)
