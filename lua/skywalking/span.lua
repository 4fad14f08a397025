--- `skywalking.span`: exists by name.
-- @module skywalking.span
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "skywalking.span.", {
    "setComponentId", "setTag", "setLayer", "setErrorOccurred", "setPeer",
}, "not bundled with moongate: extra_lua_path says where to find it")
