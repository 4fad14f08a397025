-- A server of WebSocket, ours and lua-nginx-websocket of Debian, over connections of its own: in
-- moongate /echo is the access phase of a plugin, /content the content handler of a location. The
-- client is that of the same library, where no frame is wanted that it refuses to send.
-- original: nginx.websocket.server
-- guest: nginx/websocket
-- differs: whose files, ours are others
local client = lib("resty.websocket.client", "nginx.websocket.client")
local server = lib("resty.websocket.server", "nginx.websocket.server")
local dict = ngx.shared.compat
case("whose files", function()
    local sums = {}
    for _, func in ipairs({ server.new, client.new, require("nginx.websocket.protocol").recv_frame }) do
        local path = debug.getinfo(func, "S").source:sub(2)
        local file = io.open(path, "rb")
        sums[#sums + 1] = path:match("[^/]+/[^/]+/[^/]+$") .. " " .. ngx.md5(file:read("*a"))
        file:close()
    end
    return sums
end)
for _, place in ipairs({ "echo", "content" }) do
local target, count, tell = nil, 0, nil
-- Each connection has its own place for why the server ended.
local function another(more)
    count = count + 1
    tell = side .. place .. count
    dict:delete(tell)
    target = "/" .. place .. "?side=" .. side .. "&tell=" .. ngx.escape_uri(tell) .. (more or "")
end
local function raw(lines, version)
    another()
    local sock = ngx.socket.tcp()
    sock:settimeout(10000)
    sock:connect("127.0.0.1", ngx.var.server_port)
    sock:send("GET " .. target .. " HTTP/" .. (version or "1.1") .. "\r\nHost: x\r\n" .. lines .. "\r\n")
    return sock, sock:receiveuntil("\r\n\r\n")()
end
local UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
local function refused(lines, version)
    local sock, head = raw(lines, version)
    local size = head and tonumber(head:match("[Cc]ontent%-[Ll]ength: (%d+)"))
    local text
    if size then
        text = sock:receive(size)
    elseif head and head:find("chunked") then
        text = sock:receive(tonumber(sock:receive("*l"), 16))
    elseif head then
        text = sock:receive("*a")
    end
    sock:close()
    return head and head:match("^%S+ (%d+)"), text
end
-- Why the server ended: its last line.
local function ended()
    for _ = 1, 1000 do
        local why = dict:get(tell)
        if why then
            return why
        end
        ngx.sleep(0.01)
    end
end
local function connect(more, opts)
    another(more)
    local ws = client:new(opts or { timeout = 10000, max_payload_len = 200000 })
    assert(ws:connect("ws://127.0.0.1:" .. ngx.var.server_port .. target))
    return ws
end
-- What the server says to bytes that no client of the library sends.
local function bytes(data)
    local sock = raw(UPGRADE)
    sock:send(data)
    local why = ended()
    local got, err = sock:receive(1)
    sock:close()
    return why, got, err
end
local function test(name, func)
    case(place .. ": " .. name, func)
end
test("no upgrade", function() return refused("") end)
test("another upgrade", function() return refused("Upgrade: h2c\r\nConnection: Upgrade\r\n") end)
test("no connection", function() return refused("Upgrade: websocket\r\nConnection: keep-alive\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n") end)
test("no key", function() return refused("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n") end)
test("no version", function() return refused("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n") end)
test("wrong version", function() return refused("Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 8\r\n") end)
test("HTTP/1.0", function() return refused(UPGRADE, "1.0") end)
test("a protocol", function()
    local sock, head = raw(UPGRADE .. "Sec-WebSocket-Protocol: chat\r\n")
    head = head:lower()
    sock:send("\136\128\0\0\0\0")
    return head:match("^http/1.1 101"), head:match("upgrade: (%S+)"), head:match("sec%-websocket%-accept: (%S+)"),
        head:match("sec%-websocket%-protocol: (%S+)"), head:match("connection: (%S+)"), sock:receive("*a")
end)

local ws = connect()
test("text", function() return ws:send_text("hello"), ws:recv_frame() end)
test("binary", function() return ws:send_binary("\0\255\1"), ws:recv_frame() end)
test("empty", function() return ws:send_text(""), ws:recv_frame() end)
test("kind", function() ws:send_binary("kind") return ws:recv_frame() end)
for _, size in ipairs({ 125, 126, 4096, 65535, 65536, 100000 }) do
    test(size .. " bytes", function() ws:send_text(("a"):rep(size)) local data, kind = ws:recv_frame() return data == ("a"):rep(size), kind end)
end
test("every byte", function()
    local all = {}
    for i = 0, 255 do
        all[i + 1] = string.char(i)
    end
    all = table.concat(all):rep(20)
    ws:send_binary(all)
    return ws:recv_frame() == all
end)
test("many at once", function()
    local got = {}
    for i = 1, 200 do
        ws:send_text("no " .. i)
    end
    for i = 1, 200 do
        got[i] = ws:recv_frame() == "no " .. i
    end
    return got
end)
test("ping", function() return ws:send_ping("p"), ws:recv_frame() end)
test("ping without data", function() return ws:send_ping(), ws:recv_frame() end)
test("ping of the server", function() ws:send_text("ping q") local data, kind = ws:recv_frame() ws:send_pong(data) return data, kind, ws:recv_frame() end)
test("fragments", function() ws:send_frame(false, 1, "kind") return ws:recv_frame() end)
test("ping between fragments", function() ws:send_ping("mid") return ws:recv_frame() end)
test("continuation", function() ws:send_frame(false, 0, "kind") return ws:recv_frame() end)
test("last continuation", function() ws:send_frame(true, 0, "kind") return ws:recv_frame() end)
test("fragments of the server", function()
    ws:send_text("fragments")
    local got = {}
    for i = 1, 3 do
        got[i] = { ws:recv_frame() }
    end
    return got
end)
test("close frame", function() return ws:send_close(1000, "bye"), { ws:recv_frame() }, ended(), ws:recv_frame() end)
for _, code in ipairs({ 1001, 1011, 3000, 4999 }) do
    test("close with " .. code, function() local w = connect() w:send_close(code, ("r"):rep(code % 100)) return { w:recv_frame() }, ended() end)
end
test("close without a code", function() local w = connect() w:send_close() return { w:recv_frame() }, ended() end)
test("close of the server", function() local w = connect() w:send_text("close 1013") local got = { w:recv_frame() } w:send_close(1013, "") return got, ended() end)
test("the client goes", function() local w = connect() w.sock:close() return ended() end)
test("timeout", function()
    local w = connect("&timeout=60")
    local first, second = { w:recv_frame() }, { w:recv_frame() }
    w:send_close(1000, "")
    local last
    repeat
        last = { w:recv_frame() }
    until last[2] ~= "text"
    return first, second, last, ended()
end)
test("longest", function() local w = connect("&longest=300") w:send_text(("x"):rep(300)) return #w:recv_frame(), w:send_close(), ended() end)
test("a frame too long", function() local w = connect("&longest=300") w:send_text(("x"):rep(301)) return ended(), w:recv_frame() end)
test("100001 bytes", function() local w = connect() w:send_text(("x"):rep(100001)) local data, kind, err = w:recv_frame() return ended(), data, kind, err ~= nil end)
test("an answer too long", function() local w = connect("&longest=300") w:send_text("send 301") return ended(), w:recv_frame() end)
test("a long ping", function() local w = connect() w:send_text("ping " .. ("p"):rep(126)) return ended(), w:recv_frame() end)
test("unmasked frame", function() return bytes("\129\1x") end)
test("reserved bits", function() return bytes("\193\128\0\0\0\0") end)
test("reserved opcode", function() return bytes("\131\128\0\0\0\0") end)
test("reserved control opcode", function() return bytes("\139\128\0\0\0\0") end)
test("fragmented ping", function() return bytes("\9\128\0\0\0\0") end)
test("long control frame", function() return bytes("\136\254\0\126") end)
test("length of 64 bits", function() return bytes("\130\255\0\0\0\1\0\0\0\0") end)
test("length of 32 bits", function() return bytes("\130\255\0\0\0\0\128\0\0\0") end)
test("half a frame", function()
    local sock = raw(UPGRADE)
    sock:send("\129\133abcde")
    sock:close()
    return ended()
end)
test("half a length", function()
    local sock = raw(UPGRADE)
    sock:send("\129\254a")
    sock:close()
    return ended()
end)
test("close of one byte", function() return bytes("\136\129\0\0\0\0x") end)
test("frame byte by byte", function()
    local sock = raw(UPGRADE)
    for byte in ("\129\133abcd" .. "\9\7\15\8\14"):gmatch(".") do
        sock:send(byte)
        ngx.sleep(0.002)
    end
    local got = sock:receive(7)
    sock:send("\136\128\0\0\0\0")
    return got, sock:receive("*a")
end)
test("frames with the head", function()
    local sock = ngx.socket.tcp()
    sock:settimeout(10000)
    sock:connect("127.0.0.1", ngx.var.server_port)
    another()
    sock:send("GET " .. target .. " HTTP/1.1\r\nHost: x\r\n" .. UPGRADE .. "\r\n\129\130\0\0\0\0hi\136\128\0\0\0\0")
    return sock:receiveuntil("\r\n\r\n")():match("^%S+ (%d+)"), sock:receive("*a")
end)
end
