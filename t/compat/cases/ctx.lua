-- ngx.ctx.
local say, try, compat = ...

return {
    ["keeps"] = function()
        say(type(ngx.ctx), ngx.ctx.none)
        ngx.ctx.a = 1
        local ctx = ngx.ctx
        ctx.b = { 2 }
        say(ngx.ctx.a, ngx.ctx.b, ngx.ctx == ctx)
    end,
    ["is of one request"] = function()
        say(ngx.ctx.left_by_another)
        ngx.ctx.left_by_another = true
    end,
    ["replaced"] = function()
        ngx.ctx.a = 1
        ngx.ctx = { b = 2 }
        say(ngx.ctx.a, ngx.ctx.b)
        say(try(function() ngx.ctx = 12 end))
        say(try(function() ngx.ctx = nil end))
    end,
    ["through the phases"] = { rewrite = function()
        ngx.ctx.list = { "rewrite" }
    end, access = function()
        table.insert(ngx.ctx.list, "access")
        return "pass"
    end, header_filter = function()
        table.insert(ngx.ctx.list, "header_filter")
    end, body_filter = function()
        if ngx.arg[2] then
            table.insert(ngx.ctx.list, "body_filter")
        end
    end, log = function()
        table.insert(ngx.ctx.list, "log")
        say(ngx.ctx.list)
    end },
    ["in a timer"] = { access = function()
        ngx.ctx.a = 1
        ngx.timer.at(0, function()
            say(ngx.ctx.a, type(ngx.ctx))
            ngx.ctx.b = 2
            say(ngx.ctx.b)
            compat.done()
        end)
        return "pass"
    end, waits = true },
    ["in a light thread"] = function()
        ngx.ctx.a = 1
        ngx.thread.wait(ngx.thread.spawn(function()
            say(ngx.ctx.a)
            ngx.ctx.b = 2
        end))
        say(ngx.ctx.b)
    end,
    ["with other keys"] = function()
        ngx.ctx[1] = "one"
        ngx.ctx[true] = "yes"
        local key = {}
        ngx.ctx[key] = "table"
        say(ngx.ctx[1], ngx.ctx[true], ngx.ctx[key])
    end,
}
