-- Connections to Redis by settings: ours, and lua-nginx-redis-connector of Debian in moongate.
-- original: nginx.redis.connector
-- guest: nginx/redis nginx/redis.lua
-- differs: parse_dsn 1, later versions than Debian's have numbers, users, and give back the table
-- differs: parse_dsn 2, as above
-- differs: parse_dsn 4, as above
-- differs: parse_dsn 5, as above
-- peer: redis
if side ~= "ours" then
    package.preload["resty.redis"] = package.preload["resty.redis"] or function() return require("nginx.redis") end
    package.preload["resty.redis.sentinel"] = package.preload["resty.redis.sentinel"] or function() return require("nginx.redis.sentinel") end
end
local connector = lib("resty.redis.connector", "nginx.redis.connector")
local port = tonumber(ports.redis)
local function get(client) return client and client:set("k", "v"), client and client:get("k") end
case("by host", function() return get(connector.new():connect({ host = "127.0.0.1", port = port })) end)
case("by url", function() return get(connector.new():connect({ url = "redis://127.0.0.1:" .. port .. "/3" })) end)
case("refused", function() local client, err = connector.new():connect({ host = "127.0.0.1", port = 1 }) return client, err end)
case("with a db", function() return get(connector.new():connect({ host = "127.0.0.1", port = port, db = 2 })) end)
case("wrong password", function() local client, err = connector.new():connect({ host = "127.0.0.1", port = port, password = "x" }) return not client, err ~= nil end)
case("try_hosts", function() return get(connector.new():try_hosts({ { host = "127.0.0.1", port = 1 }, { host = "127.0.0.1", port = port } })) end)
case("connect_to_host", function() return get(connector.new():connect_to_host({ host = "127.0.0.1", port = port })) end)
case("connect_to_host of nobody", function() local client, err = connector.new():connect_to_host({ host = "127.0.0.1", port = 1 }) return client, err end)
for i, url in ipairs({ "redis://h:1/2", "redis://pw@h:1", "redis://h", "sentinel://main:m/3", "sentinel://pw@main:s", "nonsense", "" }) do
    case("parse_dsn " .. i, function() local params = { url = url } local ok, err = connector.parse_dsn(params) return ok, err, params end)
end
case("set_keepalive", function() local rc = connector.new({ keepalive_timeout = 1000, keepalive_poolsize = 2 }) local client = rc:connect({ host = "127.0.0.1", port = port }) return rc:set_keepalive(client) end)
case("connect with nothing right", function() local client, err = connector.new():connect({ url = "nonsense" }) return client, err ~= nil end)
case("new with a wrong field", function() return (pcall(connector.new, { no_such_field = 1 })) end)
case("no hosts", function() local client = connector.new():try_hosts({}) return client end)
