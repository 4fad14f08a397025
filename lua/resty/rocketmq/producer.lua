--- `resty.rocketmq.producer`: sends messages to RocketMQ.
--
--     local p = producer.new({ "127.0.0.1:9876" }, "group")
--     local answer, err = p:send("topic", "text", "tag", "key")
--
-- Transactions and traces of messages are not supported.
-- @module resty.rocketmq.producer
local client = require("moongate.rocketmq")
local random_bytes = require("moongate.host").crypto.random_bytes
local unsupported = require("moongate.unsupported")

local char = string.char
local concat = table.concat
local error = error
local floor = math.floor
local int4 = client.int4
local ipairs = ipairs
local ngx = ngx
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local type = type

-- RocketMQ's own limits.
local TOPIC_BYTES_MAX = 126
local BODY_BYTES_MAX = 4 * 1024 * 1024 - 1
local RETRY_PREFIX = "%RETRY%"
-- Where brokers that create topics by themselves take the settings from.
local DEFAULT_TOPIC, DEFAULT_QUEUES = "TBW102", 4
-- Seconds between two rounds of what `start` begins.
local ROUND = 30

local _M = {}
_M.__index = _M


--- A producer.
-- @tparam {string,...} nameservers as "host:port"
-- @tparam[opt="DEFAULT_PRODUCER"] string group
-- @tparam[opt] boolean trace whether a trace of each message is sent, which is not supported
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(nameservers, group, trace)
    if trace then
        return nil, "traces of messages are not supported by moongate"
    end
    local made, err = client.new(nameservers)
    if not made then
        return nil, err
    end
    return setmetatable({
        groupName = group or "DEFAULT_PRODUCER", client = made, sendMessageHookList = {},
    }, _M)
end


local function need_functions(hook, ...)
    for _, name in ipairs({ ... }) do
        if type(hook) ~= "table" or type(hook[name]) ~= "function" then
            error("hook should be functions", 3)
        end
    end
end


