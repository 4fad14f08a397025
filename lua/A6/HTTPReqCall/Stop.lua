--- `A6.HTTPReqCall.Stop`: an answer that the runner gives instead of the upstream.
-- @module A6.HTTPReqCall.Stop
return require("moongate.a6").table("Stop", {
    { "Status", "Uint16" },
    { "Headers", "entries" },
    { "Body", "bytes" },
})
