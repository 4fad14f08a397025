-- lua-nginx-dns, as Debian has it, in moongate.
-- original: nginx.dns.resolver
-- guest: nginx/dns/resolver.lua
-- only: guest
-- peer: dns
local resolver = require("nginx.dns.resolver")
local function new(opts)
    opts = opts or {}
    opts.nameservers = { { "127.0.0.1", tonumber(ports.dns) } }
    opts.retrans, opts.timeout = 2, 500
    return resolver:new(opts)
end
local function ask(name, opts, tcp)
    local r = new()
    local answers, err = (tcp and r.tcp_query or r.query)(r, name, opts)
    for _, answer in ipairs(answers or {}) do
        answer.ttl = nil
    end
    return answers, err
end
case("no servers", function() return resolver:new({}) end)
case("address", function() return ask("a.test") end)
case("AAAA", function() return ask("six.test", { qtype = resolver.TYPE_AAAA }) end)
case("host", function() return ask("h.test", { qtype = resolver.TYPE_A }) end)
case("TXT", function() return ask("t.test", { qtype = resolver.TYPE_TXT }) end)
case("MX", function() return ask("m.test", { qtype = resolver.TYPE_MX }) end)
case("SRV", function() return ask("_s._tcp.test", { qtype = resolver.TYPE_SRV }) end)
case("no such name", function() return ask("none.test") end)
case("over TCP", function() return ask("a.test", { qtype = resolver.TYPE_A }, true) end)
case("a bad name", function() return ask("a..test") end)
case("compress_ipv6_addr", function() return resolver.compress_ipv6_addr("ff01:0:0:0:0:0:0:101") end)
case("expand_ipv6_addr", function() return resolver.expand_ipv6_addr("ff01::101") end)
case("nobody answers", function()
    local r = resolver:new({ nameservers = { { "127.0.0.1", 1 } }, retrans = 1, timeout = 50 })
    local answers, err = r:query("a.test")
    return answers, (tostring(err):gsub("%S*[%d.]+:%d+", "ADDRESS"))
end)
