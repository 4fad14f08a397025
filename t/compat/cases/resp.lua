-- The response: status, headers, bodies, ends.
local say, try, compat = ...

local leave = compat.leave

-- Ends with a body, whose type nginx would tell even if there was none.
local function answer()
    ngx.print("x")
    leave()
end

return {
    ["status"] = function()
        say(ngx.status)
        ngx.status = 201
        say(ngx.status, ngx.var.status)
    end,
    ["status: a text"] = function()
        ngx.status = "202"
        say(ngx.status)
    end,
    ["status: what cannot be"] = function()
        say(try(function() ngx.status = {} end))
        say(try(function() ngx.status = "abc" end))
        say(try(function() ngx.status = nil end))
    end,
    ["status and exit"] = { access = function()
        ngx.status = 403
        ngx.say("no")
        leave()
    end },
    ["status and exit with another"] = { access = function()
        ngx.status = 403
        leave(401)
    end, compare = "nobody noheaders" },
    ["status and exit OK"] = { access = function()
        ngx.status = 418
        ngx.say("pot")
        leave(ngx.OK)
    end },
    ["status: unknown number"] = { access = function()
        ngx.status = 299
        ngx.say("what")
        leave()
    end },
    ["exit: numbers without text"] = { access = function()
        leave(404)
    end, compare = "nobody noheaders" },
    ["exit: 204"] = { access = function()
        leave(204)
    end },
    ["exit: 304"] = { access = function()
        leave(304)
    end },
    ["exit: 503"] = { access = function()
        leave(503)
    end, compare = "nobody noheaders" },
    ["exit: 0 goes on"] = { access = function()
        ngx.exit(0)
        say("not reached")
    end },
    ["exit: through pcall"] = { access = function()
        pcall(function() leave(403) end)
        ngx.say("not reached")
    end, compare = "nobody noheaders" },
    ["exit: from a deep call"] = { access = function()
        local function deeper(depth)
            if depth == 0 then
                ngx.print("deep")
                leave()
            end
            deeper(depth - 1)
            return nil
        end
        deeper(50)
    end },
    ["exit: from a coroutine"] = { access = function()
        local co = coroutine.create(function()
            ngx.print("inside")
            leave()
        end)
        coroutine.resume(co)
        ngx.print("outside")
    end },
    ["exit: from a light thread"] = { access = function()
        ngx.thread.spawn(function()
            ngx.print("thread")
            leave()
        end)
        ngx.print("parent")
    end },
    ["exit: what cannot be"] = function()
        say(try(ngx.exit))
        say(try(ngx.exit, "x"))
        say(try(ngx.exit, nil))
        say(try(ngx.exit, {}))
    end,
    ["exit: a text"] = { access = function()
        ngx.exit("403")
    end, compare = "nobody noheaders" },
    ["exit: in rewrite"] = { rewrite = function()
        ngx.status = 402
        ngx.print("early")
        ngx.exit(402)
    end },
    ["exit: in rewrite with 0"] = { rewrite = function()
        ngx.exit(ngx.OK)
    end, access = function()
        say("access runs")
    end },
    ["exit: ERROR"] = { access = function()
        ngx.exit(ngx.ERROR)
    end, compare = "nobody noheaders" },
    ["print"] = { access = function()
        say(ngx.print("a", 1, 2.5, true, false, nil, "b"))
        ngx.print({ "c", { "d", 3 }, "e" })
        ngx.print(ngx.null)
        ngx.print()
        ngx.print("")
        ngx.print("\n")
        leave()
    end },
    ["print: returns"] = function()
        say(ngx.print(""), select("#", ngx.print("")))
        say(ngx.say(""), select("#", ngx.say("")))
    end,
    ["print: numbers"] = { access = function()
        ngx.print(1, " ", 1.0, " ", 0.1, " ", 1e15, " ", 1e100, " ", -0, " ", 2^53, " ", 1 / 3)
        leave()
    end },
    ["print: what cannot be"] = function()
        say(try(ngx.print, function() end))
        say(try(ngx.print, { function() end }))
        say(try(ngx.print, { a = "x" }))
        say(try(ngx.print, { 1, nil, 3 }))
        say(try(ngx.print, { true, ngx.null, false }))
        say(try(ngx.print, { {}, { {} } }))
        say(try(ngx.print, coroutine.create(function() end)))
        say(try(ngx.say, function() end))
    end,
    ["say"] = { access = function()
        ngx.say("a", "b")
        ngx.say()
        ngx.say(nil)
        ngx.say({ "x", "y" })
        ngx.say({})
        leave()
    end },
    ["say without exit"] = { rewrite = function()
        ngx.status = 201
        ngx.say("said")
    end, access = function()
        return "pass"
    end },
    ["flush"] = { access = function()
        ngx.print("one ")
        local ok, err = ngx.flush(true)
        say(ok, err, ngx.headers_sent)
        ngx.print("two ")
        say(ngx.flush(), ngx.flush(false))
        ngx.print("three")
        leave()
    end },
    ["headers_sent"] = function()
        say(ngx.headers_sent)
    end,
    ["headers_sent after flush"] = { access = function()
        ngx.print("x")
        ngx.flush(true)
        ngx.print(tostring(ngx.headers_sent))
        leave()
    end },
    ["send_headers"] = { access = function()
        ngx.header["X-One"] = "1"
        local ok, err = ngx.send_headers()
        ngx.header["X-Two"] = "2"
        ngx.print(ok, " ", err, " ", ngx.headers_sent)
        leave()
    end },
    ["eof"] = { access = function()
        ngx.print("one")
        local ok, err = ngx.eof()
        local later, why = ngx.print("two")
        say(ok, err, later, why)
    end },
    ["eof goes on"] = { access = function()
        ngx.print("one")
        ngx.eof()
        ngx.sleep(0.01)
        say("still here")
    end, log = function()
        say("log")
    end },
    ["redirect"] = { access = function()
        ngx.redirect("/other")
    end, compare = "nobody" },
    ["redirect: 301"] = { access = function()
        ngx.redirect("http://other.test/x?y=1", 301)
    end, compare = "nobody" },
    ["redirect: with a query"] = { access = function()
        ngx.redirect("/a b?c=\"d\"", 307)
    end, compare = "nobody" },
    ["redirect: 308"] = { access = function()
        ngx.redirect("https://x.test", ngx.HTTP_PERMANENT_REDIRECT)
    end, compare = "nobody" },
    ["redirect: what cannot be"] = function()
        say(try(ngx.redirect))
        say(try(ngx.redirect, nil))
        say(try(ngx.redirect, "/x", 200))
        say(try(ngx.redirect, "/x", 400))
        say(try(ngx.redirect, {}))
        say(try(ngx.redirect, "/x\r\nX-Evil: 1", 305))
    end,
    ["redirect: line breaks"] = { access = function()
        ngx.redirect("/x\r\nX-Evil: 1")
    end, compare = "nobody" },
    ["redirect: after output"] = { access = function()
        ngx.print("sent")
        ngx.flush(true)
        ngx.print(select(2, try(ngx.redirect, "/x")))
        leave()
    end },
    ["on_abort"] = function()
        say(try(ngx.on_abort, function() end))
        say(try(ngx.on_abort))
    end,
    ["header"] = { access = function()
        ngx.header["X-One"] = "1"
        ngx.header.x_two = "two"
        ngx.header["X-List"] = { "a", "b" }
        ngx.header.X_Number = 12
        ngx.header["X-Float"] = 1.5
        ngx.header["X-Empty"] = ""
        answer()
    end },
    ["header: read back"] = function()
        ngx.header["X-One"] = "1"
        ngx.header.x_two = "two"
        ngx.header["X-List"] = { "a", "b" }
        ngx.header["X-Single"] = { "s" }
        ngx.header["X-Number"] = 12
        say(ngx.header["X-One"], ngx.header.x_one, ngx.header["X-Two"], ngx.header["X-List"],
            ngx.header["X-Single"], ngx.header["X-Number"], ngx.header.none)
    end,
    ["header: removed"] = { access = function()
        ngx.header["X-One"] = "1"
        ngx.header["X-Two"] = { "a", "b" }
        ngx.header["X-Three"] = "3"
        ngx.header["X-One"] = nil
        ngx.header["X-Two"] = {}
        ngx.header["X-Three"] = ""
        ngx.header["X-Never"] = nil
        answer()
    end },
    ["header: replaced"] = { access = function()
        ngx.header["X-One"] = { "a", "b", "c" }
        ngx.header["x-one"] = "d"
        answer()
    end },
    ["header: other values"] = { access = function()
        say(try(function() ngx.header["X-True"] = true end))
        say(try(function() ngx.header["X-Mixed"] = { 1, true, "x" } end))
        say(try(function() ngx.header["X-Func"] = tostring end), type(ngx.header["X-Func"]))
        ngx.header["X-Func"] = nil
        say(try(function() ngx.header[12] = "x" end))
        say(try(function() return ngx.header[12] end))
        say(try(function() ngx.header["X-Nested"] = { { "a" } } end), type(ngx.header["X-Nested"]))
        ngx.header["X-Nested"] = nil
    end },
    ["header: what is no header"] = { access = function()
        ngx.header["X-Lines"] = "a\r\nX-Evil: 1"
        ngx.header["X-Zero"] = "a\0b"
        ngx.header["Bad Name"] = "x"
        ngx.header["Bad:Name"] = "x"
        ngx.header["X-Tab"] = "a\tb"
        answer()
    end },
    ["header: content type"] = { access = function()
        ngx.header.content_type = "application/json"
        ngx.print("{}")
        leave()
    end },
    ["header: content type read"] = function()
        say(ngx.header.content_type, ngx.header["Content-Type"])
        ngx.header["Content-Type"] = "text/x; charset=y"
        say(ngx.header.content_type)
    end,
    ["header: content type removed"] = { access = function()
        ngx.header.content_type = nil
        ngx.print("x")
        leave()
    end },
    ["header: content type as a list"] = { access = function()
        ngx.header.content_type = { "a/b", "c/d" }
        ngx.print("x")
        leave()
    end },
    ["header: location"] = { access = function()
        ngx.header.location = "/there"
        ngx.status = 302
        ngx.print("go")
        leave()
    end },
    ["header: cookies"] = { access = function()
        ngx.header["Set-Cookie"] = { "a=1; Path=/", "b=2" }
        say(ngx.header["Set-Cookie"], ngx.header.set_cookie)
        ngx.header["Set-Cookie"] = "c=3"
        say(ngx.header["Set-Cookie"])
        answer()
    end },
    ["header: cache control"] = { access = function()
        ngx.header["Cache-Control"] = { "private", "no-store" }
        ngx.header["ETag"] = '"x"'
        ngx.header["Last-Modified"] = ngx.http_time(1290079655)
        say(ngx.header.cache_control, ngx.header.etag, ngx.header.last_modified)
    end },
    ["header: content length"] = { access = function()
        ngx.header["Content-Length"] = 3
        ngx.print("abc")
        leave()
    end },
    ["resp.get_headers"] = function()
        ngx.header["X-One"] = "1"
        ngx.header["X-List"] = { "a", "b" }
        local headers = ngx.resp.get_headers()
        say(headers["x-one"], headers["X-One"], headers.x_one, headers["x-list"], headers.none)
        say(ngx.resp.get_headers(nil, true)["X-One"], ngx.resp.get_headers(0, true)["x-one"])
        say(select("#", ngx.resp.get_headers()), try(ngx.resp.get_headers, "x"))
    end,
    ["resp.get_headers: at most"] = function()
        for at = 1, 5 do
            ngx.header["X-" .. at] = "v"
        end
        local _, err = ngx.resp.get_headers(2)
        say(err)
    end,
    ["resp.add_header"] = { access = function()
        local add = require("ngx.resp").add_header
        ngx.header["X-One"] = "1"
        add("X-One", "2")
        add("X-List", { "a", "b" })
        add("X-Number", 3)
        say(ngx.header["X-One"], ngx.header["X-List"])
        say(try(add, "X-Nil"))
        say(try(add, nil, "x"))
        say(try(add, "X-None", {}))
        say(try(add, "X-Bool", true), ngx.header["X-Bool"])
    end },
    ["resp.add_header: content type"] = { access = function()
        require("ngx.resp").add_header("Content-Type", "text/x")
        say(ngx.header.content_type)
    end },
    ["header: without a body"] = { access = function()
        ngx.header["X-One"] = "1"
        leave()
    end },
    ["a HEAD request"] = { method = "HEAD", access = function()
        ngx.header["X-One"] = "1"
        ngx.print("no body")
        leave()
    end },
    ["raises in access"] = { access = nil, rewrite = function()
        error("oops")
    end, compare = "nobody noheaders" },
    ["raises after output"] = { rewrite = function()
        ngx.print("half")
        error("oops")
    end, compare = "nobody noheaders" },
    ["raises a table"] = { rewrite = function()
        error({ code = 1 })
    end, compare = "nobody noheaders" },
    ["raises nil"] = { rewrite = function()
        error()
    end, compare = "nobody noheaders" },
}
