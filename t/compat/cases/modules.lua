-- The modules of lua-resty-core beside the global table.
local say, try = ...

return {
    ["process"] = function()
        local process = require("ngx.process")
        say(process.type(), type(process.get_master_pid()))
        say(try(process.enable_privileged_agent))
    end,
    ["balancer: in access"] = function()
        local balancer = require("ngx.balancer")
        say(try(balancer.set_current_peer, "127.0.0.1", 80))
        say(try(balancer.set_more_tries, 1))
        say(try(balancer.get_last_failure))
        say(try(balancer.set_timeouts, 1, 1, 1))
    end,
    ["ssl: in a plain request"] = function()
        local ssl = require("ngx.ssl")
        say(try(ssl.server_name))
        say(try(ssl.get_tls1_version))
        say(try(ssl.get_tls1_version_str))
        say(try(ssl.raw_server_addr))
        say(try(ssl.raw_client_addr))
        say(try(ssl.server_port))
        say(try(ssl.clear_certs))
    end,
    ["ssl: constants"] = function()
        local ssl = require("ngx.ssl")
        say(ssl.SSL3_VERSION, ssl.TLS1_VERSION, ssl.TLS1_1_VERSION, ssl.TLS1_2_VERSION,
            ssl.TLS1_3_VERSION)
    end,
    ["ssl: parsing what is no PEM"] = function()
        local ssl = require("ngx.ssl")
        local cert, err = ssl.parse_pem_cert("nothing")
        say(cert, type(err))
        local key, why = ssl.parse_pem_priv_key("nothing")
        say(key, type(why))
        local der, bad = ssl.cert_pem_to_der("nothing")
        say(der, type(bad))
    end,
    ["resty.core.base"] = function()
        local base = require("resty.core.base")
        say(type(base.get_string_buf), type(base.get_size_ptr), type(base.new_tab),
            type(base.clear_tab), type(base.get_request), type(base.ref_in_table))
        say(base.new_tab(1, 1), base.FFI_OK, base.FFI_ERROR, base.FFI_DECLINED)
    end,
    ["resty.core.regex"] = function()
        local regex = require("resty.core.regex")
        say(type(regex.re_match_compile), type(regex.set_buf_grow_ratio))
        local compiled, err = regex.re_match_compile("(", "jo")
        say(compiled, type(err))
        compiled = regex.re_match_compile("a+", "jo")
        say(compiled ~= nil)
    end,
    ["resty.core.version"] = function()
        say(type(require("resty.core").version))
    end,
    ["lrucache"] = function()
        local lrucache = require("resty.lrucache")
        local cache = lrucache.new(2)
        cache:set("a", 1)
        cache:set("b", 2)
        cache:get("a")
        cache:set("c", 3)
        say(cache:get("a"), cache:get("b"), cache:get("c"))
        cache:set("t", "x", 0.01)
        ngx.sleep(0.03)
        local value, stale = cache:get("t")
        say(value, stale)
        cache:delete("a")
        cache:flush_all()
        say(cache:get("c"), cache:count(), cache:capacity())
        say(try(lrucache.new, 0))
    end,
    ["location.capture: in access"] = function()
        say(type(ngx.location.capture))
    end,
    ["exec: what cannot be"] = function()
        say(try(ngx.exec))
        say(try(ngx.exec, ""))
        say(try(ngx.exec, nil))
    end,
}
