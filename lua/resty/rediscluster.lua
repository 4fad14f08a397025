--- `resty.rediscluster`: commands to a Redis Cluster, each to the node that has its slot.
--
-- The map of slots is asked once per worker and cluster and anew after a MOVED answer or a
-- lost connection. A command goes by its first argument, `eval` and `evalsha` by their first
-- key. Commands of several keys must keep them in one slot; MULTI, SUBSCRIBE and commands of
-- no key are refused.
-- @module resty.rediscluster
local redis = require("resty.redis")
local bit = require("bit")

local band = bit.band
local bxor = bit.bxor
local byte = string.byte
local concat = table.concat
local find = string.find
local ipairs = ipairs
local lshift = bit.lshift
local match = string.match
local now = ngx.now
local null = ngx.null
local pairs = pairs
local random = math.random
local rawget = rawget
local rshift = bit.rshift
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local upper = string.upper

local SLOTS = 16384
local REDIRECTIONS_MAX = 5
local CONNECTION_ATTEMPTS_MAX = 3
local TIMEOUT_MS = 1000
local IDLE_MS = 55000
local POOL = 1000

local REFUSED = {
    subscribe = true, psubscribe = true, ssubscribe = true, multi = true, exec = true,
    select = true, watch = true, unwatch = true, discard = true,
}
local BY_KEYS = { eval = 2, evalsha = 2 }

local _M = { _VERSION = "1.3.3" }
local mt = { __index = _M }

-- Name of a cluster -> what this worker knows of it: `slots` and `nodes`.
local known = {}

local CRC = {}
for i = 0, 255 do
    local crc = lshift(i, 8)
    for _ = 1, 8 do
        crc = band(lshift(crc, 1), 0xffff) == lshift(crc, 1) and lshift(crc, 1)
              or bxor(band(lshift(crc, 1), 0xffff), 0x1021)
    end
    CRC[i] = band(crc, 0xffff)
end


-- The slot of a key: CRC16 (XMODEM) of it, or of its tag in braces.
local function slot_of(key)
    key = tostring(key)
    local open = find(key, "{", 1, true)
    if open then
        local close = find(key, "}", open + 1, true)
        if close and close > open + 1 then
            key = sub(key, open + 1, close - 1)
        end
    end
    local crc = 0
    for i = 1, #key do
        crc = bxor(band(lshift(crc, 8), 0xffff), CRC[band(bxor(rshift(crc, 8), byte(key, i)), 255)])
    end
    return crc % SLOTS
end


local function open(config, node)
    local client = redis:new()
    client:set_timeouts(config.connect_timeout or TIMEOUT_MS, config.send_timeout or TIMEOUT_MS,
                        config.read_timeout or TIMEOUT_MS)
    local err
    for _ = 1, config.max_connection_attempts or CONNECTION_ATTEMPTS_MAX do
        local ok
        ok, err = client:connect(node.ip, node.port, config.connect_opts)
        if ok then
            break
        end
        client = redis:new()
        client:set_timeouts(config.connect_timeout or TIMEOUT_MS,
                            config.send_timeout or TIMEOUT_MS, config.read_timeout or TIMEOUT_MS)
    end
    if err then
        return nil, "connection failed: " .. err
    end
    if config.auth and client:get_reused_times() == 0 then
        local ok
        if config.username then
            ok, err = client:auth(config.username, config.auth)
        else
            ok, err = client:auth(config.auth)
        end
        if not ok then
            return nil, "authentication failed: " .. tostring(err)
        end
    end
    return client
end


local function keep(config, client)
    client:set_keepalive(config.keepalive_timeout or IDLE_MS, config.keepalive_cons or POOL)
end


