--- `skywalking.tracer`: exists by name.
-- @module skywalking.tracer
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "skywalking.tracer.", {
    "start", "finish", "prepareForReport",
}, "not bundled with moongate: extra_lua_path says where to find it")
