--- `ngx.ssl.session`: sessions are kept in Rust.
-- @module ngx.ssl.session
local unsupported = require("moongate.unsupported")

return unsupported.fill({ version = "0.1.28" }, "ngx.ssl.session.", {
    "get_serialized_session", "get_session_id", "set_serialized_session",
}, "not available in moongate: all workers share the sessions they can resume")
