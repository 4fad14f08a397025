--- `apisix.healthcheck_manager`: nodes of upstreams are watched in Rust; what a plugin asks about
-- nodes of its own is not watched by anybody, and counts as healthy.
-- @module apisix.healthcheck_manager
local _M = {}


--- The checker of a resource: there is none.
function _M.fetch_checker()
    return nil
end


--- Whether a node may be used.
-- @treturn boolean true
function _M.fetch_node_status()
    return true
end


function _M.stop_checker()
end


return _M
