--- `opentracing.span_context`: what of a span travels to other services.
-- @module opentracing.span_context
local host = require("moongate.host")

local next = next
local pairs = pairs
local random_bytes = host.crypto.random_bytes
local setmetatable = setmetatable

local TRACE_ID_BYTES = 16
local SPAN_ID_BYTES = 8
local BAGGAGE_MAX = 64

local _M = {}
local mt = { __index = _M }


--- A context; identifiers that are missing are drawn.
-- @tparam[opt] string trace_id raw bytes
-- @tparam[opt] string span_id
-- @tparam[opt] string parent_id
-- @tparam[opt] table baggage
function _M.new(trace_id, span_id, parent_id, baggage)
    local copy = {}
    for key, value in pairs(baggage or {}) do
        copy[key] = value
    end
    return setmetatable({
        trace_id = trace_id or random_bytes(TRACE_ID_BYTES),
        span_id = span_id or random_bytes(SPAN_ID_BYTES),
        parent_id = parent_id,
        baggage = copy,
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
    local made = _M.new(self.trace_id, self.span_id, self.parent_id, self.baggage)
    local count = 0
    for _ in pairs(made.baggage) do
        count = count + 1
    end
    if count < BAGGAGE_MAX then
        made.baggage[key] = value
    end
    return made
end


function _M:get_baggage_item(key)
    return self.baggage[key]
end


--- Walks over the baggage.
function _M:each_baggage_item()
    return next, self.baggage
end


return _M
