--- `A6.HTTPReqCall.Req`: a request that the runner is asked about.
-- @module A6.HTTPReqCall.Req
return require("moongate.a6").table("Req", {
    { "Id", "Uint32" },
    { "SrcIp", "bytes" },
    { "Method", "Uint8" },
    { "Path", "text" },
    { "Args", "entries" },
    { "Headers", "entries" },
    { "ConfToken", "Uint32" },
})
