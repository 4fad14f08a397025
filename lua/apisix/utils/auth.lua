--- `apisix.utils.auth`.
-- @module apisix.utils.auth
local _M = {}


--- Whether the auth plugin runs as one of several that `multi-auth` tries.
function _M.is_running_under_multi_auth(ctx)
    return ctx._plugin_name == "multi-auth"
end


return _M
