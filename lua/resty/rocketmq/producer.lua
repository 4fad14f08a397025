--- `resty.rocketmq.producer`: exists by name.
-- @module resty.rocketmq.producer
local unsupported = require("moongate.unsupported")

return unsupported.absent({}, "resty.rocketmq.producer.", { "new" }, "not bundled with moongate")
