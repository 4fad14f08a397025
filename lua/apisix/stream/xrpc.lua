--- `apisix.stream.xrpc`: protocols over TCP, which moongate does not route.
-- @module apisix.stream.xrpc
local _M = {}


--- Adds no metrics: there are no such protocols to count.
function _M.init_metrics()
end


return _M
