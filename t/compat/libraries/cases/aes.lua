-- AES of resty.string.
-- original: resty.aes
-- differs: a short IV, the original reads what lies behind it in memory
-- differs: no such cipher, the original raises for a wrong size
local aes = require("resty.aes")
local hex = require("resty.string").to_hex
for _, size in ipairs({ 128, 192, 256 }) do
    for _, mode in ipairs({ "ecb", "cbc", "ctr", "cfb128", "cfb8", "cfb1", "ofb" }) do
        case(mode .. " " .. size, function()
            local made = aes:new("secret", "saltsalt", aes.cipher(size, mode), aes.hash.sha256, 3)
            local sealed = made:encrypt("hello world")
            return hex(sealed), made:decrypt(sealed)
        end)
    end
end
case("by default", function() local a = aes:new("key") return hex(a:encrypt("x")), a:decrypt(a:encrypt("x")) end)
case("gcm", function()
    local a = aes:new(("k"):rep(32), nil, aes.cipher(256, "gcm"), { iv = ("i"):rep(12) })
    local sealed = a:encrypt("hello")
    return hex(sealed[1]), hex(sealed[2]), a:decrypt(sealed[1], sealed[2])
end)
case("gcm with a wrong tag", function()
    local a = aes:new(("k"):rep(32), nil, aes.cipher(256, "gcm"), { iv = ("i"):rep(12) })
    return (a:decrypt("abc", ("t"):rep(16)))
end)
case("key and IV", function()
    local a = aes:new(("k"):rep(16), nil, aes.cipher(128, "cbc"), { iv = ("i"):rep(16) })
    return hex(a:encrypt("hello")), a:decrypt(a:encrypt("hello"))
end)
case("no IV", function() return aes:new(("k"):rep(16), nil, aes.cipher(128, "cbc"), {}) end)
case("a short IV", function() return aes:new(("k"):rep(16), nil, aes.cipher(128, "cbc"), { iv = "x" }) end)
case("a short key", function() return aes:new("k", nil, aes.cipher(128, "cbc"), { iv = ("i"):rep(16) }) end)
case("a short salt", function() return aes:new("k", "s") end)
case("no such cipher", function() return aes.cipher(100, "cbc"), aes.cipher(128, "xyz") end)
case("decrypt of nonsense", function() return (aes:new("key"):decrypt("nonsense")) end)
case("no padding", function()
    local a = aes:new(("k"):rep(16), nil, aes.cipher(128, "cbc"), { iv = ("i"):rep(16) }, nil, nil, false)
    return hex(a:encrypt(("x"):rep(16)))
end)
