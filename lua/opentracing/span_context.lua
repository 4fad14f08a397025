--- `opentracing.span_context`: what of a span travels to other services.
-- @module opentracing.span_context
local host = require("moongate.host")

local error = error
local getmetatable = getmetatable
local next = next
local pairs = pairs
local random_bytes = host.crypto.random_bytes
local setmetatable = setmetatable
local type = type

local TRACE_ID_BYTES = 16
local SPAN_ID_BYTES = 8
local BAGGAGE_MAX = 64

local _M = {}
local mt = { __index = _M }


local baggage_mt = {
    __newindex = function()
        error("attempt to set immutable baggage", 2)
    end,
}


local function check_item(key, value)
    if type(key) ~= "string" then
        error("invalid baggage key", 3)
    elseif type(value) ~= "string" then
        error("invalid baggage value", 3)
    end
end


--- A context; identifiers that are missing are drawn.
-- @tparam[opt] string trace_id raw bytes
-- @tparam[opt] string span_id
-- @tparam[opt] string parent_id
-- @tparam[opt] table baggage
function _M.new(trace_id, span_id, parent_id, baggage)
    for what, id in pairs({ trace = trace_id, span = span_id, parent = parent_id }) do
        if type(id) ~= "string" then
            error("invalid " .. what .. " id", 2)
        end
    end
    local copy = {}
    for key, value in pairs(baggage or {}) do
        check_item(key, value)
        copy[key] = value
    end
    return setmetatable({
        trace_id = trace_id or random_bytes(TRACE_ID_BYTES),
        span_id = span_id or random_bytes(SPAN_ID_BYTES),
        parent_id = parent_id,
        baggage = setmetatable(copy, baggage_mt),
    }, mt)
end


function _M.is(value)
    return getmetatable(value) == mt
end


--- The context of a span below this one.
function _M:child()
    return _M.new(self.trace_id, nil, self.span_id, self.baggage)
end


--- The same context with one item more.
function _M:clone_with_baggage_item(key, value)
    check_item(key, value)
    local items, count = { [key] = value }, 1
    for name, item in pairs(self.baggage) do
        if name ~= key and count < BAGGAGE_MAX then
            items[name] = item
            count = count + 1
        end
    end
    return _M.new(self.trace_id, self.span_id, self.parent_id, items)
end


function _M:get_baggage_item(key)
    if type(key) ~= "string" then
        error("invalid baggage key", 2)
    end
    return self.baggage[key]
end


--- Walks over the baggage.
function _M:each_baggage_item()
    return next, self.baggage
end


return _M
