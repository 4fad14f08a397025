# What plugins reach by the modules of APISIX's runtime: gzip, filters that are left out, how
# connections to nodes are kept, breakpoints.
use t::APISIX 'no_plan';

repeat_each(1);
no_long_string();
no_root_location();
no_shuffle();
log_level("info");

add_block_preprocessor(sub {
    my ($block) = @_;
    return if !defined $block->plugin;
    # A plugin that is the functions of the block, and its route.
    $block->set_value('user_files', ($block->user_files // '') . ">>> ../plugins/tried.lua\n" .
        'local _M = { version = 1, priority = 1, name = "tried", schema = { type = "object" } }' .
        "\n" . $block->plugin . "return _M\n");
    $block->set_value('extra_yaml_config', <<"_YAML_");
moongate:
  add_plugins: [tried]
nginx_config:
  http:
    custom_lua_shared_dict:
      tried: 1m
_YAML_
    $block->set_value('apisix_yaml', <<"_YAML_");
routes:
  - uri: "/*"
    plugins:
      tried: {}
    upstream:
      type: roundrobin
      nodes:
        "127.0.0.1:1980": 1
#END
_YAML_
});

run_tests;

__DATA__

=== TEST 1: gzip for a client that takes it
--- plugin
local unpack_gzip = require("ffi-zlib").inflateGzip
local http = require("resty.http")

-- Asks for /made and tells what came.
local function ask(fields)
    local res = assert(http.new():request_uri("http://127.0.0.1:1984/made",
                                              { headers = fields }))
    local text, body = "", res.body
    if res.headers["Content-Encoding"] == "gzip" then
        local given = false
        assert(unpack_gzip(function()
            if not given then
                given = true
                return body
            end
        end, function(piece) text = text .. piece end))
    else
        text = body
    end
    return table.concat({ res.headers["Content-Encoding"] or "plain", #body < 1000 and "small"
        or "large", text == ("gateway "):rep(1000) and "whole" or "broken",
        res.headers["Content-Length"] or "no length", res.headers["ETag"],
        res.headers["Accept-Ranges"] or "no ranges" }, ", ")
end

function _M.access(conf, ctx)
    if ctx.var.uri == "/made" then
        ngx.header["ETag"], ngx.header["Accept-Ranges"] = '"x"', "bytes"
        return 200, ("gateway "):rep(1000)
    end
    return 200, table.concat({ ask({ ["Accept-Encoding"] = "br, gzip" }), ask({}),
        ask({ ["Accept-Encoding"] = "gzip;q=0" }),
        ask({ ["Accept-Encoding"] = "gzip", Via = "1.1 x" }) }, "\n") .. "\n"
end

function _M.header_filter(conf, ctx)
    if ctx.var.uri == "/made" then
        assert(require("resty.apisix.response").set_gzip({
            buffer_num = 4, buffer_size = 8192, compress_level = 2,
        }))
    end
end

function _M.log(conf, ctx)
    ngx.log(ngx.WARN, "encoding: ", ctx.var.sent_http_content_encoding)
end
--- request
GET /all
--- response_body
gzip, small, whole, no length, W/"x", no ranges
plain, large, whole, 8000, "x", bytes
plain, large, whole, 8000, "x", bytes
plain, large, whole, 8000, "x", bytes
--- error_log
encoding: gzip



=== TEST 2: filters see a body that is not packed yet, and a failing one leaves it alone
--- plugin
local unpack_gzip = require("ffi-zlib").inflateGzip
local http = require("resty.http")

function _M.access(conf, ctx)
    if ctx.var.uri ~= "/all" then
        return 200, ("gateway "):rep(1000)
    end
    local res = assert(http.new():request_uri("http://127.0.0.1:1984/made",
                                              { headers = { ["Accept-Encoding"] = "gzip" } }))
    local text, body = "", res.body
    assert(unpack_gzip(function(size)
        local piece = body
        body = nil
        return piece
    end, function(piece) text = text .. piece end))
    local failed = assert(http.new():request_uri("http://127.0.0.1:1984/fail",
                                                 { headers = { ["Accept-Encoding"] = "gzip" } }))
    return 200, text:sub(1, 16) .. "\n" .. #text .. "\n" .. failed.status .. " "
        .. tostring(failed.headers["Content-Encoding"]) .. " "
        .. tostring(failed.body:find("500 Internal", 1, true) ~= nil) .. "\n"
end

function _M.header_filter(conf, ctx)
    require("resty.apisix.response").set_gzip({ compress_level = 9 })
end

function _M.body_filter(conf, ctx)
    if ctx.var.uri == "/fail" then
        error("on purpose")
    end
    if ctx.var.uri == "/made" then
        ngx.arg[1] = ngx.arg[1]:upper()
    end
end
--- request
GET /all
--- response_body
GATEWAY GATEWAY 
8000
500 nil true
--- error_log
on purpose



=== TEST 3: an answer in pieces can be read as it comes
--- plugin
local http = require("resty.http")

function _M.access(conf, ctx)
    if ctx.var.uri == "/pieces" then
        ngx.header["Content-Type"] = "text/plain"
        ngx.print("first ")
        ngx.flush(true)
        -- Until the reader has it, or for ever so long.
        for _ = 1, 200 do
            if ngx.shared.tried:get("read") then
                break
            end
            ngx.sleep(0.05)
        end
        ngx.print(ngx.shared.tried:get("read") and "second" or "unread")
        return ngx.exit(200)
    end
    local sock = ngx.socket.tcp()
    sock:settimeout(20000)
    assert(sock:connect("127.0.0.1", 1984))
    assert(sock:send("GET /pieces HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n"
                     .. "Connection: close\r\n\r\n"))
    local packed, head = "", true
    repeat
        head = head and assert(sock:receive()) ~= ""
    until not head
    while true do
        local size = tonumber(assert(sock:receive()), 16)
        if size == 0 then
            break
        end
        packed = packed .. sock:receive(size)
        sock:receive(2)
        ngx.shared.tried:set("read", true)
    end
    local text = ""
    assert(require("ffi-zlib").inflateGzip(function()
        local piece = packed
        packed = nil
        return piece
    end, function(piece) text = text .. piece end))
    return 200, text .. "\n"
end

function _M.header_filter(conf, ctx)
    if ctx.var.uri == "/pieces" then
        require("resty.apisix.response").set_gzip({ compress_level = 1 })
    end
end
--- request
GET /all
--- response_body
first second



=== TEST 4: filters that are left out
--- plugin
local response = require("resty.apisix.response")

function _M.access(conf, ctx)
    if ctx.var.arg_skip == "head" then
        assert(response.skip_header_filter_by_lua())
    elseif ctx.var.arg_skip == "body" then
        assert(response.skip_body_filter_by_lua())
    end
    return 200, "text\n"
end

function _M.header_filter(conf, ctx)
    ngx.header["X-Filtered"] = "yes"
    ngx.header["Content-Length"] = nil
end

function _M.body_filter(conf, ctx)
    ngx.arg[1] = ngx.arg[1]:upper()
end
--- pipelined_requests eval
["GET /a", "GET /a?skip=body", "GET /a?skip=head"]
--- response_headers eval
["X-Filtered: yes", "X-Filtered: yes", "X-Filtered:"]
--- response_body eval
["TEXT\n", "text\n", "TEXT\n"]



=== TEST 5: how the connection to a node is kept
--- plugin
local balancer = require("ngx.balancer")
local http = require("resty.http")

local function ask(path)
    return assert(http.new():request_uri("http://127.0.0.1:1984" .. path)).body
end

function _M.access(conf, ctx)
    if ctx.var.uri ~= "/all" then
        return
    end
    local seen = {}
    for i, path in ipairs({ "/once", "/once", "/often", "/often", "/often" }) do
        seen[i] = ask(path)
    end
    local before = { pcall(balancer.enable_keepalive) }
    return 200, table.concat({
        seen[1] == seen[2] and "kept" or "not kept", seen[3] == seen[2] and "kept" or "not kept",
        seen[4] == seen[3] and seen[5] == seen[3] and "kept" or "not kept", tostring(before[3]),
    }, "\n") .. "\n"
end

function _M.balancer(conf, ctx)
    assert(balancer.set_current_peer("127.0.0.1", 1980, { pool = "p", pool_size = 3 }))
    if ctx.var.uri == "/once" then
        assert(balancer.enable_keepalive(60, 1))
    else
        assert(balancer.enable_keepalive(60, 100))
    end
    for _, wrong in ipairs({ { "x" }, { -1 }, { 1, "x" }, { 1, -1 } }) do
        assert(not pcall(balancer.enable_keepalive, wrong[1], wrong[2]))
    end
    for _, wrong in ipairs({ { pool = 1 }, { pool = "" }, { pool_size = "x" }, { pool_size = 0 } }) do
        assert(not pcall(balancer.set_current_peer, "127.0.0.1", 1, wrong))
    end
end
--- upstream_server_config
location ~ ^/(once|often) {
    return 200 $connection;
}
--- request
GET /all
--- response_body
not kept
not kept
kept
no upstream found
