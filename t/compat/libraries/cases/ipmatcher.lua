-- Addresses in lists of networks.
-- differs: new of a wrong mask, the original keeps a list that matches nothing
-- differs: new of no text, the original raises
-- original: resty.ipmatcher
local ipmatcher = require("resty.ipmatcher")
local four = ipmatcher.new({ "127.0.0.1", "192.168.0.0/16", "10.1.2.3/8" })
case("new of a wrong address", function() return ipmatcher.new({ "127.0.0.ffff" }) end)
case("new of a wrong mask", function() return ipmatcher.new({ "127.0.0.1/33" }) end)
case("new of no text", function() return ipmatcher.new({ 1 }) end)
for _, ip in ipairs({ "127.0.0.1", "127.0.0.2", "192.168.255.1", "10.9.9.9", "11.0.0.1", "::1" }) do
    case("match " .. ip, function() return four:match(ip) end)
end
case("match of no address", function() return four:match("127.0.0.ffff") end)
case("match of nothing", function() return four:match("") end)
local six = ipmatcher.new({ "::1", "fe80::/32", "2001:db8::/48" })
for _, ip in ipairs({ "::1", "::2", "fe80:0:1::2", "2001:db8:0:5::1", "2001:db9::", "127.0.0.1" }) do
    case("match " .. ip .. " in IPv6", function() return six:match(ip) end)
end
local named = ipmatcher.new_with_value({ ["127.0.0.1"] = "home", ["10.0.0.0/8"] = { id = 1 } })
case("value of one address", function() return named:match("127.0.0.1") end)
case("value of a network", function() return named:match("10.3.4.5") end)
case("value of no match", function() return named:match("9.3.4.5") end)
case("match_bin", function() return four:match_bin("\127\0\0\1") end)
case("match_bin of a wrong length", function() return four:match_bin("\127\0\0") end)
case("parse_ipv4", function() return ipmatcher.parse_ipv4("1.2.3.4") end)
case("parse_ipv4 of no address", function() return ipmatcher.parse_ipv4("1.2.3") end)
case("parse_ipv6", function() return ipmatcher.parse_ipv6("::ffff") end)
case("parse_ipv6 in brackets", function() return ipmatcher.parse_ipv6("[::1]") end)
case("parse_ipv6 of no address", function() return ipmatcher.parse_ipv6("::ffff::") end)
