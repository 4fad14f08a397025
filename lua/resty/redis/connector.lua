--- `resty.redis.connector`: connects `resty.redis` by host, unix path, URL, or through Sentinel.
-- @module resty.redis.connector
local redis = require("resty.redis")
local sentinel = require("resty.redis.sentinel")

local error = error
local ipairs = ipairs
local match = string.match
local pairs = pairs
local setmetatable = setmetatable
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type

local DEFAULTS = {
    connect_timeout = 100,
    read_timeout = 1000,
    send_timeout = 1000,
    connection_options = {},
    keepalive_timeout = 60000,
    keepalive_poolsize = 30,
    host = "127.0.0.1",
    port = 6379,
    path = "",
    username = "",
    password = "",
    sentinel_username = "",
    sentinel_password = "",
    db = 0,
    url = "",
    master_name = "mymaster",
    role = "master",
    sentinels = {},
    connection_is_proxied = false,
    disabled_commands = {},
}

local _M = { _VERSION = "0.13.0" }
local mt = { __index = _M }


-- Fields of both; only names that are known, as a wrong one is a mistake of the caller.
local function merge(base, fields)
    local merged = {}
    for name, value in pairs(base) do
        merged[name] = value
    end
    for name, value in pairs(fields or {}) do
        if DEFAULTS[name] == nil then
            return nil, "field " .. tostring(name) .. " does not exist"
        end
        merged[name] = value
    end
    return merged
end


--- A connector.
-- @tparam[opt] table config what differs from the defaults
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(config)
    local merged, err = merge(DEFAULTS, config)
    if not merged then
        return nil, err
    end
    return setmetatable({ config = merged }, mt)
end


-- "redis://[user:password@]host:port/db" or "sentinel://[password@]name:role/db", where `role`
-- is m, s or a (any).
local function read_url(params)
    local scheme, rest = match(params.url, "^(%a+)://(.*)$")
    if scheme ~= "redis" and scheme ~= "sentinel" and scheme ~= "rediss" then
        return nil, "could not parse DSN: nil"
    end
    local user, address = match(rest, "^(.*)@([^@]*)$")
    if user then
        local name, password = match(user, "^([^:]*):(.*)$")
        params.username = name or ""
        params.password = password or user
    else
        address = rest
    end
    local first, second, db = match(address, "^([^:/]+):([^:/]+)/?(%d*)$")
    if not first then
        return nil, "could not parse DSN: nil"
    end
    if db ~= "" then
        params.db = tonumber(db)
    end
    if scheme == "sentinel" then
        params.master_name = first
        params.role = ({ m = "master", s = "slave", a = "any" })[second]
        if not params.role then
            return nil, "could not parse DSN: nil"
        end
    else
        params.host, params.port = first, tonumber(second)
    end
    return params
end


--- Adds what a URL says to settings that have one.
-- @treturn table|nil
-- @treturn nil|string error
function _M.parse_dsn(params)
    if params.url and params.url ~= "" then
        return read_url(params)
    end
end


local function try(params, host)
    local client = redis:new()
    client:set_timeouts(params.connect_timeout, params.send_timeout, params.read_timeout)
    local ok, err
    local path = host.path
    if path and path ~= "" then
        path = sub(path, 1, 5) == "unix:" and path or "unix:" .. path
        ok, err = client:connect(path, params.connection_options)
    else
        ok, err = client:connect(host.host, host.port, params.connection_options)
    end
    if not ok then
        return nil, err
    end
    local username, password = host.username, host.password
    if password and password ~= "" and client:get_reused_times() == 0 then
        if username and username ~= "" then
            ok, err = client:auth(username, password)
        else
            ok, err = client:auth(password)
        end
        if not ok then
            return nil, err
        end
    end
    if not params.connection_is_proxied and host.db and host.db ~= 0 then
        ok, err = client:select(host.db)
        if not ok then
            return nil, err
        end
    end
    return client
end


-- A client that refuses what is disabled.
local function guarded(params, client)
    if #params.disabled_commands == 0 then
        return client
    end
    for _, name in ipairs(params.disabled_commands) do
        client[name] = function()
            return nil, "Command " .. name .. " is disabled"
        end
    end
    return client
end


--- Connects to one address.
-- @tparam table host `host` and `port`, or `path`; `username`, `password`, `db`
-- @treturn table|nil a `resty.redis` client
-- @treturn nil|string error
function _M:connect_to_host(host)
    local client, err = try(self.config, host)
    if not client then
        return nil, err
    end
    return guarded(self.config, client)
end


--- Connects to the first of a list that answers.
-- @treturn table|nil
-- @treturn nil|string error of the last
-- @treturn table errors of those before
function _M:try_hosts(hosts)
    local errors = {}
    for i, host in ipairs(hosts) do
        local client, err = self:connect_to_host(host)
        errors[i] = err
        if client and not err then
            return client, nil, errors
        end
    end
    return nil, "no hosts available", errors
end


local function with_login(params, address)
    return {
        host = address.host, port = address.port, db = params.db,
        username = params.username, password = params.password,
    }
end


--- Connects to the master or a replica that Sentinel names.
-- @tparam table params the whole configuration
function _M:connect_via_sentinel(params)
    local list = {}
    for i, entry in ipairs(params.sentinels) do
        if type(entry) == "string" then
            local host, port = match(entry, "^(.*):(%d+)$")
            entry = { host = host or entry, port = tonumber(port) or 26379 }
        end
        list[i] = {
            host = entry.host, port = entry.port,
            username = params.sentinel_username, password = params.sentinel_password,
        }
    end
    local watcher, err, errors = self:try_hosts(list)
    if not watcher then
        return nil, err, errors
    end

    local targets = {}
    if params.role == "master" or params.role == "any" then
        local master
        master, err = sentinel.get_master(watcher, params.master_name)
        if master then
            targets[1] = with_login(params, master)
        elseif params.role == "master" then
            return nil, err
        end
    end
    if params.role ~= "master" then
        local replicas
        replicas, err = sentinel.get_slaves(watcher, params.master_name)
        if not replicas and #targets == 0 then
            return nil, err
        end
        for _, replica in ipairs(replicas or {}) do
            targets[#targets + 1] = with_login(params, replica)
        end
    end
    watcher:set_keepalive(params.keepalive_timeout, params.keepalive_poolsize)
    if #targets == 0 then
        return nil, "no hosts available"
    end
    return self:try_hosts(targets)
end


--- Connects.
-- @tparam[opt] table params what differs from the connector's configuration
-- @treturn table|nil a `resty.redis` client
-- @treturn nil|string error
-- @treturn nil|table errors of the addresses that were tried before
function _M:connect(params)
    local merged, err = merge(self.config, params)
    if not merged then
        return nil, err
    end
    if merged.url ~= "" then
        merged, err = read_url(merged)
        if not merged then
            return nil, err
        end
    end
    local one = setmetatable({ config = merged }, mt)
    if #merged.sentinels > 0 then
        return one:connect_via_sentinel(merged)
    end
    return one:connect_to_host(merged)
end


--- Gives a client to the pool, with the configured time and size.
function _M:set_keepalive(client)
    if client == nil then
        error("bad argument #1 to 'set_keepalive' (redis client expected)", 2)
    end
    return client:set_keepalive(self.config.keepalive_timeout, self.config.keepalive_poolsize)
end


return _M
