-- header_filter, body_filter and log.
local say, try, compat = ...

local function pass()
    return "pass"
end

return {
    ["phases and their names"] = { rewrite = function()
        say(ngx.get_phase() == "rewrite" or ngx.get_phase() == "access")
    end, access = function()
        say(ngx.get_phase())
        return "pass"
    end, header_filter = function()
        say(ngx.get_phase())
    end, body_filter = function()
        if ngx.arg[2] then
            say(ngx.get_phase())
        end
    end, log = function()
        say(ngx.get_phase())
    end },
    ["header: read and write"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            say(ngx.status, ngx.header["X-Many"], ngx.header.content_type, ngx.header.etag)
            say(ngx.header.content_length, ngx.header["Set-Cookie"], ngx.header["Cache-Control"])
            ngx.header["X-Many"] = "just one"
            ngx.header["X-New"] = "n"
            ngx.header.etag = nil
            ngx.header["Set-Cookie"] = nil
        end },
    ["header: all of them"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            local headers = ngx.resp.get_headers()
            headers.date, headers.server, headers.connection = nil, nil, nil
            say(headers)
        end },
    ["header: status changed"] = { headers = { "X-Answer: missing" }, access = pass,
        header_filter = function()
            say(ngx.status)
            ngx.status = 410
        end, log = function()
            say(ngx.status, ngx.var.status, ngx.var.upstream_status)
        end },
    ["header: content length cleared"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            ngx.header.content_length = nil
        end, body_filter = function()
            ngx.arg[1] = ngx.arg[1]:upper() .. (ngx.arg[2] and "!" or "")
        end },
    ["header: headers_sent"] = { access = pass, header_filter = function()
        say(ngx.headers_sent)
    end, body_filter = function()
        if ngx.arg[2] then
            say(ngx.headers_sent)
        end
    end, log = function()
        say(ngx.headers_sent)
    end },
    ["header: for an answer of ours"] = { access = function()
        ngx.header["X-One"] = "1"
        ngx.print("own")
        ngx.exit(200)
    end, header_filter = function()
        say(ngx.status, ngx.header["X-One"])
        ngx.header["X-Two"] = "2"
    end },
    ["header: for exit 403"] = { access = function()
        ngx.exit(403)
    end, header_filter = function()
        say(ngx.status)
        ngx.header["X-Two"] = "2"
    end, log = function()
        say(ngx.status)
    end, compare = "nobody noheaders" },
    ["header: what is disabled"] = { access = pass, header_filter = function()
        say(try(ngx.say, "x"))
        say(try(ngx.print, "x"))
        say(try(ngx.flush))
        say(try(ngx.eof))
        say(try(ngx.redirect, "/x"))
        say(try(ngx.send_headers))
        say(try(ngx.req.read_body))
        say(try(ngx.exec, "/x"))
        say(try(ngx.req.set_uri, "/x"))
    end },
    ["header: exit"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            ngx.exit(ngx.OK)
            say("not reached")
        end },
    ["header: raises"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            error("oops")
        end, compare = "nobody noheaders" },
    ["header: add_header"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            local add = require("ngx.resp").add_header
            add("X-Many", "three")
            add("Set-Cookie", "c=3")
            say(ngx.header["X-Many"], ngx.header["Set-Cookie"])
        end },
    ["header: of an empty answer"] = { headers = { "X-Answer: empty" }, access = pass,
        header_filter = function()
            say(ngx.status, ngx.header.content_length, ngx.header["X-Up"])
        end, body_filter = function()
            say(ngx.arg[1], ngx.arg[2])
        end },
    ["body: read"] = { headers = { "X-Answer: headers" }, access = pass, body_filter = function()
        if ngx.arg[1] ~= "" then
            say(ngx.arg[1])
        end
        if ngx.arg[2] then
            say(ngx.arg[2])
        end
    end },
    ["body: collected"] = { headers = { "X-Answer: chunks" }, access = pass,
        body_filter = function()
            ngx.ctx.all = (ngx.ctx.all or "") .. ngx.arg[1]
            if ngx.arg[2] then
                say(ngx.ctx.all)
            end
        end },
    ["body: held back and sent at the end"] = { headers = { "X-Answer: chunks" }, access = pass,
        header_filter = function()
            ngx.header.content_length = nil
        end, body_filter = function()
            ngx.ctx.all = (ngx.ctx.all or "") .. ngx.arg[1]
            ngx.arg[1] = nil
            if ngx.arg[2] then
                ngx.arg[1] = ngx.ctx.all:reverse()
            end
        end },
    ["body: other values"] = { headers = { "X-Answer: chunks" }, access = pass,
        body_filter = function()
            if ngx.arg[2] then
                say(try(function() ngx.arg[1] = 12 end), ngx.arg[1])
                say(try(function() ngx.arg[1] = true end))
                say(try(function() ngx.arg[1] = function() end end))
                say(try(function() ngx.arg[3] = "x" end))
                say(ngx.arg[0], ngx.arg[3], ngx.arg.x)
                ngx.arg[1] = { "a", { "b", 3 } }
                say(ngx.arg[1])
            end
        end },
    ["body: cut short"] = { headers = { "X-Answer: chunks" }, access = pass,
        header_filter = function()
            ngx.header.content_length = nil
        end, body_filter = function()
        if ngx.ctx.cut then
            ngx.arg[1] = nil
            return
        end
        if ngx.arg[1] ~= "" then
            ngx.ctx.cut = true
            ngx.arg[1] = "cut"
            ngx.arg[2] = true
        end
    end },
    ["body: of an answer of ours"] = { access = function()
        ngx.print("one ")
        ngx.print("two")
        ngx.exit(200)
    end, header_filter = function()
        ngx.header.content_length = nil
    end, body_filter = function()
        ngx.ctx.all = (ngx.ctx.all or "") .. ngx.arg[1]
        if ngx.arg[2] then
            say(ngx.ctx.all)
        end
    end },
    ["body: what is disabled"] = { access = pass, body_filter = function()
        if ngx.arg[2] then
            say(try(ngx.say, "x"))
            say(try(ngx.flush))
            say(try(ngx.exit, 200))
            say(try(function() ngx.header["X"] = "y" end))
            say(try(function() ngx.status = 500 end))
            say(ngx.status)
        end
    end },
    ["arg: elsewhere"] = function()
        say(try(function() return ngx.arg[1] end))
        say(try(function() ngx.arg[1] = "x" end))
    end,
    ["log: facts"] = { method = "POST", body = "hello", headers = { "X-Answer: headers" },
        access = pass, log = function()
            say(ngx.status, ngx.header.etag, ngx.req.get_method(), ngx.var.request_uri)
            say(ngx.resp.get_headers()["x-many"], ngx.req.get_headers()["x-answer"])
        end },
    ["log: what is disabled"] = { access = pass, log = function()
        say(try(ngx.say, "x"))
        say(try(ngx.exit, 200))
        say(try(ngx.redirect, "/x"))
        say(try(ngx.flush))
        say(try(ngx.req.read_body))
    end },
    ["log: sleep and sockets"] = { access = pass, log = function()
        say(try(ngx.sleep, 0.001))
        say(try(ngx.socket.tcp))
    end },
    ["log: a timer from it"] = { access = pass, log = function()
        local ok, err = ngx.timer.at(0, function(premature, a, b)
            say(premature, a, b, ngx.get_phase())
            compat.done()
        end, "one", nil)
        say(ok, err)
    end, waits = true },
    ["log: raises"] = { access = pass, log = function()
        say("before")
        error("oops")
    end, waits = true, body_filter = function()
        if ngx.arg[2] then
            compat.done()
        end
    end, compare = "nosaid" },
    ["log: changes nothing"] = { access = pass, log = function()
        say(try(function() ngx.status = 500 end))
        say(try(function() ngx.header["X-Late"] = "1" end))
        say(ngx.status, ngx.header["X-Late"])
    end },
    ["header: exit with a status"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            ngx.exit(403)
        end, log = function()
            say(ngx.status)
        end, compare = "nobody noheaders" },
    ["header: request headers"] = { headers = { "X-One: 1" }, access = function()
        ngx.req.set_header("X-Two", "2")
        return "pass"
    end, header_filter = function()
        say(ngx.req.get_headers()["X-One"], ngx.req.get_headers()["X-Two"], ngx.var.http_x_two)
        say(ngx.req.get_method(), ngx.req.get_uri_args(), ngx.var.uri, ngx.req.http_version())
    end },
    ["header: the request's body"] = { method = "POST", body = "hello", access = function()
        ngx.req.read_body()
        return "pass"
    end, header_filter = function()
        say(ngx.req.get_body_data())
    end, log = function()
        say(ngx.req.get_body_data())
    end },
    ["header: ctx and variables"] = { access = function()
        ngx.ctx.a = { 1 }
        ngx.var.compat_own = "x"
        return "pass"
    end, header_filter = function()
        say(ngx.ctx.a, ngx.var.compat_own)
        ngx.var.compat_own = "y"
    end, log = function()
        say(ngx.var.compat_own, ngx.ctx.a)
    end },
    ["header: regular expressions and dictionaries"] = { headers = { "X-Answer: headers" },
        access = pass, header_filter = function()
            ngx.header["X-Many"] = ngx.re.gsub("a-b", "-", "+")
            say(ngx.shared.compat:set("filter", 1), ngx.shared.compat:get("filter"))
        end },
    ["header: a timer"] = { access = pass, header_filter = function()
        say(ngx.timer.at(0, function()
            say("timer")
            compat.done()
        end))
    end, waits = true },
    ["header: names in any form"] = { headers = { "X-Answer: headers" }, access = pass,
        header_filter = function()
            say(ngx.header.x_many, ngx.header["x-MANY"], ngx.header.X_Under, ngx.header["X_Under"])
            say(ngx.resp.get_headers()["x_under"], ngx.resp.get_headers()["cache-control"])
        end },
    ["body: length changed without a word"] = { headers = { "X-Answer: chunks" }, access = pass,
        body_filter = function()
            if ngx.arg[1] ~= "" then
                ngx.arg[1] = ngx.arg[1]:gsub("%w+", "word")
            end
        end },
    ["body: an empty last chunk"] = { headers = { "X-Answer: chunks" }, access = pass,
        body_filter = function()
            if ngx.arg[2] then
                ngx.arg[1] = ngx.arg[1] .. " the end"
            end
        end },
    ["body: status and headers are there"] = { headers = { "X-Answer: headers" }, access = pass,
        body_filter = function()
            if ngx.arg[2] then
                say(ngx.status, ngx.header["X-Many"], ngx.var.status, ngx.req.get_method())
            end
        end },
    ["log: the body's length"] = { headers = { "X-Answer: chunks" }, access = pass, log = function()
        say(ngx.var.body_bytes_sent, ngx.var.upstream_status, ngx.var.sent_http_x_up)
    end },
    ["log: after an answer of ours"] = { access = function()
        ngx.status = 403
        ngx.say("no")
        ngx.exit(403)
    end, log = function()
        say(ngx.status, ngx.var.status, ngx.var.body_bytes_sent, ngx.var.upstream_addr)
        say(ngx.get_phase())
    end },
}
