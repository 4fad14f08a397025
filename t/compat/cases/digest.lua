-- Digests, checksums, base64.
local say, try = ...

local function hex(bytes)
    return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

return {
    ["md5"] = function()
        say(ngx.md5("hello"), ngx.md5(""), ngx.md5(("x"):rep(100000)))
        say(ngx.md5(56), ngx.md5(1.5))
    end,
    ["md5: other values"] = function()
        say(try(ngx.md5, nil))
        say(try(ngx.md5, true))
        say(try(ngx.md5))
    end,
    ["md5_bin"] = function()
        say(hex(ngx.md5_bin("hello")), #ngx.md5_bin(""), hex(ngx.md5_bin(45)))
        say(try(ngx.md5_bin, nil))
        say(try(ngx.md5_bin, false))
    end,
    ["sha1_bin"] = function()
        say(hex(ngx.sha1_bin("hello")), #ngx.sha1_bin(""), hex(ngx.sha1_bin(45)))
        say(try(ngx.sha1_bin, nil))
        say(try(ngx.sha1_bin, true))
    end,
    ["hmac_sha1"] = function()
        say(hex(ngx.hmac_sha1("key", "text")), hex(ngx.hmac_sha1("", "")))
        say(hex(ngx.hmac_sha1(("k"):rep(200), "text")), hex(ngx.hmac_sha1("k", ("t"):rep(9999))))
    end,
    ["hmac_sha1: other values"] = function()
        say(try(function() return hex(ngx.hmac_sha1("k", 12)) end))
        say(try(function() return hex(ngx.hmac_sha1(12, "k")) end))
        say(try(ngx.hmac_sha1, "k"))
        say(try(ngx.hmac_sha1, nil, "x"))
    end,
    ["crc32_short"] = function()
        say(ngx.crc32_short("hello"), ngx.crc32_short(""), ngx.crc32_short("\255\0"))
        say(ngx.crc32_short(3.14))
        say(try(ngx.crc32_short, nil))
    end,
    ["crc32_long"] = function()
        say(ngx.crc32_long("hello"), ngx.crc32_long(""), ngx.crc32_long(("ab"):rep(5000)))
        say(ngx.crc32_long(3.14))
        say(try(ngx.crc32_long, nil))
    end,
    ["encode_base64"] = function()
        for size = 0, 7 do
            say(ngx.encode_base64(("\251\255\190abcd"):sub(1, size)))
        end
        say(ngx.encode_base64(12), ngx.encode_base64(true), ngx.encode_base64(nil))
    end,
    ["encode_base64: no padding"] = function()
        for size = 0, 4 do
            say(ngx.encode_base64(("abcd"):sub(1, size), true))
        end
        say(ngx.encode_base64("a", false))
    end,
    ["encode_base64: what cannot be"] = function()
        say(try(ngx.encode_base64))
        say(type(ngx.encode_base64({})))
        say(try(ngx.encode_base64, "a", "b"))
        say(try(ngx.encode_base64, "a", 1))
    end,
    ["decode_base64"] = function()
        for _, text in ipairs({ "", "YQ==", "YWI=", "YWJj", "YWJjZA==", "+/8=" }) do
            say(text, ngx.decode_base64(text))
        end
    end,
    ["decode_base64: not padded"] = function()
        for _, text in ipairs({ "YQ", "YWI", "Y", "YQ=", "YWJjZ", "YQ===", "=", "====" }) do
            say(text, ngx.decode_base64(text))
        end
    end,
    ["decode_base64: not base64"] = function()
        for _, text in ipairs({ "Y W==", "YQ==\n", "-_8=", "Y=Q=", "YQ==YQ==", "a*b=",
            "\0\0\0\0" }) do
            say(text, ngx.decode_base64(text))
        end
    end,
    ["decode_base64: other values"] = function()
        say(try(ngx.decode_base64, nil))
        say(try(ngx.decode_base64, 1234))
        say(try(ngx.decode_base64, true))
        say(try(ngx.decode_base64))
    end,
    ["decode_base64: stray bits"] = function()
        say(ngx.decode_base64("YR=="), ngx.decode_base64("YWK="), ngx.decode_base64("YR"))
    end,
    ["base64url"] = function()
        local base64 = require("ngx.base64")
        say(base64.encode_base64url("\251\255\190"), base64.encode_base64url("a"))
        say(base64.decode_base64url("-_--"), base64.decode_base64url("YQ"))
        say(base64.encode_base64url(""), base64.decode_base64url(""))
    end,
    ["base64url: odd input"] = function()
        local base64 = require("ngx.base64")
        say(base64.decode_base64url("YQ=="))
        say(base64.decode_base64url("+/8"))
        say(base64.decode_base64url("Y"))
        say(base64.decode_base64url("Y Q"))
        say(try(base64.decode_base64url, nil))
        say(try(base64.decode_base64url, 12))
        say(try(base64.encode_base64url, nil))
        say(try(base64.encode_base64url, 12))
    end,
    ["base64mime"] = function()
        say(type(require("ngx.base64").decode_base64mime))
    end,
}
