-- HMACs of texts given in parts.
-- original: resty.hmac
local hmac = require("resty.hmac")
local str = require("resty.string")
for _, name in ipairs({ "MD5", "SHA1", "SHA256", "SHA512" }) do
    local algorithm = hmac.ALGOS[name]
    case(name .. " in one", function() return str.to_hex(hmac:new("key", algorithm):final("what do ya want for nothing?")) end)
    case(name .. " as digits", function() return hmac:new("key", algorithm):final("abc", true) end)
    local h = hmac:new(("k"):rep(200), algorithm)
    case(name .. " update", function() return h:update("a"), h:update("bc") end)
    case(name .. " final", function() return h:final(nil, true) end)
    case(name .. " reset", function() return h:reset() end)
    case(name .. " after reset", function() return h:update("a"), h:final("bc", true) end)
end
case("of nothing", function() return hmac:new("key", hmac.ALGOS.SHA256):final("", true) end)
case("empty key", function() return hmac:new("", hmac.ALGOS.SHA256):final("x", true) end)
case("zeros", function() return hmac:new("a\0b", hmac.ALGOS.SHA1):final("x\0y", true) end)
case("by default", function() return hmac:new("key"):final("abc", true) end)
