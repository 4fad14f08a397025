--- `apisix`: the phases of the gateway, which are Rust's here.
--
-- They exist by name, for plugins that put something else in their place: nothing calls them.
-- @module apisix
local unsupported = require("moongate.unsupported")

return unsupported.fill({ version = 0.4 }, "apisix.", {
    "handle_upstream", "http_access_phase", "http_balancer_phase", "http_header_filter_phase",
    "http_body_filter_phase", "http_log_phase", "http_init", "http_init_worker",
    "http_ssl_phase", "http_admin", "http_control", "stream_preread_phase",
    "stream_balancer_phase", "stream_log_phase", "status", "status_ready",
}, "not available: moongate runs its phases in Rust")
