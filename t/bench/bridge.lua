--- What one call from Lua into the host costs: the same loops in nginx and in moongate.
--
-- `run(kind, count)` calls one function `count` times and returns nanoseconds of CPU of the whole
-- process per call. bridge.py asks for it; each loop is warm, as code on a busy route is.
local clock = os.clock
local ngx = ngx

local _M = {}

-- Every loop sums what the calls return, so that none of them can be left out.
local loops = {
    ["ngx.var.uri"] = function(count)
        local sum = 0
        for _ = 1, count do
            sum = sum + #ngx.var.uri
        end
        return sum
    end,

    ["ngx.var.remote_addr"] = function(count)
        local sum = 0
        for _ = 1, count do
            sum = sum + #ngx.var.remote_addr
        end
        return sum
    end,

    ["ngx.var.http_x_bench"] = function(count)
        local sum = 0
        for _ = 1, count do
            sum = sum + #ngx.var.http_x_bench
        end
        return sum
    end,

    ["get_headers()[x]"] = function(count)
        local sum = 0
        for _ = 1, count do
            sum = sum + #ngx.req.get_headers()["x-bench"]
        end
        return sum
    end,

    ["ngx.re.match jo"] = function(count)
        local sum, uri = 0, ngx.var.uri
        for _ = 1, count do
            sum = sum + #ngx.re.match(uri, [[^/(\w+)/(?:bridge|users)/?(\d*)]], "jo")[1]
        end
        return sum
    end,

    ["shared dict incr"] = function(count)
        local sum, dict = 0, ngx.shared.bridge
        dict:set("counter", 0)
        for _ = 1, count do
            sum = sum + dict:incr("counter", 1)
        end
        return sum
    end,

    ["ngx.now"] = function(count)
        local sum = 0
        for _ = 1, count do
            sum = sum + ngx.now()
        end
        return sum
    end,
}


--- Nanoseconds per call of `kind`; raises for a name there is no loop for.
function _M.run(kind, count)
    local loop = loops[kind] or error("no loop is named " .. tostring(kind))
    local warm, before = loop(count / 10), clock()
    local sum = loop(count)
    local ns = (clock() - before) / count * 1e9
    if warm <= 0 or sum < count then
        error(kind .. " returned nothing")
    end
    return ns
end


--- Answers the request that asks for a measurement, `?kind=…&count=…`.
function _M.answer()
    local args = ngx.req.get_uri_args()
    ngx.print(_M.run(args.kind, tonumber(args.count)))
    return ngx.exit(200)
end


return _M
