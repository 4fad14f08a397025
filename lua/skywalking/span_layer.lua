--- `skywalking.span_layer`: what kind of thing a span talks to, with SkyWalking's numbers.
-- @module skywalking.span_layer
local _M = {}

for value, layer in ipairs({
    { "DB", "Database" }, { "RPC_FRAMEWORK", "RPCFramework" }, { "HTTP", "Http" },
    { "MQ", "MQ" }, { "CACHE", "Cache" },
}) do
    _M[layer[1]] = { name = layer[2], value = value }
end

_M.NONE = { name = "Unknown", value = 0 }

return _M
