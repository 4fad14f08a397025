--- `core.data_encryption`: fields are encrypted in an etcd, which moongate has none of yet.
-- @module apisix.core.data_encryption
local unsupported = require("moongate.unsupported")

return unsupported.fill({}, "core.data_encryption.", { "encrypt", "decrypt" },
                        "not available: moongate has no etcd yet")
