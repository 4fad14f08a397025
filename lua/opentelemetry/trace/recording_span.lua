--- `opentelemetry.trace.recording_span`: a span that is told to the processors at its end.
-- @module opentelemetry.trace.recording_span
local attribute = require("opentelemetry.attribute")
local span_kind = require("opentelemetry.trace.span_kind")
local span_status = require("opentelemetry.trace.span_status")
local util = require("opentelemetry.util")

local ipairs = ipairs
local setmetatable = setmetatable

local ATTRIBUTES_MAX = 1000
local EVENTS_MAX = 1000

local _M = {}
local mt = { __index = _M }


function _M.new(tracer, parent, context, name, config, start)
    return setmetatable({
        tracer = tracer, parent_ctx = parent, ctx = context, name = name,
        start_time = start or util.time_nano(), end_time = 0,
        kind = span_kind.validate(config.kind), attributes = config.attributes or {},
        events = {}, ended = false,
    }, mt)
end


function _M:context()
    return self.ctx
end


function _M:is_recording()
    return not self.ended
end


--- Sets how it went; what is OK stays so.
function _M:set_status(code, message)
    if self.ended then
        return
    end
    code = span_status.validate(code)
    if self.status and self.status.code == span_status.OK then
        return
    end
    self.status = { code = code, message = code == span_status.ERROR and message or "" }
end


--- Adds attributes; one of a name that is there replaces it.
function _M:set_attributes(...)
    if self.ended then
        return
    end
    for _, new in ipairs({ ... }) do
        if #self.attributes < ATTRIBUTES_MAX then
            self.attributes[#self.attributes + 1] = new
        end
    end
end


--- Ends it.
-- @tparam[opt] number stop nanoseconds
function _M:finish(stop)
    if self.ended then
        return
    end
    self.ended = true
    self.end_time = stop or util.time_nano()
    for _, processor in ipairs(self.tracer.provider.span_processors) do
        processor:on_end(self)
    end
end


function _M:add_event(name, opts)
    if not self.ended and #self.events < EVENTS_MAX then
        self.events[#self.events + 1] = { name = name, time_unix_nano = util.time_nano(),
                                          attributes = opts and opts.attributes or {} }
    end
end


function _M:record_error(message)
    self:add_event("exception", { attributes = { attribute.string("exception.message", message) } })
end


function _M:set_name(name)
    self.name = name
end


function _M:tracer_provider()
    return self.tracer.provider
end


return _M
