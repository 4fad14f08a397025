-- Answers that leave in parts, the client's own connection, and clients that leave.
local say, try, compat = ...

local arrived = compat.arrived


-- Ends the case with what it printed itself.
local function leave(code)
    return ngx.exit(code or 200)
end


local function shown(...)
    local parts = {}
    for at = 1, select("#", ...) do
        parts[at] = tostring((select(at, ...)))
    end
    return table.concat(parts, " ") .. "\n"
end


local RAW = "GET /t HTTP/1.1\r\nHost: compat.test\r\n@CASE@\r\n\r\n"


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
    ["on_abort: what it takes"] = function()
        say(try(ngx.on_abort))
        say(try(ngx.on_abort, nil))
        say(try(ngx.on_abort, "x"))
        say((try(ngx.on_abort, {})))
    end,
    ["on_abort: twice"] = function()
        say(try(ngx.on_abort, function() end))
        say(try(ngx.on_abort, function() end))
    end,
    ["on_abort: where it cannot be"] = { access = function()
        ngx.print("x")
        leave()
    end, header_filter = function()
        say(try(ngx.on_abort, function() end))
    end, log = function()
        say(try(ngx.on_abort, function() end))
    end },
    ["on_abort: the client stays"] = function()
        ngx.on_abort(function()
            say("never")
        end)
        ngx.sleep(0.01)
        say("over")
    end,
    ["raw socket: answers by itself"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        local bytes, err = sock:send("hello, raw\r\n")
        sock:send({ "a ", 1, " ", { "b" }, "\r\n" })
        sock:send(shown(bytes, err))
        leave()
    end },
    ["raw socket: what follows the head"] = { raw = RAW .. "line one\nline two\r\n12345rest|tail",
        access = function()
            local sock = ngx.req.socket(true)
            sock:send(shown(sock:receive()))
            sock:send(shown(sock:receive("*l")))
            sock:send(shown(sock:receive(5)))
            local till = sock:receiveuntil("|")
            sock:send(shown(till()))
            sock:send(shown(sock:receiveany(4)))
            leave()
        end },
    ["raw socket: what cannot be said any more"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        sock:send(shown(try(ngx.print, "x")))
        sock:send(shown(try(ngx.say, "x")))
        sock:send(shown(try(ngx.flush, true)))
        sock:send(shown(try(ngx.eof)))
        leave()
    end },
    ["raw socket: and headers"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        sock:send(shown(try(ngx.send_headers)))
        sock:send(shown(ngx.headers_sent))
        leave()
    end },
    ["raw socket: twice"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        local other, err = ngx.req.socket(true)
        sock:send(shown(type(other), err))
        leave()
    end },
    ["raw socket: methods"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        for _, name in ipairs({ "send", "receive", "receiveuntil", "receiveany", "settimeout",
            "settimeouts", "connect", "close", "setkeepalive", "getreusedtimes",
            "sslhandshake" }) do
            sock:send(name .. " " .. type(sock[name]) .. "\n")
        end
        leave()
    end },
    ["raw socket: times out"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        sock:settimeout(20)
        local data, err, partial = sock:receive(10)
        sock:send(shown(data, err, partial))
        sock:settimeouts(10, 10, 20)
        sock:send(shown(sock:receive()))
        leave()
    end },
    ["raw socket: a body that nobody read"] = {
        raw = "POST /t HTTP/1.1\r\nHost: compat.test\r\n@CASE@\r\nContent-Length: 5\r\n\r\nabcde",
        access = function()
            local sock = ngx.req.socket(true)
            sock:send(shown(sock:receive(5)))
            leave()
        end },
    ["raw socket: a body that was read"] = {
        raw = "POST /t HTTP/1.1\r\nHost: compat.test\r\n@CASE@\r\nContent-Length: 5\r\n\r\nabcde",
        access = function()
            ngx.req.read_body()
            local sock, err = ngx.req.socket(true)
            if not sock then
                ngx.print(shown(sock, err))
                return leave()
            end
            sock:send(shown(ngx.req.get_body_data()))
            leave()
        end },
    ["raw socket: after a flush"] = { raw = RAW, access = function()
        ngx.status = 200
        ngx.header["X-One"] = "1"
        ngx.header.content_length = 4
        ngx.send_headers()
        ngx.flush(true)
        local sock = ngx.req.socket(true)
        sock:send("body")
        leave()
    end },
    ["raw socket: switching protocols"] = {
        raw = "GET /t HTTP/1.1\r\nHost: compat.test\r\n@CASE@\r\nUpgrade: echo\r\n"
              .. "Connection: Upgrade\r\n\r\nping\n",
        access = function()
            ngx.status = 101
            ngx.header["Upgrade"] = "echo"
            ngx.send_headers()
            local ok, err = ngx.flush(true)
            local sock = ngx.req.socket(true)
            sock:send(shown(ok, err))
            sock:send("got " .. shown(sock:receive()))
            leave(444)
        end },
    ["raw socket: in a later phase"] = { access = function()
        ngx.print("x")
        leave()
    end, header_filter = function()
        say(try(ngx.req.socket, true))
    end, log = function()
        say(try(ngx.req.socket, true))
    end },
    ["raw socket: what cannot be"] = { raw = RAW, access = function()
        local sock = ngx.req.socket(true)
        sock:send(shown((try(sock.send, sock))))
        sock:send(shown((try(sock.send, sock, print))))
        sock:send(shown((try(sock.receive, sock, {}))))
        sock:send(shown((try(sock.receive, sock, "*x"))))
        sock:send(shown((try(sock.receiveany, sock, 0))))
        leave()
    end },
    ["in time: a piece arrives while the handler runs"] = { parts = "one", access = function()
        ngx.say("one")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end },
    ["in time: without waiting"] = { parts = "one", access = function()
        ngx.say("one")
        ngx.flush()
        ngx.say("told: ", arrived())
        leave()
    end },
    ["in time: the second piece"] = { parts = "two", access = function()
        ngx.say("one")
        ngx.flush(true)
        ngx.say("two")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end },
    ["in time: with a length"] = { parts = "one", access = function()
        ngx.header.content_length = 6
        ngx.print("one")
        ngx.flush(true)
        ngx.print(arrived() and "two" or "not")
        leave()
    end },
    ["in time: through a filter"] = { parts = "ONE", access = function()
        ngx.say("one")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end, body_filter = function()
        ngx.arg[1] = ngx.arg[1]:upper()
    end },
    ["in time: much, without a flush"] = { parts = "the end of it", access = function()
        ngx.print(("x"):rep(600000), "the end of it")
        ngx.print("told: ", tostring(arrived()))
        leave()
    end },
    ["in time: the whole answer before the handler ends"] = { parts = "all of it",
        access = function()
            ngx.print("all of it")
            ngx.eof()
            say(arrived())
        end, log = function()
            say("log")
        end },
    ["in time: over HTTP/2"] = { parts = "one", http2 = true, access = function()
        ngx.say("one")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end },
    ["in time: much over HTTP/2"] = { parts = "the end of it", http2 = true, access = function()
        for _ = 1, 20 do
            ngx.print(("x"):rep(20000))
            ngx.flush(true)
        end
        ngx.say("the end of it")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end },
    ["in time: the whole answer over HTTP/2"] = { parts = "all of it", http2 = true,
        access = function()
            ngx.print("all of it")
            ngx.eof()
            say(arrived())
        end, log = function()
            say("log")
        end },
    ["raw socket: over HTTP/2"] = { parts = "two", http2 = true, access = function()
        ngx.say(shown(ngx.req.socket(true)), "two")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end },
    ["leaves: on_abort runs"] = { parts = "one", leaves = true, waits = true, access = function()
        local ok, err = ngx.on_abort(function()
            say("gone", ngx.get_phase())
            compat.done()
            ngx.exit(499)
        end)
        say(ok, err)
        ngx.say("one")
        ngx.flush(true)
        ngx.sleep(10)
        say("slept")
    end },
    ["leaves: on_abort that lets it go on"] = { parts = "one", leaves = true, waits = true,
        access = function()
            ngx.on_abort(function()
                say("gone")
            end)
            ngx.say("one")
            ngx.flush(true)
            ngx.sleep(0.3)
            say("still here")
            compat.done()
        end },
    ["leaves: on_abort over HTTP/2"] = { parts = "one", leaves = true, waits = true, http2 = true,
        access = function()
            ngx.on_abort(function()
                say("gone")
                compat.done()
                ngx.exit(499)
            end)
            ngx.say("one")
            ngx.flush(true)
            ngx.sleep(10)
        end },
}
