--- `skywalking.tracing_context`: what one request has of a trace. It makes the spans, knows which
-- of them are not finished, and tells the server behind us where the request comes from.
-- @module skywalking.tracing_context
local correlation_context = require("skywalking.correlation_context")
local segment_ref = require("skywalking.segment_ref")
local span_module = require("skywalking.span")
local util = require("skywalking.util")

local ngx = ngx
local pairs = pairs
local setmetatable = setmetatable

local HEADER = "sw8"
local CORRELATION_HEADER = "sw8-correlation"

local _M = {}

-- The part of a context that spans use.
local Internal = {}
local mt = { __index = Internal }


function Internal.new(owner)
    return setmetatable({
        owner = owner, self_generated_trace_id = true, span_id_seq = 0,
        active_spans = {}, active_count = 0, finished_spans = {},
    }, mt)
end


--- The first reference that a request brings decides which trace it belongs to.
function Internal:addRefIfFirst(ref)
    if self.self_generated_trace_id then
        self.self_generated_trace_id = false
        self.owner.trace_id = ref.trace_id
    end
end


--- The number of the next span; the first has 0.
function Internal:nextSpanID()
    local id = self.span_id_seq
    self.span_id_seq = id + 1
    return id
end


function Internal:addActive(span)
    self.first_span = self.first_span or span
    self.active_spans[span.span_id + 1] = span
    self.active_count = self.active_count + 1
    return self.owner
end


function Internal:finishSpan(span)
    local at = span.span_id + 1
    if self.active_spans[at] == span then
        self.active_spans[at] = nil
        self.active_count = self.active_count - 1
        self.finished_spans[#self.finished_spans + 1] = span
    end
    return self.owner
end


--- A context all of whose spans are no-op.
function _M.newNoOP()
    return { is_noop = true }
end


--- A context; a no-op one if there is no name for the service or the instance.
-- @tparam string service
-- @tparam string instance
-- @tparam[opt] string request_id is the trace's id until a header says otherwise
function _M.new(service, instance, request_id)
    if service == nil or instance == nil then
        return _M.newNoOP()
    end

    local id = util.newID()
    local context = {
        trace_id = request_id or id, segment_id = id,
        service = service, service_instance = instance,
    }
    context.internal = Internal.new(context)
    return context
end


--- A span for the request that came in.
-- @tparam table context
-- @tparam string name of the operation
-- @tparam[opt] table parent a span
-- @tparam[opt] table carrier the request's headers `sw8` and `sw8-correlation`
function _M.createEntrySpan(context, name, parent, carrier)
    if context.is_noop then
        return span_module.newNoOP()
    end
    context.correlation = correlation_context.fromSW8Value(carrier and carrier[CORRELATION_HEADER])
    return span_module.createEntrySpan(name, context, parent, carrier)
end


--- A span for a request that goes out.
-- @tparam table context
-- @tparam string name of the operation
-- @tparam[opt] table parent a span
function _M.createExitSpan(context, name, parent)
    if context.is_noop then
        return span_module.newNoOP()
    end
    return span_module.createExitSpan(name, context, parent)
end


--- Sets the headers `sw8` and `sw8-correlation` of the request that goes out; none if the request
-- is not traced.
-- @tparam table context
-- @tparam table span its exit span
-- @tparam string peer where it goes
-- @tparam[opt] table more texts for the services behind, by their keys
function _M.inject(context, span, peer, more)
    if context.is_noop then
        return
    end
    span_module.setPeer(span, peer)
    local correlation = context.correlation or correlation_context.new()
    context.correlation = correlation
    for key, value in pairs(more or {}) do
        correlation_context.put(correlation, key, value)
    end
    ngx.req.set_header(HEADER,
                       segment_ref.serialize(segment_ref.createInjectableRef(context, span)))
    ngx.req.set_header(CORRELATION_HEADER, correlation_context.serialize(correlation))
end


--- The spans, if all are finished.
-- @treturn boolean whether they are
-- @treturn table|nil a segment, for `skywalking.segment`
function _M.drainAfterFinished(context)
    if context.is_noop or context.internal.active_count ~= 0 then
        return false, nil
    end
    return true, {
        trace_id = context.trace_id, segment_id = context.segment_id,
        service = context.service, service_instance = context.service_instance,
        spans = context.internal.finished_spans,
    }
end


return _M
