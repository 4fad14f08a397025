--- `apisix.global_rules`: the objects of `/global_rules`.
-- @module apisix.global_rules
local config = require("apisix.core.config")

local collection = config.collection("global_rules")

local _M = {}


--- All items and the version of the collection.
function _M.global_rules()
    return collection.values, collection.conf_version
end


--- Version of the collection, under the name the etcd provider has for it.
function _M.get_pre_index()
    return collection.conf_version
end


return _M
