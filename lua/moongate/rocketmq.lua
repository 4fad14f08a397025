--- RocketMQ's remoting protocol, and which broker has a topic.
--
-- A command is a length (4 bytes), the length of its header (3 bytes, behind one that says how the
-- header is written, 0 for JSON), the header and a body. A name server tells which brokers have a
-- topic's queues; messages go to a broker.
-- @module moongate.rocketmq
local bit = require("bit")
local cjson = require("cjson.safe")

local band = bit.band
local byte = string.byte
local char = string.char
local floor = math.floor
local ipairs = ipairs
local ngx = ngx
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort
local sub = string.sub
local tonumber = tonumber
local tostring = tostring

-- Of an answer, whatever its sender says.
local ANSWER_BYTES_MAX = 16 * 1024 * 1024
local JSON = 0
local VERSION = 373
-- Flags of a command.
local IS_ANSWER = 1
-- Of a queue.
local PERM_WRITE = 2
local MASTER = "0"
local KEEPALIVE_MS, POOL_SIZE = 10000, 100

local GET_ROUTE, SEND_MESSAGE, HEARTBEAT = 105, 310, 34

local CODES = {
    [1] = "SYSTEM_ERROR", [2] = "SYSTEM_BUSY", [3] = "REQUEST_CODE_NOT_SUPPORTED",
    [14] = "SERVICE_NOT_AVAILABLE", [15] = "VERSION_NOT_SUPPORTED", [16] = "NO_PERMISSION",
    [17] = "TOPIC_NOT_EXIST",
}

local _M = {}
local mt = { __index = _M }

local last_number = 0


local function int4(value)
    return char(floor(value / 16777216) % 256, floor(value / 65536) % 256,
                floor(value / 256) % 256, value % 256)
end


local function int_of(text)
    local a, b, c, d = byte(text, 1, 4)
    return ((a * 256 + b) * 256 + c) * 256 + d
end


_M.int4 = int4