--- Has `doBeforeRequest(hook, address, fields, body)` and `doAfterResponse` called around each
-- command.
function _M:addRPCHook(hook)
    need_functions(hook, "doBeforeRequest", "doAfterResponse")
    local hooks = self.client.RPCHook
    hooks[#hooks + 1] = hook
end


--- Has `sendMessageBefore(hook, context)` and `sendMessageAfter` called around each message.
function _M:registerSendMessageHook(hook)
    need_functions(hook, "sendMessageBefore", "sendMessageAfter")
    local hooks = self.sendMessageHookList
    hooks[#hooks + 1] = hook
end


--- Whether connections are made with TLS; the certificate is not looked at.
function _M:setUseTLS(on)
    self.client.useTLS = on
end


--- Milliseconds that connecting, sending and waiting may take, each.
function _M:setTimeout(timeout)
    self.client.timeout = timeout
end


local counter, process = 0, nil


-- An id that no other message has, as RocketMQ's own client writes it, since tools read the time
-- in it: an address, the process, four bytes of chance, milliseconds since the month began, a
-- counter.
local function unique_id()
    if not process then
        local pid = ngx.worker.pid()
        process = "\127\0\0\1" .. char(floor(pid / 256) % 256, pid % 256) .. random_bytes(4)
    end
    counter = (counter + 1) % 65536
    local day, hour, minute, second = ngx.utctime():match("-(%d+) (%d+):(%d+):(%d+)$")
    local time = ((tonumber(day) - 1) * 24 + tonumber(hour)) * 60 + tonumber(minute)
    time = (time * 60 + tonumber(second)) * 1000 + floor(ngx.now() * 1000) % 1000
    local id = process .. int4(time) .. char(floor(counter / 256), counter % 256)
    return (id:gsub(".", function(letter)
        return ("%02X"):format(letter:byte())
    end))
end


local function text_of(properties)
    local parts = {}
    for name, value in pairs(properties) do
        parts[#parts + 1] = name .. "\1" .. value .. "\2"
    end
    sort(parts)
    return concat(parts)
end


local function message_of(self, topic, body, properties, batch)
    properties.UNIQ_KEY = unique_id()
    return {
        producerGroup = self.groupName, topic = topic, defaultTopic = DEFAULT_TOPIC,
        defaultTopicQueueNums = DEFAULT_QUEUES, sysFlag = 0, flag = 0, reconsumeTimes = 0,
        maxReconsumeTimes = 0, unitMode = false, batch = batch or false,
        bornTimeStamp = floor(ngx.now() * 1000), properties = properties, body = body,
    }
end


local function is_sendable(topic, body)
    return #topic <= TOPIC_BYTES_MAX and #body <= BODY_BYTES_MAX
end


local function next_queue(info)
    local at = info.sendWhichQueue % #info.messageQueueList
    info.sendWhichQueue = info.sendWhichQueue + 1
    return info.messageQueueList[at + 1]
end


-- What has become of a message, from the broker's answer.
local function result_of(header, message, queue)
    if header.code ~= 0 then
        return nil, header.remark
    end
    local fields = header.extFields or {}
    return {
        messageQueue = { topic = message.topic, brokerName = queue.brokerName,
                         queueId = tonumber(fields.queueId) },
        offsetMsgId = fields.msgId, msgId = message.properties.UNIQ_KEY,
        queueOffset = fields.queueOffset,
    }
end


-- Sends a message to a queue; the broker's answer, with `sendResult`.
local function produce(self, message, select_queue)
    if not is_sendable(message.topic, message.body) then
        return nil, "invalid topic or message"
    end
    local info, err = self.client:tryToFindTopicPublishInfo(message.topic)
    if not info then
        return nil, err
    elseif #info.messageQueueList == 0 then
        self.client:forget(message.topic)
        return nil, "writable queue num is zero"
    end
    local queue = select_queue and select_queue(info.messageQueueList, message) or next_queue(info)
    message.queueId, message.bname = queue.queueId, queue.brokerName

    local context = {
        producer = self, producerGroup = self.groupName, communicationMode = "SYNC",
        bornHost = "127.0.0.1", brokerAddr = self.client.brokerAddrTable[queue.brokerName],
        message = message, mq = queue, msgType = message.properties.DELAY and 3 or 0,
    }
    for _, hook in ipairs(self.sendMessageHookList) do
        hook:sendMessageBefore(context)
    end
    local header, result
    header, err = self.client:sendMessage(message, text_of(message.properties))
    if header then
        result, err = result_of(header, message, queue)
    end
    context.sendResult, context.exception = result, not result and err or nil
    for _, hook in ipairs(self.sendMessageHookList) do
        hook:sendMessageAfter(context)
    end
    if not result then
        return nil, err
    end
    header.sendResult = result
    return header
end


_M.produce = produce


local function completed(properties, tags, keys)
    properties = properties or {}
    properties.TAGS, properties.KEYS = tags, keys
    properties.WAIT = properties.WAIT or "true"
    return properties
end


--- Sends a message.
-- @tparam string topic
-- @tparam string body
-- @tparam[opt] string tags
-- @tparam[opt] string keys
-- @tparam[opt] table properties texts by their names
-- @tparam[opt] function select_queue picks one of a list of queues, for a message
-- @treturn table|nil the broker's answer; `sendResult` has `messageQueue`, `msgId`,
--   `offsetMsgId` and `queueOffset`
-- @treturn nil|string error
function _M:send(topic, body, tags, keys, properties, select_queue)
    return produce(self, message_of(self, topic, body, completed(properties, tags, keys)),
                   select_queue)
end


-- A message of a batch: its length, three numbers that are 0 here, the body, the properties.
local function packed(body, properties)
    local text = text_of(properties)
    return int4(22 + #body + #text) .. ("\0"):rep(12) .. int4(#body) .. body
           .. sub(int4(#text), 3) .. text
end


--- Sends several messages of one topic as one.
-- @tparam {table,...} messages `topic`, `body`, and what `send` may get: `tags`, `keys`,
--   `properties`
-- @treturn table|nil as `send`
-- @treturn nil|string error
function _M:batchSend(messages)
    local parts, topic, wait = {}, nil, nil
    for i, each in ipairs(messages) do
        if not is_sendable(each.topic, each.body) then
            return nil, "invalid topic or message"
        end
        local properties = completed(each.properties, each.tags, each.keys)
        if properties.DELAY then
            return nil, "TimeDelayLevel is not supported for batching"
        elseif i == 1 and sub(each.topic, 1, #RETRY_PREFIX) == RETRY_PREFIX then
            return nil, "Retry Group is not supported for batching"
        elseif i > 1 and each.topic ~= topic then
            return nil, "The topic of the messages in one batch should be the same"
        elseif i > 1 and properties.WAIT ~= wait then
            return nil, "The waitStoreMsgOK of the messages in one batch should the same"
        end
        topic, wait = each.topic, properties.WAIT
        properties.UNIQ_KEY = unique_id()
        parts[i] = packed(each.body, properties)
    end
    if not topic then
        return nil, "invalid topic or message"
    end
    return produce(self, message_of(self, topic, concat(parts), { WAIT = wait }, true))
end


--- Keeps what is known of topics fresh, and tells brokers that this producer is alive.
function _M:start()
    self.exit = false
    local function round(premature)
        if premature or self.exit then
            return
        end
        self.client.topicPublishInfoTable = {}
        self.client:heartbeat(self.groupName)
        ngx.timer.at(ROUND, round)
    end
    ngx.timer.at(ROUND, round)
end


--- Ends what `start` has begun.
function _M:stop()
    self.exit = true
end


return unsupported.absent(_M, "resty.rocketmq.producer.", {
    "registerEndTransactionHook", "sendMessageInTransaction", "setTransactionListener",
}, "moongate's producer has no transactions")
