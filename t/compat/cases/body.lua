-- The request's body.
local say, try, compat = ...

local FORM = { "Content-Type: application/x-www-form-urlencoded" }

local nkeys = require("table.nkeys")

return {
    ["none"] = function()
        ngx.req.read_body()
        say(ngx.req.get_body_data(), ngx.req.get_body_file())
        say(ngx.req.get_post_args())
    end,
    ["data"] = { method = "POST", body = "hello body", access = function()
        say(select("#", ngx.req.read_body()))
        say(ngx.req.get_body_data(), ngx.req.get_body_file(), ngx.var.request_body)
        ngx.req.read_body()
        say(ngx.req.get_body_data())
    end },
    ["data: not read yet"] = { method = "POST", body = "hello", access = function()
        say(try(ngx.req.get_body_data))
        say(try(ngx.req.get_body_file))
        say(try(ngx.req.get_post_args))
        say(ngx.var.request_body)
    end },
    ["data: in a file"] = { method = "POST", body = ("x"):rep(70000), access = function()
        ngx.req.read_body()
        local data, file = ngx.req.get_body_data(), ngx.req.get_body_file()
        if file then
            local handle = io.open(file)
            data = handle:read("*a")
            handle:close()
        end
        say(#data)
        say(try(ngx.req.get_post_args))
    end },
    ["chunked"] = { raw = "POST /t HTTP/1.1\r\n@CASE@\r\nHost: a\r\nConnection: close\r\n"
        .. "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        access = function()
            ngx.req.read_body()
            say(ngx.req.get_body_data(), ngx.var.content_length, ngx.var.http_transfer_encoding)
        end },
    ["post args"] = { method = "POST", body = "a=1&b=%20x+y&c&a=2&d=", headers = FORM,
        access = function()
            ngx.req.read_body()
            say(ngx.req.get_post_args())
        end },
    ["post args: at most"] = { method = "POST", body = "a=1&b=2&c=3", headers = FORM,
        access = function()
            ngx.req.read_body()
            local args, err = ngx.req.get_post_args(2)
            say(nkeys(args), err)
            args, err = ngx.req.get_post_args(0)
            say(nkeys(args), err)
            say(try(ngx.req.get_post_args, -1))
        end },
    ["post args: another type"] = { method = "POST", body = "a=1",
        headers = { "Content-Type: text/x" },
        access = function()
            ngx.req.read_body()
            say(ngx.req.get_post_args())
        end },
    ["discard"] = { method = "POST", body = "hello", access = function()
        say(select("#", ngx.req.discard_body()))
        say(try(ngx.req.get_body_data))
    end },
    ["set_body_data"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        ngx.req.set_body_data("new body")
        say(ngx.req.get_body_data(), ngx.var.request_body)
        say(ngx.req.get_headers()["Content-Length"], ngx.var.content_length,
            ngx.var.http_content_length)
    end },
    ["set_body_data: odd"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        say(try(ngx.req.set_body_data))
        say(try(ngx.req.set_body_data, nil))
        say(try(ngx.req.set_body_data, {}))
        say(try(ngx.req.set_body_data, 12), ngx.req.get_body_data())
        say(try(ngx.req.set_body_data, ""), ngx.req.get_body_data())
    end },
    ["set_body_data: not read yet"] = { method = "POST", body = "old", access = function()
        say(try(ngx.req.set_body_data, "new"))
        ngx.req.read_body()
        say(try(ngx.req.set_body_data, "new"))
        say(ngx.req.get_body_data())
    end },
    ["set_body_data: goes upstream"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        ngx.req.set_body_data("new body")
        return "pass"
    end },
    ["set_body_data: for a GET"] = { access = function()
        ngx.req.read_body()
        ngx.req.set_body_data("new body")
        return "pass"
    end },
    ["set_body_file"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        ngx.req.set_body_file(compat.env.dir .. "/body")
        say(ngx.req.get_body_data(), ngx.req.get_body_file() == compat.env.dir .. "/body")
        say(ngx.req.get_headers()["Content-Length"])
    end },
    ["set_body_file: goes upstream"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        ngx.req.set_body_file(compat.env.dir .. "/body")
        return "pass"
    end },
    ["set_body_file: not there"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        local kind, text = try(ngx.req.set_body_file, compat.env.dir .. "/none")
        say(kind, tostring(text):find("none", 1, true) ~= nil)
        say(try(ngx.req.set_body_file))
    end },
    ["set_body_file: cleaned"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        local name = compat.env.dir .. "/gone"
        local file = io.open(name, "w")
        file:write("short life")
        file:close()
        ngx.req.set_body_file(name, true)
        return "pass"
    end },
    ["init_body"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        ngx.req.init_body()
        ngx.req.append_body("one ")
        ngx.req.append_body("two")
        ngx.req.finish_body()
        say(ngx.req.get_body_data(), ngx.req.get_headers()["Content-Length"])
    end },
    ["init_body: goes upstream"] = { method = "POST", body = "old", access = function()
        ngx.req.read_body()
        ngx.req.init_body(100)
        for _ = 1, 30 do
            ngx.req.append_body("0123456789")
        end
        ngx.req.finish_body()
        return "pass"
    end },
    ["init_body: out of order"] = { method = "POST", body = "old", access = function()
        say(try(ngx.req.init_body))
        ngx.req.read_body()
        say(try(ngx.req.append_body, "x"))
        say(try(ngx.req.finish_body))
        say(try(ngx.req.init_body, 0))
        say(try(ngx.req.init_body, -1))
        ngx.req.init_body()
        say(try(ngx.req.append_body))
        say(try(ngx.req.append_body, {}))
        say(try(ngx.req.append_body, 12))
        ngx.req.finish_body()
        say(ngx.req.get_body_data())
    end },
    ["expect"] = { raw = "POST /t HTTP/1.0\r\n@CASE@\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        access = function()
            ngx.req.read_body()
            say(ngx.req.get_body_data(), ngx.var.content_length)
        end },
    ["upstream gets it"] = { method = "POST", body = "as it came", access = function()
        return "pass"
    end },
    ["upstream gets it, read"] = { method = "PUT", body = "as it came", access = function()
        ngx.req.read_body()
        return "pass"
    end },
    ["socket"] = { method = "POST", body = "line one\nline two\r\n12345rest", access = function()
        local sock, err = ngx.req.socket()
        say(type(sock), err)
        sock:settimeout(1000)
        say(sock:receive())
        say(sock:receive("*l"))
        say(sock:receive(3))
        say(sock:receive(0))
        say(sock:receive("*a"))
        say(sock:receive())
        say(sock:receive(1))
    end },
    ["socket: too short"] = { method = "POST", body = "abc", access = function()
        local sock = ngx.req.socket()
        say(sock:receive(5))
        say(sock:receive(5))
    end },
    ["socket: until a pattern"] = { method = "POST", body = "one--two-x--three", access = function()
        local sock = ngx.req.socket()
        local reader = sock:receiveuntil("--")
        say(reader())
        say(reader(2))
        say(reader(9))
        say(reader(9))
        say(reader())
        say(reader())
    end },
    ["socket: inclusive"] = { method = "POST", body = "a,b,c", access = function()
        local sock = ngx.req.socket()
        local reader = sock:receiveuntil(",", { inclusive = true })
        say(reader())
        say(reader())
        say(reader())
    end },
    ["socket: large"] = { method = "POST", body = ("0123456789"):rep(30000), access = function()
        local sock = ngx.req.socket()
        local count = 0
        while true do
            local data, err, partial = sock:receive(4096)
            if not data then
                say(count, err, #(partial or ""))
                break
            end
            count = count + #data
        end
    end },
    ["socket: any"] = { method = "POST", body = "abcdef", access = function()
        local sock = ngx.req.socket()
        say(try(sock.receiveany, sock, 0))
        say(sock:receiveany(4))
        say(sock:receiveany(4))
        say(sock:receiveany(4))
    end },
    ["socket: no body"] = function()
        say(ngx.req.socket())
    end,
    ["socket: the body was read"] = { method = "POST", body = "x", access = function()
        ngx.req.read_body()
        say(ngx.req.socket())
    end },
    ["socket: twice"] = { method = "POST", body = "abc", access = function()
        local sock = ngx.req.socket()
        say(sock:receive(1))
        say(ngx.req.socket())
        say(sock:receive(1))
    end },
    ["socket: then the body"] = { method = "POST", body = "abc", access = function()
        local sock = ngx.req.socket()
        say(sock:receive("*a"))
        say(try(ngx.req.get_body_data))
        say(ngx.var.content_length)
    end },
    ["socket: bad patterns"] = { method = "POST", body = "x", access = function()
        local sock = ngx.req.socket()
        say((try(sock.receive, sock, "*x")))
        say((try(sock.receive, sock, -1)))
        say((try(sock.receiveuntil, sock)))
        say(sock:receiveuntil(""))
    end },
    ["socket: methods"] = { method = "POST", body = "x", access = function()
        local sock = ngx.req.socket()
        say(sock.send, sock.connect, sock.setkeepalive, type(sock.receive), type(sock.settimeout))
    end },
}
