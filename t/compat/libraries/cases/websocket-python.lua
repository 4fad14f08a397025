-- A server of WebSocket, ours and lua-nginx-websocket of Debian, and a client of another make:
-- Python's `websockets`, as Debian has it.
-- original: nginx.websocket.server
-- original: python.websockets
-- guest: nginx/websocket
-- peer: websocket-client
for _, place in ipairs({ "echo", "content" }) do
    case(place, function()
        local sock = ngx.socket.tcp()
        sock:settimeout(30000)
        assert(sock:connect("127.0.0.1", ports["websocket-client"]))
        sock:send("ws://127.0.0.1:" .. ngx.var.server_port .. "/" .. place .. "?side=" .. side .. "\n")
        local seen = sock:receive("*a")
        assert(seen:sub(1, 1) == "{" and seen:find("too long", 1, true), seen)
        return seen
    end)
end
