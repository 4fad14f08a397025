--- `resty.etcd`: exists by name. Where moongate reads etcd, it does so in Rust.
-- @module resty.etcd
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "resty.etcd.", { "new" }, "not bundled with moongate")
