-- Names to addresses, with a cache, hosts and search domains.
-- original: resty.dns.client
-- peer: dns
local client, utils = require("resty.dns.client"), require("resty.dns.utils")
local hosts = { "127.0.0.1 localhost", "10.5.5.5 file.test file2 # x", "fd00::5 file.test six.file", "# 1.1.1.1 no", "nonsense", "10.5.5.6 file.test" }
local conf = { "search lan.test other.test", "options ndots:1 timeout:1 attempts:2 rotate nonsense" }
local function init(more)
    local opts = { hosts = hosts, resolvConf = conf, nameservers = { { "127.0.0.1", tonumber(ports.dns) } }, timeout = 500, retrans = 1 }
    for key, value in pairs(more or {}) do opts[key] = value end
    return client.init(opts)
end
local function clean(records, err)
    local list = {}
    for i, record in ipairs(records or {}) do
        list[i] = { record.name, record.type, record.address or record.cname or record.target or record.txt, record.port }
    end
    return records and list, err
end
case("parseHosts", function() return utils.parseHosts(hosts) end)
case("parseHosts of no file", function() return (utils.parseHosts("/none/such")) end)
for i, lines in ipairs({ conf, {}, { "nameserver 1.1.1.1", "nameserver 2.2.2.2", "nameserver ::1", "nameserver 4.4.4.4" }, { "domain A.B", "search x y" }, { "search x y", "domain a.b" }, { "search 1 2 3 4 5 6 7 8" }, { "options ndots:15", "options timeout:x", "options debug", "options ip6-dotint", "options no-ip6-dotint" }, { "sortlist 1.2.3.4/8 5.6.7.8" }, { "; comment", "# another", "nameserver 1.2.3.4 # there" } }) do
    case("parseResolvConf " .. i, function() return utils.parseResolvConf(lines) end)
end
case("applyEnv", function() return utils.applyEnv({ search = { "a" } }), utils.applyEnv(nil, "wrong") end)
for i, name in ipairs({ "a.b", "a.b:80", "1.2.3.4", "1.2.3.4:53", "::1", "[::1]", "[::1]:53", "localhost", "a:b:c" }) do
    case("parseHostname " .. i, function() return utils.parseHostname(name) end)
    case("hostnameType " .. i, function() return utils.hostnameType(name) end)
end
case("getHosts", function() return type(utils.getHosts(1)), type(select(2, utils.getHosts())) end)
case("getResolv", function() return type(utils.getResolv(1)), type(utils.getResolv()) end)
case("init", function() return init() end)
case("a wrong order", function() return (pcall(init, { order = { "TXT" } })) end)
case("an empty order", function() return (pcall(init, { order = {} })) end)
init()
for i, name in ipairs({ "a.test", "A.test", "a.test.", "h.test", "c.test", "none.test", "file.test", "file2", "localhost", "1.2.3.4", "::1", "[fd00::1]", "1:2:3", "short" }) do
    case("resolve " .. i, function() return clean(client.resolve(name)) end)
    case("resolve A " .. i, function() return clean(client.resolve(name, { qtype = client.TYPE_A })) end)
    case("resolve AAAA " .. i, function() return clean(client.resolve(name, { qtype = client.TYPE_AAAA })) end)
    case("toip " .. i, function() local address, port = client.toip(name, 80) return address, port end)
    case("cached only " .. i, function() return clean(client.resolve(name, nil, true)) end)
end
case("cached only, unknown", function() return clean(client.resolve("unknown.test", { qtype = client.TYPE_A }, true)) end)
case("TXT", function() return clean(client.resolve("t.test", { qtype = client.TYPE_TXT })) end)
case("SRV", function() return clean(client.resolve("_s._tcp.test", { qtype = client.TYPE_SRV })) end)
case("SRV to an address", function() local address, port = client.toip("_s._tcp.test", 1) return address, port end)
case("CNAME", function() return clean(client.resolve("c.test", { qtype = client.TYPE_CNAME })) end)
case("several addresses in turn", function()
    local seen = {}
    for i = 1, 4 do seen[i] = client.toip("many.test", 1) end
    return seen[1] ~= seen[2], seen[1] == seen[3], seen[2] == seen[4]
end)
case("the same table from the cache", function() return client.resolve("h.test", { qtype = client.TYPE_A }) == client.resolve("h.test", { qtype = client.TYPE_A }) end)
case("validTtl", function() init({ validTtl = 7 }) local records = client.resolve("h.test", { qtype = client.TYPE_A }) return records[1].ttl, records.ttl end)
case("order", function() init({ order = { "AAAA", "A" } }) return clean(client.resolve("file.test")) end)
case("search", function() init({ search = { "test" } }) return clean(client.resolve("h", { qtype = client.TYPE_A })) end)
case("ndots", function() init({ search = { "test" }, ndots = 3 }) return clean(client.resolve("h", { qtype = client.TYPE_A })) end)
case("noSynchronisation", function() init({ noSynchronisation = true }) return clean(client.resolve("h.test", { qtype = client.TYPE_A })) end)
case("nobody answers", function() init({ nameservers = { { "127.0.0.1", 1 } }, timeout = 50 }) return (client.resolve("h.test", { qtype = client.TYPE_A })) end)
case("what was tried", function() init() local _, _, tries = client.resolve("none.test", { qtype = client.TYPE_A }) return type(tostring(tries)), #tries > 0 end)
case("connect", function() init() local sock = ngx.socket.tcp() local ok, err = client.connect(sock, "none.test", 80) return ok, err:match("^[^.]*%. Tried") end)
case("connect to a name", function() init({ hosts = { "127.0.0.1 peer.test" } }) local sock = ngx.socket.tcp() return client.connect(sock, "peer.test", tonumber(ports.dns)) end)
case("constants", function() return client.TYPE_LAST, client.TYPE_A, client.TYPE_SRV, client.TYPE_AAAA end)
