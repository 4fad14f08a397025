--- `skywalking.client`: exists by name.
-- @module skywalking.client
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "skywalking.client.", {
    "startBackendTimer", "destroyBackendTimer",
}, "not bundled with moongate: extra_lua_path says where to find it")
