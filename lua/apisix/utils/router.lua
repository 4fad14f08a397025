--- `apisix.utils.router`: routing inside a plugin is not available.
-- @module apisix.utils.router
local unsupported = require("moongate.unsupported")

return unsupported.fill({}, "apisix.utils.router.", { "new" },
                        "not available: moongate matches routes in Rust")
