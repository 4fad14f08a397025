--- `core.pubsub`: not supported; every call says so.
-- @module apisix.core.pubsub
local unsupported = require("moongate.unsupported")

return unsupported.fill({}, "core.pubsub.", { "new" },
    "not supported by moongate: only upstreams of scheme kafka need it, and there are none")
