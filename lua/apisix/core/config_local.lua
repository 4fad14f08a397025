--- `core.config_local`: config.yaml over the defaults.
-- @module apisix.core.config_local
local host = require("moongate.host")

local _M = {
    --- The whole table. It is shared: read it, never write to it.
    local_conf = host.conf_local,
}


--- The host keeps the table fresh by itself.
function _M.clear_cache() end


return _M
