-- When a worker starts: init_worker_by_lua in nginx, a plugin's init in moongate.
local say, try, compat = ...

return {
    ["phase"] = { init = function()
        say(ngx.get_phase(), ngx.worker.id(), ngx.worker.count(), ngx.worker.exiting())
        say(ngx.config.subsystem, type(ngx.config.prefix()))
    end },
    ["what needs no request"] = { init = function()
        say(ngx.md5("a"), ngx.encode_base64("a"), ngx.escape_uri(" "), ngx.crc32_long("a"))
        say(ngx.re.match("ab", "b"), ngx.time() > 0, ngx.http_time(0))
        say(ngx.encode_args({ a = 1 }), ngx.decode_args("a=1"))
        say(type(require("cjson").decode("{}")))
    end },
    ["dictionaries"] = { init = function()
        local dict = ngx.shared.compat
        say(dict:set("init", 1), dict:get("init"), dict:incr("init", 1))
        say(dict:delete("init"), dict:get("init"))
    end },
    ["what needs a request"] = { init = function()
        say(try(function() return ngx.var.uri end))
        say(try(ngx.req.get_headers))
        say(try(ngx.req.get_method))
        say(try(ngx.req.get_uri_args))
        say(try(ngx.say, "x"))
        say(try(ngx.print, "x"))
        say(try(ngx.flush))
        say(try(function() return ngx.header.x end))
        say(try(function() return ngx.status end))
        say(try(ngx.redirect, "/x"))
    end },
    ["what waits"] = { init = function()
        say(try(ngx.sleep, 0.001))
        say(try(ngx.thread.spawn, function() end))
        say((try(ngx.socket.tcp)))
        say(try(ngx.exit, 0))
    end },
    ["ctx"] = { init = function()
        ngx.ctx.a = 1
        say(ngx.ctx.a)
    end },
    ["coroutines"] = { init = function()
        local co = coroutine.create(function(a)
            local b = coroutine.yield(a + 1)
            return b * 2
        end)
        say(coroutine.resume(co, 1))
        say(coroutine.resume(co, 4))
        say(coroutine.status(co))
    end },
    ["a timer"] = { init = function()
        local ok, err = ngx.timer.at(0, function(premature)
            ngx.shared.compat:set("init timer", tostring(premature) .. ngx.get_phase())
        end)
        say(ok, err)
        say(ngx.timer.pending_count() > 0)
    end },
    ["a timer has run"] = function()
        say(ngx.shared.compat:get("init timer"))
    end,
    ["log"] = { init = function()
        say(select("#", ngx.log(ngx.ERR, "at the start")), try(ngx.log, 12, "x"))
        say(compat.env.files ~= nil)
    end },
    ["a module"] = { init = function()
        say(type(require("ngx.semaphore").new(1)), type(require("resty.lrucache").new(2)))
        say(require("ngx.process").type())
    end },
}
