-- Filters and messages of LDAP.
-- original: resty.ldap.filter
-- differs: compile 16, the original reads no further than the first bracket
-- differs: compile 17, the original takes an empty name
local filter = require("resty.ldap.filter")
local protocol = require("resty.ldap.protocol")
local hex = require("resty.string").to_hex
for i, text in ipairs({ "(cn=a)", "(&(objectClass=person)(cn=ann))", "(|(a=1)(b=2))", "(!(a=1))", "(cn=*)", "(cn=a*b*c)", "(cn=*b)",
                        "(n>=5)", "(n<=5)", "(n~=5)", "(cn=\\28x\\29)", "", "cn=a", "(cn=a", "(&)", "(cn=a))", "(=a)", "(cn=a\255b)" }) do
    case("compile " .. i, function() return (filter.compile(text)) ~= nil end)
end
case("escape", function() return filter.escape("a*(b)\\\0=<>~é") end)
case("escape of no text", function() return filter.escape(nil) end)
-- The number of the message is left out: it counts up.
local function bytes(text) return (hex(text):gsub("^(30%x%x0201)%x%x", "%1--")) end
case("bind", function() return bytes(protocol.simple_bind_request("cn=a", "secret")) end)
case("anonymous bind", function() return bytes(protocol.simple_bind_request("", "")) end)
case("start_tls", function() return bytes(protocol.start_tls_request()) end)
for i, text in ipairs({ "(cn=a)", "(&(objectClass=person)(cn=ann))", "(|(a=1)(b=2))", "(!(a=1))", "(cn=*)", "(n>=5)", "(cn=\\28x\\29)", "(cn=a*b*c)" }) do
    case("search " .. i, function()
        return bytes(protocol.search_request("dc=x", 2, 3, 2, 0, false, text, { "objectClass" }))
    end)
end
case("messages", function() return protocol.ERROR_MSG end)
