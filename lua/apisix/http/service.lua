--- `apisix.http.service`: the objects of `/services`.
-- @module apisix.http.service
local config = require("apisix.core.config")

local find = string.find
local iterate_values = require("apisix.core.config_util").iterate_values

local collection = config.collection("services")

local _M = { version = 0.2 }


--- An item (`{ value = ... }`) by id, or nil.
function _M.get(id)
    return collection:get(id)
end


--- All items and the version of the collection.
function _M.services()
    return collection.values, collection.conf_version
end


--- Whether a key names the cost decoration of a service, not the service.
function _M.is_graphql_cost_decoration_key(key)
    return key ~= nil and find(key, "/services/[^/]+/graphql_cost_decorations") ~= nil
end


--- The items that are services.
function _M.filter_services_list(items)
    local list = {}
    for _, item in iterate_values(items or {}) do
        if not _M.is_graphql_cost_decoration_key(item.key) then
            list[#list + 1] = item
        end
    end
    return list
end


return _M
