-- Spans as they are recorded, samplers, processors, and what is exported.
-- original: opentelemetry.trace.tracer_provider
-- differs: ratio's description, the original says 0 for all
-- differs: batch, the original gives its exporter to a timer
-- differs: otlp encode_spans, the original makes tables and ours the bytes
-- differs: resource merge with nothing, the original wants two
local attr = require("opentelemetry.attribute")
local resource = require("opentelemetry.resource")
local util = require("opentelemetry.util")
local span_context = require("opentelemetry.trace.span_context")
local result = require("opentelemetry.trace.sampling.result")
local recording, plain = require("opentelemetry.trace.recording_span"), require("opentelemetry.trace.non_recording_span")
local provider_lib, tracer_lib = require("opentelemetry.trace.tracer_provider"), require("opentelemetry.trace.tracer")
local batch = require("opentelemetry.trace.batch_span_processor")
local ids = require("opentelemetry.trace.id_generator")
local otlp, client = require("opentelemetry.trace.exporter.otlp"), require("opentelemetry.trace.exporter.http_client")
local context_lib = require("opentelemetry.context")
case("arrays", function() return attr.int_array("i", { 1, 2 }), attr.bool_array("b", { true, false }), attr.double_array("d", { 1.5 }) end)
case("resource merge", function()
    local merged = resource.merge(resource.new(attr.string("a", "1"), attr.string("b", "2")), resource.new(attr.string("b", "3"), attr.string("c", "4")))
    local all = {}
    for _, one in ipairs(merged:attributes()) do all[one.key] = one.value.string_value end
    return all
end)
case("resource merge with nothing", function() return #resource.merge(nil, resource.new(attr.string("a", "1"))):attributes(), #resource.merge(resource.new(), nil):attributes() end)
case("trim", function() return util.trim("  a b "), util.trim("") end)
case("shallow_copy_table", function() local t = { a = { 1 } } local c = util.shallow_copy_table(t) return c ~= t, c.a == t.a end)
case("time_nano", function() local t = util.time_nano() return math.abs(t / 1e9 - ngx.time()) < 10 end)
case("random_float", function() local n = util.random_float(5) return n >= 0 and n <= 5 end)
for i, args in ipairs({ { ("a"):rep(32), ("b"):rep(16), 1, nil, true }, { ("0"):rep(32), ("b"):rep(16), 0 }, { ("a"):rep(32), ("0"):rep(16), 3, nil, false } }) do
    case("span_context " .. i, function() local c = span_context.new(unpack(args, 1, 5)) return c:is_valid(), c:is_sampled(), c:is_remote() and true or false, c.trace_id, c.span_id end)
end
for _, kind in ipairs({ "drop", "record_only", "record_and_sample" }) do
    case("result " .. kind, function() local r = result.new(result[kind], "state") return r:is_sampled(), r:is_recording(), r.trace_state end)
end
case("ids", function() local trace, span = ids.new_ids() return #trace, #span, #ids.new_span_id(), trace:find("^%x+$") ~= nil, trace ~= ids.new_ids() end)
local parent = span_context.new(("a"):rep(32), ("b"):rep(16), 1, "st=1", true)
for _, pair in ipairs({ { "on", "always_on_sampler" }, { "off", "always_off_sampler" } }) do
    local sampler = require("opentelemetry.trace.sampling." .. pair[2]).new()
    case("sampler " .. pair[1], function() local r = sampler:should_sample({ parent_ctx = { span_context = function() return parent end }, trace_id = parent.trace_id }) return r:is_sampled(), r:is_recording(), sampler:description() end)
end
local on = require("opentelemetry.trace.sampling.always_on_sampler").new()
local by_parent = require("opentelemetry.trace.sampling.parent_base_sampler").new(on)
case("parent_base", function()
    local seen = {}
    for i, flags in ipairs({ 0, 1 }) do
        seen[i] = by_parent:should_sample({ parent_ctx = { span_context = function() return span_context.new(("a"):rep(32), ("b"):rep(16), flags, "", true) end }, trace_id = ("a"):rep(32) }):is_sampled()
    end
    seen[3] = by_parent:should_sample({ parent_ctx = { span_context = function() return span_context.new() end }, trace_id = ("a"):rep(32) }):is_sampled()
    return seen, type(by_parent:description())
end)
local ratio = require("opentelemetry.trace.sampling.trace_id_ratio_sampler")
case("ratio of all and none", function() local p = { parent_ctx = { span_context = function() return parent end }, trace_id = ("8"):rep(32) } return ratio.new(1):should_sample(p):is_sampled(), ratio.new(0):should_sample(p):is_sampled(), ratio.new(2):should_sample(p):is_sampled(), ratio.new(-1):should_sample(p):is_sampled() end)
case("ratio's description", function() return ratio.new(0.5).description end)
local ended = {}
local processor = { on_end = function(_, span) ended[#ended + 1] = span.name end, force_flush = function() ended[#ended + 1] = "flush" end, shutdown = function() ended[#ended + 1] = "down" end }
local provider = provider_lib.new(processor, { sampler = on })
local tracer = provider:tracer("lib", { version = "1", schema_url = "u" })
local own = span_context.new(("c"):rep(32), ("d"):rep(16), 1)
local span = recording.new(tracer, parent, own, "op", { kind = 2, attributes = { attr.string("k", "v") } }, 100)
case("recording_span", function() return span:context() == own, span:is_recording(), span.name, span.kind, span:tracer_provider() == provider end)
case("set_name", function() span:set_name("other") return span.name end)
case("set_attributes", function() span:set_attributes(attr.string("k", "w"), attr.int("n", 5)) local all = {} for _, one in ipairs(span.attributes) do all[#all + 1] = one.key .. "=" .. (one.value.string_value or one.value.int_value) end table.sort(all) return all end)
case("add_event", function() span:add_event("happened", { attributes = { attr.int("i", 1) } }) local event = span.events[1] return event.name, event.attributes[1].key, #span.events end)
case("record_error", function() span:record_error("it broke") local event = span.events[2] return event.name, event.attributes[1].key, event.attributes[1].value.string_value end)
case("set_status", function() span:set_status(2, "bad") return span.status.code, span.status.message end)
case("finish", function() span:finish() return span:is_recording(), ended end)
case("after the end", function() span:set_name("late") span:add_event("late") span:set_status(1) span:finish() return span.name, #span.events, #ended end)
local silent = plain.new(tracer, own)
case("non_recording_span", function() silent:set_status(1) silent:set_attributes(attr.int("a", 1)) silent:add_event("x") silent:record_error("x") silent:set_name("x") silent:finish() return silent:context() == own, silent:is_recording(), silent:tracer_provider() == provider, #ended end)
case("noop", function() local n = (plain.noop or function() return plain.new(nil, span_context.new()) end)() return n:is_recording(), n:context():is_valid() end)
case("tracer.new", function() local t = tracer_lib.new(provider, { name = "x" }) local _, made = t:start(context_lib.new(), "s", { kind = 1 }) return made.name, made:is_recording() end)
case("context span", function() local made, inner = tracer:start(context_lib.new(), "s") return made:span() == inner, made:span_context() == inner:context() end)
case("register_span_processor", function() local p = provider_lib.new(processor, { sampler = on }) p:register_span_processor(processor) ended = {} local _, s = p:tracer("t"):start(context_lib.new(), "twice") s:finish() return ended end)
case("set_span_processors", function() local p = provider_lib.new(processor, { sampler = on }) p:set_span_processors() ended = {} local _, s = p:tracer("t"):start(context_lib.new(), "none") s:finish() p:set_span_processors(processor) local _, u = p:tracer("t"):start(context_lib.new(), "one") u:finish() return ended end)
case("force_flush and shutdown", function() ended = {} provider:force_flush() provider:shutdown() return ended end)
local exported = {}
local exporter = { export_spans = function(_, spans) for _, one in ipairs(spans) do exported[#exported + 1] = one.name end return true end, shutdown = function() end }
local function fresh(name) return recording.new(tracer, parent, span_context.new(("e"):rep(32), ("f"):rep(16), 1), name, { kind = 1 }) end
case("batch", function()
    local b = batch.new(exporter, { batch_timeout = 60, inactive_timeout = 60, max_export_batch_size = 2, max_queue_size = 5 })
    b:on_end(fresh("a"))
    local waits = b:get_queue_size()
    b:on_end(fresh("b"))
    b:on_end(fresh("c"))
    b:force_flush()
    return waits, exported, b:get_queue_size()
end)
case("batch after its end", function() exported = {} local b = batch.new(exporter, { max_export_batch_size = 1 }) b:shutdown() b:on_end(fresh("late")) return exported end)
case("what is not sampled", function() exported = {} local b = batch.new(exporter, {}) b:on_end(recording.new(tracer, parent, span_context.new(("e"):rep(32), ("f"):rep(16), 0), "no", { kind = 1 })) return b:get_queue_size() end)
case("propagator's fields", function() local p = require("opentelemetry.trace.propagation.text_map.trace_context_propagator").new() return p.fields and p.fields() end)
case("tracestate", function() local state = require("opentelemetry.trace.tracestate").parse_tracestate("a=1,b=2") return state:get("a"), state:set("c", "3"):as_string(), state:del("a"):as_string(), state:get("a") end)
case("http_client", function() local c = client.new("127.0.0.1:1", 1, { a = "b" }) return type(c), type(c.do_request) end)
case("http_client to nobody", function() return (client.new("127.0.0.1:1", 1, {}):do_request("x")) end)
local sent
local function new_otlp() return otlp.new({ do_request = function(_, body) sent = body return { status = 200 } end, uri = "u" }, 1000) end
case("otlp", function() local o = new_otlp() local s = fresh("exported") s.tracer = tracer local ok = o:export_spans({ s }) return ok and true or ok, #sent > 50, sent:find("exported", 1, true) ~= nil end)
case("otlp encode_spans", function() local o = new_otlp() local s = fresh("x") local body = o:encode_spans({ s }) return type(body), #body.resource_spans end)
case("otlp shutdown", function() local o = new_otlp() return (o:shutdown()) end)
