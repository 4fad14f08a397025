--- `skywalking.segment`: the finished spans of one request, as they stand in a report.
-- @module skywalking.segment
local span_module = require("skywalking.span")

local ipairs = ipairs

local _M = {}


--- What SkyWalking's protocol calls a segment, ready for JSON.
-- @tparam table segment of `skywalking.tracing_context`'s `drainAfterFinished`
function _M.transform(segment)
    local spans = {}
    for i, span in ipairs(segment.spans or {}) do
        spans[i] = span_module.transform(span)
    end
    return {
        traceId = segment.trace_id,
        traceSegmentId = segment.segment_id,
        service = segment.service,
        serviceInstance = segment.service_instance,
        spans = spans,
    }
end


return _M
