-- A client of HTTP, step by step.
-- original: resty.http
-- differs: parse_uri 10, the name of a user is not part of the host
-- differs: parse_uri without a query in the path 10, as above
-- peer: health
local http = require("resty.http")
local port = tonumber(ports.health)
local base = "http://127.0.0.1:" .. port
local function plain(res, err)
    return res and { status = res.status, body = res.body and res.body:gsub("^%d+ ", ""):gsub(":%d+$", ""), reason = res.reason, has_body = res.has_body and true or false } or nil, err
end
for i, uri in ipairs({ "http://h/p?q=1", "https://h", "http://h:81/", "//h/x", "h/x", "", "http://[::1]:80/x", "ftp://h/", "http://h?x", "http://user@h/" }) do
    case("parse_uri " .. i, function() return http:parse_uri(uri) end)
    case("parse_uri without a query in the path " .. i, function() return http:parse_uri(uri, false) end)
end
case("new", function() local h = http.new() return type(h) end)
case("request_uri", function() return plain(http.new():request_uri(base .. "/s/x", { method = "GET" })) end)
case("request_uri with a body and headers", function() return plain(http.new():request_uri(base .. "/s/x", { method = "GET", body = "hello", headers = { ["X-A"] = "1", Host = "own.test" } })) end)
case("request_uri with a query", function() return plain(http.new():request_uri(base, { path = "/s/q", query = { a = 1 } })) end)
case("request_uri to nobody", function() return http.new():request_uri("http://127.0.0.1:1/") end)
case("request_uri of nonsense", function() return http.new():request_uri("nonsense") end)
local h = http.new()
case("set_timeout", function() return h:set_timeout(2000) end)
case("set_timeouts", function() return h:set_timeouts(2000, 2000, 2000) end)
case("connect", function() local ok, err = h:connect({ scheme = "http", host = "127.0.0.1", port = port }) return ok, err end)
case("get_reused_times", function() return h:get_reused_times() end)
case("request", function() local res, err = h:request({ path = "/s/one", headers = { Host = "h.test" } }) return res and res.status, res and res:read_body():match("^%d+ (.*)"), err end)
case("again", function() local res = h:request({ method = "GET", path = "/s/two", headers = { Host = "h.test" } }) return res.status, #res:read_body() > 0 end)
case("send_request and read_response", function() local params = { method = "GET", path = "/s/three", headers = { Host = "h.test" } } local ok, err = h:send_request(params) local res = h:read_response(params) return ok, err, res.status, res:read_body():match(" (.*)") end)
case("body_reader", function() local res = h:request({ path = "/s/four", headers = { Host = "h.test" } }) local all = {} for piece in function() return res.body_reader(2) end do all[#all + 1] = piece end return table.concat(all):match(" (.*)"), #all > 2 end)
case("HEAD that is not known", function() local res = h:request({ method = "PUT", path = "/s/x", body = "x" }) return res and res.status end)
case("close", function() return h:close() end)
case("connect by the old way", function() local g = http.new() local ok, err = g:connect("127.0.0.1", port) local res = g:request({ path = "/s/old" }) local status = res.status res:read_body() return ok, err, status, g:set_keepalive(1000, 2) end)
case("from the pool", function() local g = http.new() g:connect("127.0.0.1", port) return g:get_reused_times() > 0, (g:close()) end)
case("connect to nobody", function() return http.new():connect({ scheme = "http", host = "127.0.0.1", port = 1 }) end)
case("connect without a host", function() return (pcall(function() return assert(http.new():connect({ scheme = "http" })) end)) end)
case("ssl_handshake with nobody's TLS", function() local g = http.new() g:set_timeout(500) g:connect("127.0.0.1", port) return (g:ssl_handshake(nil, "x", false)) end)
case("request_pipeline", function()
    local g = http.new()
    g:connect({ scheme = "http", host = "127.0.0.1", port = port })
    local list, err = g:request_pipeline({ { path = "/s/a", headers = { Host = "a" } }, { path = "/s/b", headers = { Host = "b" } } })
    local seen = {}
    for i, res in ipairs(list or {}) do seen[i] = { res.status, (res:read_body():match(" (.*)")) } end
    g:close()
    return seen, err
end)
case("get_client_body_reader", function() return type(http.new().get_client_body_reader) end)
case("set_proxy_options", function() local g = http.new() g:set_proxy_options({ http_proxy = base, no_proxy = "127.0.0.2" }) return plain(g:request_uri("http://named.test/s/x")) end)
case("no_proxy", function() local g = http.new() g:set_proxy_options({ http_proxy = "http://127.0.0.1:1", no_proxy = "127.0.0.1" }) local res = g:request_uri(base .. "/s/direct") return res and res.status end)
case("a proxy that refuses", function() local g = http.new() g:set_timeout(500) g:set_proxy_options({ https_proxy = base }) return (g:request_uri("https://named.test/x")) end)
case("a proxy of connect", function() local g = http.new() local ok, err = g:connect({ scheme = "http", host = "named.test", port = 80, proxy_opts = { http_proxy = base } }) local res = g:request({ path = "/s/x", headers = { Host = "named.test" } }) return ok, err, res and res.status end)
