--- `resty.kafka.basic-consumer`: offsets and messages of one partition.
-- @module resty.kafka.basic-consumer
local client_module = require("resty.kafka.client")
local codec = require("resty.kafka.codec")
local errors = require("resty.kafka.errors")

local pcall = pcall
local setmetatable = setmetatable

local MAX_WAIT_MS = 100
local MAX_BYTES = 10 * 1024 * 1024

local _M = { _VERSION = "0.23" }
local mt = { __index = _M }


--- A consumer, with the client's settings.
function _M.new(_, brokers, config)
    return setmetatable({ client = client_module:new(brokers, config) }, mt)
end


local function call(self, topic, partition, key, version, body, read)
    local broker, err = self.client:choose_broker(topic, partition)
    if not broker then
        return nil, err
    end
    local reader
    reader, err = self.client:broker(broker.host, broker.port):call(key, version, body)
    if not reader then
        return nil, err
    end
    local ok, code, value = pcall(read, reader)
    if not ok then
        return nil, code
    elseif code ~= 0 then
        return nil, (errors[code] or { msg = "error " .. code }).msg
    end
    return value
end


-- Past topic and number of one partition.
local function head(reader)
    reader:int32()
    reader:string()
    reader:int32()
    reader:int32()
end


--- The offset at a time; -1 for the end, -2 for the beginning.
-- @treturn cdata|nil
-- @treturn nil|string error
function _M:list_offset(topic, partition, timestamp)
    local body = codec.int32(-1) .. codec.int32(1) .. codec.string(topic) .. codec.int32(1)
                 .. codec.int32(partition) .. codec.int64(timestamp or -1)
    return call(self, topic, partition, codec.LIST_OFFSETS, 1, body, function(reader)
        head(reader)
        local code = reader:int16()
        reader:int64()
        return code, reader:int64()
    end)
end


--- Messages from an offset on.
-- @treturn table|nil `records`, `errcode`, `high_watermark`
-- @treturn nil|string error
function _M:fetch(topic, partition, offset)
    local body = codec.int32(-1) .. codec.int32(MAX_WAIT_MS) .. codec.int32(0) .. codec.int32(1)
                 .. codec.string(topic) .. codec.int32(1) .. codec.int32(partition)
                 .. codec.int64(offset) .. codec.int32(MAX_BYTES)
    return call(self, topic, partition, codec.FETCH, 2, body, function(reader)
        reader:int32()
        head(reader)
        local code, high = reader:int16(), reader:int64()
        local records, err = codec.read_message_set(reader:bytes() or "", offset)
        if not records then
            error(err, 0)
        end
        return code, { errcode = code, high_watermark = high, records = records }
    end)
end


return _M
