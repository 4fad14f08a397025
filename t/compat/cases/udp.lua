-- UDP cosockets against a peer that echoes.
local say, try, compat = ...

local env = compat.env

return {
    ["echo"] = function()
        local sock = ngx.socket.udp()
        sock:settimeout(1000)
        say(sock:setpeername("127.0.0.1", env.udp))
        say(sock:send("hello"))
        say(sock:receive())
        say(sock:send({ "a", { 1, "b" } }))
        say(sock:receive())
        say(sock:close())
        say(sock:close())
    end,
    ["cut to size"] = function()
        local sock = ngx.socket.udp()
        sock:setpeername("127.0.0.1", env.udp)
        sock:send("0123456789")
        say(sock:receive(4))
        sock:send("x")
        say(sock:receive(100))
        sock:close()
    end,
    ["timeout"] = function()
        local sock = ngx.socket.udp()
        sock:setpeername("127.0.0.1", env.udp)
        sock:settimeout(20)
        sock:send("silence")
        say(sock:receive())
        sock:close()
    end,
    ["what cannot be"] = function()
        local sock = ngx.socket.udp()
        say(try(sock.send, sock, "x"))
        say(try(sock.receive, sock))
        say(try(sock.close, sock))
        say(try(sock.setpeername, sock))
        say(try(sock.setpeername, sock, "127.0.0.1"))
        say(try(sock.setpeername, sock, "127.0.0.1", 70000))
        say(try(sock.setpeername, sock, "127.0.0.1", "x"))
        sock:setpeername("127.0.0.1", env.udp)
        say(try(sock.send, sock))
        say(try(sock.send, sock, function() end))
        say(try(sock.send, sock, true))
        say(try(sock.send, sock, 12))
        say(try(sock.receive, sock, "x"))
        sock:close()
    end,
    ["nobody there"] = function()
        local sock = ngx.socket.udp()
        say(sock:setpeername("127.0.0.1", env.closed))
        sock:settimeout(200)
        say(sock:send("x"))
        say(sock:receive())
        sock:close()
    end,
}
