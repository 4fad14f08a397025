--- Benchmark plugin: answers every request with what a call into the host costs, in `access`.
-- The loops are in bridge.lua, which nginx runs as well. A bad name answers 500.
local bridge = require("bridge")


local _M = {
    version = 0.1,
    priority = 103,
    name = "bench-bridge",
    schema = { type = "object", properties = {} },
}


function _M.check_schema()
    return true
end


function _M.access()
    bridge.answer()
end


return _M
