-- The client's own connection: ngx.req.socket(true).
local say, try, compat = ...

local arrived = compat.arrived
local leave = compat.leave
local shown = compat.line


local RAW = "GET /t HTTP/1.1\r\nHost: compat.test\r\n@CASE@\r\n\r\n"


return {
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
    ["raw socket: over HTTP/2"] = { parts = "two", http2 = true, access = function()
        ngx.say(shown(ngx.req.socket(true)), "two")
        ngx.flush(true)
        ngx.say("told: ", arrived())
        leave()
    end },
}
