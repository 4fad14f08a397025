-- The request, read.
local say, try = ...

local nkeys = require("table.nkeys")

-- More than one name shares its first letter, its last and its length with another.
local function many_headers()
    local lines = {}
    for i = 1, 40 do
        lines[#lines + 1] = "X-Number-" .. i .. ": " .. i
        if i % 10 == 0 then
            lines[#lines + 1] = "X-Again: " .. i
        elseif i == 25 then
            lines[#lines + 1] = "X-AGAIN: other letters"
            lines[#lines + 1] = "x-number-3: the second"
        end
    end
    return lines
end

return {
    ["method"] = { method = "PATCH", access = function()
        say(ngx.req.get_method(), ngx.var.request_method)
    end },
    ["method: unusual"] = { method = "PURGE", access = function()
        say(ngx.req.get_method())
    end },
    ["method: HEAD"] = { method = "HEAD", access = function()
        say(ngx.req.get_method())
    end },
    ["set_method"] = function()
        ngx.req.set_method(ngx.HTTP_PUT)
        say(ngx.req.get_method(), ngx.var.request_method)
        say(try(ngx.req.set_method, 12345))
        say(try(ngx.req.set_method, "GET"))
        say(try(ngx.req.set_method))
        say(try(ngx.req.set_method, nil))
    end,
    ["http_version"] = function()
        say(ngx.req.http_version(), ngx.var.server_protocol)
    end,
    ["http_version: 1.0"] = { raw = "GET /t HTTP/1.0\r\n@CASE@\r\nHost: a\r\n\r\n",
        access = function()
            say(ngx.req.http_version(), ngx.var.server_protocol, ngx.var.host)
        end },
    ["raw_header"] = { headers = { "X-One: 1", "x-TWO:  2  " }, access = function()
        say(ngx.req.raw_header())
        say(ngx.req.raw_header(true))
    end },
    ["raw_header: stays as it came"] = { headers = { "X-One: 1" }, access = function()
        ngx.req.set_header("X-One", "changed")
        ngx.req.clear_header("Host")
        say(ngx.req.raw_header(true))
    end },
    ["get_headers"] = { headers = { "X-One: 1", "x-two: 2", "X-One: 3", "X_Under: u", "Empty:" },
        access = function()
            say(ngx.req.get_headers())
        end },
    ["get_headers: raw"] = { headers = { "X-One: 1", "x-TWO: 2", "x-one: 3" }, access = function()
        say(ngx.req.get_headers(0, true))
        say(ngx.req.get_headers(nil, true)["x-two"], ngx.req.get_headers(nil, true)["x-TWO"])
    end },
    ["get_headers: spellings"] = { headers = { "My-Foo-Header: blah" }, access = function()
        local headers = ngx.req.get_headers()
        say(headers["my-foo-header"], headers["My-Foo-Header"], headers.my_foo_header,
            headers.My_Foo_Header, headers.none)
    end },
    -- Of equal length, with equal ends: what is remembered of one must not serve another.
    ["get_headers: names alike"] = { access = function()
        local names = { "X-Abc-Z", "x-abc-z", "X-Abd-Z", "X-ABD-z", "X-Zzz-Z" }
        local wrong = 0
        for round = 1, 60 do
            -- One for a while, others in between.
            local name = names[1 + (round % 4 == 0 and round or math.floor(round / 20)) % #names]
            ngx.req.set_header(name, round)
            local headers = ngx.req.get_headers()
            for other in pairs(headers) do
                if other:find("^x%-%w%w%w%-z$") and other ~= name:lower() then
                    wrong = wrong + 1
                end
            end
            if headers[name] ~= tostring(round) then
                wrong = wrong + 1
            end
            ngx.req.clear_header(name)
        end
        say(wrong, nkeys(ngx.req.get_headers()))
    end },
    ["get_headers: at most"] = { headers = { "A: 1", "B: 2", "C: 3" }, access = function()
        local headers, err = ngx.req.get_headers(2)
        say(nkeys(headers), err)
        say(select(2, ngx.req.get_headers(0)), select(2, ngx.req.get_headers()))
        say(try(ngx.req.get_headers, -1))
        say(try(ngx.req.get_headers, "x"))
    end },
    ["set_header"] = { headers = { "X-One: 1", "X-One: 2" }, access = function()
        ngx.req.set_header("X-One", "new")
        ngx.req.set_header("X-Two", { "a", "b" })
        ngx.req.set_header("x-three", 12)
        ngx.req.set_header("X_Four", "under")
        ngx.req.set_header("X-Five", "")
        say(ngx.req.get_headers())
        say(ngx.var.http_x_one, ngx.var.http_x_two, ngx.var.http_x_five)
    end },
    ["set_header: removes"] = { headers = { "X-One: 1", "X-Two: 2", "X-Three: 3" },
        access = function()
            ngx.req.set_header("X-One", nil)
            ngx.req.set_header("X-Two", {})
            ngx.req.clear_header("x-three")
            ngx.req.clear_header("none")
            say(ngx.req.get_headers())
        end },
    ["set_header: other values"] = { access = function()
        say(try(ngx.req.set_header, "X-True", true))
        say(try(ngx.req.set_header, "X-Func", function() end),
            type(ngx.req.get_headers()["X-Func"]))
        say(try(ngx.req.set_header, nil, "x"))
        say(try(ngx.req.set_header, "X-List", { 1, true, "x" }))
        say(try(ngx.req.set_header, 12, "number"))
        say(try(ngx.req.clear_header, nil))
        local headers = ngx.req.get_headers()
        say(headers["X-True"], headers["X-List"], headers["12"])
    end },
    ["set_header: what is no header"] = { access = function()
        ngx.req.set_header("X-Lines", "a\r\nX-Evil: 1")
        ngx.req.set_header("X-Zero", "a\0b")
        ngx.req.set_header("Bad Name", "x")
        ngx.req.set_header("Bad:Name", "x")
        ngx.req.set_header("X-Tab", "a\tb")
        say(ngx.req.get_headers())
    end },
    ["set_header: known ones"] = { headers = { "User-Agent: one", "Cookie: a=1" },
        access = function()
            ngx.req.set_header("Host", "Other.Host:8080")
            ngx.req.set_header("User-Agent", "two")
            ngx.req.set_header("Cookie", "b=2")
            ngx.req.set_header("Content-Type", "text/x")
            say(ngx.var.http_host, ngx.var.host, ngx.var.http_user_agent, ngx.var.cookie_b,
                ngx.var.cookie_a, ngx.var.content_type, ngx.var.http_cookie)
        end },
    ["set_header: several cookies"] = { headers = { "Cookie: a=1" }, access = function()
        ngx.req.set_header("Cookie", { "b=2", "c=3" })
        say(ngx.var.http_cookie, ngx.var.cookie_b, ngx.var.cookie_c, ngx.req.get_headers().cookie)
    end },
    ["add_header"] = { headers = { "X-One: 1" }, access = function()
        local add = require("ngx.req").add_header
        add("X-One", "2")
        add("x-one", { "3", "4" })
        add("X-New", "n")
        say(ngx.req.get_headers())
        say(try(add, "X-One"))
        say(try(add, nil, "x"))
        say(try(add, "X-One", {}))
        say(try(add, "X-Bool", true))
        say(ngx.req.get_headers())
    end },
    ["get_uri_args"] = { uri = "/t?a=1&b=%20x+y&c&d=&a=2&e[]=1", access = function()
        say(ngx.req.get_uri_args())
    end },
    ["get_uri_args: none"] = { uri = "/t", access = function()
        say(ngx.req.get_uri_args())
    end },
    ["get_uri_args: odd"] = { uri = "/t?&=&=x&&%3d=%26&a=b=c&%zz=%", access = function()
        say(ngx.req.get_uri_args())
    end },
    ["get_uri_args: at most"] = { uri = "/t?a=1&b=2&c=3", access = function()
        local args, err = ngx.req.get_uri_args(2)
        say(nkeys(args), err)
        args, err = ngx.req.get_uri_args(0)
        say(nkeys(args), err)
        args, err = ngx.req.get_uri_args(3)
        say(nkeys(args), err)
        say(try(ngx.req.get_uri_args, -1))
    end },
    ["get_uri_args: into a table"] = { uri = "/t?a=1", access = function()
        local own = { old = 1 }
        local args = ngx.req.get_uri_args(10, own)
        say(args == own, args)
    end },
    ["set_uri_args"] = { uri = "/t?a=1", access = function()
        ngx.req.set_uri_args("b=2&c=%20")
        say(ngx.var.args, ngx.var.query_string, ngx.req.get_uri_args(), ngx.var.arg_b)
        ngx.req.set_uri_args({ x = "y z" })
        say(ngx.var.args)
        ngx.req.set_uri_args({ a = { 1, 2 } })
        say(ngx.var.args)
        ngx.req.set_uri_args("")
        say(ngx.var.args, ngx.var.is_args)
        ngx.req.set_uri_args(12)
        say(ngx.var.args)
        ngx.req.set_uri_args({})
        say(ngx.var.args)
    end },
    ["set_uri_args: what cannot be"] = { access = function()
        say(try(ngx.req.set_uri_args))
        say(try(ngx.req.set_uri_args, nil))
        say(try(ngx.req.set_uri_args, true))
        say(try(ngx.req.set_uri_args, { a = function() end }))
    end },
    ["set_uri"] = { uri = "/t?a=1", access = function()
        ngx.req.set_uri("/other/path")
        say(ngx.var.uri, ngx.var.request_uri, ngx.var.args, ngx.var.document_uri)
        ngx.req.set_uri("/with space?x=1")
        say(ngx.var.uri, ngx.var.args)
        ngx.req.set_uri("relative")
        say(ngx.var.uri)
    end },
    ["set_uri: what cannot be"] = { access = function()
        say(try(ngx.req.set_uri))
        say(try(ngx.req.set_uri, ""))
        say(try(ngx.req.set_uri, nil))
        say(try(ngx.req.set_uri, {}))
        say(try(ngx.req.set_uri, 12), ngx.var.uri)
        say(try(ngx.req.set_uri, "/x", "yes"))
        say(try(ngx.req.set_uri, "/a\rb"))
        say(try(ngx.req.set_uri, "/a\0b"))
        say(try(ngx.req.set_uri, "/a b", false, true))
    end },
    ["set_uri: jump in access"] = { access = function()
        say(try(ngx.req.set_uri, "/x", true))
        say(try(ngx.req.set_uri, "/x", false))
    end },
    ["uri variables"] = { uri = "/a%20b/../c/./d//e?x=%20", access = function()
        say(ngx.var.uri, ngx.var.request_uri, ngx.var.args, ngx.var.is_args)
    end },
    ["is_internal"] = function()
        say(ngx.req.is_internal(), ngx.is_subrequest)
    end,
    ["absolute form"] = { raw = "GET http://Abs.Host:81/t?x=1 HTTP/1.1\r\n@CASE@\r\nHost: abs.host:81\r\nConnection: close\r\n\r\n",
        access = function()
            say(ngx.var.uri, ngx.var.host, ngx.var.http_host)
        end },
    ["get_headers: many, some of them again"] = { headers = many_headers(), access = function()
        local headers = ngx.req.get_headers()
        say(headers["x-number-7"], headers["X-NUMBER-38"], headers.x_number_12)
        say(headers["x-again"], headers["x-number-3"])
        say(#ngx.req.get_headers(0, true)["X-Again"], ngx.req.get_headers(0, true)["x-again"])
        local count = 0
        for name, value in pairs(headers) do
            count = count + 1
            if name ~= name:lower() or value == nil then
                say("wrong", name)
            end
        end
        say(count, select(2, ngx.req.get_headers(10)))
        for _ = 1, 100 do
            if ngx.req.get_headers()["x-number-20"] ~= "20" then
                say("wrong")
            end
        end
    end },
}
