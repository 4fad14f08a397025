--- `opentelemetry.trace.exporter.otlp`: spans in the bytes of OTLP.
-- @module opentelemetry.trace.exporter.otlp
local wire = require("moongate.pbwire")

local char = string.char
local concat = table.concat
local gsub = string.gsub
local ipairs = ipairs
local now = ngx.now
local setmetatable = setmetatable
local sleep = ngx.sleep
local tonumber = tonumber
local tostring = tostring

local PAUSE_SECONDS = 0.5

local _M = {}
local mt = { __index = _M }


--- An exporter.
-- @tparam table client has `do_request(self, body)`
-- @tparam[opt=10000] number timeout_ms how long one batch is tried
function _M.new(client, timeout_ms)
    return setmetatable({ client = client, timeout_ms = timeout_ms or 10000 }, mt)
end


local function bytes_field(number, text)
    return wire.varint(number * 8 + 2) .. wire.varint(#text) .. text
end


local function number_field(number, value)
    return value ~= 0 and wire.varint(number * 8) .. wire.varint(value) or ""
end


local function time_field(number, nanos)
    return wire.varint(number * 8 + 1) .. wire.encode("fixed64", nanos)
end


local function value_bytes(value)
    if value.string_value ~= nil then
        return bytes_field(1, tostring(value.string_value))
    elseif value.bool_value ~= nil then
        return wire.varint(2 * 8) .. wire.encode("bool", value.bool_value)
    elseif value.int_value ~= nil then
        return wire.varint(3 * 8) .. wire.encode("int64", value.int_value)
    elseif value.double_value ~= nil then
        return wire.varint(4 * 8 + 1) .. wire.encode("double", value.double_value)
    end
    local items = {}
    for i, item in ipairs(value.array_value and value.array_value.values or {}) do
        items[i] = bytes_field(1, value_bytes(item))
    end
    return bytes_field(5, concat(items))
end


local function attributes_bytes(number, attributes)
    local parts = {}
    for i, attribute in ipairs(attributes) do
        parts[i] = bytes_field(number, bytes_field(1, attribute.key)
                                       .. bytes_field(2, value_bytes(attribute.value)))
    end
    return concat(parts)
end


local function from_hex(digits)
    return (gsub(digits, "%x%x", function(pair)
        return char(tonumber(pair, 16))
    end))
end


local function span_bytes(span)
    local context, parent = span.ctx, span.parent_ctx
    local parts = { bytes_field(1, from_hex(context.trace_id)),
                    bytes_field(2, from_hex(context.span_id)) }
    if context.trace_state then
        parts[#parts + 1] = bytes_field(3, context.trace_state:as_string())
    end
    if parent and parent.span_id then
        parts[#parts + 1] = bytes_field(4, from_hex(parent.span_id))
    end
    parts[#parts + 1] = bytes_field(5, span.name)
    parts[#parts + 1] = number_field(6, span.kind)
    parts[#parts + 1] = time_field(7, span.start_time)
    parts[#parts + 1] = time_field(8, span.end_time)
    parts[#parts + 1] = attributes_bytes(9, span.attributes)
    for _, event in ipairs(span.events) do
        parts[#parts + 1] = bytes_field(11, time_field(1, event.time_unix_nano)
            .. bytes_field(2, event.name) .. attributes_bytes(3, event.attributes))
    end
    if span.status then
        local message = span.status.message
        parts[#parts + 1] = bytes_field(15, (message and message ~= "" and bytes_field(2, message)
                                             or "") .. number_field(3, span.status.code))
    end
    return concat(parts)
end


--- The body of a request with these spans.
function _M:encode_spans(spans)
    local by_tracer, order = {}, {}
    for _, span in ipairs(spans) do
        local tracer = span.tracer
        if not by_tracer[tracer] then
            by_tracer[tracer] = {}
            order[#order + 1] = tracer
        end
        table.insert(by_tracer[tracer], bytes_field(2, span_bytes(span)))
    end
    local resources = {}
    for i, tracer in ipairs(order) do
        local scope = bytes_field(1, tracer.il.name) .. (tracer.il.version ~= ""
                      and bytes_field(2, tracer.il.version) or "")
        local resource = attributes_bytes(1, tracer.provider.resource.attrs)
        resources[i] = bytes_field(1, bytes_field(1, resource)
            .. bytes_field(2, bytes_field(1, scope) .. concat(by_tracer[tracer])))
    end
    return concat(resources)
end


--- Sends spans; tries again until the time is over.
-- @treturn boolean|nil true
-- @treturn nil|string error
function _M:export_spans(spans)
    local body, start = self:encode_spans(spans), now()
    while true do
        local answer, err = self.client:do_request(body)
        if answer then
            return true
        end
        if (now() - start + PAUSE_SECONDS) * 1000 >= self.timeout_ms then
            ngx.log(ngx.ERR, "failed to export spans: ", tostring(err))
            return nil, err
        end
        sleep(PAUSE_SECONDS)
    end
end


function _M:shutdown()
    self.client = { do_request = function()
        return nil, "the exporter is shut down"
    end }
end


return _M
