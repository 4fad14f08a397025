--- `core.redis`: asking Redis from any phase that may wait. moongate's own; APISIX has no such
-- module.
--
--     local client, err = core.redis.new(conf)
--     local reply, err = client:command("SET", key, token, "NX", "PX", 5000)
--     local reply, err = client:eval(script, { key }, { arg })
--     local replies, err = client:pipeline({ { "SET", key, 1 }, { "WAIT", 1, 50 } })
--
-- All workers of the process share one connection per target; a client is only a name for it
-- and may be kept or made anew for each request. Connecting, reconnecting and waiting happen
-- outside of the worker. A call ends within `redis_timeout` milliseconds, also while the
-- server is frozen or gone, and a command is sent once: after "timeout" and "connection lost"
-- it may have run.
--
-- A reply is a string, a number, `ngx.null` where Redis has no value, or an array of these.
-- Inside of an array an error is `{ false, message }`. Replicas are never asked. Commands that
-- block, subscribe or change the connection (BLPOP, SUBSCRIBE, MULTI, SELECT, AUTH, ...) are
-- refused, since others use the connection at the same time.
-- @module apisix.core.redis
local host = require("moongate.host")
local to_hex = require("resty.string").to_hex

local ipairs = ipairs
local open = host.redis_open
local setmetatable = setmetatable
local sha1_bin = ngx.sha1_bin
local unpack = unpack

local DEFAULT_PORT = 6379
local DEFAULT_TIMEOUT_MS = 1000

-- Digests that are kept; scripts are few and constant.
local DIGESTS_MAX = 1000

local _M = {}
local Client = {}
local mt = { __index = Client }

-- The table of fields -> its client. A conf table has one content for its whole life.
local clients = setmetatable({}, { __mode = "k" })

local digests = {}
local digests_count = 0


local function digest_of(script)
    local digest = digests[script]
    if not digest then
        if digests_count >= DIGESTS_MAX then
            digests, digests_count = {}, 0
        end
        digest = to_hex(sha1_bin(script))
        digests[script] = digest
        digests_count = digests_count + 1
    end
    return digest
end


local function bracketed(name, port)
    if name:find(":", 1, true) and name:sub(1, 1) ~= "[" then
        name = "[" .. name .. "]"
    end
    return name .. ":" .. port
end


-- A password is only used when there is one; a name alone cannot log in.
local function nonempty(text)
    return text ~= "" and text or nil
end


local function sentinel_target(fields)
    local addresses = {}
    for i, sentinel in ipairs(fields.redis_sentinels) do
        addresses[i] = bracketed(sentinel.host, sentinel.port)
    end
    if not fields.redis_master_name then
        return nil, "redis_master_name is missing"
    end
    if fields.redis_role and fields.redis_role ~= "master" then
        return nil, "redis_role " .. fields.redis_role .. " is not supported: only masters are "
                    .. "asked"
    end
    return {
        mode = "sentinel",
        addresses = addresses,
        master = fields.redis_master_name,
        sentinel_username = fields.sentinel_username,
        sentinel_password = nonempty(fields.sentinel_password),
    }
end


-- What the fields name, without who to be there.
local function target_of(fields)
    local policy = fields.policy
    if policy == "redis-sentinel" or not policy and fields.redis_sentinels then
        return sentinel_target(fields)
    end
    if policy == "redis-cluster" or not policy and fields.redis_cluster_nodes then
        return { mode = "cluster", addresses = fields.redis_cluster_nodes }
    end
    if fields.redis_host then
        local address = bracketed(fields.redis_host, fields.redis_port or DEFAULT_PORT)
        return { mode = "single", addresses = { address } }
    end
    return nil, "redis_host, redis_cluster_nodes or redis_sentinels is missing"
end


local function make(fields)
    local target, err = target_of(fields)
    if not target then
        return nil, err
    end
    local is_cluster = target.mode == "cluster"
    target.username = fields.redis_username
    target.password = nonempty(fields.redis_password)
    target.database = not is_cluster and fields.redis_database or 0
    if is_cluster then
        target.tls = fields.redis_cluster_ssl == true
        target.verify = fields.redis_cluster_ssl_verify == true
    else
        target.tls = fields.redis_ssl == true
        target.verify = fields.redis_ssl_verify == true
    end

    local raw
    raw, err = open(target)
    if not raw then
        return nil, err
    end
    return setmetatable({
        raw = raw,
        timeout_ms = fields.redis_timeout or fields.redis_read_timeout or DEFAULT_TIMEOUT_MS,
    }, mt)
end


--- The client for a conf. Takes APISIX's fields; which of these is there decides what it is:
-- `redis_sentinels` (with `redis_master_name`, `sentinel_username`, `sentinel_password`),
-- `redis_cluster_nodes` (with `redis_cluster_ssl`, `redis_cluster_ssl_verify`) or `redis_host`
-- (with `redis_port`). Further: `redis_username`, `redis_password`, `redis_database`,
-- `redis_ssl`, `redis_ssl_verify`, `redis_timeout` (milliseconds, 1000). With a `policy` of
-- "redis", "redis-cluster" or "redis-sentinel" only its own fields count.
--
-- Does not connect: that happens with the first call. The client of one table is made once,
-- so its fields must not be changed afterwards.
-- @tparam table fields
-- @treturn table|nil the client
-- @treturn nil|string error
function _M.new(fields)
    local client = clients[fields]
    if client then
        return client
    end
    local err
    client, err = make(fields)
    clients[fields] = client
    return client, err
end


--- Runs one command.
-- @tparam string ... its words; numbers are written as Lua writes them
-- @return the reply, or nil
-- @treturn nil|string error
function Client:command(...)
    return self.raw:command(self.timeout_ms, ...)
end


--- Sends one command and goes on; a failure is logged. May be called in every phase.
function Client:post(...)
    self.raw:post(self.timeout_ms, ...)
end


--- Runs a script by its SHA-1 digest; the text is sent if the server does not know it yet.
-- In a cluster all keys must have one slot, and the first one decides.
-- @tparam string script
-- @tparam[opt] table keys
-- @tparam[opt] table args
-- @return the reply, or nil
-- @treturn nil|string error
function Client:eval(script, keys, args)
    local count = keys and #keys or 0
    local digest = digest_of(script)
    if count == 1 and args then
        return self.raw:eval(self.timeout_ms, digest, script, 1, keys[1], unpack(args))
    end
    local words = {}
    for i = 1, count do
        words[i] = keys[i]
    end
    for i = 1, args and #args or 0 do
        words[count + i] = args[i]
    end
    return self.raw:eval(self.timeout_ms, digest, script, count, unpack(words))
end


--- Runs several commands on one server in their order; others may come in between.
-- @tparam table commands an array of arrays of words
-- @treturn table|nil the replies in the same order
-- @treturn nil|string error
function Client:pipeline(commands)
    return self.raw:several(self.timeout_ms, unpack(commands))
end


return _M
