-- Variables.
local say, try = ...

local function show(names)
    for name in names:gmatch("%S+") do
        say(name, ngx.var[name])
    end
end

return {
    ["of the request"] = { uri = "/a%20b?x=1&y=%20", headers = { "User-Agent: me",
        "Referer: there" },
        access = function()
            show("uri document_uri request_uri args query_string is_args request_method request "
                 .. "server_protocol scheme host http_host http_user_agent http_referer http_none "
                 .. "arg_x arg_y arg_z arg_X https")
        end },
    ["of the connection"] = function()
        show("remote_addr server_addr server_port server_name realip_remote_addr")
        say(tonumber(ngx.var.remote_port) > 0, #ngx.var.binary_remote_addr)
        say(ngx.var.connection_requests, tonumber(ngx.var.connection) > 0, ngx.var.pipe)
    end,
    ["of the process"] = function()
        say(tonumber(ngx.var.pid) == ngx.worker.pid(), type(ngx.var.hostname),
            #ngx.var.hostname > 0)
        say((ngx.var.nginx_version:gsub("%d+", "N")))
    end,
    ["times"] = function()
        say((ngx.var.msec:gsub("%d", "N")), (ngx.var.time_iso8601:gsub("%d", "N")))
        say((ngx.var.time_local:gsub("%d", "N"):gsub("%a+", "M")))
        say(ngx.var.request_time:match("^%d+%.%d%d%d$") ~= nil)
    end,
    ["of the body"] = { method = "POST", body = "12345", headers = { "Content-Type: text/x" },
        access = function()
            show("content_length content_type http_content_length http_content_type")
            ngx.req.read_body()
            say(ngx.var.request_body)
            say(tonumber(ngx.var.request_length) > 100)
        end },
    ["request_length"] = { method = "POST", body = "12345", access = function()
        ngx.req.read_body()
        say(ngx.var.request_length)
    end },
    ["of the response, before it"] = function()
        show("status body_bytes_sent bytes_sent sent_http_content_type upstream_addr upstream_status "
             .. "upstream_response_time upstream_http_x_up request_completion")
    end,
    ["remote_user"] = { headers = { "Authorization: Basic dXNlcjpwYXNz" }, access = function()
        show("remote_user http_authorization")
    end },
    ["remote_user: not basic"] = { headers = { "Authorization: Bearer dXNlcjpwYXNz" },
        access = function()
            show("remote_user")
        end },
    ["cookies"] = { headers = { "Cookie: a=1; b=two; A=3;c=\"q\"", "Cookie: d=4" },
        access = function()
            show("cookie_a cookie_b cookie_A cookie_c cookie_d cookie_none http_cookie")
        end },
    ["headers twice"] = { headers = { "X-One: 1", "X-One: 2", "X_One: 3" }, access = function()
        show("http_x_one http_X_One http_x_Two")
    end },
    ["arguments"] = { uri = "/t?a=1&a=2&B=3&c&d=&e-f=4&%67=5", access = function()
        show("arg_a arg_A arg_b arg_B arg_c arg_d arg_e_f arg_g arg_none")
        say(ngx.var["arg_e-f"])
    end },
    ["unknown ones"] = function()
        say(ngx.var.no_such_variable, ngx.var["a b"], ngx.var[""])
        say(try(function() return ngx.var[nil] end))
        say(try(function() return ngx.var[{}] end))
    end,
    ["by number"] = function()
        say(ngx.var[1], ngx.var[0], ngx.var[99])
        say(try(function() ngx.var[1] = "x" end))
    end,
    ["set: own"] = function()
        say(ngx.var.compat_own)
        ngx.var.compat_own = "text"
        say(ngx.var.compat_own)
        ngx.var.compat_own = 12
        say(ngx.var.compat_own)
        ngx.var.compat_own = 1.5
        say(ngx.var.compat_own)
        ngx.var.compat_own = ""
        say(ngx.var.compat_own)
        ngx.var.compat_own = nil
        say(ngx.var.compat_own)
    end,
    ["set: a name in another case"] = function()
        ngx.var.compat_own = "text"
        say(ngx.var.COMPAT_OWN, ngx.var.Compat_Own)
    end,
    ["set: values that cannot be"] = function()
        say(try(function() ngx.var.compat_own = true end), ngx.var.compat_own)
        say(try(function() ngx.var.compat_own = {} end))
        say(try(function() ngx.var.compat_own = function() end end))
    end,
    ["set: args"] = { uri = "/t?a=1", access = function()
        ngx.var.args = "b=2"
        say(ngx.var.args, ngx.var.arg_a, ngx.var.arg_b, ngx.req.get_uri_args(), ngx.var.is_args)
        ngx.var.args = nil
        say(ngx.var.args, ngx.req.get_uri_args())
    end },
    ["set: args go upstream"] = { uri = "/t?a=1", access = function()
        ngx.var.args = "b=2&c=%20"
        return "pass"
    end },
    ["set: what cannot be set"] = function()
        for _, name in ipairs({ "uri", "request_uri", "request_method", "host", "http_host",
            "remote_addr", "status", "scheme", "server_port", "arg_a", "http_x", "query_string",
            "document_uri", "request", "pid", "content_length", "cookie_a" }) do
            say(name, try(function() ngx.var[name] = "x" end))
        end
    end,
    ["set: one that was not declared"] = function()
        say(try(function() ngx.var.no_such_variable = "x" end), ngx.var.no_such_variable)
    end,
    ["set: limit_rate"] = function()
        say(ngx.var.limit_rate)
        say(try(function() ngx.var.limit_rate = 1000 end), ngx.var.limit_rate)
    end,
    ["proxy_add_x_forwarded_for"] = { headers = { "X-Forwarded-For: 1.2.3.4" }, access = function()
        show("proxy_add_x_forwarded_for http_x_forwarded_for")
    end },
    ["request_id"] = function()
        local id = ngx.var.request_id
        say(type(id), id and #id, id and (id:find("^%x+$")))
    end,
    ["in later phases"] = { headers = { "X-Answer: headers" }, access = function()
        ngx.var.compat_own = "kept"
        return "pass"
    end, header_filter = function()
        show("status compat_own upstream_status upstream_http_x_many upstream_http_etag "
             .. "sent_http_content_type sent_http_x_many sent_http_content_length upstream_addr "
             .. "upstream_http_content_length upstream_cookie_a")
    end, log = function()
        show("status compat_own body_bytes_sent sent_http_etag request_completion upstream_status")
        say(tonumber(ngx.var.bytes_sent) > 100, ngx.var.upstream_response_length)
        say(ngx.var.upstream_response_time:match("^%d+%.%d%d%d$") ~= nil)
    end },
    ["assigning a table of them"] = function()
        say(type(ngx.var), try(function() return #ngx.var end))
        say(try(function() return next(ngx.var) end))
    end,
}
