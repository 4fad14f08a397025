--- `apisix.utils.rediscluster`: a `resty.rediscluster` client for the fields of `redis-schema`.
-- @module apisix.utils.rediscluster
local core = require("apisix.core")
local rediscluster = require("resty.rediscluster")

local ipairs = ipairs

local _M = { version = 0.1 }


--- A client of the cluster.
-- @tparam table conf `redis_cluster_name`, `redis_cluster_nodes`, …
-- @tparam string dict_name kept for the original's signature; no lock is needed here
-- @treturn table|nil
-- @treturn nil|string error
function _M.new(conf, dict_name)
    local servers = {}
    for i, address in ipairs(conf.redis_cluster_nodes) do
        local host, port, err = core.utils.parse_addr(address)
        if err then
            return nil, "failed to parse address: " .. address .. " err: " .. err
        end
        servers[i] = { ip = host, port = port }
    end
    local client, err = rediscluster:new({
        name = conf.redis_cluster_name,
        serv_list = servers,
        keepalive_timeout = conf.redis_keepalive_timeout,
        keepalive_cons = conf.redis_keepalive_pool,
        connect_timeout = conf.redis_timeout,
        read_timeout = conf.redis_timeout,
        send_timeout = conf.redis_timeout,
        auth = conf.redis_password,
        dict_name = dict_name,
        connect_opts = { ssl = conf.redis_cluster_ssl, ssl_verify = conf.redis_cluster_ssl_verify },
    })
    if not client then
        return nil, "failed to new redis cluster: " .. err
    end
    return client
end


return _M
