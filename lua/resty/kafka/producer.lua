--- `resty.kafka.producer`: sends messages, one by one or in batches from a timer.
-- @module resty.kafka.producer
local client_module = require("resty.kafka.client")
local codec = require("resty.kafka.codec")
local errors = require("resty.kafka.errors")

local concat = table.concat
local crc32_long = ngx.crc32_long
local floor = math.floor
local ipairs = ipairs
local now = ngx.now
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local sleep = ngx.sleep
local timer_at = ngx.timer.at
local tostring = tostring

local _M = { _VERSION = "0.23" }
local mt = { __index = _M }

-- Cluster name -> producer that sends in batches: one per worker, so that batches fill.
local shared = {}


local function pick_partition(key, count, correlation)
    local id = key and crc32_long(key) or correlation
    return id % count
end


--- A producer.
-- @tparam table brokers
-- @tparam[opt] table config as for the client; `producer_type` ("sync", "async"),
--   `request_timeout`, `required_acks`, `max_retry`, `retry_backoff`, `api_version`,
--   `partitioner`, `flush_time`, `batch_num`, `batch_size`, `max_buffering`, `error_handle`
-- @tparam[opt=1] string|number cluster
function _M.new(_, brokers, config, cluster)
    config = config or {}
    local async = config.producer_type == "async"
    cluster = cluster or 1
    if async and shared[cluster] then
        return shared[cluster]
    end
    local self = setmetatable({
        client = client_module:new(brokers, config),
        correlation_id = 1,
        request_timeout = config.request_timeout or 2000,
        required_acks = config.required_acks or 1,
        max_retry = config.max_retry or 3,
        retry_backoff = config.retry_backoff or 100,
        api_version = config.api_version or 0,
        partitioner = config.partitioner or pick_partition,
        async = async,
        flush_time = config.flush_time or 1000,
        batch_num = config.batch_num or 200,
        batch_size = config.batch_size or 1048576,
        max_buffering = config.max_buffering or 50000,
        error_handle = config.error_handle,
        queue = {}, offsets = {},
    }, mt)
    if async then
        shared[cluster] = self
    end
    return self
end


local function choose(self, topic, key)
    local brokers, partitions = self.client:fetch_metadata(topic)
    if not brokers then
        return nil, partitions
    end
    self.correlation_id = (self.correlation_id + 1) % 1073741824
    return self.partitioner(key, partitions.num, self.correlation_id)
end


-- One request with messages for one partition.
-- @treturn cdata|boolean|nil the offset of the first
-- @treturn nil|string error
-- @treturn nil|boolean whether it may be sent again
local function produce(self, topic, partition, list)
    local broker, err = self.client:choose_broker(topic, partition)
    if not broker then
        return nil, err, true
    end
    local version = self.api_version
    local set = codec.message_set(list, #list, version >= 2 and 1 or 0, floor(now() * 1000))
    local body = concat({
        codec.int16(self.required_acks), codec.int32(self.request_timeout), codec.int32(1),
        codec.string(topic), codec.int32(1), codec.int32(partition), codec.bytes(set),
    })
    local connection = self.client:broker(broker.host, broker.port)
    if self.required_acks == 0 then
        local ok
        ok, err = connection:send(codec.PRODUCE, version, body)
        return ok, err, not ok
    end
    local reader, maybe
    reader, err, maybe = connection:call(codec.PRODUCE, version, body)
    if not reader then
        return nil, err, not maybe
    end
    local ok, code, offset = pcall(function()
        reader:int32()
        reader:string()
        reader:int32()
        reader:int32()
        return reader:int16(), reader:int64()
    end)
    if not ok then
        return nil, code, false
    elseif code ~= 0 then
        local problem = errors[code] or { msg = "error " .. code }
        return nil, problem.msg, problem.retriable
    end
    return offset
end


local function produce_again(self, topic, partition, list)
    local offset, err, again
    for attempt = 1, self.max_retry do
        offset, err, again = produce(self, topic, partition, list)
        if offset or not again then
            break
        end
        if attempt < self.max_retry then
            sleep(self.retry_backoff / 1000)
            self.client:refresh()
        end
    end
    if offset then
        self.offsets[topic] = self.offsets[topic] or {}
        self.offsets[topic][partition] = offset
    end
    return offset, err, again
end


-- Sends what waits, a request per partition and batch.
local function drain(self)
    local queue = self.queue
    self.queue = {}
    local batches, order = {}, {}
    for _, entry in ipairs(queue) do
        local partition, err = choose(self, entry.topic, entry.key)
        if not partition then
            entry.err = err
            partition = -1
        end
        local name = entry.topic .. "\0" .. partition
        local batch = batches[name]
        if not batch or #batch >= 2 * self.batch_num
           or batch.size + #entry.message > self.batch_size then
            batch = { topic = entry.topic, partition = partition, size = 0, err = err }
            batches[name] = batch
            order[#order + 1] = batch
        end
        batch[#batch + 1] = entry.key or ""
        batch[#batch + 1] = entry.message
        batch.size = batch.size + #entry.message
    end
    for _, batch in ipairs(order) do
        local offset, err, again = nil, batch.err, true
        if batch.partition >= 0 then
            offset, err, again = produce_again(self, batch.topic, batch.partition, batch)
        end
        if not offset then
            if self.error_handle then
                pcall(self.error_handle, batch.topic, batch.partition, batch, #batch, err, again)
            else
                ngx.log(ngx.ERR, "buffered messages send to kafka err: ", tostring(err),
                        ", retryable: ", tostring(again), ", topic: ", batch.topic,
                        ", partition_id: ", batch.partition, ", length: ", #batch / 2)
            end
        end
    end
end


local function flush_later(self, seconds)
    if self.draining then
        return
    end
    self.draining = true
    local ok, err = timer_at(seconds, function()
        while #self.queue > 0 do
            drain(self)
        end
        self.draining = false
    end)
    if not ok then
        self.draining = false
        ngx.log(ngx.ERR, "failed to create timer: ", tostring(err))
    end
end


--- Sends a message, or puts it among those that are sent later.
-- @tparam string topic
-- @tparam string|nil key
-- @tparam string message
-- @treturn cdata|boolean|nil the offset, or true if it waits
-- @treturn nil|string error
function _M:send(topic, key, message)
    if self.async then
        if #self.queue >= self.max_buffering then
            return nil, "buffer overflow"
        end
        self.queue[#self.queue + 1] = { topic = topic, key = key, message = message }
        if #self.queue >= self.batch_num then
            flush_later(self, 0)
        else
            flush_later(self, self.flush_time / 1000)
        end
        return true
    end
    local partition, err = choose(self, topic, key)
    if not partition then
        return nil, err
    end
    return produce_again(self, topic, partition, { key or "", message })
end


--- Sends what waits, soon.
function _M:flush()
    flush_later(self, 0)
    return true
end


--- The sum of all offsets that were answered, and each.
function _M:offset()
    local sum, details = 0, {}
    for topic, partitions in pairs(self.offsets) do
        details[topic] = {}
        for partition, offset in pairs(partitions) do
            sum = sum + offset
            details[topic][partition] = offset
        end
    end
    return sum, details
end


return _M
