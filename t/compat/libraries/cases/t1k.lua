-- Requests shown to SafeLine's detection service, and what comes of its answers. The original is
-- the one of APISIX 3.18, version 1.1.6: later ones have no filter.lua.
-- original: resty.t1k.filter
-- peer: t1k
-- differs: a length with the highest bit, the original takes it for a negative number and goes on
-- differs: a part that is too large, the original waits until all of it has come
-- differs: the client's address as chaitin-waf tells it, the original does not look at it
-- differs: a block with a status that is none, the original raises
-- differs: fields of a service that sends no lines, the original raises
local t1k = require("resty.t1k")
local cjson = require("cjson")
local port = tonumber(ports.t1k)
-- Bytes of an answer: pairs of a tag and data.
local function message(...)
    local text = ""
    for i = 1, select("#", ...), 2 do
        local tag, data = select(i, ...)
        text = text .. string.char(tag, #data % 256, math.floor(#data / 256), 0, 0) .. data
    end
    return text
end
local function tell(line)
    local sock = ngx.socket.tcp()
    sock:settimeout(5000)
    -- Not from the pool of the library.
    assert(sock:connect("127.0.0.1", port, { pool = "tell" }))
    assert(sock:send(line .. "\n"))
    local answer = assert(sock:receive())
    sock:close()
    return answer
end
local function plan(bytes)
    tell(bytes and "next " .. bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end) or "silent")
end
local function options(more)
    local all = { mode = "block", host = "127.0.0.1", port = port }
    for key, value in pairs(more or {}) do
        all[key] = value ~= "nil" and value or nil
    end
    return all
end
local function plain(ok, err, result)
    return ok, err and (err:gsub(":" .. port, ":PORT")), result
end
local function ask(more, handle)
    return plain(t1k.do_access(options(more), handle))
end
-- An answer of the service, and what the library makes of it.
local function answered(bytes, more, handle)
    plan(bytes)
    return ask(more, handle)
end

-- What is refused before anybody is asked, and who is not asked at all.
case("no options", function() return t1k.do_access() end)
for i, more in ipairs({
    { mode = "nil" }, { mode = "off" }, { mode = "OFF", host = "nil" }, { mode = "watch" }, { mode = "" }, { host = "nil" }, { port = "nil" }, { port = "x" },
    { host = "nil", port = "nil" }, { host = "unix:/nowhere/socket", port = "nil" },
}) do
    case("options " .. i, function() return ask(more) end)
end
case("a mode that is no text", function() return ask({ mode = {} }) end)
case("nobody listens", function() return ask({ port = 1 }) end)
case("a port in letters", function() return ask({ port = tostring(port) }) end)

