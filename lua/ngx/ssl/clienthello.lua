--- `ngx.ssl.clienthello`: the hello is read in Rust, before any Lua runs.
-- @module ngx.ssl.clienthello
local unsupported = require("moongate.unsupported")

return unsupported.fill({ version = "0.1.28" }, "ngx.ssl.clienthello.", {
    "get_client_hello_server_name", "get_client_hello_ext", "get_client_hello_ext_present",
    "get_client_hello_ciphers", "get_supported_versions", "set_protocols",
}, "not available in moongate: handshakes are answered from the ssl objects, without Lua")
