--- `apisix.core.config_etcd`: one implementation serves every provider.
--
-- Plugins compare it with `core.config` to know whether objects come from etcd.
-- @module apisix.core.config_etcd
local config = require("apisix.core.config")

if config.type == "etcd" then
    return config
end
return setmetatable({}, { __index = config })
