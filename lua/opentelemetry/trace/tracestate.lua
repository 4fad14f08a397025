--- `opentelemetry.trace.tracestate`: the header of that name, as W3C has it.
-- @module opentelemetry.trace.tracestate
local concat = table.concat
local find = string.find
local ipairs = ipairs
local match = string.match
local setmetatable = setmetatable

local MEMBERS_MAX = 32

local _M = {}
local mt = { __index = _M }


--- A state of pairs.
function _M.new(values)
    return setmetatable({ values = values or {} }, mt)
end


local function good_key(key)
    return #key <= 256 and (find(key, "^%l[%l%d_%-*/]*$")
                            or find(key, "^[%l%d][%l%d_%-*/]*@%l[%l%d_%-*/]*$")) ~= nil
end


local function good_value(value)
    return value ~= "" and #value <= 256 and not find(value, "[^\32-\126]")
           and not find(value, "[,=]")
end


--- Reads a header; one with a mistake counts as empty.
function _M.parse_tracestate(text)
    local list = {}
    if type(text) ~= "string" or text == "" then
        return _M.new(list)
    end
    for member in (text .. ","):gmatch("([^,]*),") do
        member = match(member, "^%s*(.-)%s*$")
        if member ~= "" then
            local key, value = match(member, "^([^=]+)=(.*)$")
            if not key or not good_key(key) or not good_value(value) or #list >= MEMBERS_MAX then
                return _M.new({})
            end
            list[#list + 1] = { key, value }
        end
    end
    return _M.new(list)
end


function _M:get(key)
    for _, pair in ipairs(self.values) do
        if pair[1] == key then
            return pair[2]
        end
    end
    return ""
end


function _M:del(key)
    for i, pair in ipairs(self.values) do
        if pair[1] == key then
            table.remove(self.values, i)
            break
        end
    end
    return self
end


--- Puts a pair first.
function _M:set(key, value)
    if good_key(key) and good_value(value) then
        self:del(key)
        if #self.values >= MEMBERS_MAX then
            self.values[#self.values] = nil
        end
        table.insert(self.values, 1, { key, value })
    end
    return self
end


function _M:as_string()
    local parts = {}
    for i, pair in ipairs(self.values) do
        parts[i] = pair[1] .. "=" .. pair[2]
    end
    return concat(parts, ",")
end


return _M
