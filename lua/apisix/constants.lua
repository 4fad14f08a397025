--- Numbers and directory names that plugins and runners of other languages share.
-- @module apisix.constants
local host = require("moongate.host")

local ipairs = ipairs


local function set_of(names)
    local set = {}
    for _, name in ipairs(names) do
        set["/" .. name] = true
    end
    return set
end


return {
    -- The folder that holds conf/, logs/ and plugins/.
    apisix_lua_home = host.prefix(),
    RPC_ERROR = 0,
    RPC_PREPARE_CONF = 1,
    RPC_HTTP_REQ_CALL = 2,
    RPC_EXTRA_INFO = 3,
    RPC_HTTP_RESP_CALL = 4,
    HTTP_ETCD_DIRECTORY = set_of({
        "consumer_groups", "consumers", "global_rules", "plugin_configs", "plugin_metadata",
        "plugins", "protos", "routes", "secrets", "services", "ssls", "stream_routes",
        "upstreams",
    }),
    STREAM_ETCD_DIRECTORY = set_of({
        "plugin_metadata", "plugins", "secrets", "services", "ssls", "stream_routes",
        "upstreams",
    }),
}
