--- `ngx.ocsp`: stapling is done in Rust.
-- @module ngx.ocsp
local unsupported = require("moongate.unsupported")

return unsupported.fill({ version = "0.1.28" }, "ngx.ocsp.", {
    "get_ocsp_responder_from_der_chain", "create_ocsp_request", "validate_ocsp_response",
    "set_ocsp_status_resp",
})
