--- `opentelemetry.trace.span_context`: what of a span travels to other services.
-- @module opentelemetry.trace.span_context
local setmetatable = setmetatable

local _M = { INVALID_TRACE_ID = ("0"):rep(32), INVALID_SPAN_ID = ("0"):rep(16) }
local mt = { __index = _M }


--- @tparam string trace_id 32 digits
-- @tparam string span_id 16 digits
-- @tparam number flags 1 for sampled
-- @tparam[opt] table state of `opentelemetry.trace.tracestate`
-- @tparam[opt] boolean remote
function _M.new(trace_id, span_id, flags, state, remote)
    return setmetatable({ trace_id = trace_id, span_id = span_id, trace_flags = flags,
                          trace_state = state, remote = remote }, mt)
end


function _M:is_valid()
    return self.trace_id ~= nil and self.span_id ~= nil
           and self.trace_id ~= _M.INVALID_TRACE_ID and self.span_id ~= _M.INVALID_SPAN_ID
end


function _M:is_remote()
    return self.remote == true
end


function _M:is_sampled()
    return self.trace_flags ~= nil and self.trace_flags % 2 == 1
end


return _M
