--- `ngx.balancer`: moongate picks the peer in Rust.
--
-- A plugin that wants a say gives an upstream to `apisix.upstream.set` instead.
-- @module ngx.balancer
local unsupported = require("moongate.unsupported")

return unsupported.fill({ version = "0.1.28" }, "ngx.balancer.", {
    "set_current_peer", "set_more_tries", "get_last_failure", "set_timeouts",
    "enable_keepalive", "recreate_request", "set_upstream_tls",
}, "not available in moongate: use apisix.upstream.set to choose an upstream")
