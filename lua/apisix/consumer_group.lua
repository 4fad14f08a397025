--- `apisix.consumer_group`: the objects of `/consumer_groups`.
-- @module apisix.consumer_group
local config = require("apisix.core.config")

local collection = config.collection("consumer_groups")

local _M = {}


--- An item (`{ value = ... }`) by id, or nil.
function _M.get(id)
    return collection:get(id)
end


--- All items and the version of the collection.
function _M.consumer_groups()
    return collection.values, collection.conf_version
end


return _M
