--- `opentelemetry.context`: the span at hand, and what else travels with a request.
-- @module opentelemetry.context
local spans = require("opentelemetry.trace.non_recording_span")
local util = require("opentelemetry.util")

local setmetatable = setmetatable

local KEY = "__opentelemetry_context__"

local _M = {}
local mt = { __index = _M }


--- A context.
function _M.new(entries, span)
    return setmetatable({ sp = span or spans.noop(), entries = entries or {} }, mt)
end


local function stack()
    return ngx.ctx[KEY]
end


--- Makes this the context at hand.
-- @treturn number a token for `detach`
function _M:attach()
    local list = stack() or {}
    ngx.ctx[KEY] = list
    list[#list + 1] = self
    return #list
end


--- Goes back to the context before.
-- @treturn boolean
-- @treturn nil|string error
function _M:detach(token)
    local list = stack() or {}
    if #list ~= token then
        return false, "Token does not match (" .. #list
                      .. " context entries in stack, token provided was " .. token .. ")."
    end
    list[#list] = nil
    return true
end


--- The context at hand; an empty one if there is none.
function _M.current()
    local list = stack()
    return list and list[#list] or _M.new()
end


function _M:get(key)
    return self.entries[key]
end


--- A context with one entry more.
function _M:set(key, value)
    local entries = util.shallow_copy_table(self.entries)
    entries[key] = value
    return _M.new(entries, self.sp)
end


function _M:with_span(span)
    return _M.new(util.shallow_copy_table(self.entries), span)
end


function _M:with_span_context(span_context)
    return self:with_span(spans.new(nil, span_context))
end


function _M:span_context()
    return self.sp:context()
end


function _M:span()
    return self.sp
end


return _M
