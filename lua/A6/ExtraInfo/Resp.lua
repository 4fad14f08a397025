--- `A6.ExtraInfo.Resp`: what was asked for.
-- @module A6.ExtraInfo.Resp
return require("moongate.a6").table("Resp", {
    { "Result", "bytes" },
})
