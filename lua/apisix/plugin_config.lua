--- `apisix.plugin_config`: the objects of `/plugin_configs`.
-- @module apisix.plugin_config
local config = require("apisix.core.config")

local collection = config.collection("plugin_configs")

local _M = {}


--- An item (`{ value = ... }`) by id, or nil.
function _M.get(id)
    return collection:get(id)
end


--- All items and the version of the collection.
function _M.plugin_configs()
    return collection.values, collection.conf_version
end


return _M
