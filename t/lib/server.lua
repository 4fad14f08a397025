--- The answers of the test upstream: one function per path.
--
-- Tests written for APISIX expect these paths with these answers. `/a/b-c` is looked up as
-- `a_b_c`. Request headers named `resp-x` become answer headers `x` on every path.

local handlers = {}


local function sorted_keys(map)
    local keys = {}
    for key in pairs(map) do
        keys[#keys + 1] = key
    end
    table.sort(keys)
    return keys
end


local function joined(value)
    if type(value) == "table" then
        return table.concat(value, ", ")
    end
    return tostring(value)
end


-- One `name: value` line per request header, sorted; `hidden` names are left out.
local function say_headers(hidden)
    local headers = ngx.req.get_headers(0)
    for _, name in ipairs(sorted_keys(headers)) do
        if not hidden[name] then
            ngx.say(name, ": ", joined(headers[name]))
        end
    end
end


local function request_body()
    ngx.req.read_body()
    local body = ngx.req.get_body_data()
    local file = not body and ngx.req.get_body_file()
    if file then
        local handle = assert(io.open(file, "rb"))
        body = handle:read("*a")
        handle:close()
    end
    return body
end


function handlers.hello()
    ngx.req.read_body()
    ngx.header["Content-Length"] = 12
    ngx.print("hello world\n")
end


function handlers.hello1()
    ngx.say("hello1 world")
end


function handlers.hello_chunked()
    for _, piece in ipairs({ "hell", "o w", "orld\n" }) do
        ngx.print(piece)
        ngx.flush(true)
    end
end


function handlers.with_header()
    for _, word in ipairs({ "hello", "world", "!" }) do
        ngx.say(word)
    end
end


function handlers.opentracing()
    ngx.say("opentracing")
end


function handlers.server_port()
    ngx.print(ngx.var.server_port)
end
handlers.server_port_route2 = handlers.server_port
handlers.server_port_hello = handlers.server_port
handlers.server_port_aa = handlers.server_port


function handlers.limit_conn()
    ngx.sleep(0.3)
    ngx.say("hello world")
end


function handlers.sleep1()
    ngx.sleep(1)
    ngx.say("ok")
end


function handlers.mysleep()
    local seconds = ngx.var.arg_seconds
    ngx.sleep(tonumber(seconds))
    if ngx.var.arg_abort then
        return ngx.exit(ngx.ERROR)
    end
    ngx.say(seconds)
end


function handlers.ewma()
    local port = ngx.var.server_port
    ngx.sleep(port == "1980" and 0.1 or 0.2)
    ngx.print(port)
end


function handlers.plugin_proxy_rewrite()
    for _, name in ipairs({ "uri", "host", "scheme" }) do
        ngx.say(name, ": ", ngx.var[name])
    end
    ngx.log(ngx.WARN, "plugin_proxy_rewrite get method: ", ngx.req.get_method())
end


function handlers.plugin_proxy_rewrite_args()
    ngx.say("uri: ", ngx.var.uri)
    local args = ngx.req.get_uri_args(0)
    for _, name in ipairs(sorted_keys(args)) do
        local value = args[name]
        ngx.say(name, ": ", type(value) == "table" and table.concat(value, ",") or value)
    end
end


function handlers.plugin_proxy_rewrite_resp_header()
    ngx.req.read_body()
    local name = "plugin_proxy_rewrite_resp_header"
    ngx.header["Content-Length"] = #name + 1
    ngx.say(name)
end


function handlers.specific_status()
    local status = ngx.var.http_x_test_upstream_status
    if status then
        ngx.status = tonumber(status)
        ngx.say("upstream status: ", status)
    end
end


function handlers.status()
    ngx.log(ngx.WARN, "client request host: ", ngx.var.http_host)
    ngx.say("ok")
end


function handlers.api_breaker()
    ngx.exit(tonumber(ngx.var.arg_code))
end


function handlers.server_error()
    error("500 Internal Server Error")
end


local FORWARDED = {
    ["x-forwarded-for"] = true,
    ["x-forwarded-host"] = true,
    ["x-forwarded-port"] = true,
    ["x-forwarded-proto"] = true,
}


function handlers.uri()
    ngx.say("uri: ", ngx.var.uri)
    say_headers(FORWARDED)
end
handlers.uri_plugin_proxy_rewrite = handlers.uri
handlers.uri_plugin_proxy_rewrite_args = handlers.uri


function handlers.old_uri()
    ngx.say("uri: ", ngx.var.uri)
    say_headers({})
end


function handlers.print_request_received()
    ngx.say("request_uri: ", ngx.var.request_uri)
    say_headers({})
end


function handlers.print_uri_detailed()
    ngx.say("ngx.var.uri: ", ngx.var.uri)
    ngx.say("ngx.var.request_uri: ", ngx.var.request_uri)
end


function handlers.headers()
    for name, value in pairs(ngx.req.get_uri_args(0)) do
        ngx.header[name] = value
    end
    ngx.say("/headers")
end


-- The request's headers and body come back as the answer's.
function handlers.echo()
    local body = request_body() or ""
    for name, value in pairs(ngx.req.get_headers(0)) do
        ngx.header[name] = value
    end
    ngx.print(body)
end


-- The raw first bytes of the request, as they came.
function handlers.raw_head()
    ngx.print(ngx.req.raw_header())
end


function handlers.log()
    ngx.log(ngx.WARN, "request log: ", request_body() or "nil")
end


function handlers.log_request()
    ngx.log(ngx.WARN, "uri: ", ngx.var.uri)
    local headers = ngx.req.get_headers(0)
    for _, name in ipairs(sorted_keys(headers)) do
        ngx.log(ngx.WARN, name, ": ", joined(headers[name]))
    end
end


-- Answers the handshake of a WebSocket and returns its socket.
local function accept_websocket()
    local key = ngx.var.http_sec_websocket_key
    if not key or (ngx.var.http_upgrade or ""):lower() ~= "websocket" then
        return ngx.exit(400)
    end
    local accept = ngx.sha1_bin(key .. "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
    local sock = assert(ngx.req.socket(true))
    sock:send({
        "HTTP/1.1 101 Switching Protocols\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Sec-WebSocket-Accept: ", ngx.encode_base64(accept), "\r\n\r\n",
    })
    return sock
end


function handlers.websocket_handshake()
    local sock = accept_websocket()
    sock:send("\129\5hello")
end
handlers.websocket_handshake_route = handlers.websocket_handshake


-- Sends every byte of the client back until it closes.
function handlers.websocket_echo()
    local sock = accept_websocket()
    sock:settimeout(30000)
    while true do
        local data = sock:receiveany(4096)
        if not data then
            return
        end
        sock:send(data)
    end
end


local function print_uri()
    ngx.say(ngx.var.uri)
end


local function handler_of(uri)
    local name = uri:sub(2):gsub("[/.-]", "_")
    if name:find("^print_uri_%d+$") then
        return print_uri
    end
    return handlers[name]
end


local _M = {}


function _M.go()
    local handler = handler_of(ngx.var.uri)
    if not handler then
        return ngx.exit(404)
    end
    for name, value in pairs(ngx.req.get_headers(0)) do
        local answer_name = name:match("^resp%-(.+)$")
        if answer_name then
            ngx.header[answer_name] = value
        end
    end
    handler()
end


return _M
