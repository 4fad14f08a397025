--- `resty.apisix.upstream`: what a plugin tells of requests that it sent by itself.
--
-- The variables `upstream_status` and their like tell of what the gateway sent; what a plugin
-- sends has its own variables (`apisix_upstream_response_time`), so nothing is kept here.
-- @module resty.apisix.upstream
local unsupported = require("moongate.unsupported")

local _M = unsupported.fill({}, "resty.apisix.upstream.", { "set_cert_and_key", "set_ssl_verify" },
    "not supported by moongate: TLS towards nodes is the upstream's tls object")


--- Takes note of a request.
-- @treturn boolean true
function _M.push_upstream_state()
    return true
end


--- Changes what was noted last.
-- @treturn boolean true
function _M.update_upstream_state()
    return true
end


return _M
