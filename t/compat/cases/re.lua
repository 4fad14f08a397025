-- Regular expressions.
local say, try = ...

return {
    ["match"] = function()
        say(ngx.re.match("hello, 1234", "[0-9]+"))
        say(ngx.re.match("hello, 1234", "([0-9])[0-9]+"))
        say(ngx.re.match("hello", "[0-9]+"))
        say(ngx.re.match("", ""))
        say(ngx.re.match("abc", ""))
    end,
    ["match: named groups"] = function()
        say(ngx.re.match("hello, 1234", "([0-9])(?<remaining>[0-9]+)"))
        say(ngx.re.match("hello, world", "(?<first>h)|(?<second>w)"))
        say(ngx.re.match("ab", "(?<n>a)(?<n>b)", "D"))
        say(ngx.re.match("b", "(?<n>a)|(?<n>b)", "D"))
        say(try(ngx.re.match, "b", "(?<n>a)|(?<n>b)"))
    end,
    ["match: groups that took no part"] = function()
        say(ngx.re.match("b", "(a)?(b)"))
        say(ngx.re.match("a", "(a)(b)?"))
        say(ngx.re.match("a", "(a)(b)?(c)?"))
        say(ngx.re.match("ac", "(a)(b)?(c)"))
        local m = ngx.re.match("a", "(a)(b)?")
        say(#m, m[2], m[0])
    end,
    ["match: options"] = function()
        for _, options in ipairs({ "", "i", "o", "j", "jo", "ijo", "s", "m", "x", "u", "a", "d",
            "D", "J",
            "U", "ajosmixuUD" }) do
            say(options, try(ngx.re.match, "AB\ncd", "(?<n>b.?)", options))
        end
    end,
    ["match: bad option"] = function()
        say(try(ngx.re.match, "a", "a", "z"))
        say(try(ngx.re.match, "a", "a", "iz"))
        say((try(ngx.re.match, "a", "a", 12)))
        say(try(ngx.re.match, "a", "a", "o o"))
    end,
    ["match: lines"] = function()
        say(ngx.re.match("a\nb", "^b$"), ngx.re.match("a\nb", "^b$", "m"))
        say(ngx.re.match("a\nb", "a.b"), ngx.re.match("a\nb", "a.b", "s"))
        say(ngx.re.match("a\r\nb", "a$", "m"), ngx.re.match("ab\n", "b$"))
    end,
    ["match: extended and anchored"] = function()
        say(ngx.re.match("ab", "a b # tail", "x"), ngx.re.match("ba", "a", "a"))
    end,
    ["match: utf-8"] = function()
        say(ngx.re.match("你好", ".", "u"), ngx.re.match("你好", "."))
        say(ngx.re.match("你好", "\\x{597d}", "u"))
        say(ngx.re.match("é", "\\w", "u"), ngx.re.match("É", "é", "iu"))
        say(ngx.re.match("a1", "\\p{Lu}|\\p{Nd}", "u"))
    end,
    ["match: broken utf-8"] = function()
        say(ngx.re.match("a\255b", "b", "u"))
        say(ngx.re.match("a\255b", "b", "U"))
        say(ngx.re.match("\255", "."))
    end,
    ["match: bad pattern"] = function()
        local m, err = ngx.re.match("a", "(abc")
        say(m, (tostring(err):gsub("pcre2?_compile%(%) failed", "compile failed")))
        for _, pattern in ipairs({ "a)", "[a", "*a", "a{2,1}", "(?<n", "\\", "(?P<1>a)", "[z-a]",
            "(?z)" }) do
            m, err = ngx.re.match("a", pattern)
            say(pattern, m, type(err), tostring(err):match("^pcre2?_compile"))
        end
    end,
    ["match: ctx"] = function()
        local ctx = {}
        say(ngx.re.match("1234, hello", "[0-9]+", "", ctx), ctx)
        ctx = { pos = 2 }
        say(ngx.re.match("1234, hello", "[0-9]+", "", ctx), ctx)
        ctx.pos = 5
        say(ngx.re.match("1234, hello", "[0-9]+", "", ctx), ctx)
        ctx = { pos = 0 }
        say(ngx.re.match("ab", "a", "", ctx), ctx)
        ctx = { pos = -3 }
        say(ngx.re.match("ab", "a", "", ctx), ctx)
        ctx = { pos = 9 }
        say(ngx.re.match("ab", "a", "", ctx), ctx)
        ctx = { pos = 3 }
        say(ngx.re.match("ab", "", "", ctx), ctx)
    end,
    ["match: ctx and anchors"] = function()
        local ctx = { pos = 2 }
        say(ngx.re.match("aab", "^a", "", ctx), ngx.re.match("aab", "a", "a", { pos = 2 }))
        say(ngx.re.match("aab", "\\Ga", "", { pos = 2 }), ngx.re.match("ab", "(?<=a)b", "",
            { pos = 2 }))
    end,
    ["match: into a table"] = function()
        local res = { "old", "older", "oldest", extra = 1 }
        local m = ngx.re.match("ab", "(a)(b)", "", nil, res)
        say(m == res, res)
        local named = {}
        ngx.re.match("xy", "(?<k>x)", "", nil, named)
        say(named)
        ngx.re.match("zy", "(?<k>x)?(?<l>z)", "", nil, named)
        say(named)
        say(ngx.re.match("q", "x", "", nil, named), named)
    end,
    ["match: other values"] = function()
        say(ngx.re.match(1234, "2"), ngx.re.match(12, 2))
        say(try(ngx.re.match, nil, "a"))
        say((try(ngx.re.match, "a", nil)))
        say(try(ngx.re.match, {}, "a"))
        say(try(ngx.re.match, "a", "a", "", 12))
        say(try(ngx.re.match, true, "a"))
    end,
    ["match: look-around and back references"] = function()
        say(ngx.re.match("foobar", "foo(?=bar)"), ngx.re.match("foobaz", "foo(?!bar)"))
        say(ngx.re.match("abab", "(ab)\\1"), ngx.re.match("aa", "(?P<c>a)(?P=c)"))
        say(ngx.re.match("aaa", "a+?"), ngx.re.match("aaab", "a++b"), ngx.re.match("((x))",
            "(\\((?:[^()]|(?1))*\\))"))
    end,
    ["match: zero bytes"] = function()
        say(ngx.re.match("a\0b", "\\x00b"), ngx.re.match("a\0b", "a\\0b"), ngx.re.match("a\0b",
            "a\0b"))
    end,
    ["find"] = function()
        say(ngx.re.find("hello, 1234", "([0-9]+)", "jo"))
        say(ngx.re.find("hello", "x"))
        say(ngx.re.find("", ""))
        say(ngx.re.find("abc", ""))
        say(ngx.re.find("hello, 1234", "([0-9])([0-9]+)", "jo", nil, 2))
    end,
    ["find: nth"] = function()
        say(ngx.re.find("ab", "(a)(b)", "", nil, 0))
        say(ngx.re.find("ab", "(a)(b)", "", nil, 1))
        say(ngx.re.find("ab", "(a)(x)?", "", nil, 2))
        say(try(ngx.re.find, "ab", "(a)", "", nil, 2))
        say(try(ngx.re.find, "ab", "(a)", "", nil, 5))
        say(try(ngx.re.find, "ab", "(a)", "", nil, -1))
    end,
    ["find: ctx"] = function()
        local ctx = { pos = 1 }
        say(ngx.re.find("abab", "b", "", ctx), ctx)
        say(ngx.re.find("abab", "b", "", ctx), ctx)
        say(ngx.re.find("abab", "b", "", ctx), ctx)
    end,
    ["find: errors"] = function()
        local from, to, err = ngx.re.find("a", "(")
        say(from, to, type(err))
        say(try(ngx.re.find, nil, "a"))
        say((try(ngx.re.find, "a")))
    end,
    ["gmatch"] = function()
        local it = ngx.re.gmatch("hello, world!", "([a-z]+)", "i")
        say(it())
        say(it())
        say(it())
        say(it())
    end,
    ["gmatch: empty matches"] = function()
        for m in ngx.re.gmatch("ab", "x*") do
            say(m)
        end
        for m in ngx.re.gmatch("你好", "", "u") do
            say(m)
        end
        for m in ngx.re.gmatch("a,b,,c", "[^,]*") do
            say(m[0])
        end
    end,
    ["gmatch: names and options"] = function()
        for m in ngx.re.gmatch("k1=v1;k2=v2", "(?<key>\\w+)=(?<value>\\w+)", "jo") do
            say(m.key, m.value, m[1], m)
        end
    end,
    ["gmatch: errors"] = function()
        local it, err = ngx.re.gmatch("a", "(")
        say(it, type(err))
        say(type(ngx.re.gmatch(nil, "a")))
        say(try(ngx.re.gmatch, "a", "a", "z"))
    end,
    ["gmatch: nothing"] = function()
        local it = ngx.re.gmatch("abc", "x")
        say(it())
        say(it())
    end,
    ["sub"] = function()
        say(ngx.re.sub("hello, 1234", "([0-9])[0-9]", "[$0][$1]"))
        say(ngx.re.sub("hello, 1234", "[0-9]", "$$"))
        say(ngx.re.sub("hello", "x", "y"))
        say(ngx.re.sub("hello", "", "y"))
        say(ngx.re.sub("hello, 1234", "[0-9]", "${0}00"))
        say(ngx.re.sub("aaa", "a", ""))
    end,
    ["sub: template"] = function()
        for _, template in ipairs({ "$", "$a", "${", "${1", "${1}", "$12", "${12}", "$$1",
            "a$1b", "$01",
            "\\1", "$3", "%1", "${a}", "$1$2$1" }) do
            say(template, try(ngx.re.sub, "xy", "(x)(y)", template))
        end
    end,
    ["sub: function"] = function()
        say(ngx.re.sub("hello, 1234", "([0-9])([0-9])", function(m)
            return "[" .. m[0] .. "][" .. m[1] .. "]$1"
        end))
        say(ngx.re.sub("ab", "(?<n>a)", function(m) return m.n .. m.n end))
        say(try(ngx.re.sub, "ab", "a", function() return nil end))
        say(try(ngx.re.sub, "ab", "a", function() return 12 end))
        say(try(ngx.re.sub, "ab", "a", function() return {} end))
        say(try(ngx.re.sub, "ab", "a", function() return true end))
        say(try(ngx.re.sub, "ab", "a", function() error("oops") end))
    end,
    ["sub: other values"] = function()
        say(ngx.re.sub(1234, "2", 5))
        say(try(ngx.re.sub, nil, "a", "b"))
        say((try(ngx.re.sub, "a", nil, "b")))
        say(try(ngx.re.sub, "a", "a", nil))
        say(try(ngx.re.sub, "a", "a", {}))
        say(try(ngx.re.sub, "a", "a", "b", "z"))
    end,
    ["sub: groups that took no part"] = function()
        say(ngx.re.sub("b", "(a)?b", "[$1]"))
        say(ngx.re.sub("b", "(a)?b", function(m) return tostring(m[1]) end))
        say(ngx.re.sub("a", "(a)(b)?", "[$1$2]"))
    end,
    ["gsub"] = function()
        say(ngx.re.gsub("hello, world", "([a-z])[a-z]+", "[$0,$1]", "i"))
        say(ngx.re.gsub("hello", "x", "y"))
        say(ngx.re.gsub("hello", "", "-"))
        say(ngx.re.gsub("abc", "b*", "x"))
        say(ngx.re.gsub("", "", "x"))
        say(ngx.re.gsub("aaa", "^a", "b"))
        say(ngx.re.gsub("a.b.c", "\\.", ""))
    end,
    ["gsub: function"] = function()
        say(ngx.re.gsub("hello, world", "[a-z]+", function(m)
            return "[" .. m[0] .. "," .. #m .. "]"
        end, "i"))
        say(ngx.re.gsub("你好", "", function() return "-" end, "u"))
        local count = 0
        say(ngx.re.gsub("aaaa", "a", function() count = count + 1 return tostring(count) end, "jo"))
    end,
    ["gsub: utf-8"] = function()
        say(ngx.re.gsub("你好", "", "-", "u"))
        say(ngx.re.gsub("äöü", ".", "x", "u"))
        say(ngx.re.gsub("ä", ".", "x"))
    end,
    ["gsub: errors"] = function()
        local new, count, err = ngx.re.gsub("a", "(", "x")
        say(new, count, type(err))
        new, count, err = ngx.re.gsub("a", "a", "$9")
        say(new, count, err)
    end,
    ["gsub: nested"] = function()
        say(ngx.re.gsub("a1b2", "[0-9]", function(m)
            return (ngx.re.gsub(m[0], "\\d", "<$0>"))
        end))
    end,
    ["split"] = function()
        local split = require("ngx.re").split
        say(split("a,b,c,d", ","))
        say(split("a,b,c,d", "(,)"))
        say(split("a,b,c,d", ",", nil, nil, 3))
        say(split("", ","))
        say(split("abc", ""))
        say(split(",a,", ","))
        say(split("a,,b", ","))
        say(split("abc", "x"))
    end,
    ["split: ctx, max and table"] = function()
        local split = require("ngx.re").split
        say(split("a,b,c,d", ",", nil, { pos = 3 }))
        say(split("a,b,c,d", ",", "jo", { pos = 1 }, 2))
        local res = { "x", "y", "z", "old", "older" }
        say(split("a,b", ",", nil, nil, nil, res) == res, res)
        say(split("a,b,c", ",", nil, nil, 0))
        say(split("a,b,c", ",", nil, nil, -1))
        say(split("a,b,c", ",", nil, nil, 1))
        say(split("a1b2c", "([0-9])", nil, nil, 2))
    end,
    ["split: errors"] = function()
        local split = require("ngx.re").split
        local res, err = split("a", "(")
        say(res, type(err))
        say(try(split, nil, ","))
        say(try(split, "a", "a", "z"))
        say(try(split, "a,b", ",", nil, { pos = 0 }))
        say(try(split, "a,b", ",", nil, { pos = 9 }))
    end,
    ["opt"] = function()
        local opt = require("ngx.re").opt
        say(try(opt, "jit_stack_size", 128 * 1024))
        say(try(opt, "no_such", 1))
        say(try(opt, "jit_stack_size", -1))
    end,
    ["long subject"] = function()
        local text = ("ab"):rep(50000) .. "c"
        say(ngx.re.find(text, "c$"))
        local _, count = ngx.re.gsub(text, "a", "xy")
        say(count, #ngx.re.gsub(text, "b", ""))
    end,
    ["catastrophe ends"] = function()
        local m, err = ngx.re.match(("a"):rep(40), "(a+)+$x")
        say(m, err == nil or type(err))
    end,
    ["dfa: the longest match"] = function()
        say(ngx.re.match("foobar", "foo|foobar|fo"), ngx.re.match("foobar", "foo|foobar|fo", "d"))
        say(ngx.re.match("a foobar", "(foo)(bar)?", "d"))
        say(ngx.re.match("12 345", "[0-9]+", "dj"), ngx.re.match("12 345", "[0-9]+", "djo"))
        say(ngx.re.match("nothing", "[0-9]+", "d"))
        say(ngx.re.match("FOO", "foo", "di"), ngx.re.match("a\nb", "^b", "dm"))
        say(ngx.re.match("你好", "你.", "du"))
    end,
    ["dfa: named groups"] = function()
        say(ngx.re.match("foobar", "(?<first>foo)(?<second>bar)", "d"))
    end,
    ["dfa: ctx"] = function()
        local ctx = { pos = 3 }
        say(ngx.re.match("1234, 56", "[0-9]+", "d", ctx), ctx)
        say(ngx.re.match("1234, 56", "[0-9]+", "d", ctx), ctx)
        say(ngx.re.match("1234, 56", "[0-9]+", "d", ctx), ctx)
    end,
    ["dfa: find"] = function()
        say(ngx.re.find("a foobar", "foo|foobar", "d"))
        say(ngx.re.find("a foobar", "foo|foobar", "dj", nil, 0))
        say(ngx.re.find("a foobar", "x", "d"))
        say(ngx.re.find("a foobar", "o+", "d", { pos = 5 }))
    end,
    ["dfa: sub and gsub"] = function()
        say(ngx.re.sub("foobar foo", "foo|foobar", "[$0]", "d"))
        say(ngx.re.gsub("foobar foo", "foo|foobar", "[$0]", "d"))
        say(ngx.re.gsub("foobar foo", "foo|foobar", function(m)
            return m[0]:upper()
        end, "d"))
        say(ngx.re.gsub("abc", "[0-9]*", "-", "d"))
    end,
    ["dfa: gmatch"] = function()
        for m in ngx.re.gmatch("foo foobar fo", "foo|foobar|fo", "d") do
            say(m[0], m[1])
        end
    end,
    ["dfa: what it cannot"] = function()
        local m, err = ngx.re.match("aa", "(a)\\1", "d")
        say(m, type(err))
        say((ngx.re.match("aa", "(", "d")))
    end,
    ["match: the same again and again"] = function()
        local sum = 0
        for i = 1, 200 do
            local m = ngx.re.match("item-" .. i .. "/x", "^item-(\\d+)/(y)?", "jo")
            sum = sum + m[1]
            if m[2] ~= false or m[0] ~= "item-" .. i .. "/" then
                say("wrong", i, m)
            end
        end
        say(sum)
        for i = 1, 200 do
            sum = sum + ngx.re.find("x" .. ("y"):rep(i), "y+$", "jo")
        end
        say(sum)
    end,
    ["match: a result table again and again"] = function()
        local result = {}
        for i = 1, 100 do
            local m = ngx.re.match("k" .. i, "(?<letter>[a-z])(?<number>[0-9]+)", "jo", nil, result)
            if m ~= result or result.number ~= tostring(i) then
                say("wrong", i, result)
            end
        end
        say(result)
    end,
    ["match: many patterns"] = function()
        local good = 0
        for i = 1, 1500 do
            local m = ngx.re.match("v" .. i, "^v(" .. i .. ")$", "j")
            good = good + (m and m[1] == tostring(i) and 1 or 0)
        end
        say(good)
    end,
    ["match: many groups"] = function()
        local m = ngx.re.match(("a"):rep(70), ("(a)"):rep(70), "jo")
        say(#m, m[0], m[70])
        say(ngx.re.find(("a"):rep(70), ("(a)"):rep(70), "jo"))
    end,
}
