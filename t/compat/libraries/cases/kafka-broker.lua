-- Kafka over the wire, to a broker that checks the checksums and keeps the messages. The original
-- wants newer versions of the protocol, so the cases know what must come out.
-- alone: yes
-- peer: kafka
local producer = require("resty.kafka.producer")
local client = require("resty.kafka.client")
local brokers = { { host = "127.0.0.1", port = tonumber(ports.kafka) } }
local function expect(name, func)
    case(name, function()
        func()
        return "as expected"
    end)
end
expect("metadata", function()
    local known, partitions = client:new(brokers):fetch_metadata("test")
    assert(known[7].host == "127.0.0.1" and partitions.num == 2 and partitions[0].leader == 7)
end)
expect("no such topic", function()
    local known, err = client:new(brokers):fetch_metadata("none")
    assert(known == nil and err == "UNKNOWN_TOPIC_OR_PARTITION", err)
end)
local p = producer:new(brokers, { request_timeout = 1000 })
expect("send", function() assert(p:send("test", "key", "message one") == 0LL) end)
expect("send without a key", function() assert(type(p:send("test", nil, "message two")) == "cdata") end)
expect("send to none", function()
    local ok, err = p:send("none", "k", "m")
    assert(ok == nil and err == "UNKNOWN_TOPIC_OR_PARTITION", err)
end)
expect("send with version 2", function()
    assert(producer:new(brokers, { api_version = 2 }):send("test", "key", "v2"))
end)
expect("offset", function() assert(p:offset() ~= nil) end)
expect("async", function()
    local failed
    local a = producer:new(brokers, { producer_type = "async", flush_time = 20, error_handle = function(_, _, _, _, err) failed = err end }, "it")
    assert(a:send("test", "key", "later") == true)
    ngx.sleep(0.2)
    assert(failed == nil, failed)
end)
local consumer = require("resty.kafka.basic-consumer"):new(brokers)
expect("list_offset", function()
    assert(consumer:list_offset("test", 0, -2) == 0LL)
    assert(consumer:list_offset("test", 0, -1) + consumer:list_offset("test", 1, -1) == 4LL)
end)
expect("fetch", function()
    local values = {}
    for partition = 0, 1 do
        for _, record in ipairs(consumer:fetch("test", partition, 0LL).records) do
            values[record.value] = record.key or "no key"
        end
    end
    assert(values["message one"] == "key" and values["message two"] == "no key" and values.later and values.v2)
end)
expect("choose_api_version", function()
    local c = client:new(brokers)
    assert(c:choose_api_version(1) == 11 and c:choose_api_version(1, 0, 5) == 5 and c:choose_api_version(99) == -1)
end)
