--- `resty.kafka.client`: which broker leads which partition.
-- @module resty.kafka.client
local broker_module = require("resty.kafka.broker")
local codec = require("resty.kafka.codec")
local errors = require("resty.kafka.errors")

local concat = table.concat
local ipairs = ipairs
local max = math.max
local min = math.min
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local timer_every = ngx.timer.every

local _M = { _VERSION = "0.23" }
local mt = { __index = _M }


--- A client.
-- @tparam table brokers list of `host`, `port`, `sasl_config`
-- @tparam[opt] table config `socket_timeout`, `keepalive_timeout`, `keepalive_size`,
--   `refresh_interval`, `ssl`, `ssl_verify`, `resolver`
function _M.new(_, brokers, config)
    config = config or {}
    local self = setmetatable({
        broker_list = brokers, topic_partitions = {}, brokers = {},
        config = {
            socket_timeout = config.socket_timeout or 3000,
            keepalive_timeout = config.keepalive_timeout or 600000,
            keepalive_size = config.keepalive_size or 2,
            ssl = config.ssl or false, ssl_verify = config.ssl_verify or false,
            resolver = config.resolver,
        },
    }, mt)
    if config.refresh_interval then
        timer_every(config.refresh_interval / 1000, function()
            self:refresh()
        end)
    end
    return self
end


local function sasl_of(self, name, port)
    for _, broker in ipairs(self.broker_list) do
        if broker.host == name and broker.port == port then
            return broker.sasl_config
        end
    end
    return self.broker_list[1] and self.broker_list[1].sasl_config
end


-- A broker by its number, or by its place in the list.
function _M:broker(name, port)
    return broker_module:new(name, port, self.config, sasl_of(self, name, port))
end


local function read_metadata(reader)
    local brokers = {}
    reader:array(function(r)
        local id = r:int32()
        brokers[id] = { host = r:string(), port = r:int32() }
    end)
    local topics = {}
    reader:array(function(r)
        local code, name = r:int16(), r:string()
        local partitions = { errcode = code }
        local num = 0
        r:array(function(p)
            local errcode, id, leader = p:int16(), p:int32(), p:int32()
            partitions[id] = {
                errcode = errcode, id = id, leader = leader,
                replicas = p:array(p.int32), isr = p:array(p.int32),
            }
            num = num + 1
        end)
        partitions.num = num
        topics[name] = partitions
    end)
    return brokers, topics
end


local function fetch(self, names)
    local parts = { codec.int32(#names) }
    for i, name in ipairs(names) do
        parts[i + 1] = codec.string(name)
    end
    local body, err = concat(parts), "no broker"
    for _, known in ipairs(self.broker_list) do
        local reader
        reader, err = self:broker(known.host, known.port):call(codec.METADATA, 0, body)
        if reader then
            local ok, brokers, topics = pcall(read_metadata, reader)
            if not ok then
                return nil, brokers
            end
            self.brokers = brokers
            for name, partitions in pairs(topics) do
                local problem = partitions.errcode ~= 0 and errors[partitions.errcode]
                if not problem and partitions.num > 0 then
                    self.topic_partitions[name] = partitions
                end
                err = problem and problem.msg or err
            end
            return brokers, topics
        end
    end
    return nil, "all brokers failed in fetch topic metadata, last error: " .. tostring(err)
end


--- The brokers and partitions of a topic; what is known is not asked again.
-- @treturn table|nil brokers by number
-- @treturn table|string partitions from 0, with `num`; or the error
function _M:fetch_metadata(topic)
    if not topic then
        return self.brokers, self.topic_partitions
    end
    if not self.topic_partitions[topic] then
        local brokers, topics = fetch(self, { topic })
        if not brokers then
            ngx.log(ngx.ERR, topics)
            return nil, "not found topic"
        end
        local partitions = topics[topic]
        if not partitions or partitions.errcode ~= 0 or partitions.num == 0 then
            local code = partitions and partitions.errcode
            return nil, code and code ~= 0 and (errors[code] or {}).msg or "not found topic"
        end
    end
    return self.brokers, self.topic_partitions[topic]
end


--- Asks again for all topics that were asked for.
function _M:refresh()
    local names = {}
    for name in pairs(self.topic_partitions) do
        names[#names + 1] = name
    end
    if #names == 0 then
        return nil, "not topic"
    end
    local brokers, topics = fetch(self, names)
    if not brokers then
        return nil, topics
    end
    return brokers, self.topic_partitions
end


--- The broker that leads a partition.
-- @treturn table|nil `host`, `port`
-- @treturn nil|string error
function _M:choose_broker(topic, partition)
    local brokers, partitions = self:fetch_metadata(topic)
    if not brokers then
        return nil, partitions
    end
    local found = partitions[partition]
    if not found then
        return nil, "not found partition"
    end
    local broker = brokers[found.leader]
    if not broker then
        return nil, "not found broker"
    end
    return broker
end


--- The highest version of a request that both sides know; -1 if there is none.
function _M:choose_api_version(key, least, most)
    if not self.api_versions then
        local known = self.broker_list[1]
        local reader = known
                       and self:broker(known.host, known.port):call(codec.API_VERSIONS, 0, "")
        if not reader or reader:int16() ~= 0 then
            return -1
        end
        self.api_versions = {}
        reader:array(function(r)
            self.api_versions[r:int16()] = { min = r:int16(), max = r:int16() }
        end)
    end
    local range = self.api_versions[key]
    if not range then
        return -1
    end
    local version = min(range.max, most or range.max)
    return version >= max(range.min, least or range.min) and version or -1
end


return _M
