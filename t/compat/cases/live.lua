-- Clients that see a part of an answer while the rest is made, and clients that leave.
local say, try, compat = ...

local arrived = compat.arrived
local leave = compat.leave


return {
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
