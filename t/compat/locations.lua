--- What the locations of locations.conf answer, in nginx and in moongate.
local _M = {}


local function list_of(map)
    local keys = {}
    for key in pairs(map) do
        keys[#keys + 1] = tostring(key)
    end
    table.sort(keys)
    for at, key in ipairs(keys) do
        keys[at] = key .. "=" .. tostring(map[key])
    end
    return table.concat(keys, ",")
end


--- The request was sent somewhere else by the case, which has been answered now.
function _M.over()
    require("driver").over()
end


--- What a location sees of its request.
function _M.echo()
    ngx.req.read_body()
    ngx.say(ngx.req.get_method(), " ", ngx.var.uri, " [", ngx.var.args, "] ", ngx.var.request_uri)
    ngx.say(ngx.req.get_body_data(), " ", ngx.var.http_content_length, " ", ngx.var.http_x_mine)
    ngx.say(ngx.is_subrequest, " ", ngx.req.is_internal(), " ", ngx.get_phase(), " ",
            ngx.var.request_method)
    ngx.say(ngx.var.compat_a, ",", ngx.var.compat_b, ",", ngx.var.compat_c)
    ngx.say(list_of(ngx.ctx))
end


function _M.headers()
    ngx.header["X-One"] = "1"
    ngx.header["X-Two"] = { "a", "b" }
    ngx.header["Set-Cookie"] = { "c=1", "d=2" }
    ngx.header.content_type = "text/x-mine"
    ngx.header["Cache-Control"] = "no-store"
    ngx.print("with headers")
end


function _M.large()
    local piece = string.rep("0123456789", 1000)
    for _ = 1, 60 do
        ngx.print(piece)
    end
end


function _M.sleep()
    ngx.sleep(tonumber(ngx.var.arg_t))
    ngx.print("slept ", ngx.var.arg_t)
end


function _M.status()
    local status = tonumber(ngx.var.arg_s)
    if ngx.var.arg_say then
        ngx.status = status
        ngx.print("status ", status)
        ngx.exit(ngx.OK)
    end
    ngx.exit(status)
end


function _M.vars()
    ngx.print(ngx.var.compat_a, ",", ngx.var.compat_b, ",", ngx.var.compat_c)
    ngx.var.compat_a = "changed"
    ngx.var.compat_c = "new"
    ngx.ctx.given = "changed"
    ngx.ctx.more = "more"
end


function _M.nested()
    local depth = tonumber(ngx.var.arg_n)
    if depth == 0 then
        return ngx.print("bottom")
    end
    local res = ngx.location.capture("/sub/nested", { args = { n = depth - 1 } })
    ngx.print(depth, " ", res.status, " ", res.body)
end


function _M.raise()
    error("raised in a location")
end


function _M.nothing()
end


function _M.redirect()
    ngx.redirect("/else", 301)
end


function _M.exec()
    return ngx.exec("/sub/echo", "by=exec")
end


function _M.captures()
    ngx.print(ngx.var[1], "|", ngx.var[2], "|", ngx.var["tail"], "|", ngx.var[3])
end


local ways = {
    nothing = function() end,
    say = function() ngx.say("said") end,
    exit404 = function() ngx.say("said") ngx.exit(404) end,
    exit204 = function() ngx.exit(204) end,
    exit0 = function() ngx.exit(0) end,
    status = function() ngx.status = 418 ngx.say("pot") end,
    eof = function() ngx.say("a") ngx.eof() ngx.say("b") end,
    type = function() ngx.header.content_type = "application/json" ngx.print("{}") end,
    sent = function() ngx.say("x") ngx.say(pcall(ngx.exec, "/sub/echo")) end,
    coroutine = function()
        local co = coroutine.wrap(function() ngx.sleep(0.001) coroutine.yield("y") end)
        ngx.say(co())
    end,
    uri = function() ngx.req.set_uri("/other") ngx.say(ngx.var.uri) end,
    jump = function() ngx.say(pcall(ngx.req.set_uri, "/other", true)) end,
    read = function()
        ngx.req.read_body()
        ngx.say(ngx.req.get_body_data())
    end,
}


function _M.content()
    ways[ngx.var.arg_way]()
end


return _M
