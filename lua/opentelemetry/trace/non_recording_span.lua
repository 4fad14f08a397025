--- `opentelemetry.trace.non_recording_span`: a span that only carries its context.
-- @module opentelemetry.trace.non_recording_span
local span_context = require("opentelemetry.trace.span_context")

local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


function _M.new(tracer, context)
    return setmetatable({ tracer = tracer, ctx = context }, mt)
end


--- A span of nothing.
function _M.noop()
    return _M.new(nil, span_context.new())
end


function _M:context()
    return self.ctx
end


function _M.is_recording()
    return false
end


function _M:tracer_provider()
    return self.tracer and self.tracer.provider
end


for _, name in ipairs({ "set_status", "set_attributes", "finish", "record_error", "add_event",
                        "set_name" }) do
    _M[name] = function() end
end


return _M
