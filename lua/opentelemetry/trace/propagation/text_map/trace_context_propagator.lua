--- `opentelemetry.trace.propagation.text_map.trace_context_propagator`: `traceparent` and
-- `tracestate`, as W3C has them.
-- @module opentelemetry.trace.propagation.text_map.trace_context_propagator
local span_context = require("opentelemetry.trace.span_context")
local tracestate = require("opentelemetry.trace.tracestate")

local format = string.format
local match = string.match
local setmetatable = setmetatable
local tonumber = tonumber
local type = type

local _M = {}
local mt = { __index = _M }


function _M.new()
    return setmetatable({}, mt)
end


--- Writes the context into a request.
-- @tparam table context
-- @tparam table carrier `ngx.req`, or whatever `setter` knows
-- @tparam[opt] table setter
function _M:inject(context, carrier, setter)
    local span = context:span_context()
    if not span:is_valid() then
        return
    end
    local set = setter and setter.set or function(request, name, value)
        request.set_header(name, value)
    end
    set(carrier, "traceparent", format("00-%s-%s-%02x", span.trace_id, span.span_id,
                                       span.trace_flags or 0))
    if span.trace_state then
        set(carrier, "tracestate", span.trace_state:as_string())
    end
end


local function read(text)
    if type(text) == "table" then
        text = text[1]
    end
    if type(text) ~= "string" then
        return nil
    end
    local version, trace_id, span_id, flags, rest =
        match(text, "^%s*(%x%x)%-(%x+)%-(%x+)%-(%x%x)(.-)%s*$")
    if not version or version == "ff" or (version == "00" and rest ~= "")
       or #trace_id ~= 32 or #span_id ~= 16 or text:find("%u") then
        return nil
    end
    local made = span_context.new(trace_id, span_id, tonumber(flags, 16), nil, true)
    return made:is_valid() and made or nil
end


--- Reads the context of a request.
-- @treturn table the context, with the span of the request if it has one
function _M:extract(context, carrier, getter)
    local get = getter and getter.get or function(request, name)
        return request.get_headers()[name]
    end
    local found = read(get(carrier, "traceparent"))
    if not found then
        return context
    end
    local state = get(carrier, "tracestate")
    found.trace_state = tracestate.parse_tracestate(type(state) == "table"
                                                    and table.concat(state, ",") or state)
    return context:with_span_context(found)
end


--- The headers that are read and written.
function _M.fields()
    return { "traceparent", "tracestate" }
end


return _M
