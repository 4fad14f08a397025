--- `apisix.router`: the routed objects. Matching is done in Rust.
-- @module apisix.router
local config = require("apisix.core.config")
local unsupported = require("moongate.unsupported")

local routes = config.collection("routes")
local ssls = config.collection("ssls")
local stream_routes = config.collection("stream_routes")

local _M = {
    version = 0.3,
    router_http = {
        matching = unsupported.raise("apisix.router.router_http.matching",
                                     "not available: moongate matches routes in Rust"),
    },
    -- What plugins offer by `api()`; loaded late, since it needs them.
    api = {
        match = function(ctx)
            return require("apisix.api_router").match(ctx)
        end,
    },
}


--- All routes and the version of the collection.
function _M.http_routes()
    return routes.values, routes.conf_version
end


_M.router_http.routes = _M.http_routes


function _M.ssls()
    return ssls.values, ssls.conf_version
end


function _M.stream_routes()
    return stream_routes.values, stream_routes.conf_version
end


return _M
