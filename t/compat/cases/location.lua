-- ngx.location, ngx.exec, and what runs in locations of snippets: see locations.conf.
local say, try = ...

local capture = ngx.location.capture

local function shown(res)
    local headers = {}
    for name, value in pairs(res.header) do
        headers[#headers + 1] = name .. ": " .. (type(value) == "table"
                                                 and table.concat(value, " and ") or value)
    end
    table.sort(headers)
    say(res.status, res.truncated, res.body)
    say(table.concat(headers, "; "))
end

-- A request to a location itself, without a word in the driver's own phases.
local function direct(uri, more)
    local case = more or {}
    case.uri = "/direct/" .. uri
    return case
end

return {
    ["capture"] = function()
        shown(capture("/sub/echo"))
        shown(capture("/sub/echo?a=1&b"))
        shown(capture("/sub/inside"))
    end,
    ["capture: args"] = function()
        say(capture("/sub/echo", { args = "a=1&b=2" }).body)
        say(capture("/sub/echo?x", { args = { a = "ö 1" } }).body)
        say(capture("/sub/echo?x=1", { args = "" }).body)
        say(capture("/sub/echo", { args = 12 }).body)
    end,
    ["capture: methods"] = function()
        for _, name in ipairs({ "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD" }) do
            local res = capture("/sub/echo", { method = ngx["HTTP_" .. name] })
            say(name, res.status, res.body)
        end
    end,
    ["capture: body"] = function()
        say(capture("/sub/echo", { method = ngx.HTTP_POST, body = "given" }).body)
        say(capture("/sub/echo", { method = ngx.HTTP_PUT, body = "" }).body)
        say(capture("/sub/echo", { body = "for get" }).body)
        say(capture("/sub/echo", { body = 123 }).body)
    end,
    ["capture: body of the request"] = {
        method = "POST",
        body = "of the request",
        access = function()
            ngx.req.read_body()
            say(capture("/sub/echo", { method = ngx.HTTP_POST }).body)
            say(capture("/sub/echo", { method = ngx.HTTP_PUT }).body)
            say(capture("/sub/echo", { method = ngx.HTTP_PATCH, always_forward_body = true }).body)
            say(capture("/sub/echo", { always_forward_body = true }).body)
            say(capture("/sub/echo").body)
            say(capture("/sub/echo", { method = ngx.HTTP_POST, body = "own" }).body)
            say(ngx.req.get_body_data(), ngx.var.http_content_length)
        end,
    },
    ["capture: headers of the request"] = {
        headers = { "X-Mine: mine" },
        access = function()
            say(capture("/sub/echo").body)
            ngx.req.set_header("X-Mine", "other")
            say(capture("/sub/echo").body)
        end,
    },
    ["capture: headers of the answer"] = function()
        shown(capture("/sub/headers"))
        shown(capture("/sub/return?a=b"))
    end,
    ["capture: status"] = function()
        for _, status in ipairs({ 200, 201, 204, 301, 403, 404, 500, 503 }) do
            local res = capture("/sub/status", { args = { s = status } })
            say(res.status, res.truncated, #res.body)
            res = capture("/sub/status", { args = { s = status, say = 1 } })
            say(res.status, status ~= 204 and res.body)
        end
    end,
    ["capture: nothing"] = function()
        local res = capture("/sub/nothing")
        say(res.status, res.body, res.truncated)
    end,
    ["capture: redirect"] = function()
        local res = capture("/sub/redirect")
        say(res.status, res.header.Location)
    end,
    ["capture: an error"] = function()
        say(capture("/sub/raise").status)
        say(capture("/sub/echo").status)
    end,
    ["capture: exec in it"] = function()
        shown(capture("/sub/exec"))
    end,
    ["capture: large"] = function()
        local res = capture("/sub/large")
        say(res.status, #res.body, res.truncated, ngx.md5(res.body))
    end,
    ["capture: nested"] = function()
        say(capture("/sub/nested?n=5").body)
    end,
    ["capture: captures of a regular expression"] = function()
        say(capture("/sub/re/one/two").body)
        say(capture("/sub/re/one/").body)
    end,
    ["capture: variables"] = function()
        ngx.var.compat_a, ngx.var.compat_b = "a", "b"
        say(capture("/sub/vars").body)
        say(ngx.var.compat_a, ngx.var.compat_b, ngx.var.compat_c)
        say(capture("/sub/vars", { vars = { compat_a = "x", compat_b = 2 } }).body)
        say(ngx.var.compat_a, ngx.var.compat_b, ngx.var.compat_c)
        say(capture("/sub/vars", { copy_all_vars = true }).body)
        say(ngx.var.compat_a, ngx.var.compat_b, ngx.var.compat_c)
        say(capture("/sub/vars", { copy_all_vars = true, vars = { compat_b = "y" } }).body)
        say(ngx.var.compat_a, ngx.var.compat_b, ngx.var.compat_c)
        say(capture("/sub/vars", { share_all_vars = true }).body)
        say(ngx.var.compat_a, ngx.var.compat_b, ngx.var.compat_c)
    end,
    ["capture: ctx"] = function()
        ngx.ctx.given = "mine"
        local given = { given = "given" }
        capture("/sub/vars", { ctx = given })
        say(given, ngx.ctx.given)
        capture("/sub/vars", { ctx = ngx.ctx })
        say(ngx.ctx.given, ngx.ctx.more)
        capture("/sub/vars")
        say(ngx.ctx.given)
    end,
    ["capture: leaves the request as it is"] = function()
        ngx.header["X-Before"] = "kept"
        ngx.status = 202
        capture("/sub/headers")
        say(ngx.var.uri, ngx.var.args, ngx.req.get_method(), ngx.status, ngx.is_subrequest)
        say(ngx.req.is_internal(), ngx.header["X-One"])
    end,
    ["capture: what cannot be"] = function()
        say(try(capture))
        say(try(capture, "/a", {}, 1))
        say(try(capture, ""))
        say(try(capture, "../x"))
        say(try(capture, "/a/../../x"))
    end,
    ["capture: bad options"] = function()
        for _, options in ipairs({ { method = "GET" }, { method = 3 }, { body = {} },
                                   { args = true }, { vars = 1 }, { share_all_vars = 1 },
                                   { copy_all_vars = "x" }, { always_forward_body = 1 } }) do
            local ok, why = try(capture, "/sub/echo", options)
            say(options, ok == "raised" and why)
        end
    end,
    ["capture_multi"] = function()
        local a, b, c = ngx.location.capture_multi({
            { "/sub/echo" },
            { "/sub/status", { args = "s=201&say=1" } },
            { "/sub/echo", { method = ngx.HTTP_POST, body = "x" } },
        })
        shown(a)
        shown(b)
        shown(c)
    end,
    ["capture_multi: at the same time"] = function()
        local begin = ngx.now()
        local list = {}
        for at = 1, 10 do
            list[at] = { "/sub/sleep", { args = { t = 0.3 - at / 100 } } }
        end
        local answers = { ngx.location.capture_multi(list) }
        for at = 1, 10 do
            say(answers[at].body)
        end
        ngx.update_time()
        say(ngx.now() - begin < 2)
    end,
    ["capture_multi: one"] = function()
        say(#{ ngx.location.capture_multi({ { "/sub/echo" } }) })
    end,
    ["capture_multi: what cannot be"] = function()
        say(try(ngx.location.capture_multi))
        say(try(ngx.location.capture_multi, {}))
        say(try(ngx.location.capture_multi, { 1 }))
        say((try(ngx.location.capture_multi, "x")))
    end,
    ["capture in threads"] = function()
        local threads = {}
        for at = 1, 3 do
            threads[at] = ngx.thread.spawn(function()
                return capture("/sub/sleep", { args = { t = at / 100 } }).body
            end)
        end
        for at = 1, 3 do
            say(ngx.thread.wait(threads[at]))
        end
    end,
    ["capture in a coroutine"] = function()
        local co = coroutine.wrap(function()
            return capture("/sub/status?s=201&say=1").body
        end)
        say(co())
    end,
    ["capture: where it is disabled"] = {
        access = function() return "pass" end,
        log = function() say(try(capture, "/sub/echo")) say(try(ngx.exec, "/sub/echo")) end,
    },
    ["capture: in a timer"] = {
        waits = true,
        access = function()
            ngx.timer.at(0, function()
                say(try(capture, "/sub/echo"))
                say(try(ngx.exec, "/sub/echo"))
                require("driver").over()
            end)
        end,
    },

    ["exec"] = { access = function()
        ngx.ctx.given = 1
        ngx.var.compat_a = "kept"
        ngx.exec("/sub/echo", "x=y")
    end },
    ["exec: args"] = { uri = "/t?old=1", access = function()
        ngx.exec("/sub/echo?a=b", { c = "d e" })
    end },
    ["exec: internal"] = { access = function() ngx.exec("/sub/inside") end },
    ["exec: named"] = { uri = "/t?old=1", access = function() ngx.exec("@named", "x=y") end },
    ["exec: body and headers"] = {
        method = "POST",
        body = "body",
        headers = { "X-Mine: mine" },
        access = function()
            ngx.header["X-Before"] = "kept"
            ngx.exec("/sub/echo")
        end,
    },
    ["exec: a named one that is not there"] = {
        access = function() ngx.exec("@none") end,
        compare = "nobody noheaders",
    },
    ["exec: elsewhere"] = { access = function() ngx.exec("/sub/headers") end },
    ["exec: after output"] = { access = function()
        ngx.say("said")
        ngx.say(try(ngx.exec, "/sub/echo"))
        ngx.exit(200)
    end },
    ["exec: what cannot be"] = function()
        say(try(ngx.exec, "/a", {}, 1))
        say(try(ngx.exec, "../x"))
        say(try(ngx.exec, "/x", true))
    end,

    ["direct: exact"] = { uri = "/sub/return?a=b" },
    ["direct: internal"] = { uri = "/sub/inside", compare = "nobody noheaders" },
    ["direct: regular expression"] = { uri = "/sub/re/a/b" },
    ["direct: prefix"] = direct("prefix/a?b"),
    ["direct: prefix, fixed"] = direct("prefix/fixed/a.x"),
    ["direct: regular expression over prefix"] = direct("prefix/a.x"),
    ["direct: caseless"] = direct("prefix/a.y"),
    ["direct: encoded"] = direct("prefix/a%20b%2fc?d%20e"),
    ["direct: rewrite last"] = direct("last/q?a=1"),
    ["direct: rewrite without arguments"] = direct("drop/q?a=1"),
    ["direct: rewrite break"] = direct("break/q?a=1"),
    ["direct: rewrite twice"] = direct("both/q?a=1"),
    ["direct: rewrite redirect"] = direct("redirect/a%20b?c=d", { compare = "nobody" }),
    ["direct: rewrite permanent"] = direct("permanent/x", { compare = "nobody" }),
    ["direct: rewrite for ever"] = direct("loop", { compare = "nobody noheaders" }),
    ["direct: return 301"] = direct("return/301", { compare = "nobody" }),
    ["direct: return an address"] = direct("return/302", { compare = "nobody" }),
    ["direct: return 404"] = direct("return/404", { compare = "nobody noheaders" }),
    ["direct: return 204"] = direct("return/204"),
    ["direct: return a text"] = direct("return/text?<>"),
    ["direct: jump"] = direct("jump?a=b"),
    ["direct: exec"] = direct("exec"),
    ["direct: access answers"] = direct("access"),
    ["direct: filters"] = direct("filters"),
    ["direct: filters, HEAD"] = direct("filters", { method = "HEAD" }),
    ["content: nothing"] = direct("content?way=nothing", { compare = "noheaders" }),
    ["content: say"] = direct("content?way=say"),
    ["content: exit 404 after output"] = direct("content?way=exit404"),
    ["content: exit 204"] = direct("content?way=exit204"),
    ["content: exit 0"] = direct("content?way=exit0", { compare = "noheaders" }),
    ["content: status"] = direct("content?way=status"),
    ["content: eof"] = direct("content?way=eof"),
    ["content: type"] = direct("content?way=type"),
    ["content: exec after output"] = direct("content?way=sent"),
    ["content: coroutine"] = direct("content?way=coroutine"),
    ["content: set_uri"] = direct("content?way=uri"),
    ["content: set_uri, jump"] = direct("content?way=jump"),
    ["content: body"] = direct("content?way=read", { method = "POST", body = "abc" }),
}
