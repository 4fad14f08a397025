-- Messages to RocketMQ: a name server, a broker, signatures, errors.
-- original: resty.rocketmq.producer
-- peer: rocketmq
-- differs: malformed route, the original says where its own reader stopped
-- differs: the second name server, the original tries it only with the next message
-- differs: a broker that has moved, the original never asks for its address again
-- differs: nothing in a batch, the original raises an error
local producer, acl = require("resty.rocketmq.producer"), require("resty.rocketmq.acl_rpchook")
local cjson = require("cjson")
local server = "127.0.0.1:" .. ports.rocketmq
local ID = "^7F000001%x+$"

-- What the broker has got since the last call.
local function got()
    local sock = ngx.socket.tcp()
    sock:settimeout(20000)
    sock:connect("127.0.0.1", tonumber(ports.rocketmq))
    sock:send("GET / HTTP/1.0\r\n\r\n")
    local answer = sock:receive("*a")
    sock:close()
    return cjson.decode(answer:match("\r\n\r\n(.*)"))
end
-- Without what is never twice the same.
local function known(message)
    message.g = #message.g
    if message.i.UNIQ_KEY then
        message.i.UNIQ_KEY = #message.i.UNIQ_KEY .. tostring(message.i.UNIQ_KEY:find(ID) ~= nil)
    end
    message.body = message.body:gsub("UNIQ_KEY\1%x+\2", "")
    return message
