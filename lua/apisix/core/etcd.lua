--- `core.etcd`: no etcd behind moongate yet; every call says so.
-- @module apisix.core.etcd
local unsupported = require("moongate.unsupported")

return unsupported.fill({}, "core.etcd.", {
    "new", "get", "set", "atomic_set", "push", "delete", "rmdir", "keepalive",
    "server_version", "get_etcd_syncer", "switch_proxy",
}, "not available: moongate has no etcd yet")
