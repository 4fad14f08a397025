--- For wrk: one of N routes per request, uniformly at random. Arguments: kind (host or param), N.
-- luacheck: globals wrk init request
local kind, count


function init(args)
    kind = args[1]
    count = tonumber(args[2])
    math.randomseed(os.time())
end


function request()
    local i = math.random(count)
    if kind == "param" then
        return wrk.format("GET", "/api" .. i .. "/users/42/posts")
    end
    return wrk.format("GET", "/r" .. i .. "/x", { Host = "h" .. i .. ".example.com" })
end
