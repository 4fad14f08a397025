-- What APISIX's own build of nginx lets plugins do. Nothing of it can be had, so the cases know
-- what must come out; what these calls do to a request is in t/mirror.rs and t/plugins.
-- alone: yes
local client, upstream = require("resty.apisix.client"), require("resty.apisix.upstream")
local function expect(name, func)
    case(name, function()
        func()
        return "as expected"
    end)
end
expect("set_real_ip", function()
    assert(client.set_real_ip("1.2.3.4", 567) == true)
    assert(ngx.var.remote_addr == "1.2.3.4" and ngx.var.remote_port == "567")
    assert(client.set_real_ip("::1") == true)
    assert(ngx.var.remote_addr == "::1" and ngx.var.remote_port == "567")
end)
expect("set_real_ip of no address", function()
    local ok, err = client.set_real_ip("1.2.3")
    assert(ok == nil and err == "bad address", err)
end)
expect("set_client_max_body_size", function()
    assert(client.set_client_max_body_size(1024) == true)
    assert(client.set_client_max_body_size(0) == true)
    local ok, err = client.set_client_max_body_size(-1)
    assert(ok == nil and err == "invalid size", err)
end)
expect("set_proxy_request_buffering", function()
    assert(client.set_proxy_request_buffering(false) == true)
    assert(client.set_proxy_request_buffering(true) == true)
end)
expect("enable_mirror", function()
    ngx.var.upstream_mirror_uri = "http://127.0.0.1:1/"
    assert(client.enable_mirror() == true and client.enable_mirror() == true)
end)
expect("upstream states", function()
    assert(upstream.push_upstream_state() == true and upstream.update_upstream_state() == true)
end)
expect("TLS by call", function()
    for _, name in ipairs({ "set_cert_and_key", "set_ssl_verify" }) do
        local ok, err = pcall(upstream[name], true)
        assert(not ok and err:find("not supported", 1, true), err)
    end
end)