-- What is sent. Which bytes come before which, and all values that do not change.
tell("seen")
local function seen(...)
    local ok, err = ask(...)
    local found = cjson.decode(tell("seen"))
    return found[#found], ok, err
end
case("parts", function()
    local found, ok = seen()
    return found.tags, found.version, found.body, ok, found.head == ngx.req.raw_header()
end)
case("names of what is known", function()
    local names = {}
    for i, pair in ipairs(seen().extra) do names[i] = pair[1] end
    table.sort(names)
    return names
end)
local function extra(more)
    local found = {}
    for _, pair in ipairs(seen(more).extra) do found[pair[1]] = pair[2] end
    return found
end
case("what is known", function()
    local found = extra()
    local start = tonumber(found.ReqBeginTime) / 1000000
    return found.RemoteAddr, found.LocalAddr, found.Scheme, found.HasRspIfOK, found.HasRspIfBlock,
        found.RemotePort == ngx.var.remote_port, found.LocalPort == ngx.var.server_port,
        found.ProxyName == ngx.var.hostname, found.ServerName == ngx.var.server_name, math.abs(start - ngx.req.start_time()) < 0.001,
        #found.UUID, found.UUID:match("^%x+$") ~= nil, found.UUID ~= extra().UUID, found.UUID:sub(13, 13), ("89ab"):find(found.UUID:sub(17, 17)) ~= nil
end)
-- The body is "a=1&b=2".
for _, size in ipairs({ 1, 0.00390625, 0.001953125, 0 }) do
    case("a body of " .. size .. " kilobytes", function()
        local found = seen({ req_body_size = size })
        return found.body, found.tags
    end)
end
ngx.req.set_header("X-Forwarded-For", "10.0.0.1, 10.0.0.2,10.0.0.3")
for i, name in ipairs({
    "X-Forwarded-For", "http_x_forwarded_for", "HTTP_X_FORWARDED_FOR", "X-Forwarded-For:1", "X-Forwarded-For: 2", "x-forwarded-for:-1", "x-forwarded-for:-3",
    "x-forwarded-for:-4", "x-forwarded-for:4", "x-forwarded-for:0", "x-forwarded-for:x", "x-none", "x-none: 1",
}) do
    case("the client's address " .. i, function() return extra({ remote_addr = name }).RemoteAddr end)
end
case("the client's address as chaitin-waf tells it", function() return extra({ client_ip = "10.7.7.7" }).RemoteAddr end)
case("a field before that", function() return extra({ client_ip = "10.7.7.7", remote_addr = "X-Forwarded-For: 1" }).RemoteAddr end)

-- What is answered.
case("a pass", function() return ask() end)
case("to watch", function() return ask({ mode = "Monitor" }) end)
local BLOCK = { 0x41, "?", 0x02, "403", 0x23, "X-A:1\nX-B: 2\n", 0xa4, "<!-- event_id: b3c6 -->" }
case("a block", function() return answered(message(unpack(BLOCK))) end)
case("fields of a block", function() return ngx.ctx.t1k_extra_header end)
case("to watch a block", function()
    ngx.ctx.t1k_extra_header = nil
    local ok, err, result = answered(message(unpack(BLOCK)), { mode = "monitor" }, true)
    return ok, err, result, ngx.ctx.t1k_extra_header
end)
for i, text in ipairs({
    "<!-- event_id: b3c6 TYPE: A -->", "<!-- event_id: b3c6 TYPE: AB -->", "<!-- event_id: -->", "x<!-- event_id: 1 --><!-- event_id: 2 -->", "event_id: 1",
    "<!-- event_id: a-b -->", "<!-- event_id: a\n -->", "<!--event_id: a-->",
}) do
    case("event " .. i, function() return answered(message(0x41, "?", 0xa4, text)) end)
end
case("tags that nobody knows", function() return answered(message(0x41, ".", 0x3f, "x", 0x26, "y", 0x80, "z")) end)
case("a part that comes twice", function() return answered(message(0x41, ".", 0x02, "200", 0x82, "201")) end)
case("one part", function() return answered(message(0xc1, ".")) end)
case("parts without bytes", function() return answered(message(0x41, "", 0x02, "", 0xa4, "")) end)
case("not the first", function() return answered(message(0x01, ".", 0x82, "200")) end)
case("first again", function() return answered(message(0x41, ".", 0xc2, "200")) end)
case("nothing", function() return answered("") end)
case("silence", function()
    plan(nil)
    return ask({ read_timeout = 200 })
end)
for i, bytes in ipairs({ "A", "A\1\0\0", "A\1\0\0\0", "A\5\0\0\0ab", message(0x41, "."), message(0x41, ".") .. "\2" }) do
    case("an answer that ends early " .. i, function() return answered(bytes, { read_timeout = 200 }) end)
end
case("a part that is too large", function() return answered("\65\0\0\0\127x", { read_timeout = 200 }) end)
case("a length with the highest bit", function() return answered("\65\0\0\0\128" .. message(0xc1, "."), { read_timeout = 200 }) end)

-- Connections are kept, but not those that an answer has spoilt.
case("one connection for all", function()
    local first, second = seen(), seen()
    return second.connection - first.connection
end)
case("not kept", function()
    local first = seen({ keepalive_timeout = 1, keepalive_size = 1 })
    ngx.sleep(0.3)
    return seen().connection > first.connection
end)
case("more than the answer", function()
    local ok, err, result = answered(message(0xc1, ".") .. "more")
    return ok, err, result, (select(2, seen()))
end)

-- What is made of it.
for i, result in ipairs({ { action = "." }, { action = "!" }, {}, "." }) do
    case("handle " .. i, function() return t1k.do_handle(result) end)
end
case("handle nothing", function() return t1k.do_handle() end)
case("a pass is handled", function() return ask(nil, true) end)
case("an unknown verdict is handled", function() return answered(message(0xc1, "!"), nil, true) end)
case("an unknown verdict is watched", function() return answered(message(0xc1, "!"), { mode = "monitor" }, true) end)
-- In a request of its own, since a block ends it.
local function blocked(bytes, more)
    plan(bytes)
    local query = ngx.encode_args({ port = port, lua = [[
        local args = ...
        local ok, err = require("resty.t1k").do_access({ mode = "block", host = "127.0.0.1", port = args.port }, true)
        ngx.header.content_type = "text/x"
        ngx.say(tostring(ok), " ", tostring(err), " goes on")]] })
    local sock = ngx.socket.tcp()
    sock:settimeout(5000)
    assert(sock:connect("127.0.0.1", ngx.var.server_port))
    sock:send("GET /content?" .. query .. " HTTP/1.0\r\nHost: x\r\n\r\n")
    local answer = assert(sock:receive("*a"))
    sock:close()
    return answer:match("^HTTP/1.%d (%d+)"), answer:lower():match("\r\ncontent%-type: ([^\r]*)"), answer:match("\r\n\r\n(.*)$")
end
case("a block is handled", function() return blocked(message(unpack(BLOCK))) end)
case("a block with another status", function() return blocked(message(0x41, "?", 0x02, "405", 0xa4, "<!-- event_id: 1 -->")) end)
case("a block without a status", function() return blocked(message(0x41, "?", 0xa4, "<!-- event_id: 1 -->")) end)
case("a block without an event", function() return blocked(message(0x41, "?", 0x82, "403")) end)
case("a block with a status that is none", function() return blocked(message(0x41, "?", 0x02, "no", 0xa4, "<!-- event_id: 1 -->")) end)
case("a pass goes on", function() return blocked(message(0xc1, ".")) end)
case("by a socket of a file", function() return ask({ host = "unix:" .. tell("path"), port = "nil" }) end)
local function fields(text)
    ngx.ctx.t1k_extra_header = text
    t1k.do_header_filter()
    return ngx.header["X-One"], ngx.header["X-Two"]
end
case("no fields", function() return fields(nil) end)
case("empty fields", function() return fields("") end)
case("fields", function() return fields("X-One:1:1\nX-Two: 2\n") end)
case("a field twice", function() return fields("X-One:3\nX-One:4\n") end)
case("fields of a service that sends no lines", function() return fields("X-One:5\nX-Two") end)
