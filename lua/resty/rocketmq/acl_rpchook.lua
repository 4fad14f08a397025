--- `resty.rocketmq.acl_rpchook`: exists by name.
-- @module resty.rocketmq.acl_rpchook
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "resty.rocketmq.acl_rpchook.", { "new" },
    "not bundled with moongate: extra_lua_path says where to find it")
