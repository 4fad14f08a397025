-- Digests and texts.
-- original: resty.string
local str = require("resty.string")
case("to_hex", function() return str.to_hex("\0\1\254abc") end)
case("to_hex of nothing", function() return str.to_hex("") end)
case("atoi", function() return str.atoi("128") end)
case("atoi of no number", function() return str.atoi("x1") end)
case("atoi of nothing", function() return str.atoi("") end)
for _, name in ipairs({ "md5", "sha1", "sha224", "sha256", "sha384", "sha512" }) do
    local digest = require("resty." .. name)
    local hash = digest:new()
    case(name .. " update", function() return hash:update("hel"), hash:update("lo") end)
    case(name .. " final", function() return str.to_hex(hash:final()) end)
    case(name .. " reset", function() return hash:reset() end)
    case(name .. " after reset", function()
        return hash:update("world"), str.to_hex(hash:final())
    end)
    case(name .. " of nothing", function() return str.to_hex(digest:new():final()) end)
end
local random = require("resty.random")
case("random has its length", function() return #random.bytes(16) end)
case("strong random has its length", function() return #random.bytes(20, true) end)
case("random of nothing", function() return random.bytes(0) end)
