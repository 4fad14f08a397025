--- Where anti-replay keeps what was seen: in the process, and with a policy in Redis behind it.
--
-- The process is asked first in every mode: it stops a repeat at the same gateway also while
-- Redis is gone or has lost what it knew. In Redis each number is a key with a random token: who
-- finds its own token there has not met a repeat, only lost a reply.
local core = require("apisix.core")

local format = string.format
local has_redis, redis_schema = pcall(require, "apisix.utils.redis-schema")
local max = math.max
local resty_sha256 = require("resty.sha256")
local setmetatable = setmetatable
local to_hex = require("resty.string").to_hex
local tostring = tostring
local type = type
local unpack = unpack

local LOCAL = "local"

-- For servers before 7, where SET has no NX together with GET.
local SCRIPT = [[
local found = redis.call("GET", KEYS[1])
if found then
    return found
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return false
]]

-- Takes a number back, unless somebody else has taken it since.
local UNDO = [[
if redis.call("GET", KEYS[1]) == ARGV[1] then
    return redis.call("DEL", KEYS[1])
end
return 0
]]

local _M = {}

-- Conf -> whether its server wants the script.
local wants_script = setmetatable({}, { __mode = "k" })


--- Adds the fields of Redis to the schema of the plugin.
function _M.extend(schema)
    schema.properties.redis_wait_replicas = { type = "integer", minimum = 0, default = 0 }
    schema.properties.redis_wait_ms = { type = "integer", minimum = 1, default = 50 }
    schema.encrypt_fields = { "redis_password", "sentinel_password" }
end


local function fields_of(policy)
    if policy == "redis-sentinel" then
        return redis_schema.sentinel
    end
    return redis_schema.schema[policy]
end


--- Whether the policy of `conf` can be served.
function _M.check(conf)
    if conf.policy == LOCAL then
        return true
    end
    if not core.redis or not has_redis then
        return false, "policy " .. conf.policy .. " needs core.redis"
    end
    local ok, err = core.schema.check(fields_of(conf.policy), conf)
    if not ok then
        return false, err
    end
    local client
    client, err = core.redis.new(conf)
    if not client then
        return false, err
    end
    return true
end


local function random_token()
    return to_hex(require("resty.random").bytes(16))
end


-- What WAIT answered: true, or nil and why that is not enough.
local function has_reached(reached, replicas)
    if type(reached) == "table" then
        return nil, reached[2]
    end
    if type(reached) ~= "number" or reached < replicas then
        return nil, format("%s of %d replicas have it", tostring(reached), replicas)
    end
    return true
end


-- As `send`, for a conf that wants `replicas` to have what was written.
local function send_and_wait(conf, client, words, key, token, ttl_ms)
    local replicas = conf.redis_wait_replicas
    local wait = { "WAIT", replicas, conf.redis_wait_ms }
    local replies, err = client:pipeline({ words, wait })
    if not replies then
        return nil, err
    end
    local found = replies[1]
    if type(found) == "table" then
        return nil, found[2]
    end
    if found == token then
        -- Written over a connection that is lost. WAIT is about the writes of its own.
        replies, err = client:pipeline({ { "PEXPIRE", key, ttl_ms }, wait })
        if not replies then
            return nil, err
        end
    elseif type(found) == "string" then
        return found
    end

    local ok
    ok, err = has_reached(replies[2], replicas)
    if ok then
        return found
    end
    if conf.on_error ~= "allow" then
        -- Nobody gets in with it: it is new again for whoever is told to try again.
        client:post("EVAL", UNDO, 1, key, token)
    end
    return nil, err
end


-- Sends it once. The value that was there, `ngx.null` for none; or nil and an error.
local function send(conf, client, key, token, ttl_ms)
    local words = { "SET", key, token, "NX", "GET", "PX", ttl_ms }
    if wants_script[conf] then
        words = { "EVAL", SCRIPT, 1, key, token, ttl_ms }
    end
    if conf.redis_wait_replicas == 0 then
        return client:command(unpack(words))
    end
    return send_and_wait(conf, client, words, key, token, ttl_ms)
end


local function ask(conf, client, key, ttl_ms)
    local token = random_token()
    local found, err = send(conf, client, key, token, ttl_ms)
    if err and not wants_script[conf] and err:find("syntax", 1, true) then
        wants_script[conf] = true
        found, err = send(conf, client, key, token, ttl_ms)
    elseif err and err:find("connection lost", 1, true) then
        -- It may have run; if so, it finds its own token.
        found, err = send(conf, client, key, token, ttl_ms)
    end
    if err then
        return nil, err
    end
    if type(found) == "string" and found ~= token then
        return "seen"
    end
    return "first"
end


local function insert_in_redis(conf, scope, nonce, ttl)
    local client, err = core.redis.new(conf)
    if not client then
        return nil, err
    end
    local sum = resty_sha256:new()
    sum:update(#scope .. ":" .. scope .. nonce)
    local key = conf.key_prefix .. ":" .. to_hex(sum:final())
    return ask(conf, client, key, format("%d", max(1, ttl * 1000)))
end


--- Takes a number.
-- @treturn string|nil "first" or "seen"; nil if the store cannot tell
-- @treturn nil|string error
function _M.insert(conf, scope, nonce, ttl)
    local seen = core.nonce.insert(scope, nonce, ttl)
    if seen == "seen" then
        return seen
    end
    if conf.policy == LOCAL then
        if seen == "full" then
            return nil, "the store of this process is full"
        end
        return seen
    end

    local err
    seen, err = insert_in_redis(conf, scope, nonce, ttl)
    if not seen and conf.on_error ~= "allow" then
        -- The client is told to try again: that is no repeat then.
        core.nonce.forget(scope, nonce)
    end
    return seen, err
end


return _M
