--- `A6.HTTPRespCall.Req`: a response that the runner is asked about.
-- @module A6.HTTPRespCall.Req
return require("moongate.a6").table("Req", {
    { "Id", "Uint32" },
    { "Status", "Uint16" },
    { "Headers", "entries" },
    { "ConfToken", "Uint32" },
})
