--- `opentelemetry.resource`: who it is that sends spans.
-- @module opentelemetry.resource
local ipairs = ipairs
local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


--- A resource of attributes.
function _M.new(...)
    return setmetatable({ attrs = { ... } }, mt)
end


function _M:attributes()
    return self.attrs
end


--- Both resources in one; what the first says holds.
function _M.merge(first, second)
    local list, known = {}, {}
    for _, resource in ipairs({ first or {}, second or {} }) do
        for _, attribute in ipairs(resource.attrs or {}) do
            local place = known[attribute.key] or #list + 1
            known[attribute.key], list[place] = place, attribute
        end
    end
    return setmetatable({ attrs = list }, mt)
end


return _M