end
local function new(...) return assert(producer.new({ server }, ...)) end
local p = new("group")
got()
case("no name server", function() return producer.new({}) end)
case("send", function()
    local answer, err = p:send("topic", "a text", "tag", "key")
    local result = answer.sendResult
    return err, answer.code, result.messageQueue, #result.offsetMsgId, result.msgId:find(ID) ~= nil, #result.msgId, result.queueOffset, known(got()[1])
end)
case("send with less", function() p:send("topic", "") return known(got()[1]) end)
case("send with properties", function() p:send("topic", "x", nil, nil, { WAIT = "false", own = "1" }) return known(got()[1]).i end)
case("the queues take turns", function()
    local ids = {}
    for i = 1, 6 do ids[i] = p:send("topic", "x").sendResult.messageQueue.queueId end
    return ids, #got()
end)
case("a queue that is selected", function()
    local seen
    local answer = p:send("topic", "x", nil, nil, nil, function(queues, message) seen = { #queues, message.body, queues[3] } return queues[3] end)
    return answer.sendResult.messageQueue, seen, #got()
end)
case("binary", function() local text = "" for i = 0, 255 do text = text .. string.char(i) end p:send("topic", text) return #got()[1].body end)
case("a large one", function() local answer, err = p:send("topic", ("x"):rep(1000000)) return answer ~= nil, err, #got()[1].body end)
case("too large", function() return p:send("topic", ("x"):rep(4194304)) end)
case("too long a topic", function() return p:send(("x"):rep(127), "x") end)
case("no such topic", function() return p:send("none", "x") end)
case("a closed topic", function() return p:send("closed", "x") end)
case("malformed route", function() return p:send("odd", "x") end)
case("a busy broker", function() return p:send("busy", "x") end)
case("nobody there", function() return p:send("gone", "x") end)
case("no name server there", function() return assert(producer.new({ "127.0.0.1:1" })):send("topic", "x") end)
case("the second name server", function() local q = producer.new({ "127.0.0.1:1", server }) local answer, err = q:send("topic", "x") return answer ~= nil, err end)
case("the second name server, the second time", function() local q = producer.new({ "127.0.0.1:1", server }) q:send("topic", "x") return q:send("topic", "x") ~= nil end)
case("a broker that has moved", function()
    local q = new()
    q:send("topic", "x")
    q.client.brokerAddrTable.one = q.client.brokerAddrTable.one == server and "127.0.0.1:1" or { [0] = "127.0.0.1:1" }
    local _, err = q:send("topic", "x")
    return err, q:send("topic", "x") ~= nil
end)
got()
case("unsigned", function() return new():send("secret", "x") end)
case("signed", function()
    local q = new()
    q:addRPCHook(acl.new("user", "key"))
    local answer, err = q:send("secret", "x", "tag")
    return answer and answer.code, err, known(got()[1]).AccessKey
end)
case("signed wrongly", function() local q = new() q:addRPCHook(acl.new("user", "other")) return q:send("secret", "x") end)
case("a signature", function()
    local hook, fields = acl.new("a", "b", "token"), { z = "1", b = "2", _UNIQUE_KEY_QUERY = "x" }
    hook:doBeforeRequest("addr", fields, "body")
    return fields, hook:doAfterResponse(), hook.accessKey, hook.secretKey, hook.securityToken
end)
case("a signature of nothing", function()
    local fields = {}
    acl.new("a", "b").doBeforeRequest(acl.new("a", "b"), "addr", nil)
    acl.new("a", "b"):doBeforeRequest("addr", fields)
    return fields
end)
case("hooks of commands", function()
    local q, seen = new(), {}
    q:addRPCHook({ doBeforeRequest = function(_, addr, fields) seen[#seen + 1] = (addr == server and "before " or "? ") .. (fields.topic or fields.b) end, doAfterResponse = function(_, _, _, _, header) seen[#seen + 1] = "after " .. header.code end })
    q:send("topic", "x")
    return seen, (pcall(q.addRPCHook, q, {})), (pcall(q.addRPCHook, q, print))
end)
case("hooks of messages", function()
    local q, seen = new("g"), {}
    q:registerSendMessageHook({ sendMessageBefore = function(_, c) seen[1] = { c.producerGroup, c.message.body, c.mq.queueId, c.communicationMode, c.msgType, c.bornHost, c.brokerAddr == server, c.producer == q } end, sendMessageAfter = function(_, c) seen[#seen + 1] = { c.sendResult and c.sendResult.messageQueue or "-", c.exception or "-" } end })
    q:send("topic", "x")
    q:send("busy", "x")
    return seen, (pcall(q.registerSendMessageHook, q, {}))
end)
got()
case("batchSend", function()
    local answer, err = p:batchSend({ { topic = "topic", body = "one", tags = "t" }, { topic = "topic", body = "two", keys = "k" } })
    local message = known(got()[1])
    -- The order of a message's properties is nobody's.
    return answer and answer.code, err, message.m, message.body:find("one", 1, true), #message.body > 60, message.body:find("\0\0\0\3two", 1, true) ~= nil, message.body:byte(1, 3)
end)
case("batchSend of one", function() local _, err = p:batchSend({ { topic = "topic", body = "one", properties = { WAIT = "true" } } }) return err, #got()[1].body end)
case("batchSend of two topics", function() return p:batchSend({ { topic = "topic", body = "1" }, { topic = "other", body = "2" } }) end)
case("batchSend with a delay", function() return p:batchSend({ { topic = "topic", body = "1", properties = { DELAY = "1" } } }) end)
case("batchSend of what waits and what does not", function() return p:batchSend({ { topic = "topic", body = "1" }, { topic = "topic", body = "2", properties = { WAIT = "false" } } }) end)
case("batchSend of what is sent again", function() return p:batchSend({ { topic = "%RETRY%x", body = "1" } }) end)
case("batchSend of what is too large", function() return p:batchSend({ { topic = "topic", body = ("x"):rep(4194304) } }) end)
case("nothing in a batch", function() return p:batchSend({}) end)
case("setTimeout", function()
    -- Listens, and says nothing.
    local q = assert(producer.new({ "127.0.0.1:" .. ports.rocketmq }))
    q:setTimeout(20000)
    return q:send("topic", "x") ~= nil, q.client.timeout
end)
case("setUseTLS", function() local q = new() q:setTimeout(20000) q:setUseTLS(true) local answer, err = q:send("topic", "x") return answer, err:match("^failed to do ssl handshake: ") end)
case("nameservers", function() return p.client.nameservers[1] == server, p.groupName, new().groupName end)
case("start and stop", function() local q = new() q:start() q:stop() return q.exit end)
case("produce", function()
    local message = { topic = "topic", body = "x", properties = { UNIQ_KEY = "7F000001" }, producerGroup = "g", defaultTopic = "d", defaultTopicQueueNums = 1, sysFlag = 0, bornTimeStamp = 1, flag = 0, reconsumeTimes = 0, unitMode = false, maxReconsumeTimes = 0, batch = false }
    got()
    local answer, err = producer.produce(p, message)
    return err, answer and answer.code, got()[1].body
end)
