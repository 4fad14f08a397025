-- Answers that leave in parts.
local say, try, compat = ...
local leave = compat.leave
local shown = compat.line


return {
    ["flush: nothing to flush"] = function()
        say(try(ngx.flush))
        say(try(ngx.flush, true))
        say(try(ngx.flush, false))
        say(ngx.headers_sent)
    end,
    ["flush: what cannot be"] = function()
        say(try(ngx.flush, "x"))
        say(try(ngx.flush, 1))
        say((try(ngx.flush, {})))
        say(try(ngx.flush, nil))
        say((try(ngx.flush, true, true)))
    end,
    ["flush: twice"] = { access = function()
        ngx.print("a")
        ngx.print(shown(ngx.flush(true)))
        ngx.print(shown(ngx.flush(true)))
        ngx.print(shown(ngx.flush(true), ngx.flush(false)))
        leave()
    end },
    ["flush: many pieces"] = { access = function()
        for i = 1, 50 do
            ngx.say(i)
            ngx.flush(i % 2 == 0)
        end
        leave()
    end },
    ["flush: with waits between"] = { access = function()
        ngx.say("one")
        ngx.flush()
        ngx.sleep(0.01)
        ngx.say("two")
        ngx.flush(true)
        ngx.sleep(0.01)
        leave()
    end },
    ["flush: then nothing"] = { access = function()
        ngx.print("all of it")
        ngx.flush(true)
    end },
    ["flush: in rewrite"] = { rewrite = function()
        ngx.print("from rewrite")
        ngx.flush(true)
        ngx.exit(200)
    end },
    ["flush: after eof"] = { access = function()
        ngx.print("a")
        ngx.eof()
        say(try(ngx.flush, true))
        say(try(ngx.print, "b"))
        say(try(ngx.say, "c"))
        say(try(ngx.eof))
        say(ngx.headers_sent)
    end, log = function()
        say("log", ngx.status)
    end },
    ["flush: and what was set late"] = { access = function()
        ngx.header["X-Before"] = "1"
        ngx.status = 201
        ngx.print("a")
        ngx.flush(true)
        ngx.header["X-After"] = "1"
        ngx.status = 202
        ngx.print(shown(ngx.status, ngx.header["X-Before"]))
        leave()
    end },
    ["flush: and a late content type"] = { access = function()
        ngx.header.content_type = "application/json"
        ngx.print("{")
        ngx.flush(true)
        ngx.header.content_type = "text/html"
        ngx.print("}")
        leave()
    end },
    ["flush: with a length"] = { access = function()
        ngx.header.content_length = 6
        ngx.print("abc")
        ngx.flush(true)
        ngx.print("def")
        leave()
    end },
    ["flush: a status without a body"] = { access = function()
        ngx.status = 304
        ngx.print("never")
        ngx.flush(true)
        leave(304)
    end, compare = "nobody" },
    ["flush: HEAD"] = { method = "HEAD", access = function()
        ngx.print("body")
        ngx.flush(true)
        leave()
    end },
    ["flush: HTTP/1.0"] = { raw = "GET /t HTTP/1.0\r\nHost: compat.test\r\n@CASE@\r\n\r\n",
        access = function()
            ngx.header.content_length = 2
            ngx.print("a")
            ngx.flush(true)
            ngx.print("b")
            leave()
        end },
    ["flush: then another exit"] = { access = function()
        ngx.print("a")
        ngx.flush(true)
        leave(403)
    end },
    ["flush: then an error of the server"] = { access = function()
        ngx.print("a")
        ngx.flush(true)
        leave(503)
    end },
    ["flush: then it raises"] = { access = function()
        ngx.print("a")
        ngx.flush(true)
        error("in the middle")
    end, log = function()
        say("log", ngx.status)
    end },
    ["flush: then ngx.ERROR"] = { access = function()
        ngx.print("a")
        ngx.flush(true)
        leave(ngx.ERROR)
    end, log = function()
        say("log", ngx.status)
    end },
    ["flush: a filter ends it"] = { access = function()
        ngx.print("one")
        ngx.flush(true)
        ngx.print("two")
        ngx.flush(true)
        leave()
    end, body_filter = function()
        if ngx.arg[1] == "one" then
            ngx.arg[2] = true
        end
    end },
    ["flush: a filter of the body raises"] = { access = function()
        ngx.print("one")
        ngx.flush(true)
        ngx.print("two")
        say(ngx.flush(true))
        leave()
    end, body_filter = function()
        if ngx.arg[1] == "two" then
            error("no")
        end
    end, log = function()
        say("log")
    end },
    ["flush: in a thread"] = { access = function()
        local thread = ngx.thread.spawn(function()
            for i = 1, 3 do
                ngx.say("thread ", i)
                ngx.flush(true)
                ngx.sleep(0.001)
            end
            return "over"
        end)
        local ok, result = ngx.thread.wait(thread)
        ngx.say(shown(ok, result))
        leave()
    end },
    ["flush: in a coroutine"] = { access = function()
        local run = coroutine.wrap(function()
            ngx.say("inside")
            local ok, err = ngx.flush(true)
            coroutine.yield(ok)
            ngx.say("again")
            return err
        end)
        ngx.say(shown(run()))
        ngx.say(shown(run()))
        leave()
    end },
    ["flush: pcall"] = { access = function()
        ngx.print("a")
        ngx.print(shown(pcall(ngx.flush, true)))
        leave()
    end },
    ["flush: filters"] = { access = function()
        ngx.print("one ")
        ngx.flush(true)
        ngx.print("two ")
        ngx.flush(true)
        leave()
    end, header_filter = function()
        say("head", ngx.status, ngx.headers_sent)
        ngx.header["X-Filtered"] = "1"
    end, body_filter = function()
        if ngx.arg[1] ~= "" then
            say("body", ngx.arg[1])
        end
        if ngx.arg[1] ~= "" then
            ngx.arg[1] = ngx.arg[1]:upper()
        end
    end, log = function()
        say("log", ngx.status)
    end },
    ["flush: a filter takes a piece away"] = { access = function()
        ngx.print("keep ")
        ngx.flush(true)
        ngx.print("drop ")
        ngx.flush(true)
        ngx.print("keep")
        leave()
    end, body_filter = function()
        if ngx.arg[1] == "drop " then
            ngx.arg[1] = nil
        end
    end },
    ["flush: ctx is one"] = { access = function()
        ngx.ctx.count = 1
        ngx.print("a")
        ngx.flush(true)
        ngx.ctx.count = ngx.ctx.count + 1
        ngx.print(shown(ngx.ctx.count, ngx.ctx.seen))
        leave()
    end, header_filter = function()
        ngx.ctx.seen = "by the filter"
        ngx.ctx.count = ngx.ctx.count + 10
    end },
    ["flush: a large body"] = { access = function()
        local piece = ("0123456789abcdef"):rep(4096)
        for _ = 1, 10 do
            ngx.print(piece)
            ngx.flush(true)
        end
        leave()
    end },
    ["print: much, without a flush"] = { access = function()
        local piece = ("0123456789abcdef"):rep(1024)
        local good = 0
        for _ = 1, 40 do
            good = good + (ngx.print(piece) or 0)
        end
        ngx.print(shown(good))
        leave()
    end },
    ["print: much, inside a callback"] = { access = function()
        local piece = ("x"):rep(50000)
        local text = ("abcdef"):gsub(".", function(letter)
            ngx.print(letter, piece)
            return letter
        end)
        ngx.print(text)
        leave()
    end },
    ["limit_rate"] = { access = function()
        say(ngx.var.limit_rate)
        ngx.var.limit_rate = "4k"
        say(ngx.var.limit_rate)
        ngx.print(("x"):rep(6000))
        leave()
    end, log = function()
        local took = ngx.now() - ngx.req.start_time()
        say(took >= 0.2, took < 10, ngx.var.limit_rate)
    end },
    ["limit_rate: what is none"] = function()
        ngx.var.limit_rate = 1000000
        say(ngx.var.limit_rate)
        ngx.var.limit_rate = "nonsense"
        say(ngx.var.limit_rate)
        ngx.var.limit_rate = "2M"
        say(ngx.var.limit_rate)
        ngx.var.limit_rate = 0
        say(ngx.var.limit_rate)
    end,
    ["limit_rate: and parts"] = { access = function()
        ngx.var.limit_rate = 3000
        for i = 1, 4 do
            ngx.print(i, ("x"):rep(1000))
            ngx.flush(true)
        end
        leave()
    end, log = function()
        local took = ngx.now() - ngx.req.start_time()
        say(took >= 0.2, took < 10)
    end },
    ["send_headers: twice"] = { access = function()
        ngx.header["X-One"] = "1"
        ngx.print(shown(ngx.send_headers()))
        ngx.print(shown(ngx.send_headers()))
        leave()
    end },
    ["send_headers: then flush"] = { access = function()
        ngx.header["X-One"] = "1"
        ngx.send_headers()
        local ok, err = ngx.flush(true)
        ngx.print(shown(ok, err, ngx.headers_sent))
        leave()
    end },
    ["eof: with nothing said"] = { access = function()
        local ok, err = ngx.eof()
        say(ok, err)
    end, log = function()
        say(ngx.status)
    end },
    ["eof: then a wait"] = { access = function()
        ngx.say("gone")
        say(ngx.eof())
        ngx.sleep(0.02)
        say("later", ngx.headers_sent, ngx.status)
    end, log = function()
        say("log")
    end },
    ["eof: after a flush"] = { access = function()
        ngx.say("one")
        ngx.flush(true)
        ngx.say("two")
        say(ngx.eof())
    end, log = function()
        say("log")
    end },
}
