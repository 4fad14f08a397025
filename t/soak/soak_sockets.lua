--- Cosockets for t/soak/cosockets: one request of the load, what is left of it, and situations.
local tcp = ngx.socket.tcp

local _M = {}

-- Idle connections are kept no longer than this, so that soon nothing is left of a load.
local IDLE_MS = 1500
local WAIT_MS = 2000

-- What must be gone after a load. Nothing here keeps it.
local coroutines = setmetatable({}, { __mode = "k" })
local sockets = setmetatable({}, { __mode = "k" })
local running, timers_run = 0, 0


local function socket(timeout)
    local sock = tcp()
    sockets[sock] = true
    sock:settimeout(timeout or WAIT_MS)
    return sock
end


local function command(...)
    local parts = { ... }
    local text = { "*" .. #parts .. "\r\n" }
    for _, part in ipairs(parts) do
        text[#text + 1] = "$" .. #tostring(part) .. "\r\n" .. part .. "\r\n"
    end
    return text
end


-- Whether it went well, and if not, "operation: error".
local function raw_redis(port, wait)
    local sock = socket()
    local ok, err = sock:connect("127.0.0.1", port, { pool = "soak-redis", pool_size = 2000 })
    if not ok then
        return "connect: " .. err
    end
    ok, err = sock:send(command("BLPOP", "soak:nobody", wait))
    if not ok then
        return "send: " .. err
    end
    local line
    line, err = sock:receive()
    if not line then
        return "receive: " .. err
    end
    if line ~= "*-1" then
        return "answer: " .. line
    end
    ok, err = sock:setkeepalive(IDLE_MS)
    return ok and "ok" or "setkeepalive: " .. err
end


local function raw_http(port, wait)
    local sock = socket()
    local ok, err = sock:connect("127.0.0.1", port, { pool = "soak-http", pool_size = 2000 })
    if not ok then
        return "connect: " .. err
    end
    ok, err = sock:send({ "GET /?s=", wait, " HTTP/1.1\r\nHost: soak\r\n\r\n" })
    if not ok then
        return "send: " .. err
    end
    local body
    local head = sock:receiveuntil("\r\n\r\n")
    ok, err = head()
    if not ok then
        return "receiveuntil: " .. err
    end
    body, err = sock:receive(6)
    if not body then
        return "receive: " .. err
    end
    if body ~= "hello\n" then
        return "answer: " .. body
    end
    ok, err = sock:setkeepalive(IDLE_MS)
    return ok and "ok" or "setkeepalive: " .. err
end


local function lib_redis(port, wait)
    local red = require("resty.redis"):new()
    red:set_timeout(WAIT_MS)
    local ok, err = red:connect("127.0.0.1", port)
    if not ok then
        return "connect: " .. err
    end
    ok, err = red:blpop("soak:nobody", wait)
    if not ok then
        return "blpop: " .. err
    end
    if ok ~= ngx.null then
        return "answer: " .. tostring(ok)
    end
    ok, err = red:set_keepalive(IDLE_MS, 2000)
    return ok and "ok" or "set_keepalive: " .. err
end


local function lib_http(port, wait)
    local client = require("resty.http").new()
    client:set_timeout(WAIT_MS)
    local answer, err = client:request_uri("http://127.0.0.1:" .. port .. "/?s=" .. wait, {
        keepalive_timeout = IDLE_MS, keepalive_pool = 2000,
    })
    if not answer then
        return "request_uri: " .. err
    end
    return answer.body == "hello\n" and "ok" or "answer: " .. answer.status .. answer.body
end


local function tracked(func, ...)
    coroutines[coroutine.running()] = true
    return func(...)
end


local function later(premature, port)
    timers_run = timers_run + 1
    if not premature then
        tracked(raw_redis, port, 0.01)
    end
end


--- One request of the load: redis and HTTP at the same time.
-- @tparam table args `redis`, `http`: ports; `wait`: seconds that each takes; `raw`: without the
-- libraries; `timer`: also from a timer
function _M.work(args)
    coroutines[coroutine.running()] = true
    running = running + 1
    local most = running
    local redis, http = lib_redis, lib_http
    if args.raw then
        redis, http = raw_redis, raw_http
    end
    if args.timer then
        ngx.timer.at(0, later, args.redis)
    end
    local one = ngx.thread.spawn(tracked, redis, args.redis, args.wait)
    local two = ngx.thread.spawn(tracked, http, args.http, args.wait)
    local _, first = ngx.thread.wait(one)
    local _, second = ngx.thread.wait(two)
    running = running - 1
    return table.concat({ ngx.worker.id(), most, "redis " .. first, "http " .. second }, "\n")
end


local function size(set)
    local count = 0
    for _ in pairs(set) do
        count = count + 1
    end
    return count
end


--- What is left in this worker: name=value lines.
function _M.state()
    collectgarbage()
    collectgarbage()
    local values = { ngx.worker.id(), collectgarbage("count"), size(coroutines), size(sockets),
                     running, ngx.timer.running_count(), ngx.timer.pending_count(), timers_run }
    return ("worker=%d\nkb=%d\ncoroutines=%d\nsockets=%d\nrequests=%d\ntimers=%d\n"
            .. "pending=%d\nran=%d"):format(unpack(values))
end


local function shown(...)
    local parts = {}
    for at = 1, select("#", ...) do
        parts[at] = tostring((select(at, ...)))
    end
    return table.concat(parts, " ") .. "\n"
end


-- Connects to the peer that obeys lines, and tells it what to do.
local function scripted(args, script, timeout)
    local sock = socket(timeout)
    assert(sock:connect("127.0.0.1", args.peer))
    assert(sock:send(script .. "\n"))
    return sock
end


local function connected(args, timeout)
    local sock = socket(timeout)
    assert(sock:connect("127.0.0.1", args.redis))
    return sock
end


--- One function per situation. Each tells what the calls return, in order.
local situations = {
    refused = function(args)
        local sock = socket()
        return shown(sock:connect("127.0.0.1", args.redis)) .. shown(sock:send("x"))
            .. shown(sock:receive()) .. shown(sock:setkeepalive()) .. shown(sock:close())
    end,
    redis_asked = function(args)
        local sock = connected(args, 20000)
        sock:send(command("BLPOP", "soak:waiting", 0))
        return shown(sock:receive()) .. shown(sock:receive()) .. shown(sock:send("x"))
    end,
    http_asked = function(args)
        local sock = socket(20000)
        assert(sock:connect("127.0.0.1", args.http))
        sock:send("GET /?s=19 HTTP/1.1\r\nHost: x\r\n\r\n")
        return shown(sock:receiveuntil("\r\n\r\n")()) .. shown(sock:receive("*a"))
    end,
    redis_asked_with_a_writer = function(args)
        local sock = connected(args, 20000)
        sock:send(command("BLPOP", "soak:waiting", 0))
        local thread = ngx.thread.spawn(function()
            return sock:receive()
        end)
        return shown(ngx.thread.wait(thread))
    end,
    frozen = function(args)
        local sock = socket(150)
        local text = shown(sock:connect("127.0.0.1", args.redis))
            .. shown(sock:send(command("PING"))) .. shown(sock:receive())
            .. shown(sock:receive(5)) .. shown(sock:receiveany(5))
            .. shown(sock:receiveuntil("x")())
        sock:settimeout(20000)
        return text .. shown(sock:receive()) .. shown(sock:close())
    end,
    frozen_with_data_then_killed = function(args)
        local sock = connected(args, 20000)
        sock:send(command("BLPOP", "soak:waiting", 0))
        sock:send(command("PING"))
        return shown(sock:receive()) .. shown(sock:receive()) .. shown(sock:send("x"))
    end,
    pooled = function(args)
        local sock = connected(args)
        sock:send(command("PING"))
        local text = shown(sock:receive()) .. shown(sock:setkeepalive(10000))
        sock = connected(args)
        text = text .. shown(sock:getreusedtimes())
        assert(sock:setkeepalive(10000))
        connected(args):send(command("SET", "soak:pooled", 1))
        -- Until the test has killed the server and started another.
        local ok, err
        for _ = 1, 200 do
            ngx.sleep(0.05)
            sock = socket()
            ok, err = sock:connect("127.0.0.1", args.redis)
            if ok and sock:send(command("EXISTS", "soak:pooled")) and sock:receive() == ":0" then
                break
            end
        end
        return text .. shown(err, sock:getreusedtimes())
    end,
    half_a_line = function(args)
        local sock = scripted(args, "say abc\nclose")
        return shown(sock:receive()) .. shown(sock:receive()) .. shown(sock:send("x"))
    end,
    half_a_body = function(args)
        local sock = scripted(args, "say abc\nsleep 50\nclose")
        return shown(sock:receive(10)) .. shown(sock:receive(1))
    end,
    reset_in_a_line = function(args)
        local sock = scripted(args, "say abc\nsleep 50\nreset")
        return shown(sock:receive()) .. shown(sock:receive()) .. shown(sock:close())
    end,
    reset_in_a_body = function(args)
        local sock = scripted(args, "say abc\nsleep 50\nreset")
        return shown(sock:receive(10)) .. shown(sock:receive(10)) .. shown(sock:send("x"))
    end,
    reset_with_all = function(args)
        local sock = scripted(args, "say abc\nsleep 50\nreset")
        return shown(sock:receive("*a"))
    end,
    reset_until = function(args)
        local sock = scripted(args, "say abc\nsleep 50\nreset")
        return shown(sock:receiveuntil("xyz")())
    end,
    reset_any = function(args)
        local sock = scripted(args, "sleep 50\nreset")
        return shown(sock:receiveany(10))
    end,
    send_after_a_reset = function(args)
        local sock = scripted(args, "reset")
        ngx.sleep(0.1)
        return shown(sock:send("x")) .. shown(sock:send("x")) .. shown(sock:receive())
    end,
    send_after_an_end = function(args)
        local sock = scripted(args, "close")
        ngx.sleep(0.1)
        local text = shown(sock:send("x"))
        ngx.sleep(0.1)
        return text .. shown(sock:send("y")) .. shown(sock:send("z")) .. shown(sock:receive())
    end,
    keepalive_after_an_end = function(args)
        local sock = scripted(args, "close")
        ngx.sleep(0.1)
        return shown(sock:setkeepalive()) .. shown(sock:close())
    end,
    keepalive_after_a_reset = function(args)
        local sock = scripted(args, "reset")
        ngx.sleep(0.1)
        return shown(sock:setkeepalive()) .. shown(sock:close())
    end,
    keepalive_with_unread = function(args)
        local sock = scripted(args, "say a\\nbc")
        return shown(sock:receive()) .. shown(sock:setkeepalive()) .. shown(sock:receive(2))
    end,
    keepalive_with_unseen = function(args)
        local sock = scripted(args, "say abc")
        ngx.sleep(0.1)
        return shown(sock:setkeepalive())
    end,
    send_timeout = function(args)
        local sock = scripted(args, "sleep 700")
        sock:settimeouts(1000, 150, 1000)
        local data = ("x"):rep(1024 * 1024)
        local ok, err
        for _ = 1, 64 do
            ok, err = sock:send(data)
            if not ok then
                break
            end
        end
        return shown(ok, err) .. shown(sock:send("x")) .. shown(sock:receive())
    end,
    receive_timeout = function(args)
        local sock = scripted(args, "say abc\nsleep 400\nsay def\\n", 150)
        local text = shown(sock:receive())
        sock:settimeout(2000)
        return text .. shown(sock:receive()) .. shown(sock:close())
    end,
    connect_timeout = function(args)
        local sock = socket(200)
        return shown(sock:connect("127.0.0.1", args.full)) .. shown(sock:send("x"))
    end,
    handshake_refused = function(args)
        local sock = scripted(args, "close")
        return shown(sock:sslhandshake(nil, "x", false)) .. shown(sock:send("x"))
    end,
    handshake_timeout = function(args)
        local sock = scripted(args, "sleep 500", 150)
        return shown(sock:sslhandshake(nil, "x", false)) .. shown(sock:send("x"))
    end,
    udp_refused = function(args)
        local sock = ngx.socket.udp()
        sock:settimeout(1000)
        return shown(sock:setpeername("127.0.0.1", args.closed)) .. shown(sock:send("x"))
            .. shown(sock:receive())
    end,
    udp_timeout = function(args)
        local sock = ngx.socket.udp()
        sock:settimeout(100)
        return shown(sock:setpeername("127.0.0.1", args.udp)) .. shown(sock:send("x"))
            .. shown(sock:receive())
    end,
    unix_missing = function()
        local sock = socket()
        return shown(sock:connect("unix:/no/such/soak")) .. shown(sock:send("x"))
    end,
}


--- The situation of the name `name`.
function _M.situation(args)
    return situations[args.name](args)
end


return _M
