-- lua-nginx-kafka, as Debian has it, in moongate: it talks to three brokers that read and write what
-- goes over the wire by Debian's python3-kafka.
-- original: nginx.kafka.producer
-- original: python.kafka
-- guest: nginx/kafka
-- only: guest
-- peer: kafka-cluster
local cjson = require("cjson.safe")
local producer = require("nginx.kafka.producer")
local client = require("nginx.kafka.client")
local port = tonumber(ports["kafka-cluster"])
local brokers = { { host = "127.0.0.1", port = port } }
local function tell(line)
    local sock = ngx.socket.tcp()
    sock:settimeout(10000)
    -- Not one of the connections that the library has kept.
    assert(sock:connect("127.0.0.1", port, { pool = "control" }))
    sock:send(line .. "\n")
    local answer = assert(sock:receive("*l"))
    sock:close()
    return cjson.decode(answer)
end
-- What arrived, in the order of the partitions.
local function log()
    local lines = {}
    for i, one in ipairs(tell("log")) do
        lines[i] = { one[1], i, ("p%d at %d: %s=%s v%d acks %d"):format(one[1], one[2], tostring(one[3]), one[4], one[5], one[6]) }
    end
    table.sort(lines, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
    for i, one in ipairs(lines) do
        lines[i] = one[3]
    end
    return lines
end
local function wait_for(count)
    for _ = 1, 1000 do
        if #tell("log") >= count then
            break
        end
        ngx.sleep(0.01)
    end
    return log()
end
-- The case with brokers as at the start.
local function test(name, func)
    case(name, function()
        assert(tell("reset") == "done")
        return func()
    end)
end
local function new(opts, name)
    opts = opts or {}
    opts.retry_backoff = opts.retry_backoff or 10
    return producer:new(brokers, opts, name)
end
case("whose files", function()
    local sums = {}
    for _, name in ipairs({ "broker", "client", "producer", "request", "response", "ringbuffer", "sendbuffer" }) do
        local module = require("nginx.kafka." .. name)
        local func = module.new or module.send_receive
        local path = debug.getinfo(func, "S").source:sub(2)
        local file = io.open(path, "rb")
        sums[#sums + 1] = path:match("[^/]+/[^/]+/[^/]+$") .. " " .. ngx.md5(file:read("*a"))
        file:close()
    end
    return sums
end)

test("metadata", function() return client:new(brokers):fetch_metadata("test") end)
test("no such topic", function() return client:new(brokers):fetch_metadata("none") end)
test("refresh", function()
    local c = client:new(brokers)
    c:fetch_metadata("test")
    tell("stop 3")
    return c:refresh()
end)
test("refresh by a timer", function()
    local c = client:new(brokers, { refresh_interval = 30 })
    c:fetch_metadata("test")
    tell("stop 3")
    for _ = 1, 500 do
        ngx.sleep(0.01)
        if c.topic_partitions.test[2].errcode == 5 then
            return c.brokers[3] == nil
        end
    end
end)
test("choose_broker", function()
    local c = client:new(brokers)
    return c:choose_broker("test", 0).port == port, c:choose_broker("test", 3).port == c:choose_broker("test", 1).port, { c:choose_broker("test", 4) }, { c:choose_broker("none", 0) }
end)
test("another broker knows", function()
    return (client:new({ { host = "127.0.0.1", port = 1 }, brokers[1] }, { socket_timeout = 1000 }):fetch_metadata("test"))[1].host
end)
test("no broker knows", function() return client:new({ { host = "127.0.0.1", port = 1 } }):fetch_metadata("test") end)

for version = 0, 2 do
    test("send with version " .. version, function()
        local p, offsets = new({ api_version = version }), {}
        for i = 1, 8 do
            offsets[i] = { p:send("test", "key" .. i, "message " .. i) }
        end
        return offsets, { p:offset() }, log()
    end)
end
for _, acks in ipairs({ 1, -1 }) do
    test("acks " .. acks, function() return { new({ required_acks = acks }):send("test", "a", "b") }, log() end)
end
test("acks 0", function() return { new({ required_acks = 0, socket_timeout = 300 }):send("test", "a", "nobody answers") }, wait_for(1) end)
test("without a key", function()
    local p = new()
    for i = 1, 6 do
        assert(p:send("test", nil, "m" .. i))
    end
    return log()
end)
test("partitioner", function()
    local seen = {}
    local p = new({ partitioner = function(...) seen[#seen + 1] = { ... } return 2 end })
    return { p:send("test", "k", "mine") }, seen, log()
end)
test("partitioner past the end", function() return new({ partitioner = function() return 7 end, max_retry = 2 }):send("test", "k", "m") end)
test("contents", function()
    local all = {}
    for i = 0, 255 do
        all[i + 1] = string.char(i)
    end
    local p = new()
    p:send("test", "\0\255", table.concat(all))
    p:send("test", "k", "")
    return log()
end)
test("a long message", function()
    local p, long = new(), ("0123456789"):rep(50000)
    return { p:send("test", "k", long) }, tell("log")[1][4] == long
end)
test("to no topic", function() return new({ max_retry = 2 }):send("none", "k", "m") end)
for _, code in ipairs({ 3, 5, 6 }) do
    test("error " .. code .. " once", function() tell("error " .. code .. " 1") return { new():send("test", "k", "m") }, log(), tell("requests") end)
end
for _, code in ipairs({ -1, 1, 2, 3, 5, 6, 7, 8, 10, 16, 99 }) do
    test("error " .. code .. " always", function() tell("error " .. code .. " 9") return { new():send("test", "k", "m") }, log(), tell("requests") end)
end
test("after an error", function() local p = new() tell("error 10 1") return { p:send("test", "k", "m") }, { p:send("test", "k", "n") }, log() end)
test("the connection ends once", function() tell("drop 1") return { new():send("test", "k", "m") }, log(), tell("requests") end)
test("the connection ends always", function() tell("drop 9") return { new():send("test", "k", "m") }, tell("requests") end)
test("no answer in time", function() tell("delay 3000 1") return { new({ socket_timeout = 200 }):send("test", "k", "m") }, wait_for(1), tell("requests") end)
test("a late answer", function() tell("delay 300 1") return { new({ socket_timeout = 10000 }):send("test", "k", "m") }, log() end)
test("connections are kept", function()
    local p = new({ partitioner = function() return 0 end, keepalive_size = 2 })
    assert(p:send("test", "k", "first"))
    local before = tell("connections")
    for i = 1, 20 do
        assert(p:send("test", "k", "m" .. i))
    end
    return tell("connections") - before <= 2, #log()
end)
test("connections at once", function()
    local p, threads, results = new({ partitioner = function() return 0 end, keepalive_size = 2 }), {}, {}
    p.client:fetch_metadata("test")
    for i = 1, 10 do
        threads[i] = ngx.thread.spawn(function() return new():send("test", "k" .. i, "m") ~= nil end)
    end
    for i, thread in ipairs(threads) do
        results[i] = { ngx.thread.wait(thread) }
    end
    return results, #log()
end)
test("a broker goes and comes back", function()
    local p = new({ partitioner = function() return 1 end })
    local before = { p:send("test", "k", "before") }
    tell("stop 2")
    local gone, still = { p:send("test", "k", "gone") }, { new({ partitioner = function() return 2 end }):send("test", "k", "at three") }
    tell("start 2")
    return before, gone, still, { p:send("test", "k", "back") }, log()
end)
test("a broker goes while it is wanted", function()
    local p = new({ partitioner = function() return 1 end, retry_backoff = 400, max_retry = 20 })
    assert(p:send("test", "k", "before"))
    tell("stop 2")
    local thread = ngx.thread.spawn(function() ngx.sleep(0.2) tell("start 2") end)
    local sent = { p:send("test", "k", "waits") }
    ngx.thread.wait(thread)
    return sent, log()
end)

-- Producers of this name do not go with their request.
local function async(name, opts)
    opts.producer_type = "async"
    opts.flush_time = opts.flush_time or 100000
    return new(opts, side .. " " .. name)
end
test("async is one of a name", function()
    return async("one", {}) == async("one", {}), async("one", {}) == async("two", {}), { async("one", {}):flush() }, { async("one", {}):offset() }
end)
test("async by flush", function()
    local p = async("flush", {})
    for i = 1, 50 do
        assert(p:send("test", "key" .. i, "m" .. i))
    end
    p:flush()
    return wait_for(50)
end)
test("async by size", function()
    local p = async("size", { batch_size = 1000, partitioner = function() return 0 end })
    for i = 1, 30 do
        assert(p:send("test", "k", ("x"):rep(100) .. i))
    end
    local flushes = 0
    while p.ringbuffer:left_num() > 0 and flushes < 100 do
        p:flush()
        flushes = flushes + 1
    end
    return #wait_for(30)
end)
test("async overflows", function()
    local p, sent = async("overflow", { max_buffering = 5, batch_num = 100 }), {}
    for i = 1, 7 do
        sent[i] = { p:send("test", "k", "m" .. i) }
    end
    return sent, p:flush(), log(), p:send("test", "k", "fits")
end)
test("async without a broker", function()
    local told = {}
    local p = async("gone", { partitioner = function(key) return tonumber(key) end, error_handle = function(topic, partition, queue, index, err, retryable)
        told[#told + 1] = { topic, partition, { unpack(queue, 1, index) }, index, err, retryable }
    end })
    p.client:fetch_metadata("test")
    tell("stop 2")
    for i = 0, 3 do
        p:send("test", tostring(i), "m" .. i)
    end
    local flushed = p:flush()
    table.sort(told, function(a, b) return a[2] < b[2] end)
    tell("start 2")
    for i = 0, 3 do
        p:send("test", tostring(i), "again " .. i)
    end
    return flushed, told, p:flush(), log(), #told
end)
test("async to no topic", function()
    local told = {}
    local p = async("no topic", { error_handle = function(...) told[#told + 1] = { ... } error("a fault in the handler") end })
    p:send("none", "k", "m")
    p:flush()
    return #told, told[1] and { told[1][1], told[1][2], told[1][4], told[1][5], told[1][6] }
end)
assert(tell("reset") == "done")
