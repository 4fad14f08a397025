--- `resty.etcd`: exists by name. Where moongate reads etcd, it does so in Rust.
-- @module resty.etcd
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "resty.etcd.", { "new" },
    "not bundled with moongate: extra_lua_path says where to find it")
