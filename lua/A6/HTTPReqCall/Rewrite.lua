--- `A6.HTTPReqCall.Rewrite`: what the runner changes of a request.
-- @module A6.HTTPReqCall.Rewrite
return require("moongate.a6").table("Rewrite", {
    { "Path", "text" },
    { "Headers", "entries" },
    { "Args", "entries" },
    { "RespHeaders", "entries" },
    { "Body", "bytes" },
})
