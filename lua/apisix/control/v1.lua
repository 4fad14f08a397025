--- `apisix.control.v1`: what the Control API knows, for plugins that ask in Lua.
-- @module apisix.control.v1
local unsupported = require("moongate.unsupported")

local _M = unsupported.fill({}, "apisix.control.v1.", {
    "schema", "dump_all_routes_info", "dump_route_info", "dump_all_upstreams_info",
    "dump_upstream_info", "dump_all_services_info", "dump_service_info", "dump_all_plugin_metadata",
    "dump_plugin_metadata", "trigger_gc", "plugins_reload",
},
    "not supported by moongate: the Control API is answered in Rust")


--- The health checkers that Lua runs: none, they are Rust's.
-- @treturn table empty
function _M.get_health_checkers()
    return {}
end


return _M
