-- lua-nginx-string, as Debian has it, in moongate: it calls nginx and OpenSSL by ffi.C.
-- original: nginx.string
-- guest: nginx/string.lua nginx/md5.lua nginx/sha.lua nginx/sha1.lua nginx/sha224.lua nginx/sha256.lua nginx/sha384.lua nginx/sha512.lua nginx/random.lua nginx/aes.lua
-- only: guest
-- fresh: what it declares for the FFI others declare otherwise
local str = require("nginx.string")
case("to_hex", function() return str.to_hex("\0\1\254abc"), str.to_hex("") end)
case("atoi", function() return str.atoi("128"), str.atoi("x"), str.atoi(""), str.atoi("99999999999999999999") end)
for _, name in ipairs({ "md5", "sha1", "sha224", "sha256", "sha384", "sha512" }) do
    case(name, function()
        local hash = require("nginx." .. name):new()
        local first = hash:update("hel")
        hash:update("lo")
        local sum = str.to_hex(hash:final())
        return first, sum, hash:reset(), hash:update("x"), str.to_hex(hash:final())
    end)
end
case("random", function() local random = require("nginx.random") return #random.bytes(16), #random.bytes(20, true), random.bytes(8, true) ~= random.bytes(8, true) end)
local aes = require("nginx.aes")
for i, cipher in ipairs({ aes.cipher(), aes.cipher(192, "cbc"), aes.cipher(256, "cbc"), aes.cipher(128, "ecb") }) do
    case("aes " .. i, function()
        local sealer = aes:new("a key", nil, cipher, aes.hash.md5, 3)
        local sealed = sealer:encrypt("hello")
        return str.to_hex(sealed), sealer:decrypt(sealed)
    end)
end
case("aes with a salt", function() local sealer = aes:new("a key", "saltsalt", aes.cipher(256, "cbc"), aes.hash.sha512, 5) return str.to_hex(sealer:encrypt("hello")) end)
case("aes with key and iv", function() local sealer = aes:new(("k"):rep(32), nil, aes.cipher(256, "cbc"), { iv = ("i"):rep(16) }) return str.to_hex(sealer:encrypt("hello")) end)
case("aes with a wrong salt", function() return aes:new("k", "x") end)
case("aes of nonsense", function() return aes:new("k", nil, aes.cipher(256, "cbc")):decrypt("nonsense") end)
