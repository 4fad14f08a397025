-- lua-nginx-redis-connector, as Debian has it, in moongate.
-- original: nginx.redis.connector
-- guest: nginx/redis nginx/redis.lua
-- only: guest
-- peer: redis
package.preload["resty.redis"] = package.preload["resty.redis"] or (side ~= "ours" and function() return require("nginx.redis") end) or nil
package.preload["resty.redis.sentinel"] = package.preload["resty.redis.sentinel"] or function() return require("nginx.redis.sentinel") end
local connector = require("nginx.redis.connector")
local port = tonumber(ports.redis)
local function get(client) return client and client:set("k", "v"), client and client:get("k") end
case("by host", function() return get(connector.new():connect({ host = "127.0.0.1", port = port })) end)
case("by url", function() return get(connector.new():connect({ url = "redis://127.0.0.1:" .. port .. "/3" })) end)
case("refused", function() local client, err = connector.new():connect({ host = "127.0.0.1", port = 1 }) return client, err end)
case("with a db", function() return get(connector.new():connect({ host = "127.0.0.1", port = port, db = 2 })) end)
case("wrong password", function() local client, err = connector.new():connect({ host = "127.0.0.1", port = port, password = "x" }) return client, err ~= nil end)
case("try_hosts", function() return get(connector.new():try_hosts({ { host = "127.0.0.1", port = 1 }, { host = "127.0.0.1", port = port } })) end)
