-- Traces for SkyWalking: spans, headers, segments, and what a collector is sent.
-- original: skywalking.tracer
-- peer: oap
-- differs: an entry element without a key, the original raises an error for what a client sent
-- differs: a reference that cannot be read, the original takes it and reports a segment without ids
-- differs: inject without names, the original raises an error
-- differs: finish twice, the original counts the span twice and the segment never ends
local client, tracer = require("skywalking.client"), require("skywalking.tracer")
local span_lib, context_lib = require("skywalking.span"), require("skywalking.tracing_context")
local ref_lib, correlation = require("skywalking.segment_ref"), require("skywalking.correlation_context")
local segment_lib, management = require("skywalking.segment"), require("skywalking.management")
local util, layers, constants = require("skywalking.util"), require("skywalking.span_layer"), require("skywalking.constants")
local cjson = require("cjson")
local buffer, uri = ngx.shared.tracing_buffer, "http://127.0.0.1:" .. ports.oap
local SW8 = "1-My40LjU=-MS4yLjM=-4-c2VydmljZQ==-aW5zdGFuY2U=-L2FwcA==-MTI3LjAuMC4xOjgwODA="
local UUID = "^%x+%-%x+%-4%x+%-%x+%-%x+$"

local function get(path)
    local sock = ngx.socket.tcp()
    sock:settimeout(20000)
    sock:connect("127.0.0.1", tonumber(ports.oap))
    sock:send("GET " .. path .. " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    local answer = sock:receive("*a")
    sock:close()
    return answer:match("\r\n\r\n(.*)")
end
local function set_status(status) get("/set/" .. status) end
-- What the collector was sent since the last call.
local function seen() return cjson.decode(get("/seen")) end
-- The lines of the log that `func` writes, but those of lower levels.
local function logged(func, level)
    local log, lines = ngx.log, {}
    ngx.log = function(its, ...)
        if its <= (level or ngx.ERR) then
            local text = ""
            for i = 1, select("#", ...) do text = text .. tostring((select(i, ...))) end
            lines[#lines + 1] = text
        end
    end
    local ok, err = pcall(func)
    ngx.log = log
    return ok and lines or error(err)
end
-- Without what is never twice the same.
local function known(value)
    if type(value) == "string" then
        return (value:gsub("%x+%-%x+%-4%x+%-%x+%-%x+", "UUID"):gsub("%?path=.*", "?…"):gsub("127%.0%.0%.1:%d+", "HERE"))
    elseif type(value) == "number" and value > 1e12 then
        return value % 1 == 0 and "now" or "no integer"
    elseif type(value) ~= "table" or value == ngx.null then
        return value
    end
    local copy = {}
    for key, item in pairs(value) do copy[key] = known(item) end
    return copy
end

case("timestamp", function() return math.abs(util.timestamp() - ngx.now() * 1000) < 1000, #string.format("%.14g", util.timestamp()) end)
case("newID", function() return util.newID():find(UUID) ~= nil, util.newID() ~= util.newID() end)
case("split", function() return util.split("a,b,,c", ","), util.split("", ",") end)
case("base64", function() return util.encode_base64("a?>"), util.decode_base64("YT8+"), util.decode_base64("!") end)
case("is_ngx_lua", function() return util.is_ngx_lua end)
case("set_randomseed", function() return util.set_randomseed(), math.random() < 1 end)
case("checkIgnoreSuffix of none", function() return util.checkIgnoreSuffix("/a.js"), util.checkIgnoreSuffix(nil) end)
case("set_ignore_suffix", function() util.set_ignore_suffix(".js,.css") return util.checkIgnoreSuffix("/a.js"), util.checkIgnoreSuffix("/a.css"), util.checkIgnoreSuffix("/a.jsx"), util.checkIgnoreSuffix("js"), util.checkIgnoreSuffix("") end)
case("checkIgnoreSuffix of no text", function() return util.checkIgnoreSuffix(nil) end)
util.ignore_suffix_table = nil
case("tablepool", function() local one, two = util.tablepool_fetch("x", 1, 1), util.tablepool_fetch() return one, two, one ~= two, util.tablepool_release() end)
case("layers", function() return layers end)
case("constants", function() return constants.segment_queue end)
case("backendTimerDelay", function() return client.backendTimerDelay end)
case("properties", function() return management.newReportInstanceProperties("s", "i"), management.newReportInstanceProperties() end)
case("ping package", function() return management.newServiceInstancePingPkg("s", "i") end)

case("reference", function() return ref_lib.fromSW8Value(SW8), ref_lib.serialize(ref_lib.fromSW8Value(SW8)) == SW8 end)
for _, value in ipairs({ "", "1", "1-2-3", SW8 .. "-x", (SW8:gsub("%-[^-]*$", "")) }) do
    case("reference of " .. value, function() return ref_lib.fromSW8Value(value) end)
end
case("reference without a peer", function() return ref_lib.fromSW8Value((SW8:gsub("[^-]*$", ""))) end)
case("reference not sampled", function() return ref_lib.fromSW8Value((SW8:gsub("^1", "0"))).span_id end)
case("a reference that cannot be read", function() return ref_lib.fromSW8Value("1-!-!-x-!-!-!-!") end)
case("a new reference", function() return ref_lib.new() end)
case("transform of a reference", function() return ref_lib.transform(ref_lib.fromSW8Value(SW8)) end)
case("injectable reference", function() return ref_lib.createInjectableRef({ trace_id = "t", segment_id = "s", service = "S", service_instance = "I" }, { span_id = 3, peer = "P", parent_endpoint_name = "/e" }) end)
case("serialize without all", function() return ref_lib.serialize({ span_id = 3 }) end)
case("serialize without a span", function() return (pcall(ref_lib.serialize, {})) end)

case("correlation", function() return correlation.fromSW8Value("YQ==:Yg==,Yw==:ZA=="), correlation.fromSW8Value("YQ==:Yg=="), correlation.new() end)
case("correlation of nothing", function() return correlation.fromSW8Value(nil), correlation.fromSW8Value("") end)
case("correlation of nonsense", function() return correlation.fromSW8Value("x"), correlation.fromSW8Value("a:b:c"), correlation.fromSW8Value(","), correlation.fromSW8Value("YQ==:!") end)
case("an entry element without a key", function() return correlation.fromSW8Value("!:Yg==,YQ==:Yg==") end)
case("correlation of three", function() return correlation.fromSW8Value("YQ==:YQ==,Yg==:Yg==,Yw==:Yw==") end)
case("correlation of four", function() return correlation.fromSW8Value("YQ==:YQ==,Yg==:Yg==,Yw==:Yw==,ZA==:ZA==") end)
case("correlation serialized", function() return correlation.serialize({ a = "b" }), correlation.serialize({}), #correlation.serialize({ a = "b", c = "d" }) end)
case("put", function()
    local context = {}
    correlation.put(context, "a", "1")
    correlation.put(context, "b", ("x"):rep(128))
    correlation.put(context, "c", ("x"):rep(129))
    correlation.put(context, nil, "1")
    correlation.put(context, "d", "2")
    correlation.put(context, "e", "3")
    correlation.put(context, "a", "4")
    local before = { context.a, context.b, context.c or "-", context.d, context.e or "-" }
    correlation.put(context, "a", "")
    correlation.put(context, "b")
    return before, context
end)

local function new() return context_lib.new("service", "instance", "request") end
case("context", function() local c = context_lib.new("service", "instance") return c.service, c.service_instance, c.trace_id == c.segment_id, c.segment_id:find(UUID) ~= nil, c.is_noop end)
case("context of a request", function() local c = new() return c.trace_id, c.segment_id:find(UUID) ~= nil end)
case("context without names", function() return context_lib.new("service"), context_lib.new(nil, "instance"), context_lib.newNoOP() end)
case("spans of a no-op context", function()
    local c = context_lib.newNoOP()
    local entry = context_lib.createEntrySpan(c, "e")
    local exit = context_lib.createExitSpan(c, "x", entry)
    return entry, exit, context_lib.drainAfterFinished(c)
end)
case("a no-op span", function()
    local s = span_lib.newNoOP()
    for _, name in ipairs({ "start", "finish", "finishWithDuration", "setComponentId", "setLayer", "errorOccurred", "tag", "log", "setPeer" }) do
        assert(span_lib[name](s, 1, 2) == s, name)
    end
    return s
end)
case("entry span", function()
    local s = span_lib.createEntrySpan("op", new(), nil, nil)
    return s.operation_name, s.span_id, s.parent_span_id, s.is_entry, s.is_exit, s.is_noop, s.layer, s.refs
end)
case("entry span of a trace", function()
    local c = new()
    local s = span_lib.createEntrySpan("op", c, nil, { sw8 = SW8 })
    return c.trace_id, s.refs, c.internal.self_generated_trace_id
end)
case("entry span of nonsense", function()
    local c = new()
    return span_lib.createEntrySpan("op", c, nil, { sw8 = "nonsense" }).refs, c.trace_id
end)
case("the first reference counts", function()
    local c = new()
    c.internal.addRefIfFirst(c.internal, { trace_id = "first" })
    c.internal.addRefIfFirst(c.internal, { trace_id = "second" })
    return c.trace_id
end)
case("exit span", function()
    local c = new()
    local entry = context_lib.createEntrySpan(c, "entry")
    local s = context_lib.createExitSpan(c, "exit", entry)
    return s.span_id, s.parent_span_id, s.is_exit, s.is_entry, s.parent_endpoint_name, c.correlation
end)
case("local span", function()
    local c = new()
    local first = span_lib.new("first", c)
    local s = span_lib.createLocalSpan("local", c, first)
    return s.span_id, s.parent_span_id, s.is_exit, s.is_entry, s.owner == c, c.internal.active_count, c.internal.first_span == first
end)
case("internal", function() local i = new().internal return i.nextSpanID(i), i.nextSpanID(i), i.span_id_seq, i.addActive(i, { span_id = 0 }) == i.owner, i.active_count end)
case("what a span is told", function()
    local s = span_lib.new("op", new())
    span_lib.start(s, 100)
    span_lib.finishWithDuration(s, 23)
    span_lib.setComponentId(s, 5)
    span_lib.setLayer(s, layers.MQ)
    span_lib.errorOccurred(s)
    span_lib.tag(s, "a", "1")
    span_lib.tag(s, "a", 2)
    span_lib.log(s, 110, { event = "x" })
    return span_lib.setPeer(s, "peer") == s, span_lib.transform(s)
end)
case("transform", function()
    local s = span_lib.createEntrySpan("op", new(), nil, { sw8 = SW8 })
    span_lib.start(s, 1)
    span_lib.finish(s, 2)
    return span_lib.transform(s), cjson.decode(cjson.encode(span_lib.transform(s)))
end)
case("transform of a no-op span", function() return (pcall(span_lib.transform, span_lib.newNoOP())) end)
case("finish without a time", function() local s = span_lib.new("op", new()) span_lib.finish(s) return math.abs(s.end_time - ngx.now() * 1000) < 1000 end)
case("finish without a start", function() local s = span_lib.new("op", new()) return (pcall(span_lib.finishWithDuration, s, 1)) end)
case("finish twice", function()
    local c = new()
    local s = span_lib.new("op", c)
    span_lib.finish(s, 1)
    span_lib.finish(s, 2)
    return s.end_time, c.internal.active_count, (context_lib.drainAfterFinished(c))
end)
case("drainAfterFinished", function()
    local c = new()
    local entry = context_lib.createEntrySpan(c, "entry")
    local exit = context_lib.createExitSpan(c, "exit", entry)
    span_lib.finish(exit, 1)
    local early, none = context_lib.drainAfterFinished(c)
    span_lib.finish(entry, 2)
    local done, segment = context_lib.drainAfterFinished(c)
    return early, none or "nothing", done, known(segment_lib.transform(segment))
end)
case("transform of an empty segment", function() return segment_lib.transform({ trace_id = "t" }) end)

-- With this request's headers.
local function headers() return ngx.req.get_headers()["sw8"] or "-", ngx.req.get_headers()["sw8-correlation"] or "-" end
local function readable()
    local ref = ref_lib.fromSW8Value((headers()))
    return known(ref_lib.transform(ref)), select(2, headers())
end
local function reset()
    for _, name in ipairs({ "sw8", "sw8-correlation", "Request-Id" }) do ngx.req.clear_header(name) end
    ngx.ctx = {}
    buffer:delete(constants.segment_queue)
end
-- A case that begins with nothing.
local function fresh(name, func)
    reset()
    case(name, func)
end
-- The last segment that waits.
local function waiting()
    local text = buffer:lpop(constants.segment_queue)
    return text and known(cjson.decode(text)) or "none"
end
fresh("start without names", function() tracer:start() return ngx.ctx.tracingContext, ngx.ctx.entrySpan, ngx.ctx.exitSpan, ngx.ctx.is_finished, headers() end)
case("nothing to report", function() tracer:finish() tracer:prepareForReport() return waiting() end)
case("inject without names", function() tracer:start("peer") return headers() end)
fresh("prepareForReport without start", function() return tracer:prepareForReport(), waiting() end)
case("finish without start", function() return tracer:finish(), ngx.ctx.is_finished end)
buffer:set("serviceName", "S")
buffer:set("serviceInstanceName", "I")
ngx.status = 200
case("start", function() tracer:start("upstream service") return readable() end)
case("finish", function() tracer:finish() return ngx.ctx.exitSpan or "-", ngx.ctx.is_finished end)
case("finish again", function() tracer:finish() return ngx.ctx.is_finished end)
case("prepareForReport", function() tracer:prepareForReport() return waiting() end)
fresh("prepareForReport finishes", function() tracer:start("upstream service") tracer:prepareForReport() return waiting() end)
fresh("start in a trace", function()
    ngx.req.set_header("sw8", SW8)
    ngx.req.set_header("sw8-correlation", "YQ==:Yg==")
    ngx.req.set_header("Request-Id", "ignored")
    tracer:start("upstream service", { a = "c" })
    local ref, texts = readable()
    tracer:prepareForReport()
    return ref, texts, waiting()
end)
fresh("a request's id", function()
    ngx.req.set_header("Request-Id", "id of the request")
    tracer:start("upstream service", { custom = "value" })
    local ref, texts = readable()
    tracer:prepareForReport()
    return ref, texts, waiting()
end)
fresh("inject later", function()
    tracer:start()
    local before = headers()
    tracer:inject(ngx.ctx.exitSpan, "10.0.0.1:80", { a = "b" })
    local ref, texts = readable()
    tracer:inject(nil, "no span")
    tracer:prepareForReport()
    local span = { operation_name = "x" }
    tracer:inject(span, "too late")
    return before, ref, texts, span.peer or "-", waiting()
end)
fresh("inject of a context", function()
    local c = new()
    local entry = context_lib.createEntrySpan(c, "/entry")
    context_lib.inject(c, context_lib.createExitSpan(c, "/exit", entry), "10.0.0.2", { a = "b" })
    return readable()
end)
fresh("the host in the name", function()
    buffer:set("includeHostInEntrySpan", true)
    tracer:start("upstream service")
    local name, other = ngx.ctx.entrySpan.operation_name, ngx.ctx.exitSpan.operation_name
    buffer:delete("includeHostInEntrySpan")
    return name, other, known(ref_lib.transform(ref_lib.fromSW8Value((headers()))))
end)
fresh("a path that is not traced", function()
    util.set_ignore_suffix("ses")
    tracer:start("upstream service")
    tracer:inject(ngx.ctx.exitSpan, "peer")
    local before = { ngx.ctx.tracingContext, ngx.ctx.entrySpan.is_noop, ngx.ctx.exitSpan.is_noop, ngx.ctx.is_finished, headers() }
    tracer:finish()
    tracer:prepareForReport()
    util.ignore_suffix_table = nil
    return before, waiting()
end)
fresh("an error", function()
    ngx.status = 503
    tracer:start("upstream service")
    tracer:prepareForReport()
    ngx.status = 200
    return waiting()
end)
fresh("components", function()
    tracer:start("upstream service")
    span_lib.setComponentId(ngx.ctx.exitSpan, 6002)
    span_lib.setComponentId(ngx.ctx.entrySpan, 6002)
    tracer:finish()
    tracer:prepareForReport()
    return waiting()
end)
fresh("a segment that is no JSON", function()
    tracer:start("upstream service")
    span_lib.tag(ngx.ctx.entrySpan, "function", print)
    local lines = logged(function() tracer:prepareForReport() end)
    return #lines, lines[1]:sub(1, 26), waiting()
end)
fresh("a full dict", function()
    repeat until not buffer:lpush("much", ("x"):rep(60000))
    repeat until not buffer:lpush("much", ("x"):rep(100))
    tracer:start("upstream service")
    local lines = logged(function() tracer:prepareForReport() end)
    buffer:delete("much")
    return lines, waiting()
end)
reset()

-- The collector.
seen()
buffer:delete("instancePropertiesSubmitted")
case("isInitialized", function() return client:isInitialized() end)
case("reportServiceInstance", function() client:reportServiceInstance(buffer, uri) return known(seen()), buffer:get("instancePropertiesSubmitted") end)
case("ping", function() client:ping(buffer, uri) return known(seen()) end)
case("reportTraces of none", function() client:reportTraces(buffer, uri) return seen() end)
case("reportTraces", function()
    for i = 1, 250 do buffer:lpush(constants.segment_queue, '{"n":' .. i .. "}") end
    local lines = logged(function() client:reportTraces(buffer, uri) end, ngx.DEBUG)
    local sizes, order = {}, 0
    for i, request in ipairs(seen()) do
        sizes[i] = { request[1], request[2], #request[3] }
        for _, segment in ipairs(request[3]) do
            order = order + 1
            assert(segment.n == order, "out of order")
        end
    end
    return sizes, order, lines, buffer:llen(constants.segment_queue)
end)
case("reportTraces of one whole batch", function()
    for i = 1, 100 do buffer:lpush(constants.segment_queue, '{"n":' .. i .. "}") end
    client:reportTraces(buffer, uri)
    local requests = seen()
    return #requests, #requests[1][3]
end)
set_status(500)
for _, name in ipairs({ "reportServiceInstance", "ping", "reportTraces" }) do
    case(name .. " is refused", function()
        buffer:delete("instancePropertiesSubmitted")
        for i = 1, 101 do buffer:lpush(constants.segment_queue, '{"n":' .. i .. "}") end
        local lines = logged(function() client[name](client, buffer, uri) end, ngx.DEBUG)
        local left = buffer:llen(constants.segment_queue)
        buffer:delete(constants.segment_queue)
        return lines, #seen(), left, buffer:get("instancePropertiesSubmitted")
    end)
end
set_status(200)
for _, name in ipairs({ "reportServiceInstance", "ping", "reportTraces" }) do
    case(name .. " to nobody", function()
        buffer:lpush(constants.segment_queue, "{}")
        local lines = logged(function() client[name](client, buffer, "http://127.0.0.1:1") end)
        return lines, buffer:llen(constants.segment_queue)
    end)
    case(name .. " to what is no address", function()
        buffer:lpush(constants.segment_queue, "{}")
        local lines = logged(function() client[name](client, buffer, "nowhere") end)
        buffer:delete(constants.segment_queue)
        return #lines, lines[1]:match("^.- fails, ")
    end)
end
case("destroyBackendTimer", function()
    buffer:lpush(constants.segment_queue, "{}")
    return client:destroyBackendTimer(), client.stopped, buffer:llen(constants.segment_queue)
end)
case("startBackendTimer", function()
    buffer:delete("instancePropertiesSubmitted")
    tracer:start("upstream service")
    tracer:prepareForReport()
    client.backendTimerDelay = 0.02
    client:startBackendTimer(uri)
    local paths, segment = {}, nil
    for _ = 1, 400 do
        for _, request in ipairs(seen()) do
            paths[#paths + 1] = request[1]
            if request[1] == "/v3/segments" then segment = known(request[3]) end
        end
        if #paths >= 4 then break end
        ngx.sleep(0.02)
    end
    client:destroyBackendTimer()
    -- What is under way ends, and then there is nothing more.
    local quiet = 0
    for _ = 1, 100 do
        ngx.sleep(0.1)
        quiet = #seen() == 0 and quiet + 1 or 0
        if quiet == 5 then break end
    end
    client.backendTimerDelay = 3
    return { unpack(paths, 1, 4) }, segment or "none", client:isInitialized(), quiet
end)
reset()
buffer:delete("serviceName")
buffer:delete("serviceInstanceName")
case("disable_tablepool", function() return util.disable_tablepool(), util.tablepool_fetch("x", 1, 1), util.tablepool_release() end)
