--- The endpoints that loaded plugins offer on routes, and serving one.
-- @module apisix.api_router
local endpoints = require("moongate.endpoints")

return {
    --- Answers the request from the endpoint for `ctx.var.uri` and the method.
    -- @tparam table ctx
    -- @treturn boolean false if there is none; does not return if the endpoint answered
    match = endpoints.matcher("api"),
}