-- Bytes of a command, and its number.
local function command(code, fields, body)
    last_number = last_number % 2147483647 + 1
    local header = cjson.encode({
        code = code, language = "OTHER", version = VERSION, opaque = last_number, flag = 0,
        remark = "", serializeTypeCurrentRPC = "JSON", extFields = fields,
    })
    local size = int4(#header)
    return int4(4 + #header + #body) .. char(JSON) .. sub(size, 2) .. header .. body, last_number
end


-- The next command that comes: its header and its body.
local function receive(sock)
    local head, err = sock:receive(8)
    if not head then
        return nil, err
    end
    local size, kind = int_of(head) - 4, byte(head, 5)
    local header_size = int_of("\0" .. sub(head, 6))
    if size > ANSWER_BYTES_MAX or header_size > size then
        return nil, "malformed answer"
    elseif kind ~= JSON then
        return nil, "answer with a header that is no JSON"
    end
    local text
    text, err = sock:receive(size)
    if not text then
        return nil, err
    end
    local header = cjson.decode(sub(text, 1, header_size))
    if not header or not tonumber(header.opaque) or not tonumber(header.flag) then
        return nil, "malformed answer"
    end
    return header, sub(text, header_size + 1)
end


local function connect(self, address)
    local host, port = address:match("^(.*):(%d+)$")
    if not host then
        return nil, "no address: " .. address
    end
    local sock = ngx.socket.tcp()
    sock:settimeout(self.timeout)
    local ok, err = sock:connect(host, tonumber(port))
    if not ok then
        return nil, ("connect %s:%s fail:%s"):format(host, port, err)
    end
    if self.useTLS then
        ok, err = sock:sslhandshake(nil, nil, false)
        if not ok then
            return nil, "failed to do ssl handshake: " .. err
        end
    end
    return sock
end


-- Sends, and waits for the answer to what was sent; the other side may ask something in between.
local function converse(sock, bytes, number)
    local ok, err = sock:send(bytes)
    if not ok then
        return nil, err
    end
    while true do
        local header, body = receive(sock)
        if not header then
            return nil, body
        elseif header.opaque == number and band(header.flag, IS_ANSWER) ~= 0 then
            return header, body
        end
    end
end


--- What knows the name servers.
-- @tparam {string,...} nameservers as "host:port"
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(nameservers)
    if #nameservers == 0 then
        return nil, "no nameserver"
    end
    return setmetatable({
        nameservers = nameservers, current_nameserver = 1, RPCHook = {}, useTLS = false,
        timeout = 3000, topicPublishInfoTable = {}, brokerAddrTable = {},
    }, mt)
end


--- Sends a command.
-- @tparam number code
-- @tparam string address
-- @tparam table fields by their names; each is sent as text
-- @tparam[opt] string body
-- @treturn table|nil header of the answer
-- @treturn string body of the answer, or the error
function _M:request(code, address, fields, body)
    local texts = {}
    for name, value in pairs(fields) do
        texts[name] = tostring(value)
    end
    for _, hook in ipairs(self.RPCHook) do
        hook:doBeforeRequest(address, texts, body)
    end
    local bytes, number = command(code, texts, body or "")
    local sock, err = connect(self, address)
    if not sock then
        return nil, err
    end
    local header, answer = converse(sock, bytes, number)
    if not header then
        sock:close()
        return nil, answer
    end
    sock:setkeepalive(KEEPALIVE_MS, POOL_SIZE)
    for _, hook in ipairs(self.RPCHook) do
        hook:doAfterResponse(address, texts, body, header, answer)
    end
    return header, answer
end


-- Name servers write whole numbers as keys without quotes around them.
local function read_route(text)
    local found = cjson.decode(text)
    if found then
        return found
    end
    -- Odd pieces are outside of strings.
    local pieces, outside = {}, true
    for piece, quote in text:gsub('\\.', function(pair)
        return pair == '\\"' and "\\u0022" or nil
    end):gmatch('([^"]*)("?)') do
        pieces[#pieces + 1] = outside and piece:gsub("([{,]%s*)(%-?%d+)(%s*:)", '%1"%2"%3') or piece
        pieces[#pieces + 1] = quote
        outside = not outside
    end
    return cjson.decode(table.concat(pieces))
end


local function ask_route(self, topic)
    local address = self.nameservers[self.current_nameserver]
    self.current_nameserver = self.current_nameserver % #self.nameservers + 1
    local header, body = self:request(GET_ROUTE, address, { topic = topic })
    if not header then
        return nil, body
    elseif header.code ~= 0 then
        return nil, ("getTopicRouteInfoFromNameserver return %s, %s"):format(
            CODES[header.code] or header.code, header.remark or "")
    end
    local route = read_route(body)
    if not route or not route.queueDatas or not route.brokerDatas then
        return nil, "malformed route of topic " .. topic
    end
    return route
end


-- The queues that can be written to, the last broker's first.
local function queues_of(topic, route, masters)
    sort(route.queueDatas, function(a, b) return a.brokerName > b.brokerName end)
    local queues = {}
    for _, data in ipairs(route.queueDatas) do
        if band(tonumber(data.perm) or 0, PERM_WRITE) ~= 0 and masters[data.brokerName] then
            for id = 0, (tonumber(data.writeQueueNums) or 0) - 1 do
                queues[#queues + 1] = { topic = topic, brokerName = data.brokerName, queueId = id }
            end
        end
    end
    return queues
end


--- The queues of a topic, asked once for. The name servers are tried in turn.
-- @treturn table|nil `messageQueueList`, and `sendWhichQueue`, which says whose turn it is
-- @treturn nil|string error
function _M:tryToFindTopicPublishInfo(topic)
    local known = self.topicPublishInfoTable[topic]
    if known then
        return known
    end
    local route, err
    for _ = 1, #self.nameservers do
        route, err = ask_route(self, topic)
        if route then
            break
        end
    end
    if not route then
        return nil, err
    end

    local masters = {}
    for _, broker in ipairs(route.brokerDatas) do
        local addresses = broker.brokerAddrs or {}
        masters[broker.brokerName] = addresses[MASTER] or addresses[0]
    end
    for name, address in pairs(masters) do
        self.brokerAddrTable[name] = address
    end
    local info = { messageQueueList = queues_of(topic, route, masters), sendWhichQueue = 0 }
    self.topicPublishInfoTable[topic] = info
    return info
end


--- Has the next question about a topic asked anew.
function _M:forget(topic)
    self.topicPublishInfoTable[topic] = nil
end


--- Sends a message to the broker of its queue.
-- @treturn table|nil header of the answer
-- @treturn nil|string error
function _M:sendMessage(message, properties)
    local address = self.brokerAddrTable[message.bname]
    if not address then
        return nil, "no address of broker " .. tostring(message.bname)
    end
    local header, err = self:request(SEND_MESSAGE, address, {
        a = message.producerGroup, b = message.topic, c = message.defaultTopic,
        d = message.defaultTopicQueueNums, e = message.queueId, f = message.sysFlag,
        g = message.bornTimeStamp, h = message.flag, i = properties,
        j = message.reconsumeTimes, k = message.unitMode, l = message.maxReconsumeTimes,
        m = message.batch, n = message.bname,
    }, message.body)
    if not header then
        self:forget(message.topic)
        return nil, err
    end
    return header
end


--- Tells every broker that a group of producers is alive.
function _M:heartbeat(group)
    local body = cjson.encode({
        clientID = tostring(ngx.worker.pid()),
        producerDataSet = { { groupName = group } },
        consumerDataSet = setmetatable({}, cjson.empty_array_mt),
    })
    for _, address in pairs(self.brokerAddrTable) do
        local header, err = self:request(HEARTBEAT, address, {}, body)
        if not header then
            ngx.log(ngx.WARN, "fail to send heartbeat:", err)
        elseif header.code ~= 0 then
            ngx.log(ngx.WARN, "fail to send heartbeat, code:", CODES[header.code] or header.code,
                    ",remark:", header.remark)
        end
    end
end


return _M
