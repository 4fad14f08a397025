--- `opentelemetry.trace.tracer`: begins spans.
-- @module opentelemetry.trace.tracer
local non_recording = require("opentelemetry.trace.non_recording_span")
local recording = require("opentelemetry.trace.recording_span")
local span_context = require("opentelemetry.trace.span_context")
local span_kind = require("opentelemetry.trace.span_kind")

local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


function _M.new(provider, scope)
    return setmetatable({ provider = provider, il = scope }, mt)
end


--- Begins a span below the one of a context.
-- @tparam table context
-- @tparam string name
-- @tparam[opt] table config `kind`, `attributes`
-- @tparam[opt] number start nanoseconds
-- @treturn table a context with the span
-- @treturn table the span
function _M:start(context, name, config, start)
    config = config or {}
    local parent, provider = context:span_context(), self.provider
    local trace_id = parent.trace_id
    local span_id
    if trace_id then
        span_id = provider.id_generator.new_span_id(trace_id)
    else
        trace_id, span_id = provider.id_generator.new_ids()
    end
    local result = provider.sampler:should_sample({
        parent_ctx = context, trace_id = trace_id, name = name,
        kind = span_kind.validate(config.kind), attributes = config.attributes,
    })
    local own = span_context.new(trace_id, span_id, result:is_sampled() and 1 or 0,
                                 result.trace_state, false)
    local span
    if result:is_recording() then
        span = recording.new(self, parent, own, name, config, start)
    else
        span = non_recording.new(self, own)
    end
    return context:with_span(span), span
end


return _M
