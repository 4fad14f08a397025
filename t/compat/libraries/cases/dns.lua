-- Questions to a name server.
-- original: nginx.dns.resolver
-- differs: A 8, the original sends a question that is broken
-- differs: AAAA 8, as above
-- differs: over TCP 8, as above
-- peer: dns
local resolver = lib("resty.dns.resolver", "nginx.dns.resolver")
local function new(opts)
    opts = opts or {}
    opts.nameservers = { { "127.0.0.1", tonumber(ports.dns) } }
    opts.retrans, opts.timeout = opts.retrans or 2, 500
    return resolver:new(opts)
end
local function clean(answers, err)
    for _, answer in ipairs(answers or {}) do
        answer.ttl = type(answer.ttl)
    end
    return answers, (err and err:gsub("[%d.]+:%d+", "ADDRESS"))
end
local function ask(name, opts) return clean(new():query(name, opts)) end
local function ask_tcp(name, opts) return clean(new():tcp_query(name, opts)) end
case("no options", function() return resolver:new() end)
case("no servers", function() return resolver:new({}) end)
case("empty servers", function() return resolver:new({ nameservers = {} }) end)
case("servers as text", function() local servers = { "127.0.0.1" } resolver:new({ nameservers = servers }) return servers end)
for i, name in ipairs({ "a.test", "A.TEST", "a.test.", "c.test", "h.test", "six.test", "none.test", "a..test", ".a.test", "" }) do
    case("A " .. i, function() return ask(name, { qtype = resolver.TYPE_A }) end)
    case("AAAA " .. i, function() return ask(name, { qtype = resolver.TYPE_AAAA }) end)
    case("over TCP " .. i, function() return ask_tcp(name) end)
end
case("without a type", function() return ask("h.test") end)
case("TXT", function() return ask("t.test", { qtype = resolver.TYPE_TXT }) end)
case("TXT of several strings", function() return ask("two.test", { qtype = resolver.TYPE_TXT }) end)
case("MX", function() return ask("m.test", { qtype = resolver.TYPE_MX }) end)
case("SRV", function() return ask("_s._tcp.test", { qtype = resolver.TYPE_SRV }) end)
case("CNAME", function() return ask("c.test", { qtype = resolver.TYPE_CNAME }) end)
case("NS", function() return ask("a.test", { qtype = resolver.TYPE_NS }) end)
case("SOA", function() return ask("a.test", { qtype = resolver.TYPE_SOA }) end)
case("unknown type", function() return ask("raw.test", { qtype = 65280 }) end)
case("additional section", function() return ask("m.test", { qtype = resolver.TYPE_MX, additional_section = true }) end)
case("authority section", function() return ask("h.test", { authority_section = true }) end)
case("reverse_query", function() return clean(new():reverse_query("10.9.9.9")) end)
case("reverse_query of IPv6", function() return clean(new():reverse_query("fd00::9")) end)
case("no_recurse", function() local r = new({ no_recurse = true }) return clean(r:query("h.test")) end)
case("set_timeout", function() return new():set_timeout(100) end)
case("two questions", function() local r = new() local first = clean(r:query("h.test")) return first[1].address, clean(r:query("a.test"))[1].address end)
case("an answer too long for UDP", function() local answers, err = ask("long.test", { qtype = resolver.TYPE_TXT }) return answers and #answers, err end)
for i, address in ipairs({ "ff01:0:0:0:0:0:0:101", "0:0:0:0:0:0:0:0", "0:0:0:0:0:0:0:1", "1:0:0:0:0:0:0:0", "1:2:3:4:5:6:7:8", "1:0:0:4:0:0:7:8", "::", "::1", "1::", "ff01::101", "fe80::1:2" }) do
    case("compress_ipv6_addr " .. i, function() return resolver.compress_ipv6_addr(address) end)
    case("expand_ipv6_addr " .. i, function() return resolver.expand_ipv6_addr(address) end)
    case("arpa_str " .. i, function() return resolver.arpa_str(address) end)
end
case("arpa_str of IPv4", function() return resolver.arpa_str("1.2.3.4") end)
case("nobody answers", function() return clean(resolver:new({ nameservers = { { "127.0.0.1", 1 } }, retrans = 1, timeout = 50 }):query("a.test")) end)
case("nobody answers over TCP", function() return clean(resolver:new({ nameservers = { { "127.0.0.1", 1 } }, timeout = 50 }):tcp_query("a.test")) end)
case("constants", function() return resolver.TYPE_A, resolver.TYPE_NS, resolver.TYPE_CNAME, resolver.TYPE_SOA, resolver.TYPE_PTR, resolver.TYPE_MX, resolver.TYPE_TXT, resolver.TYPE_AAAA, resolver.TYPE_SRV, resolver.TYPE_SPF, resolver.CLASS_IN, resolver.SECTION_AN, resolver.SECTION_NS, resolver.SECTION_AR end)
