--- `ngx.req` as a module: what the global table lacks.
-- @module ngx.req
local req = require("moongate.api.req")

return {
    version = "0.1.28",
    add_header = req.add_header,
}
