-- Escaping, query strings, SQL texts.
local say, try = ...

local nkeys = require("table.nkeys")

return {
    ["escape_uri"] = function()
        say(ngx.escape_uri("a b/c?d=e&f#g+h%"))
        say(ngx.escape_uri(""))
        say(ngx.escape_uri("\0\127\128\255~-_.!*'()"))
    end,
    ["escape_uri: all bytes"] = function()
        local bytes = {}
        for byte = 0, 255 do
            bytes[#bytes + 1] = string.char(byte)
        end
        say(ngx.escape_uri(table.concat(bytes)))
    end,
    ["escape_uri: type"] = function()
        for kind = 0, 6 do
            say(kind, ngx.escape_uri(" !\"#$%&'()*+,/:;=?@[]^`{|}~\n\200", kind))
        end
    end,
    ["escape_uri: type out of range"] = function()
        say(try(ngx.escape_uri, "a", 7))
        say(try(ngx.escape_uri, "a", -1))
    end,
    ["escape_uri: other values"] = function()
        say(ngx.escape_uri(12.5))
        say(try(ngx.escape_uri))
        say(try(ngx.escape_uri, nil))
        say(try(ngx.escape_uri, true))
        say(try(ngx.escape_uri, {}))
        say(try(ngx.escape_uri, "a", "x"))
    end,
    ["unescape_uri"] = function()
        say(ngx.unescape_uri("a%20b+c%2Fd%2f"))
        say(ngx.unescape_uri(""))
        say(ngx.unescape_uri("%00%ff%7E"))
    end,
    ["unescape_uri: what is no escape"] = function()
        for _, text in ipairs({ "%", "%2", "%zz", "%2g", "%%20", "a%", "%u0041", "%2%20",
            "%g1%41" }) do
            say(text, ngx.unescape_uri(text))
        end
    end,
    ["unescape_uri: other values"] = function()
        say(ngx.unescape_uri(10))
        say(try(ngx.unescape_uri, nil))
        say(try(ngx.unescape_uri, false))
    end,
    ["encode_args"] = function()
        say(ngx.encode_args({ foo = 3, ["b r"] = "hello world" }) == "foo=3&b%20r=hello%20world"
            or ngx.encode_args({ foo = 3, ["b r"] = "hello world" }) == "b%20r=hello%20world&foo=3")
        say(ngx.encode_args({ a = "x&y=z" }))
        say(ngx.encode_args({}))
    end,
    ["encode_args: lists and flags"] = function()
        say(ngx.encode_args({ baz = { 32, "hello" } }))
        say(ngx.encode_args({ a = true }))
        say(ngx.encode_args({ a = false }))
        say(ngx.encode_args({ a = {} }))
        say(ngx.encode_args({ a = { true, "x", false, 1 } }))
        say(ngx.encode_args({ a = "" }))
    end,
    ["encode_args: lists by number"] = function()
        say(ngx.encode_args({ "a", "b" }))
        say(ngx.encode_args({ [5] = "x" }))
        say(ngx.encode_args({ [1.5] = 2.5 }))
    end,
    ["encode_args: what cannot be"] = function()
        say(try(ngx.encode_args, nil))
        say(try(ngx.encode_args, "a=b"))
        say(try(ngx.encode_args, { a = function() end }))
        say(try(ngx.encode_args, { a = { {} } }))
        say(try(ngx.encode_args, { [true] = 1 }))
        say(try(ngx.encode_args, { a = ngx.null }))
    end,
    ["decode_args"] = function()
        say(ngx.decode_args("a=1&b=2&c=&d&e=%20x+y"))
        say(ngx.decode_args(""))
        say(ngx.decode_args("a=1&a=2&a=3"))
        say(ngx.decode_args("a&a=1&a"))
    end,
    ["decode_args: odd"] = function()
        say(ngx.decode_args("&&a=1&&b=2&"))
        say(ngx.decode_args("=1&=&a==b"))
        say(ngx.decode_args("a%3Db=c%26d&%zz=%"))
        say(ngx.decode_args("a=b=c&d?e=f"))
        say(ngx.decode_args("a;b=c"))
        say(ngx.decode_args("+=+&%20=%20"))
    end,
    ["decode_args: at most"] = function()
        local list = {}
        for at = 1, 103 do
            list[at] = "k" .. at .. "=" .. at
        end
        local text = table.concat(list, "&")
        local args, err = ngx.decode_args(text)
        say(nkeys(args), err)
        args, err = ngx.decode_args(text, 0)
        say(nkeys(args), err)
        args, err = ngx.decode_args(text, 2)
        say(args, err)
        args, err = ngx.decode_args("a=1&b=2", 2)
        say(args, err)
        say(ngx.decode_args("a=1&b=2", 1))
        say(try(ngx.decode_args, "a=1&b=2", -1))
    end,
    ["decode_args: what cannot be"] = function()
        say(try(ngx.decode_args, nil))
        say(try(ngx.decode_args, {}))
        say(try(ngx.decode_args, 12))
        say(try(ngx.decode_args, "a=1", "x"))
    end,
    ["quote_sql_str"] = function()
        say(ngx.quote_sql_str("a'b\"c\\d\ne\rf\tg\0h\26i\b"))
        say(ngx.quote_sql_str(""))
        say(ngx.quote_sql_str("plain"))
        say(ngx.quote_sql_str("$100"))
    end,
    ["quote_sql_str: other values"] = function()
        say(try(ngx.quote_sql_str, 12))
        say(try(ngx.quote_sql_str, nil))
        say(try(ngx.quote_sql_str, true))
    end,
    ["ndk.set_var"] = function()
        say(ndk.set_var.set_escape_uri("a b/'"))
        say(ndk.set_var.set_unescape_uri("a%20b"))
        say(try(function() return ndk.set_var.set_no_such_thing("a") end))
    end,
}
