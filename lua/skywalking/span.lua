--- `skywalking.span`: one step of a request. An entry span is the request that came in, an exit
-- span one that goes out, a local span what is done in between.
--
-- Spans are plain tables; the functions that change one give it back. A span that is no-op, as
-- those of a request that is not traced, stays as it is.
-- @module skywalking.span
local layers = require("skywalking.span_layer")
local segment_ref = require("skywalking.segment_ref")
local timestamp = require("skywalking.util").timestamp

local ipairs = ipairs

local HEADER = "sw8"
-- The parent of a span that has none.
local NO_SPAN = -1

local _M = {}


--- A span that takes no notice of anything.
function _M.newNoOP()
    return {
        layer = layers.NONE, is_entry = false, is_exit = false, error_occurred = false,
        is_noop = true,
    }
end


--- A local span.
-- @tparam string name of the operation
-- @tparam table context of `skywalking.tracing_context`, which counts the span as active
-- @tparam[opt] table parent a span
function _M.new(name, context, parent)
    local internal = context.internal
    local span = _M.newNoOP()
    span.is_noop = false
    span.operation_name = name
    span.span_id = internal:nextSpanID()
    span.parent_span_id = parent and parent.span_id or NO_SPAN
    span.refs = {}
    span.owner = context
    internal:addActive(span)
    return span
end


--- @see new
function _M.createLocalSpan(name, context, parent)
    return _M.new(name, context, parent)
end


--- A span for a request that came in.
-- @tparam string name of the operation
-- @tparam table context
-- @tparam[opt] table parent a span
-- @tparam[opt] table carrier `sw8` is that header of the request: the trace it belongs to
function _M.createEntrySpan(name, context, parent, carrier)
    local span = _M.new(name, context, parent)
    span.is_entry = true

    local header = carrier and carrier[HEADER]
    local ref = header and segment_ref.fromSW8Value(header)
    if ref then
        context.internal:addRefIfFirst(ref)
        span.refs[#span.refs + 1] = ref
    end
    return span
end


--- A span for a request that goes out.
-- @see new
function _M.createExitSpan(name, context, parent)
    local span = _M.new(name, context, parent)
    span.is_exit = true
    span.parent_endpoint_name = context.internal.first_span.operation_name
    return span
end


-- A function that sets one field.
local function setter(field)
    return function(span, value)
        if not span.is_noop then
            span[field] = value
        end
        return span
    end
end


--- Says when it began, in milliseconds since 1970.
_M.start = setter("start_time")

--- Says what it is the span of, as a number from SkyWalking's list of components.
_M.setComponentId = setter("component_id")

--- Takes one of `skywalking.span_layer`.
_M.setLayer = setter("layer")

--- Says where the request goes.
_M.setPeer = setter("peer")


--- Says that it failed.
function _M.errorOccurred(span)
    if not span.is_noop then
        span.error_occurred = true
    end
    return span
end


--- Adds a tag.
function _M.tag(span, key, value)
    if not span.is_noop then
        span.tags = span.tags or {}
        span.tags[#span.tags + 1] = { key = key, value = value }
    end
    return span
end


--- Adds an event.
-- @tparam table span
-- @tparam number time in milliseconds since 1970
-- @tparam table data texts by their names
function _M.log(span, time, data)
    if not span.is_noop then
        span.logs = span.logs or {}
        span.logs[#span.logs + 1] = { time = time, data = data }
    end
    return span
end


--- Ends it. A span that has ended already only gets another end.
-- @tparam table span
-- @tparam[opt] number time in milliseconds since 1970; without one, now
function _M.finish(span, time)
    if not span.is_noop then
        span.end_time = time or timestamp()
        span.owner.internal:finishSpan(span)
    end
    return span
end


--- Ends it so many milliseconds after its start.
function _M.finishWithDuration(span, duration)
    if not span.is_noop then
        _M.finish(span, span.start_time + duration)
    end
    return span
end


--- The span as it stands in a report.
function _M.transform(span)
    local refs
    for i, ref in ipairs(span.refs) do
        refs = refs or {}
        refs[i] = segment_ref.transform(ref)
    end
    return {
        spanId = span.span_id,
        parentSpanId = span.parent_span_id,
        startTime = span.start_time,
        endTime = span.end_time,
        refs = refs,
        operationName = span.operation_name,
        peer = span.peer,
        spanType = span.is_entry and "Entry" or span.is_exit and "Exit" or "Local",
        spanLayer = span.layer ~= layers.NONE and span.layer.name or nil,
        componentId = span.component_id,
        isError = span.error_occurred,
        tags = span.tags,
        logs = span.logs,
    }
end


return _M
