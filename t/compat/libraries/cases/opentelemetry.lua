-- Spans, samplers, propagation.
-- original: opentelemetry.trace.tracer_provider
local context = require("opentelemetry.context").new()
local attr = require("opentelemetry.attribute")
local new_propagator = require("opentelemetry.trace.propagation.text_map.trace_context_propagator").new
local on, off = require("opentelemetry.trace.sampling.always_on_sampler").new(), require("opentelemetry.trace.sampling.always_off_sampler").new()
local parent = require("opentelemetry.trace.sampling.parent_base_sampler").new
local provider = require("opentelemetry.trace.tracer_provider").new
local span_kind, span_status = require("opentelemetry.trace.span_kind"), require("opentelemetry.trace.span_status")
local propagator = new_propagator()
case("kinds", function() return span_kind.server, span_kind.validate(9), span_kind.validate(3) end)
case("status", function() return span_status.ERROR, span_status.OK, span_status.validate(7) end)
case("attributes", function() return attr.string("a", "b"), attr.int("i", 5), attr.bool("b", true), attr.double("d", 1.5) end)
case("array", function() return attr.string_array("a", { "x", "y" }) end)
local getter = { get = function(c, k) return c[k] end }
local setter = { set = function(c, k, v) c[k] = v end }
for i, header in ipairs({ "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01", "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-00",
    "00-80F198EE56343BA864FE8B2A57D3EFF7-e457b5a2e4d86bd1-01", "ff-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01", "00-0-0-01", "", "x",
    "00-00000000000000000000000000000000-e457b5a2e4d86bd1-01" }) do
    case("extract " .. i, function()
        local span = propagator:extract(context, { traceparent = header }, getter):span_context()
        return span.trace_id, span.span_id, span.trace_flags
    end)
end
for name, sampler in pairs({ on = on, off = off, ["parent of on"] = parent(on), ["parent of off"] = parent(off) }) do
    for _, flags in ipairs({ "00", "01" }) do
        case("sampler " .. name .. " below " .. flags, function()
            local above = propagator:extract(context, { traceparent = "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-" .. flags }, getter)
            local made, span = provider(nil, { sampler = sampler }):tracer("t"):start(above, "s", { kind = 2 })
            local out = {}
            propagator:inject(made, out, setter)
            return span:is_recording(), out.traceparent:sub(1, 36), out.traceparent:sub(-2)
        end)
    end
    case("sampler " .. name .. " at the root", function()
        local _, span = provider(nil, { sampler = sampler }):tracer("t"):start(context, "s")
        return span:is_recording(), #span:context().trace_id, #span:context().span_id
    end)
end
case("processor", function()
    local ended = {}
    local processor = { on_end = function(_, span) ended[#ended + 1] = span.name end }
    local _, span = provider(processor, { sampler = on }):tracer("t"):start(context, "name", { attributes = { attr.string("a", "1") } })
    span:set_attributes(attr.int("b", 2))
    span:set_status(span_status.ERROR, "bad")
    span:finish()
    span:finish()
    return ended, span.status, span.attributes
end)
case("attach", function()
    local Context = require("opentelemetry.context")
    local token = context:attach()
    return token, Context.current() == context, context:detach(token)
end)
case("detach of another", function()
    context:attach()
    return (context:detach(99))
end)
case("entries", function() return context:set("k", 1):get("k"), context:get("k") end)
local tracestate = require("opentelemetry.trace.tracestate")
for i, text in ipairs({ "a=1,b=2", "a=1, b=2 ", "", "A=1", "a", "a=1,,b=2" }) do
    case("tracestate " .. i, function() return tracestate.parse_tracestate(text):as_string() end)
end
case("resource", function() return #require("opentelemetry.resource").new(attr.string("a", "1")):attributes() end)
case("queue", function()
    local processor = require("opentelemetry.trace.batch_span_processor").new({ export_spans = function() return true end, shutdown = function() end }, { inactive_timeout = 60 })
    local _, span = provider(processor, { sampler = on }):tracer("t"):start(context, "n")
    span:finish()
    return processor:get_queue_size()
end)