-- A map out of what CLUSTER SLOTS answers; `from` stands for a node without a name.
local function read_slots(reply, from)
    local map = { slots = {}, nodes = {}, at = now() }
    for _, range in ipairs(reply) do
        local nodes = {}
        for i = 3, #range do
            local ip = range[i][1]
            if ip == null or ip == "" then
                ip = from.ip
            end
            nodes[#nodes + 1] = { ip = ip, port = range[i][2], slave = i > 3 }
        end
        map.nodes[#map.nodes + 1] = nodes[1]
        for slot = range[1], range[2] do
            map.slots[slot] = nodes
        end
    end
    return map
end


--- Asks for the map of slots, first the nodes that are known, then the configured ones.
-- @treturn table|nil
-- @treturn nil|string error of the last node
function _M:fetch_slots()
    local config = self.config
    local err = "serv_list config is empty"
    local lists = { (known[config.name] or {}).nodes or {}, config.serv_list or {} }
    for _, list in ipairs(lists) do
        for _, node in ipairs(list) do
            local client
            client, err = open(config, node)
            if client then
                local reply
                reply, err = client:cluster("slots")
                if type(reply) == "table" and #reply > 0 then
                    keep(config, client)
                    known[config.name] = read_slots(reply, node)
                    return known[config.name]
                end
                client:close()
                err = err or "no slots"
            end
        end
    end
    return nil, err
end


--- A client of a cluster.
-- @tparam table config `name`, `serv_list` of `{ ip, port }`, timeouts in milliseconds, `auth`,
--   `enable_slave_read`, `connect_opts`; the lock keys of the original are accepted
-- @treturn table|nil
-- @treturn nil|string error
function _M:new(config)
    if type(config.name) ~= "string" then
        return nil, "redis cluster config name is empty"
    end
    local client = setmetatable({ config = config }, mt)
    if not known[config.name] then
        local map, err = client:fetch_slots()
        if not map then
            return nil, err
        end
    end
    return client
end


local function node_for(self, slot)
    local map = known[self.config.name]
    local nodes = map and map.slots[slot]
    if not nodes then
        return nil, "not found any node for slot " .. slot
    end
    if self.config.enable_slave_read then
        return nodes[random(#nodes)]
    end
    return nodes[1]
end


local function redirected(err)
    local kind, ip, port = match(tostring(err), "^(%u+) %d+ (.-):(%d+)$")
    if kind == "MOVED" or kind == "ASK" then
        return kind, { ip = ip, port = tonumber(port) }
    end
end


local function send_to(self, node, asking, command, ...)
    local client, err = open(self.config, node)
    if not client then
        return nil, err, true
    end
    if asking then
        client:asking()
    elseif node.slave then
        client:readonly()
    end
    local reply
    reply, err = client[command](client, ...)
    if reply == nil then
        client:close()
        return nil, err, true
    end
    if node.slave then
        client:readwrite()
    end
    keep(self.config, client)
    return reply, err
end


local function run(self, command, ...)
    if REFUSED[command] then
        return nil, upper(command) .. " is not supported for a redis cluster"
    end
    local key = (select(BY_KEYS[command] and BY_KEYS[command] + 1 or 1, ...))
    if key == nil and not BY_KEYS[command] then
        return nil, "a key is needed to find the node for " .. upper(command)
    end
    local queue = rawget(self, "queue")
    if queue then
        queue[#queue + 1] = { command, ... }
        return
    end

    local slot = slot_of(key or "no_key")
    local node, err = node_for(self, slot)
    local asking = false
    for _ = 1, self.config.max_redirection or REDIRECTIONS_MAX do
        if not node then
            return nil, err
        end
        local reply, lost
        reply, err, lost = send_to(self, node, asking, command, ...)
        if reply then
            return reply
        end
        local kind, target = redirected(err)
        if kind then
            asking, node = kind == "ASK", target
            if kind == "MOVED" then
                self:fetch_slots()
            end
        elseif lost then
            asking = false
            self:fetch_slots()
            node, err = node_for(self, slot), err
        else
            return reply, err
        end
    end
    return nil, "failed to execute command, reaches maximum redirection attempts"
end


--- From here on commands are kept until `commit_pipeline`.
function _M:init_pipeline()
    self.queue = {}
end


function _M:cancel_pipeline()
    self.queue = nil
end


-- Sends one group of a pipeline; fills `replies` at the places of its commands.
local function send_group(self, group, replies)
    local client, err = open(self.config, group.node)
    if not client then
        return nil, err
    end
    client:init_pipeline()
    for _, entry in ipairs(group) do
        client[entry[1]](client, unpack(entry, 2))
    end
    local answers
    answers, err = client:commit_pipeline()
    if not answers then
        client:close()
        return nil, err
    end
    keep(self.config, client)
    for i, at in ipairs(group.places) do
        replies[at] = answers[i]
    end
    return true
end


--- Sends what was kept, one pipeline per node; answers come in the order of the commands.
-- @treturn table|nil
-- @treturn nil|string error
function _M:commit_pipeline()
    local queue = rawget(self, "queue")
    self.queue = nil
    if not queue or #queue == 0 then
        return nil, "no pipeline"
    end
    local groups, replies = {}, {}
    for at, entry in ipairs(queue) do
        local key = entry[BY_KEYS[entry[1]] and BY_KEYS[entry[1]] + 2 or 2]
        local node, err = node_for(self, slot_of(key))
        if not node then
            return nil, err
        end
        local name = concat({ node.ip, node.port }, ":")
        local group = groups[name] or { node = node, places = {} }
        groups[name] = group
        group[#group + 1] = entry
        group.places[#group] = at
    end
    for _, group in pairs(groups) do
        local ok, err = send_group(self, group, replies)
        if not ok then
            self:fetch_slots()
            return nil, err
        end
    end
    for at, reply in ipairs(replies) do
        if type(reply) == "table" and reply[1] == false and redirected(reply[2]) then
            -- Those that moved meanwhile are sent one by one.
            local entry = queue[at]
            local value, err = run(self, entry[1], unpack(entry, 2))
            replies[at] = value == nil and { false, err } or value
        end
    end
    return replies
end


setmetatable(_M, {
    __index = function(_, name)
        local function method(self, ...)
            return run(self, name, ...)
        end
        _M[name] = method
        return method
    end,
})


return _M
