-- A client of WebSocket: ours, and lua-nginx-websocket of Debian in moongate.
-- original: nginx.websocket.client
-- guest: nginx/websocket
-- peer: websocket
local client = lib("resty.websocket.client", "nginx.websocket.client")
local ws = client:new({ timeout = 2000, max_payload_len = 100000 })
local uri = "ws://127.0.0.1:" .. ports.websocket .. "/s"
case("connect", function() local ok, err = ws:connect(uri) return ok, err end)
case("text", function() return ws:send_text("hello"), ws:recv_frame() end)
case("binary", function() return ws:send_binary("\0\255\1"), ws:recv_frame() end)
case("empty", function() return ws:send_text(""), ws:recv_frame() end)
case("126 bytes", function() ws:send_text(("a"):rep(126)) local data, kind = ws:recv_frame() return #data, kind end)
case("70000 bytes", function() ws:send_binary(("b"):rep(70000)) local data, kind = ws:recv_frame() return #data, kind end)
case("ping", function() return ws:send_ping("p"), ws:recv_frame() end)
case("pong", function() return ws:send_pong("q"), ws:recv_frame() end)
case("too long", function() return ws:send_text(("x"):rep(100001)) end)
case("nothing comes", function() ws:set_timeout(20) return ws:recv_frame() end)
case("close frame", function() local w = client:new() w:connect(uri) return w:send_close(1000, "bye"), w:recv_frame() end)
case("after close", function() local w = client:new() w:connect(uri) w:send_close() return w:send_text("x") end)
case("two close frames", function() local w = client:new() w:connect(uri) return w:send_close(), { w:send_close() }, { w:send_text("x") } end)
case("close", function() return ws:close() end)
case("refused", function() return client:new():connect("ws://127.0.0.1:1/") end)
case("wrong uri", function() return client:new():connect("http://x/") end)
