-- Constants, and that the functions are there.
local say = ...

local function kinds(of, names)
    for name in names:gmatch("%S+") do
        say(name, type(of[name]))
    end
end

local function values(names)
    for name in names:gmatch("%S+") do
        say(name, ngx[name])
    end
end

return {
    ["core constants"] = function()
        values("OK ERROR AGAIN DONE DECLINED")
        say(ngx.null == ngx.null, type(ngx.null), tostring(ngx.null))
        say(ngx.null and true, ngx.null == nil)
    end,
    ["methods"] = function()
        values("HTTP_GET HTTP_HEAD HTTP_PUT HTTP_POST HTTP_DELETE HTTP_OPTIONS HTTP_MKCOL HTTP_COPY "
               .. "HTTP_MOVE HTTP_PROPFIND HTTP_PROPPATCH HTTP_LOCK HTTP_UNLOCK HTTP_PATCH HTTP_TRACE")
    end,
    ["statuses"] = function()
        values("HTTP_CONTINUE HTTP_SWITCHING_PROTOCOLS HTTP_OK HTTP_CREATED HTTP_ACCEPTED "
               .. "HTTP_NO_CONTENT HTTP_PARTIAL_CONTENT HTTP_SPECIAL_RESPONSE "
               .. "HTTP_MOVED_PERMANENTLY HTTP_MOVED_TEMPORARILY HTTP_SEE_OTHER HTTP_NOT_MODIFIED "
               .. "HTTP_TEMPORARY_REDIRECT HTTP_PERMANENT_REDIRECT HTTP_BAD_REQUEST "
               .. "HTTP_UNAUTHORIZED HTTP_PAYMENT_REQUIRED HTTP_FORBIDDEN HTTP_NOT_FOUND "
               .. "HTTP_NOT_ALLOWED HTTP_NOT_ACCEPTABLE HTTP_REQUEST_TIMEOUT HTTP_CONFLICT "
               .. "HTTP_GONE HTTP_UPGRADE_REQUIRED HTTP_TOO_MANY_REQUESTS HTTP_CLOSE HTTP_ILLEGAL "
               .. "HTTP_INTERNAL_SERVER_ERROR HTTP_NOT_IMPLEMENTED HTTP_METHOD_NOT_IMPLEMENTED "
               .. "HTTP_BAD_GATEWAY HTTP_SERVICE_UNAVAILABLE HTTP_GATEWAY_TIMEOUT "
               .. "HTTP_VERSION_NOT_SUPPORTED HTTP_INSUFFICIENT_STORAGE")
    end,
    ["log levels"] = function()
        values("STDERR EMERG ALERT CRIT ERR WARN NOTICE INFO DEBUG")
    end,
    ["functions of ngx"] = function()
        kinds(ngx,
            "exit exec redirect print say flush eof log sleep send_headers on_abort get_phase "
              .. "escape_uri unescape_uri encode_args decode_args encode_base64 decode_base64 "
              .. "crc32_short crc32_long hmac_sha1 md5 md5_bin sha1_bin quote_sql_str today time now "
              .. "update_time localtime utctime cookie_time http_time parse_http_time "
              .. "run_worker_thread")
    end,
    ["tables of ngx"] = function()
        kinds(ngx,
            "var ctx header arg req resp re shared socket thread timer worker config location")
        say(type(ngx.is_subrequest), type(ngx.headers_sent), type(ngx.status))
    end,
    ["functions of ngx.req"] = function()
        kinds(ngx.req,
            "is_internal start_time http_version raw_header get_method set_method set_uri "
              .. "set_uri_args get_uri_args get_post_args get_headers set_header clear_header "
              .. "read_body discard_body get_body_data get_body_file set_body_data set_body_file "
              .. "init_body append_body finish_body socket get_query_args get_raw_header")
    end,
    ["functions of the other tables"] = function()
        kinds(ngx.re, "match find gmatch sub gsub")
        kinds(ngx.resp, "get_headers")
        kinds(ngx.socket, "tcp udp stream connect")
        kinds(ngx.thread, "spawn wait kill")
        kinds(ngx.timer, "at every running_count pending_count")
        kinds(ngx.worker, "exiting pid pids id count")
        kinds(ngx.location, "capture capture_multi")
        kinds(ngx.config, "subsystem debug prefix nginx_version nginx_configure ngx_lua_version")
        kinds(coroutine, "create resume yield wrap running status")
    end,
    ["methods of a dictionary"] = function()
        kinds(ngx.shared.compat,
            "get get_stale set safe_set add safe_add replace delete incr lpush "
              .. "rpush lpop rpop llen ttl expire flush_all flush_expired get_keys capacity free_space")
    end,
    ["methods of sockets"] = function()
        kinds(ngx.socket.tcp(), "bind connect getfd setclientcert sslhandshake getsslpointer "
              .. "getsslctx getsslsession send receive receiveany receiveuntil close settimeout "
              .. "settimeouts setoption setkeepalive getreusedtimes")
        kinds(ngx.socket.udp(), "bind setpeername send receive close settimeout")
    end,
    ["modules"] = function()
        for _, name in ipairs({ "ngx.re", "ngx.semaphore", "ngx.errlog", "ngx.process", "ngx.pipe",
            "ngx.ssl", "ngx.ssl.session", "ngx.ssl.clienthello", "ngx.ocsp", "ngx.balancer",
            "ngx.base64", "ngx.req", "ngx.resp", "resty.core", "resty.core.base",
            "resty.core.regex", "resty.core.request", "resty.core.response", "resty.core.shdict",
            "resty.core.time", "resty.core.uri", "resty.core.utils", "resty.core.var",
            "resty.core.worker", "resty.core.misc", "resty.core.hash", "resty.core.base64",
            "resty.core.exit", "resty.core.ctx", "resty.core.phase", "resty.core.socket",
            "resty.core.ndk", "resty.core.coroutine", "resty.core.param" }) do
            local ok, found = pcall(require, name)
            say(name, ok, ok and type(found))
        end
    end,
    ["modules: their functions"] = function()
        kinds(require("ngx.re"), "split opt")
        kinds(require("ngx.semaphore"), "new wait post count")
        kinds(require("ngx.errlog"), "set_filter_level get_logs get_sys_filter_level raw_log")
        kinds(require("ngx.process"),
            "type enable_privileged_agent signal_graceful_exit get_master_pid")
        kinds(require("ngx.pipe"), "spawn")
        kinds(require("ngx.balancer"),
            "set_current_peer set_more_tries get_last_failure set_timeouts")
        kinds(require("ngx.base64"), "encode_base64url decode_base64url")
        kinds(require("ngx.req"), "add_header")
        kinds(require("ngx.resp"), "add_header")
        kinds(require("ngx.ocsp"), "get_ocsp_responder_from_der_chain create_ocsp_request "
              .. "validate_ocsp_response set_ocsp_status_resp")
        kinds(require("ngx.ssl"), "clear_certs set_der_cert set_der_priv_key raw_server_addr "
              .. "server_port server_name raw_client_addr cert_pem_to_der priv_key_pem_to_der "
              .. "get_tls1_version get_tls1_version_str parse_pem_cert parse_pem_priv_key set_cert "
              .. "set_priv_key verify_client SSL3_VERSION TLS1_VERSION TLS1_1_VERSION "
              .. "TLS1_2_VERSION TLS1_3_VERSION")
    end,
    ["config"] = function()
        say(ngx.config.subsystem, ngx.config.debug, type(ngx.config.prefix()))
        say(ngx.config.prefix():sub(-1), type(ngx.config.nginx_configure()))
        say(ngx.config.nginx_version > 1000000, ngx.config.ngx_lua_version >= 10023)
        say(ngx.config.no_such)
    end,
    ["worker"] = function()
        say(ngx.worker.id(), ngx.worker.count(), ngx.worker.exiting(), type(ngx.worker.pid()))
        say(ngx.worker.pid() == tonumber(ngx.var.pid), ngx.worker.pid() > 1)
    end,
    ["no such name"] = function()
        say(ngx.no_such_thing, ngx.req.no_such_thing, ngx.shared.no_such_thing)
    end,
    ["ngx takes names"] = function()
        ngx.compat_own = 12
        say(ngx.compat_own)
        ngx.compat_own = nil
        say(ngx.compat_own)
    end,
    ["phase"] = function()
        say(ngx.get_phase(), ngx.is_subrequest, ngx.headers_sent, ngx.req.is_internal())
    end,
}
