-- ngx.balancer, where it works: in the balancer's turn of a request to /balanced.
local say, try, compat = ...

local env = compat.env
local balancer = require("ngx.balancer")


local function pass()
    return "pass"
end


-- A case whose balancer is `func` and whose answer is the upstream's.
local function case(func, compare)
    return { uri = "/balanced/x", access = pass, balancer = func, waits = false, log = function()
        say("status", ngx.status)
    end, compare = compare }
end


local function peer(...)
    return balancer.set_current_peer("127.0.0.1", env.upstream, ...)
end


return {
    ["set_current_peer"] = case(function()
        say(try(peer))
        say(ngx.get_phase())
    end),
    ["set_current_peer: what cannot be"] = case(function()
        say((try(balancer.set_current_peer, "localhost", 80)))
        say(try(balancer.set_current_peer, "name.test", 80))
        say((try(balancer.set_current_peer)))
        say((try(balancer.set_current_peer, {}, 80)))
        peer()
    end),
    ["set_current_peer: after another"] = case(function()
        balancer.set_current_peer("127.0.0.1", env.closed)
        peer()
        say(try(balancer.get_last_failure))
    end),
    ["set_current_peer: nobody listens"] = case(function()
        say(try(balancer.get_last_failure))
        balancer.set_current_peer("127.0.0.1", env.closed)
    end, "nobody noheaders"),
    ["set_more_tries"] = case(function()
        local state, status = balancer.get_last_failure()
        say(state, status)
        if not state then
            say(try(balancer.set_more_tries, 1))
            balancer.set_current_peer("127.0.0.1", env.closed)
        else
            peer()
        end
    end),
    ["set_more_tries: two"] = case(function()
        local ctx = ngx.ctx
        ctx.tries = (ctx.tries or 0) + 1
        say(ctx.tries, balancer.get_last_failure())
        if ctx.tries == 1 then
            say(try(balancer.set_more_tries, 2))
        end
        if ctx.tries < 3 then
            balancer.set_current_peer("127.0.0.1", env.closed)
        else
            peer()
        end
    end),
    ["set_timeouts"] = case(function()
        say(try(balancer.set_timeouts, 1, 1, 1))
        say(try(balancer.set_timeouts, nil, nil, nil))
        say(try(balancer.set_timeouts, 0.5))
        peer()
    end),
    ["set_timeouts: what cannot be"] = case(function()
        say(try(balancer.set_timeouts, 0))
        say(try(balancer.set_timeouts, -1))
        say(try(balancer.set_timeouts, 1, 0))
        say(try(balancer.set_timeouts, 1, 1, -2))
        peer()
    end),
    ["set_timeouts: too short to read"] = case(function()
        -- A peer that accepts and says nothing.
        balancer.set_current_peer("127.0.0.1", env.tcp)
        say(try(balancer.set_timeouts, 1, 1, 0.05))
    end, "nobody noheaders"),
    ["what waits"] = case(function()
        say((try(ngx.sleep, 0.001)))
        peer()
    end),
    ["in later phases"] = { uri = "/t", access = pass, header_filter = function()
        say(try(balancer.set_current_peer, "127.0.0.1", 80))
        say(try(balancer.get_last_failure))
    end, log = function()
        say(try(balancer.set_more_tries, 1))
        say(try(balancer.set_timeouts, 1, 1, 1))
    end },
}
