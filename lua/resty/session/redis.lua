--- Sessions in Redis.
-- @module resty.session.redis
local redis = require("resty.redis")

local null = ngx.null
local setmetatable = setmetatable

local TIMEOUT_MS = 5000

local _M = {}
local mt = { __index = _M }


--- @tparam table config `host`, `port`, `socket`, `username`, `password`, `database`, `prefix`,
--   `suffix`, timeouts and pool settings in milliseconds, `ssl`, `ssl_verify`, `server_name`
function _M.new(config)
    if config.sentinels or config.nodes then
        error("resty.session: redis with sentinels or cluster is not supported by moongate: "
              .. "it keeps sessions on one server", 4)
    end
    return setmetatable({ config = config }, mt)
end


local function open(self)
    local config, client = self.config, redis:new()
    client:set_timeouts(config.connect_timeout or TIMEOUT_MS, config.send_timeout or TIMEOUT_MS,
                        config.read_timeout or TIMEOUT_MS)
    local opts = { ssl = config.ssl, ssl_verify = config.ssl_verify, pool = config.pool,
                   server_name = config.server_name, pool_size = config.pool_size }
    local ok, err
    if config.socket then
        ok, err = client:connect(config.socket, opts)
    else
        ok, err = client:connect(config.host or "127.0.0.1", config.port or 6379, opts)
    end
    if ok and config.password and client:get_reused_times() == 0 then
        if config.username then
            ok, err = client:auth(config.username, config.password)
        else
            ok, err = client:auth(config.password)
        end
    end
    if ok and config.database then
        ok, err = client:select(config.database)
    end
    return ok and client, err
end


local function call(self, command, id, settings, ...)
    local client, err = open(self)
    if not client then
        return nil, err
    end
    local config = self.config
    local key = (config.prefix and config.prefix .. ":" or "") .. settings.cookie_name .. ":" .. id
                .. (config.suffix and ":" .. config.suffix or "")
    local reply
    reply, err = client[command](client, key, ...)
    client:set_keepalive(config.keepalive_timeout or 10000)
    if not reply or reply == null then
        return nil, err
    end
    return reply
end


function _M:get(id, settings)
    return call(self, "get", id, settings)
end


function _M:set(id, value, seconds, settings)
    return call(self, "setex", id, settings, seconds, value)
end


function _M:delete(id, settings, seconds)
    if seconds and seconds > 0 then
        return call(self, "expire", id, settings, seconds)
    end
    return call(self, "del", id, settings)
end


return _M
