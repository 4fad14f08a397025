--- `A6.HTTPReqCall.Resp`: what the runner wants done with a request.
-- @module A6.HTTPReqCall.Resp
return require("moongate.a6").table("Resp", {
    { "Id", "Uint32" },
    { "ActionType", "Uint8" },
    { "Action", "union" },
})
