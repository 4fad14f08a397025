-- Kafka without a broker: what is refused, and how. What comes over the wire is in t/compat/libraries/kafka.lua.
-- original: resty.kafka.producer
local producer = require("resty.kafka.producer")
local client = require("resty.kafka.client")
local brokers = { { host = "127.0.0.1", port = 1 } }
case("sync without a broker", function()
    local p = producer:new(brokers, { socket_timeout = 100, max_retry = 1 })
    return p:send("t", "k", "m")
end)
case("async", function()
    local p = producer:new(brokers, { producer_type = "async", flush_time = 100000 }, "one")
    return p:send("t", "k", "m")
end)
case("offset of nothing", function() return producer:new(brokers, {}):offset() end)
case("flush", function() return producer:new(brokers, { producer_type = "async" }, "two"):flush() end)
case("metadata", function() return client:new(brokers, { socket_timeout = 100 }):fetch_metadata("t") end)
case("refresh", function() return client:new(brokers):refresh() end)
local errors = require("resty.kafka.errors")
for _, code in ipairs({ -1, 0, 1, 3, 5, 6, 10, 35 }) do
    case("error " .. code, function() return errors[code].msg or errors[code], errors[code].retriable end)
end
