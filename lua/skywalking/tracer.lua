--- `skywalking.tracer`: traces a request with two spans, the entry (what the client asked for) and
-- the exit (what is asked of the upstream), in `ngx.ctx`.
--
-- `start` belongs in rewrite or access, `finish` to the answer's end, `prepareForReport` in log;
-- `skywalking.client` sends what is prepared. The shared dict `tracing_buffer` holds the names:
-- `serviceName`, `serviceInstanceName`, and `includeHostInEntrySpan`, whether the host is part of
-- the entry span's name.
-- @module skywalking.tracer
local cjson = require("cjson.safe")
local constants = require("skywalking.constants")
local layers = require("skywalking.span_layer")
local segment_module = require("skywalking.segment")
local span_module = require("skywalking.span")
local tracing_context = require("skywalking.tracing_context")
local util = require("skywalking.util")

local ERR = ngx.ERR
local ngx = ngx
local tag = span_module.tag
local timestamp = util.timestamp
local tonumber = tonumber

-- In SkyWalking's list of components.
local NGINX = 6000

local _M = {}


local function begin(span, time)
    span_module.start(span, time)
    span_module.setComponentId(span, NGINX)
    span_module.setLayer(span, layers.HTTP)
end


local function keep(context, entry, exit)
    local ctx = ngx.ctx
    ctx.tracingContext, ctx.entrySpan, ctx.exitSpan = context, entry, exit
    ctx.is_finished = false
end


--- Begins both spans.
-- @tparam[opt] string peer the name of what is behind; without one, `inject` must say it
-- @tparam[opt] table correlation texts for the services behind, by their keys
function _M:start(peer, correlation)
    local var = ngx.var
    local uri = var.uri
    if util.checkIgnoreSuffix(uri) then
        return keep(tracing_context.newNoOP(), span_module.newNoOP(), span_module.newNoOP())
    end

    local names = ngx.shared.tracing_buffer
    local context = tracing_context.new(names:get("serviceName"), names:get("serviceInstanceName"),
                                        var.http_request_id)
    local carrier = { sw8 = var.http_sw8, ["sw8-correlation"] = var.http_sw8_correlation }
    local name = names:get("includeHostInEntrySpan") and var.host .. uri or uri
    local now = timestamp()

    local entry = tracing_context.createEntrySpan(context, name, nil, carrier)
    begin(entry, now)
    tag(entry, "http.method", ngx.req.get_method())
    tag(entry, "http.params", var.scheme .. "://" .. var.host .. var.request_uri)

    local exit = tracing_context.createExitSpan(context, uri, entry)
    begin(exit, now)
    if peer then
        tracing_context.inject(context, exit, peer, correlation)
    end
    keep(context, entry, exit)
end


--- Says later than `start` where the request goes. After `finish`, nothing happens.
-- @tparam table span the exit span
-- @tparam string peer
-- @tparam[opt] table correlation
function _M:inject(span, peer, correlation)
    local ctx = ngx.ctx
    local context = ctx.tracingContext
    if not context.is_noop and span ~= nil and not ctx.is_finished then
        tracing_context.inject(context, span, peer, correlation)
    end
end


--- Ends the exit span.
function _M.finish()
    local ctx = ngx.ctx
    local span = ctx.exitSpan
    if span == nil or ctx.is_finished then
        return
    end
    -- It is no number if there was no upstream, or more than one try.
    local status = tonumber(ngx.var.upstream_status)
    if status then
        tag(span, "http.status_code", status)
    end
    span_module.finish(span)
    ctx.exitSpan = nil
    ctx.is_finished = true
end


--- Ends the entry span, and puts the segment where `skywalking.client` finds it. It is lost,
-- with a line in the log, if the dict is full.
function _M:prepareForReport()
    local ctx = ngx.ctx
    if not ctx.is_finished then
        _M.finish()
    end
    local entry = ctx.entrySpan
    if not entry then
        return
    end

    local status = ngx.var.status
    tag(entry, "http.status_code", status)
    if (tonumber(status) or 0) >= 500 then
        span_module.errorOccurred(entry)
    end
    span_module.finish(entry)

    local is_finished, segment = tracing_context.drainAfterFinished(ctx.tracingContext)
    if not is_finished then
        return
    end
    local text, err = cjson.encode(segment_module.transform(segment))
    if not text then
        ngx.log(ERR, "failed to encode segment: ", err)
        return
    end
    local length
    length, err = ngx.shared.tracing_buffer:lpush(constants.segment_queue, text)
    if not length then
        ngx.log(ERR, "failed to push segment: ", err)
        return
    end
    util.tablepool_release()
end


return _M
