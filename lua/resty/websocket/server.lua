--- `resty.websocket.server`: exists by name. A plugin cannot take the client's connection over.
-- @module resty.websocket.server
local unsupported = require("moongate.unsupported")

return unsupported.fill({}, "resty.websocket.server.", { "new" },
                        "not supported: a plugin cannot take the client's connection over")
