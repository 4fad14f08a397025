--- `A6.HTTPRespCall.Resp`: what the runner changes of a response.
-- @module A6.HTTPRespCall.Resp
return require("moongate.a6").table("Resp", {
    { "Id", "Uint32" },
    { "Status", "Uint16" },
    { "Headers", "entries" },
    { "Body", "bytes" },
})
