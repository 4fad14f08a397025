--- `apisix.utils.redis`: a connected `resty.redis` client for the fields of `redis-schema`.
-- @module apisix.utils.redis
local redis = require("resty.redis")

local concat = table.concat
local crc32_long = ngx.crc32_long

local DEFAULT_TIMEOUT_MS = 1000
local DEFAULT_PORT = 6379

local _M = { version = 0.1 }


-- Connections are shared by those only that would log in alike.
local function pool_name(conf)
    local scheme = "redis"
    if conf.redis_ssl then
        scheme = conf.redis_ssl_verify and "rediss-verify" or "rediss"
    end
    local parts = { scheme, conf.redis_host, conf.redis_port or DEFAULT_PORT,
                    conf.redis_database or 0 }
    if (conf.redis_password or "") ~= "" then
        parts[5] = crc32_long((conf.redis_username or "") .. ":" .. conf.redis_password)
    end
    return concat(parts, "#")
end


local function login(client, conf)
    if (conf.redis_password or "") ~= "" then
        local ok, err
        if conf.redis_username then
            ok, err = client:auth(conf.redis_username, conf.redis_password)
        else
            ok, err = client:auth(conf.redis_password)
        end
        if not ok then
            return nil, err
        end
    end
    if conf.redis_database ~= 0 then
        local ok, err = client:select(conf.redis_database or 0)
        if not ok then
            return false, "failed to change redis db, err: " .. err
        end
    end
    return true
end


--- Connects and logs in.
-- @tparam table conf `redis_host`, `redis_port`, `redis_database`, …
-- @treturn table|nil|false the client
-- @treturn nil|string error
function _M.new(conf)
    local client = redis.new()
    local timeout = conf.redis_timeout or DEFAULT_TIMEOUT_MS
    client:set_timeouts(timeout, timeout, timeout)
    local ok, err = client:connect(conf.redis_host, conf.redis_port or DEFAULT_PORT, {
        ssl = conf.redis_ssl, ssl_verify = conf.redis_ssl_verify, pool = pool_name(conf),
    })
    if not ok then
        return false, err
    end
    local times
    times, err = client:get_reused_times()
    if not times then
        return nil, err
    end
    if times == 0 then
        ok, err = login(client, conf)
        if not ok then
            return ok, err
        end
    end
    return client
end


return _M
