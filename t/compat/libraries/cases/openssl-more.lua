-- The rest of resty.openssl: kinds, parts and errors.
-- original: resty.openssl.pkey
local pkey, digest, mac, hmac, cipher, bn = require("resty.openssl.pkey"), require("resty.openssl.digest"), require("resty.openssl.mac"), require("resty.openssl.hmac"), require("resty.openssl.cipher"), require("resty.openssl.bn")
local keys = require("keys")
local hex = require("resty.string").to_hex
local made = { pkey = pkey.new(keys.rsa8), digest = digest.new("sha256"), mac = mac.new("k", "HMAC", nil, "sha256"), cipher = cipher.new("aes-128-cbc"), bn = bn.new(5) }
for name, class in pairs({ pkey = pkey, digest = digest, mac = mac, cipher = cipher, bn = bn }) do
    for other, object in pairs(made) do
        case(name .. ".istype of " .. other, function() return class.istype(object) and true or false end)
    end
end
case("hmac.istype", function() return hmac.istype(hmac.new("k")) and true or false, hmac.istype({}) and true or false end)
case("provider", function() return made.pkey:get_provider_name(), made.digest:get_provider_name(), made.mac:get_provider_name(), made.cipher:get_provider_name() end)
case("digest in parts", function() local d = digest.new("sha1") d:update("a", "b") d:update("c") return hex(d:final()) end)
case("digest reset", function() local d = digest.new("sha1") d:update("x") return d:reset(), hex(d:final("abc")) end)
case("digest final twice", function() local d = digest.new("sha256") return hex(d:final("a")) end)
case("mac in parts and reset", function() local m = mac.new("k", "HMAC", nil, "sha1") m:update("a", "b") local first = hex(m:final("c")) return first, m:reset(), hex(m:final("abc")) end)
case("mac of a wrong digest", function() return (mac.new("k", "HMAC", nil, "sha999")) end)
for _, name in ipairs({ "aes-128-cbc", "aes-256-cbc", "aes-128-ctr", "aes-192-cbc", "aes-128-ecb" }) do
    case("cipher in parts " .. name, function()
        local c = cipher.new(name)
        local key = ("k"):rep(c.key_size)
        local iv = c.iv_size > 0 and ("i"):rep(c.iv_size) or nil
        local ok, err = c:init(key, iv, { is_encrypt = true })
        local sealed = c:update("hello ", "world") .. c:final("!")
        local d = cipher.new(name)
        d:init(key, iv)
        return ok, err, hex(sealed), d:update(sealed) .. d:final(), c.key_size, c.iv_size, c.block_size
    end)
    case("without padding " .. name, function() local c = cipher.new(name) local sealed = c:encrypt(("k"):rep(c.key_size), c.iv_size > 0 and ("i"):rep(c.iv_size) or nil, ("x"):rep(32), true) return hex(sealed) end)
end
case("aead in parts", function()
    local c = cipher.new("aes-256-gcm")
    c:init(("k"):rep(32), ("i"):rep(12), { is_encrypt = true })
    local ok = c:update_aead_aad("aad")
    local sealed = c:update("hello") .. c:final()
    local tag = c:get_aead_tag()
    local d = cipher.new("aes-256-gcm")
    d:init(("k"):rep(32), ("i"):rep(12))
    d:update_aead_aad("aad")
    local set = d:set_aead_tag(tag)
    return ok, hex(sealed), hex(tag), set, d:update(sealed) .. d:final()
end)
case("aead with a wrong tag", function() local d = cipher.new("aes-256-gcm") d:init(("k"):rep(32), ("i"):rep(12)) d:set_aead_tag(("t"):rep(16)) d:update("hello") return (d:final()) end)
case("update before init", function() return (cipher.new("aes-128-cbc"):update("x")) end)
case("final before init", function() return (cipher.new("aes-128-cbc"):final("x")) end)
case("wrong sizes", function() local c = cipher.new("aes-128-cbc") return (c:init("short", ("i"):rep(16))), (c:init(("k"):rep(16), "short")) end)
case("decrypt of nonsense", function() return (cipher.new("aes-128-cbc"):decrypt(("k"):rep(16), ("i"):rep(16), "nonsense")) end)
for i, text in ipairs({ "1", "2", "255", "256", "65537", "340282366920938463463374607431768211456" }) do
    case("bn " .. i, function() local n = bn.from_dec(text) return n:to_hex(), n:to_dec(), hex(n:to_binary()), n:is_zero(), n:is_one(), n:is_odd(), n:is_word(255) end)
    case("bn and back " .. i, function() local n = bn.from_dec(text) return bn.from_hex(n:to_hex()):to_dec(), (side == "ours" and n:dup() or n):to_dec() end)
    case("bn from binary " .. i, function() return bn.from_binary(bn.from_dec(text):to_binary()):to_dec() end)
end
case("bn compared", function() local a, b = bn.new(5), bn.new(7) return a < b, a <= b, a > b, a == bn.new(5), a ~= b end)
case("bn of nonsense", function() return (bn.from_hex("xyz")), (bn.from_dec("xyz")) end)
case("pkey size", function() return made.pkey:get_size(), pkey.new(keys["prime256v1.8"]):get_size() end)
case("pkey digest type", function() return made.pkey:get_default_digest_type() end)
case("jwk", function() local jwk = require("resty.openssl.auxiliary.jwk") return type(jwk.load_jwk), type(jwk.dump_jwk) end)
